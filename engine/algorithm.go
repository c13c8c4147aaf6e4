package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// winograd emits a convolution by Winograd's algorithm with tiles of tile x tile
// outputs, in place of [compiler.direct]. With stats, further outputs of the node
// are the mean and the variance of each channel of y.
func (c *compiler) winograd(n *graph.Node, shape conv.Conv, tile int, x, bias, residual, y *buf, op fusedConv) error {
	f, err := conv.PlanWinograd(shape, tile)
	if err != nil {
		return err
	}
	var packed *buf
	if w := c.at[n.In[1]].buf; w.kind == constant {
		packed = c.packWinograd(f, n.In[1], shape, tile)
	} else {
		packed = c.packPanels(f, c.packForward(n.In[1], shape))
	}
	c.needScratch(f.ScratchFloats())
	var s *step
	if op.stats {
		stats := c.newBuf(f.StatsFloats())
		mean, variance := c.out(n.Out[1], rowMajor), c.out(n.Out[2], rowMajor)
		s = c.step("", f.Tasks(), func(r *run, task, worker int) {
			f.RunStats(r.after(task, worker), task, r.scratch[worker], r.b[x.id], r.b[packed.id], r.opt(bias), r.opt(residual), r.b[y.id], op.act, r.b[stats.id])
		}, reads(x, packed, bias, residual), writes(y, stats))
		c.step("statistics", f.ReduceStatsTasks(), func(r *run, task, _ int) {
			f.ReduceStats(task, r.b[stats.id], r.b[mean.id], r.b[variance.id])
		}, reads(stats), writes(mean, variance))
	} else {
		s = c.step("", f.Tasks(), func(r *run, task, worker int) {
			f.Run(r.after(task, worker), task, r.scratch[worker], r.b[x.id], r.b[packed.id], r.opt(bias), r.opt(residual), r.b[y.id], op.act)
		}, reads(x, packed, bias, residual), writes(y))
	}
	s.flops, s.algorithm = shape.FLOPs(), winogradName(tile)
	return nil
}

func winogradName(tile int) string { return fmt.Sprintf("winograd %dx%d", tile, tile) }

// winogradInputGrad emits an input gradient in place of [compiler.inputGrad]'s
// direct one; dx is added to where sum is dx.
func (c *compiler) winogradInputGrad(shape conv.Conv, tile int, dy, w, sum, dx *buf) error {
	f, err := conv.PlanWinogradInputGrad(shape, tile)
	if err != nil {
		return err
	}
	packed := c.packPanels(f, w)
	c.needScratch(f.ScratchFloats())
	s := c.step("", f.Tasks(), func(r *run, task, worker int) {
		f.Run(r.after(task, worker), task, r.scratch[worker], r.b[dy.id], r.b[packed.id], nil, r.opt(sum), r.b[dx.id], isa.ActNone)
	}, reads(dy, packed, sum), writes(dx))
	s.flops, s.algorithm = shape.FLOPs(), winogradName(tile)
	return nil
}

// winogradWeightGrad emits a weight gradient in place of [compiler.weightGrad]'s
// direct one.
func (c *compiler) winogradWeightGrad(shape conv.Conv, x, dy, dw *buf) error {
	f, err := conv.PlanWinogradWeightGrad(shape)
	if err != nil {
		return err
	}
	partial := c.newBuf(f.PartialFloats())
	c.needScratch(f.ScratchFloats())
	s := c.step("", f.Tasks(), func(r *run, task, worker int) {
		f.Run(task, r.scratch[worker], r.b[partial.id], r.b[x.id], r.b[dy.id], r.b[dw.id])
	}, reads(x, dy), writes(dw, partial))
	s.flops, s.algorithm = shape.FLOPs(), winogradName(4)
	if f.ReduceTasks() > 0 {
		c.step("sum", f.ReduceTasks(), func(r *run, task, _ int) {
			f.Reduce(task, r.b[partial.id], r.b[dw.id])
		}, reads(partial), writes(dw))
	}
	return nil
}

// packWinograd returns constant weights as f reads them: transformed, or those
// of the direct way.
func (c *compiler) packWinograd(f *conv.Winograd, v *graph.Value, shape conv.Conv, tile int) *buf {
	if f.Plain() {
		return c.packForward(v, shape)
	}
	return c.packTransformed(f, v, shape, tile)
}

// transformer is a [conv.Winograd] or a [conv.WinogradStride2].
type transformer interface {
	PackedLen() int
	PackTasks() int
	Pack(task int, dst, w []float32)
	PackOIHW(task int, dst, w []float32, scale []float64)
}

// packTransformed returns constant weights, transformed.
func (c *compiler) packTransformed(f transformer, v *graph.Value, shape conv.Conv, tile int) *buf {
	return c.packConstant(v, packed{shape: shape, winograd: tile}, f.PackedLen(), func(dst, w []float32, scale []float64, layout layout) {
		if layout != rowMajor {
			c.plan.pool.Run(f.PackTasks(), func(task, _ int) { f.Pack(task, dst, w) })
			return
		}
		c.plan.pool.Run(f.PackTasks(), func(task, _ int) { f.PackOIHW(task, dst, w, scale) })
	})
}

// packPanels emits the step that transforms weights that lie in panels, unless f
// reads those.
func (c *compiler) packPanels(f *conv.Winograd, panels *buf) *buf {
	if f.Plain() {
		return panels
	}
	dst := c.newBuf(f.PackedLen())
	c.step("weight transform", f.PackTasks(), func(r *run, task, _ int) {
		f.PackPanels(task, r.b[dst.id], r.b[panels.id])
	}, reads(panels), writes(dst))
	return dst
}

// directName is the algorithm that profiles show for a direct convolution.
func directName(shape conv.Conv) string {
	if shape.Precision != gemm.FP32 {
		return Direct + " bf16"
	}
	return Direct
}
