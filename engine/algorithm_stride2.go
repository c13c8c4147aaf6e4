package engine

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/conv"
)

// stride2Tile is the size of the tiles of [conv.WinogradStride2].
const stride2Tile = 2

// stride2 says that a convolution is computed by [conv.WinogradStride2].
func (c *compiler) stride2(shape conv.Conv, w *graph.Value, op fusedConv) bool {
	names := c.candidates(shape, w, op)
	if len(names) < 2 || shape.CheckWinogradStride2() != nil {
		return false
	}
	model := Direct
	if shape.WinogradStride2Faster() {
		model = algorithmName(stride2Tile)
	}
	return c.fastest(shape, names, model) != Direct
}

// winogradStride2 emits a convolution of stride 2 by Winograd's algorithm in
// place of the direct one.
func (c *compiler) winogradStride2(w *graph.Value, shape conv.Conv, x, bias, residual, y *buf, op fusedConv) error {
	f, err := conv.PlanWinogradStride2(shape)
	if err != nil {
		return err
	}
	packed := c.packTransformed(f, w, shape, stride2Tile)
	c.needScratch(f.ScratchFloats())
	var v *buf
	if f.TransformTasks() > 0 {
		v = c.newBuf(f.TransformFloats())
		c.step("input transform", f.TransformTasks(), func(r *run, task, worker int) {
			f.Transform(task, r.scratch[worker], r.b[x.id], r.b[v.id])
		}, reads(x), writes(v))
	}
	s := c.step("", f.Tasks(), func(r *run, task, worker int) {
		f.Run(task, r.scratch[worker], r.b[x.id], r.opt(v), r.b[packed.id], r.opt(bias), r.opt(residual), r.b[y.id], op.act)
	}, reads(x, v, packed, bias, residual), writes(y))
	s.flops, s.algorithm = shape.FLOPs(), winogradName(stride2Tile)
	return nil
}
