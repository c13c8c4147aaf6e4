package engine

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/tensor"
)

// convShape is the kernel's view of a convolution of x [N C H W] by w [K C/g R S].
func convShape(o graph.Conv2d, x, w tensor.Shape) conv.Conv {
	return conv.Conv{
		N: x[0], H: x[2], W: x[3], C: x[1], K: w[0], R: w[2], S: w[3],
		StrideH: o.StrideH, StrideW: o.StrideW,
		PadTop: o.PadTop, PadLeft: o.PadLeft, PadBottom: o.PadBottom, PadRight: o.PadRight,
		DilH: o.DilationH, DilW: o.DilationW, Groups: o.Groups,
	}
}

// linearShape is the kernel's view of a linear layer x [N I], w [O I].
func linearShape(x, w tensor.Shape) conv.Conv { return conv.Linear(x[0], w[1], w[0]) }

// packed identifies a weight brought into the micro-kernel's panels.
type packed struct {
	weight    *buf
	shape     conv.Conv
	inputGrad bool
	winograd  int // size of the tiles; 0: not transformed
}

// pack returns w in panels: at once where the weight is constant, by a step of
// each run where it is being trained.
func (c *compiler) pack(w *buf, shape conv.Conv, inputGrad bool) *buf {
	key := packed{weight: w, shape: shape, inputGrad: inputGrad}
	if w.kind == constant && !inputGrad {
		key.shape.N, key.shape.H, key.shape.W = 1, 1, 1 // the panels do not depend on the image
	}
	if b, ok := c.packs[key]; ok {
		return b
	}
	p := shape.ForwardPacking()
	if inputGrad {
		p = shape.InputGradPacking()
	}
	dst := c.newBuf(p.Len())
	if w.kind == constant {
		dst.kind, dst.data = constant, c.floats(p.Len())
		c.plan.pool.Run(p.Tasks(), func(task, _ int) { p.Run(task, dst.data, w.data) })
		c.packs[key] = dst
		return dst
	}
	c.step("pack", p.Tasks(), func(r *run, task, _ int) {
		p.Run(task, r.b[dst.id], r.b[w.id])
	}, reads(w), writes(dst))
	return dst
}

func (c *compiler) conv(n *graph.Node, op fusedConv) error {
	shape := convShape(op.conv, n.In[0].Shape, n.In[1].Shape)
	rest := n.In[2:]
	var bias, residual *buf
	if op.bias {
		bias, rest = c.in(rest[0], rowMajor), rest[1:]
	}
	if op.residual {
		residual = c.in(rest[0], activation)
	}
	y, err := c.forward(n, shape, bias, residual, op)
	if err != nil {
		return err
	}
	if residual != nil {
		last := c.plan.steps[len(c.plan.steps)-1]
		last.inPlace.out, last.inPlace.in = y, residual
	}
	return nil
}

// forward emits a convolution or linear layer.
func (c *compiler) forward(n *graph.Node, shape conv.Conv, bias, residual *buf, op fusedConv) (y *buf, err error) {
	shape.Precision = c.products
	f, err := conv.PlanConvForward(shape)
	if err != nil {
		return nil, err
	}
	x := c.in(n.In[0], activation)
	y = c.out(n.Out[0], activation)
	from := len(c.plan.steps)
	defer func() { c.describe(c.plan.steps[from:], shape, c.candidates(shape, n.In[1], op)) }()
	if tile := c.algorithm(shape, n.In[1], op); tile > 0 {
		return y, c.winograd(n, shape, tile, x, bias, residual, y, op)
	}
	if c.stride2(shape, n.In[1], op) {
		return y, c.winogradStride2(n.In[1], shape, x, bias, residual, y, op)
	}
	w := c.packForward(n.In[1], shape)
	c.needScratch(f.ScratchFloats())
	if op.stats {
		stats := c.newBuf(f.StatsFloats())
		mean, variance := c.out(n.Out[1], rowMajor), c.out(n.Out[2], rowMajor)
		s := c.step("", f.Tasks(), func(r *run, task, worker int) {
			f.RunStats(task, r.scratch[worker], r.b[x.id], r.b[w.id], r.opt(bias), r.opt(residual), r.b[y.id], op.act, r.b[stats.id])
		}, reads(x, w, bias, residual), writes(y, stats))
		s.flops, s.algorithm = shape.FLOPs(), directName(shape)
		c.step("statistics", f.ReduceStatsTasks(), func(r *run, task, _ int) {
			f.ReduceStats(task, r.b[stats.id], r.b[mean.id], r.b[variance.id])
		}, reads(stats), writes(mean, variance))
		return y, nil
	}
	s := c.step("", f.Tasks(), func(r *run, task, worker int) {
		f.RunAfter(r.after(task, worker), task, r.scratch[worker], r.b[x.id], r.b[w.id], r.opt(bias), r.opt(residual), r.b[y.id], op.act)
	}, reads(x, w, bias, residual), writes(y))
	s.flops, s.algorithm = shape.FLOPs(), directName(shape)
	return y, nil
}

// opt returns the buffer's memory, or nil for no buffer.
func (r *run) opt(b *buf) []float32 {
	if b == nil {
		return nil
	}
	return r.b[b.id]
}

func (c *compiler) convInputGrad(n *graph.Node, op graph.Conv2dInputGrad, sum *graph.Value) error {
	shape := convShape(op.Conv, op.X, n.In[1].Shape)
	return c.inputGrad(n, shape, sum)
}

func (c *compiler) inputGrad(n *graph.Node, shape conv.Conv, sum *graph.Value) error {
	shape.Precision = c.products
	dy := c.in(n.In[0], activation)
	w := c.pack(c.in(n.In[1], weight), shape, true)
	dx := c.out(n.Out[0], activation)
	var from *buf
	if sum != nil {
		from = c.in(sum, activation)
	}
	if tile := shape.FastestInputGradTile(); c.fast && tile > 0 {
		if err := c.winogradInputGrad(shape, tile, dy, w, from, dx); err != nil || sum == nil {
			return err
		}
		s := c.plan.steps[len(c.plan.steps)-1]
		s.inPlace.out, s.inPlace.in = dx, from
		return nil
	}
	f, err := conv.PlanConvInputGrad(shape)
	if err != nil {
		return err
	}
	if sum != nil {
		s := c.pieces("sum", from.size, func(r *run, lo, hi int) {
			if d, s := r.b[dx.id][lo:hi], r.b[from.id][lo:hi]; &d[0] != &s[0] {
				copy(d, s)
			}
		}, reads(from), writes(dx))
		s.inPlace.out, s.inPlace.in = dx, from
	}
	c.needScratch(f.ScratchFloats())
	s := c.step("", f.Tasks(), func(r *run, task, worker int) {
		f.Run(task, r.scratch[worker], r.b[dy.id], r.b[w.id], r.b[dx.id], sum != nil)
	}, reads(dy, w), writes(dx))
	s.flops, s.algorithm = shape.FLOPs(), directName(shape)
	return nil
}

func (c *compiler) convWeightGrad(n *graph.Node, op graph.Conv2dWeightGrad) error {
	return c.weightGrad(n, convShape(op.Conv, n.In[0].Shape, op.W))
}

func (c *compiler) weightGrad(n *graph.Node, shape conv.Conv) error {
	shape.Precision = c.products
	x, dy := c.in(n.In[0], activation), c.in(n.In[1], activation)
	dw := c.out(n.Out[0], weight)
	if c.fast && shape.FastestWeightGrad() {
		return c.winogradWeightGrad(shape, x, dy, dw)
	}
	f, err := conv.PlanConvWeightGrad(shape)
	if err != nil {
		return err
	}
	partial := c.newBuf(f.PartialFloats())
	c.needScratch(f.ScratchFloats())
	s := c.step("", f.Tasks(), func(r *run, task, worker int) {
		f.Run(task, r.scratch[worker], r.b[partial.id], r.b[x.id], r.b[dy.id], r.b[dw.id], false)
	}, reads(x, dy), writes(dw, partial))
	s.flops, s.algorithm = shape.FLOPs(), directName(shape)
	if f.ReduceTasks() > 0 {
		c.step("sum", f.ReduceTasks(), func(r *run, task, _ int) {
			f.Reduce(task, r.b[partial.id], r.b[dw.id], false)
		}, reads(partial), writes(dw))
	}
	return nil
}

func (c *compiler) linear(n *graph.Node) error {
	var bias *buf
	if len(n.In) == 3 {
		bias = c.in(n.In[2], rowMajor)
	}
	_, err := c.forward(n, linearShape(n.In[0].Shape, n.In[1].Shape), bias, nil, fusedConv{})
	return err
}

func (c *compiler) linearInputGrad(n *graph.Node) error {
	w := n.In[1].Shape
	return c.inputGrad(n, conv.Linear(n.In[0].Shape[0], w[1], w[0]), nil)
}

func (c *compiler) linearWeightGrad(n *graph.Node) error {
	return c.weightGrad(n, linearShape(n.In[0].Shape, n.Out[0].Shape))
}

func (c *compiler) matMul(n *graph.Node, op graph.MatMul) error {
	y := n.Out[0].Shape
	a := n.In[0].Shape
	m := conv.MatMul{Batch: 1, M: y[len(y)-2], N: y[len(y)-1], K: a[len(a)-1], TransA: op.TransA, TransB: op.TransB}
	if op.TransA {
		m.K = a[len(a)-2]
	}
	if len(y) == 3 {
		m.Batch = y[0]
	}
	f, err := conv.PlanMatMul(m)
	if err != nil {
		return err
	}
	ab, bb := c.in(n.In[0], rowMajor), c.in(n.In[1], rowMajor)
	out := c.out(n.Out[0], rowMajor)
	c.needScratch(f.ScratchFloats())
	c.step("", f.Tasks(), func(r *run, task, worker int) {
		f.Run(task, r.scratch[worker], r.b[ab.id], r.b[bb.id], r.b[out.id], false)
	}, reads(ab, bb), writes(out)).flops = 2 * int64(m.Batch) * int64(m.M) * int64(m.N) * int64(m.K)
	return nil
}
