package engine

import (
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// planUpdates finds the updates that may write the variable's memory at once:
// those made from the variable by an operator that can work in place, when
// nothing reads the old value afterwards.
func (c *compiler) planUpdates() {
	lastRead := map[*graph.Value]int{}
	for _, n := range c.g.Nodes {
		for _, v := range n.In {
			lastRead[v] = n.ID
		}
	}
	const never = int(^uint(0) >> 1)
	for _, o := range c.g.Outputs {
		lastRead[o.Value] = never
	}
	times := map[*graph.Value]int{}
	for _, u := range c.g.Updates {
		c.plan.writes = true
		c.updated[u.Variable] = true
		times[u.New]++
		if _, ok := u.New.Node.Op.(graph.Variable); ok {
			lastRead[u.New] = never
		}
	}
	for _, u := range c.g.Updates {
		n := u.New.Node
		from, ok := inPlaceInput(n.Op, u.New.Index)
		if ok && n.In[from] == u.Variable && lastRead[u.Variable] == n.ID && times[u.New] == 1 {
			c.stored[u.New] = c.vars.m[u.Variable.Node.Op.(graph.Variable).Label]
		}
	}
}

// inPlaceInput returns which input the operator can overwrite with the output.
func inPlaceInput(op graph.Op, output int) (input int, ok bool) {
	switch op.(type) {
	case graph.SGD, graph.LARS:
		return []int{0, 2}[output], true
	case graph.AdamW:
		return []int{0, 2, 3}[output], true
	case graph.EMA:
		return 0, true
	case fusedBatchNormTrain:
		if output >= 3 {
			return output, true
		}
	}
	return 0, false
}

// writeUpdates copies the new values that could not be written at once. All
// are read before any is written, so that variables may be exchanged.
func (c *compiler) writeUpdates() {
	type move struct {
		to   *variable
		from *buf
	}
	var moves []move
	for _, u := range c.g.Updates {
		if _, done := c.stored[u.New]; done {
			continue
		}
		to := c.vars.m[u.Variable.Node.Op.(graph.Variable).Label]
		c.node = u.New.Node
		from := c.in(u.New, variableLayout(to.Type))
		if from.kind == stored {
			old := from
			from = c.newBuf(old.size)
			c.copyBuf(from, old)
		}
		moves = append(moves, move{to, from})
	}
	for _, m := range moves {
		dst := c.newBuf(m.from.size)
		dst.kind, dst.data = stored, c.vars.updatable(m.to)
		c.copyBuf(dst, m.from)
	}
}

func (c *compiler) copyBuf(dst, src *buf) *step {
	return c.pieces("copy", src.size, func(r *run, lo, hi int) {
		copy(r.b[dst.id][lo:hi], r.b[src.id][lo:hi])
	}, reads(src), writes(dst))
}

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

// paramLayout is the layout in which an optimiser works on p.
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

func (c *compiler) adamW(n *graph.Node, op graph.AdamW) error {
	l := c.paramLayout(n.In[0])
	grad, lr, t := c.in(n.In[1], l), c.in(n.In[4], rowMajor), c.in(n.In[5], rowMajor)
	p, m, v := c.inPlace(n.Out[0], n.In[0], l), c.inPlace(n.Out[1], n.In[2], l), c.inPlace(n.Out[2], n.In[3], l)
	c.pieces("", p.size, func(r *run, lo, hi int) {
		o := vec.Adam{LR: r.b[lr.id][0], Beta1: op.Beta1, Beta2: op.Beta2, Eps: op.Eps,
			WeightDecay: op.WeightDecay, Decoupled: true, Step: int(r.b[t.id][0])}
		o.Update(r.b[p.id][lo:hi], r.b[m.id][lo:hi], r.b[v.id][lo:hi], r.b[grad.id][lo:hi])
	}, reads(grad, lr, t, p, m, v), writes(p, m, v))
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
		b := c.at[v].buf // the norm does not care for the order
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
