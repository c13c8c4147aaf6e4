package engine

import (
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// The optimizers work in place on the variables' memory where planUpdates allows.

// inPlace makes room for the new value v of the old one, and returns a buffer
// that starts with the old value's elements and ends with the new one's.
func (c *compiler) inPlace(v, old *graph.Value, l layout) *buf {
	from := c.in(old, l)
	to := c.out(v, l)
	if _, ok := c.stored[v]; !ok {
		c.copyBuf(to, from)
	}
	return to
}

// paramLayout is the layout in which an optimizer works on p.
func (c *compiler) paramLayout(p *graph.Value) layout {
	if l := c.at[p].layout; l != activation {
		return l
	}
	return rowMajor
}

func (c *compiler) sgd(n *graph.Node, op graph.SGD) error {
	l := c.paramLayout(n.In[0])
	grad, lr := c.in(n.In[1], l), c.in(n.In[3], rowMajor)
	p, v := c.inPlace(n.Out[0], n.In[0], l), c.inPlace(n.Out[1], n.In[2], l)
	c.pieces("", p.size, func(r *run, lo, hi int) {
		o := vec.SGD{LR: r.b[lr.id][0], Momentum: op.Momentum, WeightDecay: op.WeightDecay, Nesterov: op.Nesterov}
		o.Step(r.b[p.id][lo:hi], r.b[v.id][lo:hi], r.b[grad.id][lo:hi])
	}, reads(grad, lr, p, v), writes(p, v))
	return nil
}

// adam lowers Adam and AdamW, whose rates and step count are filled in at each run.
func (c *compiler) adam(n *graph.Node, o vec.Adam) error {
	l := c.paramLayout(n.In[0])
	grad, lr, t := c.in(n.In[1], l), c.in(n.In[4], rowMajor), c.in(n.In[5], rowMajor)
	p, m, v := c.inPlace(n.Out[0], n.In[0], l), c.inPlace(n.Out[1], n.In[2], l), c.inPlace(n.Out[2], n.In[3], l)
	c.pieces("", p.size, func(r *run, lo, hi int) {
		o := o
		o.LR, o.Step = r.b[lr.id][0], int(r.b[t.id][0])
		o.Update(r.b[p.id][lo:hi], r.b[m.id][lo:hi], r.b[v.id][lo:hi], r.b[grad.id][lo:hi])
	}, reads(grad, lr, t, p, m, v), writes(p, m, v))
	return nil
}

func (c *compiler) lamb(n *graph.Node, op graph.LAMB) error {
	l := c.paramLayout(n.In[0])
	grad, lr, t := c.in(n.In[1], l), c.in(n.In[4], rowMajor), c.in(n.In[5], rowMajor)
	p, m, v := c.inPlace(n.Out[0], n.In[0], l), c.inPlace(n.Out[1], n.In[2], l), c.inPlace(n.Out[2], n.In[3], l)
	size := p.size
	u := c.newBuf(size)
	parts := vec.Pieces(size, vec.PieceLen)
	sums := c.newDoubles(2 * parts)
	c.step("direction", parts, func(r *run, task, _ int) {
		lo, hi := vec.PieceBounds(task, vec.PieceLen, size)
		o := vec.Adam{Beta1: op.Beta1, Beta2: op.Beta2, Eps: op.Eps, WeightDecay: op.WeightDecay, Step: int(r.b[t.id][0])}
		o.LAMBDirection(r.b[u.id][lo:hi], r.b[p.id][lo:hi], r.b[m.id][lo:hi], r.b[v.id][lo:hi], r.b[grad.id][lo:hi])
		r.f64[sums+task] = vec.SumSquares(r.b[p.id][lo:hi])
		r.f64[sums+parts+task] = vec.SumSquares(r.b[u.id][lo:hi])
	}, reads(grad, t, p, m, v), writes(u, m, v))
	c.pieces("", size, func(r *run, lo, hi int) {
		trust := vec.LAMBTrust(vec.SumFloat64(r.f64[sums:sums+parts]), vec.SumFloat64(r.f64[sums+parts:sums+2*parts]))
		vec.Axpy(r.b[p.id][lo:hi], r.b[u.id][lo:hi], -r.b[lr.id][0]*trust)
	}, reads(lr, p, u), writes(p))
	return nil
}

func (c *compiler) rmsProp(n *graph.Node, op graph.RMSprop) error {
	l := c.paramLayout(n.In[0])
	grad, lr := c.in(n.In[1], l), c.in(n.In[4], rowMajor)
	p, v, b := c.inPlace(n.Out[0], n.In[0], l), c.inPlace(n.Out[1], n.In[2], l), c.inPlace(n.Out[2], n.In[3], l)
	c.pieces("", p.size, func(r *run, lo, hi int) {
		o := vec.RMSprop{LR: r.b[lr.id][0], Alpha: op.Alpha, Eps: op.Eps, Momentum: op.Momentum, WeightDecay: op.WeightDecay}
		o.Step(r.b[p.id][lo:hi], r.b[v.id][lo:hi], r.b[b.id][lo:hi], r.b[grad.id][lo:hi])
	}, reads(grad, lr, p, v, b), writes(p, v, b))
	return nil
}

func (c *compiler) lars(n *graph.Node, op graph.LARS) error {
	l := c.paramLayout(n.In[0])
	grad, lr := c.in(n.In[1], l), c.in(n.In[3], rowMajor)
	p, v := c.inPlace(n.Out[0], n.In[0], l), c.inPlace(n.Out[1], n.In[2], l)
	size := p.size
	parts := vec.Pieces(size, vec.PieceLen)
	sums := c.newDoubles(2 * parts)
	c.step("norms", parts, func(r *run, task, _ int) {
		lo, hi := vec.PieceBounds(task, vec.PieceLen, size)
		r.f64[sums+task] = vec.SumSquares(r.b[p.id][lo:hi])
		r.f64[sums+parts+task] = vec.SumSquares(r.b[grad.id][lo:hi])
	}, reads(grad, p), nil)
	c.pieces("", size, func(r *run, lo, hi int) {
		o := vec.SGD{LR: r.b[lr.id][0], Momentum: op.Momentum, WeightDecay: op.WeightDecay}
		o.Trust = vec.LARSTrust(vec.SumFloat64(r.f64[sums:sums+parts]), vec.SumFloat64(r.f64[sums+parts:sums+2*parts]),
			op.Trust, op.WeightDecay, op.Eps)
		// The rate belongs inside the momentum here: v = m*v + lr*r*(g+wd*p), p -= v.
		// A Trust of zero would mean one to the kernel.
		o.Trust = max(o.Trust*o.LR, math.SmallestNonzeroFloat32)
		o.LR = 1
		o.Step(r.b[p.id][lo:hi], r.b[v.id][lo:hi], r.b[grad.id][lo:hi])
	}, reads(grad, lr, p, v), writes(p, v))
	return nil
}

func (c *compiler) ema(n *graph.Node) error {
	l := c.paramLayout(n.In[0])
	p, decay := c.in(n.In[1], l), c.in(n.In[2], rowMajor)
	avg := c.inPlace(n.Out[0], n.In[0], l)
	c.pieces("", avg.size, func(r *run, lo, hi int) {
		vec.EMA(r.b[avg.id][lo:hi], r.b[p.id][lo:hi], r.b[decay.id][0])
	}, reads(p, decay, avg), writes(avg))
	return nil
}

func (c *compiler) globalNorm(n *graph.Node) error {
	var in []*buf
	parts := 0
	for _, v := range n.In {
		b := c.at[v].buf // the norm does not depend on element order
		in = append(in, b)
		parts += vec.Pieces(b.size, vec.PieceLen)
	}
	sums := c.newDoubles(parts)
	at := sums
	for _, b := range in {
		first := at
		at += vec.Pieces(b.size, vec.PieceLen)
		c.step("squares", vec.Pieces(b.size, vec.PieceLen), func(r *run, task, _ int) {
			lo, hi := vec.PieceBounds(task, vec.PieceLen, b.size)
			r.f64[first+task] = vec.SumSquares(r.b[b.id][lo:hi])
		}, reads(b), nil)
	}
	y := c.out(n.Out[0], rowMajor)
	c.step("", 1, func(r *run, _, _ int) {
		r.b[y.id][0] = float32(math.Sqrt(vec.SumFloat64(r.f64[sums : sums+parts])))
	}, reads(in...), writes(y))
	return nil
}

// newDoubles reserves n float64 in the run.
func (c *compiler) newDoubles(n int) int {
	at := c.plan.doubles
	c.plan.doubles += n
	return at
}
