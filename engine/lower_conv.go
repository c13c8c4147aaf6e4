package engine

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/tensor"
)

// Tuning knows how long convolutions took on this machine; package
// engine/tuning keeps such times in a file. Only plans with [Options.Fast] use
// one. The choice between algorithms then depends on what was measured, and
// with it the last digits of results: they are the same in every run with the
// same times and the same number of threads, but not on another machine.
type Tuning interface {
	// Times returns the milliseconds that a convolution of this geometry took on
	// the given number of threads by each algorithm that can compute it; nil if that
	// was not measured. [Step] has the geometry. Times is called by any number of
	// goroutines at once.
	Times(geometry string, threads int) map[string]float64
}

// Direct is the algorithm that adds up products one by one.
const Direct = conv.Direct

// Algorithms returns the names of all ways in which convolutions are computed,
// [Direct] first.
func Algorithms() []string { return conv.Algorithms() }

// Fastest returns the algorithm with the shortest time among names, if that is
// clearly below the time of model, the algorithm that is chosen without times;
// otherwise, and where a time is missing, model.
func Fastest(times map[string]float64, names []string, model string) string {
	return conv.Fastest(times, names, model)
}

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

// args are the buffers of [conv.Args]; nil for none.
type args [conv.NumArgs]*buf

// convolution chooses how a convolution is computed and emits its steps. w is
// nil for a weight gradient.
func (c *compiler) convolution(shape conv.Conv, want conv.Want, w *graph.Value, b args, act isa.Act) error {
	if want.Op != conv.QuantForward {
		shape.Precision = c.products
	}
	want.Fast, want.BatchInvariant = c.fast, c.single
	want.Residual = b[conv.ArgResidual] != nil
	want.ConstantWeights = w != nil && c.at[w].buf.kind == constant
	if c.tuning != nil {
		want.Times = func(geometry string) map[string]float64 { return c.tuning.Times(geometry, c.plan.pool.Workers()) }
	}
	p, err := conv.Choose(shape, want)
	if err != nil {
		return err
	}
	from := len(c.plan.steps)
	if w != nil {
		b[conv.ArgPacked] = c.pack(w, p.Packed)
	}
	c.emit(p, b, act)
	if want.Op == conv.Forward {
		for _, s := range c.plan.steps[from:] {
			s.geometry, s.candidates = shape.Geometry(), p.Candidates
		}
	}
	return nil
}

// emit emits the steps of a plan over buffers.
func (c *compiler) emit(p *conv.Plan, b args, act isa.Act) {
	for i, n := range p.Floats {
		if n > 0 {
			b[i] = c.newBuf(n)
		}
	}
	for i := range p.Steps {
		from := &p.Steps[i]
		c.needScratch(from.Scratch)
		s := c.step(from.Name, from.Tasks, func(r *run, task, worker int) {
			from.Run(&r.workers[worker], task, conv.Args{
				X: r.opt(b[conv.ArgX]), DY: r.opt(b[conv.ArgDY]), Packed: r.opt(b[conv.ArgPacked]),
				Bias: r.opt(b[conv.ArgBias]), Residual: r.opt(b[conv.ArgResidual]), Y: r.opt(b[conv.ArgY]),
				Mean: r.opt(b[conv.ArgMean]), Variance: r.opt(b[conv.ArgVariance]),
				Weights: r.opt(b[conv.ArgWeights]), Inputs: r.opt(b[conv.ArgInputs]), Partial: r.opt(b[conv.ArgPartial]),
				Act: act,
			})
		}, b.of(from.Reads), b.of(from.Writes))
		if s.flops = from.FLOPs; s.flops > 0 {
			s.algorithm = p.Algorithm
		}
		if from.InPlace && b[conv.ArgResidual] != nil {
			s.inPlace.out, s.inPlace.in = b[conv.ArgY], b[conv.ArgResidual]
		}
	}
}

// of returns the buffers of some arguments, without those that there are not.
func (b *args) of(list []conv.Arg) (bufs []*buf) {
	for _, a := range list {
		if b[a] != nil {
			bufs = append(bufs, b[a])
		}
	}
	return bufs
}

// opt returns the buffer's memory, or nil for no buffer.
func (r *run) opt(b *buf) []float32 {
	if b == nil {
		return nil
	}
	return r.b[b.id]
}

func (c *compiler) conv(n *graph.Node, op fusedConv) error {
	rest := n.In[2:]
	var bias, residual *buf
	if op.bias {
		bias, rest = c.in(rest[0], rowMajor), rest[1:]
	}
	if op.residual {
		residual = c.in(rest[0], activation)
	}
	return c.forward(n, convShape(op.conv, n.In[0].Shape, n.In[1].Shape), bias, residual, op)
}

func (c *compiler) linear(n *graph.Node) error {
	var bias *buf
	if len(n.In) == 3 {
		bias = c.in(n.In[2], rowMajor)
	}
	return c.forward(n, linearShape(n.In[0].Shape, n.In[1].Shape), bias, nil, fusedConv{})
}

// forward emits a convolution or linear layer. With statistics, further outputs
// of the node are the mean and the variance of each channel of y.
func (c *compiler) forward(n *graph.Node, shape conv.Conv, bias, residual *buf, op fusedConv) error {
	b := args{conv.ArgX: c.in(n.In[0], activation), conv.ArgBias: bias, conv.ArgResidual: residual}
	b[conv.ArgY] = c.out(n.Out[0], activation)
	if op.stats {
		b[conv.ArgMean], b[conv.ArgVariance] = c.out(n.Out[1], rowMajor), c.out(n.Out[2], rowMajor)
	}
	return c.convolution(shape, conv.Want{Stats: op.stats}, n.In[1], b, op.act)
}

func (c *compiler) convInputGrad(n *graph.Node, op graph.Conv2dInputGrad, sum *graph.Value) error {
	return c.inputGrad(n, convShape(op.Conv, op.X, n.In[1].Shape), sum)
}

func (c *compiler) linearInputGrad(n *graph.Node) error {
	return c.inputGrad(n, linearShape(n.In[0].Shape, n.In[1].Shape), nil)
}

// inputGrad emits the gradient of a convolution or linear layer with respect to
// its input; it is added to sum unless that is nil.
func (c *compiler) inputGrad(n *graph.Node, shape conv.Conv, sum *graph.Value) error {
	b := args{conv.ArgX: c.in(n.In[0], activation), conv.ArgY: c.out(n.Out[0], activation)}
	if sum != nil {
		b[conv.ArgResidual] = c.in(sum, activation)
	}
	return c.convolution(shape, conv.Want{Op: conv.InputGrad}, n.In[1], b, isa.ActNone)
}

func (c *compiler) convWeightGrad(n *graph.Node, op graph.Conv2dWeightGrad) error {
	return c.weightGrad(n, convShape(op.Conv, n.In[0].Shape, op.W))
}

func (c *compiler) linearWeightGrad(n *graph.Node) error {
	return c.weightGrad(n, linearShape(n.In[0].Shape, n.Out[0].Shape))
}

func (c *compiler) weightGrad(n *graph.Node, shape conv.Conv) error {
	b := args{conv.ArgX: c.in(n.In[0], activation), conv.ArgDY: c.in(n.In[1], activation), conv.ArgY: c.out(n.Out[0], weight)}
	return c.convolution(shape, conv.Want{Op: conv.WeightGrad}, nil, b, isa.ActNone)
}

// constantMatMul emits the product of x [N I] with a constant, plus the bias that is its
// third input if there is one, as a linear layer, whose weights are packed once.
func (c *compiler) constantMatMul(n *graph.Node, op graph.MatMul) error {
	x, y := n.In[0].Shape, n.Out[0].Shape
	order := conv.HWIO // [I O]
	if op.TransB {
		order = conv.OIHW // [O I]
	}
	p, err := conv.Choose(conv.Linear(x[0], x[1], y[1]), conv.Want{ConstantWeights: true})
	if err != nil {
		return err
	}
	b := args{conv.ArgX: c.in(n.In[0], rowMajor), conv.ArgY: c.out(n.Out[0], rowMajor)}
	if len(n.In) == 3 {
		b[conv.ArgBias] = c.in(n.In[2], rowMajor)
	}
	w := c.at[n.In[1]]
	if w.layout != rowMajor {
		w.buf = c.in(n.In[1], rowMajor)
	}
	b[conv.ArgPacked] = c.packConstant(w.buf, p.Packed, order)
	c.emit(p, b, isa.ActNone)
	return nil
}

func (c *compiler) matMul(n *graph.Node, op graph.MatMul) error {
	y := n.Out[0].Shape
	a := n.In[0].Shape
	if w := c.at[n.In[1]]; len(y) == 2 && !op.TransA && w.buf.kind == constant && w.layout == rowMajor && w.buf.source.scale == nil {
		return c.constantMatMul(n, op)
	}
	m := conv.MatMul{Batch: 1, M: y[len(y)-2], N: y[len(y)-1], K: a[len(a)-1], TransA: op.TransA, TransB: op.TransB}
	if op.TransA {
		m.K = a[len(a)-2]
	}
	if len(y) == 3 {
		m.Batch = y[0]
	}
	p, err := conv.PlanMatMul(m)
	if err != nil {
		return err
	}
	c.emit(p, args{conv.ArgX: c.in(n.In[0], rowMajor), conv.ArgPacked: c.in(n.In[1], rowMajor), conv.ArgY: c.out(n.Out[0], rowMajor)}, isa.ActNone)
	return nil
}
