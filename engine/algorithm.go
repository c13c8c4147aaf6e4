package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/kernel"
)

// winograd emits a convolution by Winograd's algorithm with tiles of tile x tile
// outputs, in place of [compiler.forward]. The weights w are constant.
func (c *compiler) winograd(shape kernel.Conv, tile int, x *buf, w *graph.Value, bias, residual, y *buf, act kernel.Act) error {
	f, err := kernel.PlanWinograd(shape, tile)
	if err != nil {
		return err
	}
	packed := c.packWinograd(f, w, shape, tile)
	c.needScratch(f.ScratchFloats())
	var v *buf
	if n := f.TransformTasks(); n > 0 {
		v = c.newBuf(f.TransformFloats())
		c.step("input transform", n, func(r *run, task, worker int) {
			f.Transform(task, r.scratch[worker], r.b[x.id], r.b[v.id])
		}, reads(x), writes(v))
	}
	s := c.step("", f.Tasks(), func(r *run, task, worker int) {
		f.Run(task, r.scratch[worker], r.b[x.id], r.opt(v), r.b[packed.id], r.opt(bias), r.opt(residual), r.b[y.id], act)
	}, reads(x, v, packed, bias, residual), writes(y))
	s.flops = shape.FLOPs()
	s.algorithm = fmt.Sprintf("winograd %dx%d", tile, tile)
	return nil
}

// packWinograd returns the transformed weights.
func (c *compiler) packWinograd(f *kernel.Winograd, w *graph.Value, shape kernel.Conv, tile int) *buf {
	return c.packConstant(w, packed{shape: shape, winograd: tile}, f.PackedLen(), func(dst []float32, from *buf, layout layout) {
		if layout != rowMajor {
			c.plan.pool.Run(f.PackTasks(), func(task, _ int) { f.Pack(task, dst, from.data) })
			return
		}
		c.plan.pool.Run(f.PackTasks(), func(task, _ int) { f.PackOIHW(task, dst, from.data, from.source.scale) })
	})
}

// algorithm returns the size of Winograd's tiles that a convolution is computed
// with, 0 for the direct way.
func (c *compiler) algorithm(shape kernel.Conv, w *graph.Value, op fusedConv) int {
	if !c.fast || op.stats || c.at[w].buf.kind != constant || shape.CheckWinograd() != nil {
		return 0
	}
	return shape.FastestTile()
}
