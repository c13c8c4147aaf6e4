package engine

import (
	"cmp"
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// compareInto sets y to 1 where a and b compare as fn asks, over n elements that lie
// aStep and bStep apart.
func compareInto[T cmp.Ordered](fn graph.CompareFn, y []float32, a []T, aStep int, b []T, bStep int) {
	for i := range y {
		u, v := a[i*aStep], b[i*bStep]
		var holds bool
		switch fn {
		case graph.Less:
			holds = u < v
		case graph.LessOrEqual:
			holds = u <= v
		case graph.Greater:
			holds = u > v
		case graph.GreaterOrEqual:
			holds = u >= v
		case graph.Equal:
			holds = u == v
		default:
			holds = u != v
		}
		if y[i] = 0; holds {
			y[i] = 1
		}
	}
}

// lines calls f for each line along the last axis of one slice of the first axis of
// shape, which has two axes at least, with the positions of its first element in the
// result and in the operands, whose strides are st.
func lines(shape []int, task int, st [][]int, f func(at int, pos []int)) {
	length, count := shape[len(shape)-1], 1
	for _, d := range shape[1:] {
		count *= d
	}
	pos := make([]int, len(st))
	for at := task * count; at < (task+1)*count; at += length {
		clear(pos)
		for rest, d := at, len(shape)-1; d >= 0; d-- {
			i := rest % shape[d]
			rest /= shape[d]
			for k := range st {
				pos[k] += i * st[k][d]
			}
		}
		f(at, pos)
	}
}

// twoAxes gives a shape, and strides in it, axes of extent 1 in front, so that there are
// two at least: a vector is one line.
func twoAxes(shape []int, st ...[]int) ([]int, [][]int) {
	for len(shape) < 2 {
		shape = append([]int{1}, shape...)
		for k := range st {
			st[k] = append([]int{0}, st[k]...)
		}
	}
	return shape, st
}

// last returns the last extent or stride.
func last(s []int) int { return s[len(s)-1] }

func (c *compiler) compare(n *graph.Node, o graph.Compare) error {
	if o.Fn > graph.NotEqual {
		return fmt.Errorf("the engine has no kernel for %v", o.Fn)
	}
	a, b, out := n.In[0], n.In[1], n.Out[0].Shape
	if a.DType == tensor.Int64 {
		return c.compareInts(n, o)
	}
	if a.Shape.Equal(b.Shape) {
		l := c.flatLayout(a)
		x, z := c.in(a, l), c.in(b, l)
		y := c.out(n.Out[0], l)
		c.pieces("", y.size, func(r *run, lo, hi int) {
			compareInto(o.Fn, r.b[y.id][lo:hi], r.b[x.id][lo:hi], 1, r.b[z.id][lo:hi], 1)
		}, reads(x, z), writes(y))
		return nil
	}
	xs, x := c.stretched(a, len(out), activation)
	zs, z := c.stretched(b, len(out), activation)
	y := c.out(n.Out[0], activation)
	shape, st := twoAxes(activation.shape(out), strides(xs, activation.shape(out)), strides(zs, activation.shape(out)))
	length := last(shape)
	c.step("", shape[0], func(r *run, task, _ int) {
		lines(shape, task, st, func(at int, pos []int) {
			compareInto(o.Fn, r.b[y.id][at:at+length], r.b[x.id][pos[0]:], last(st[0]), r.b[z.id][pos[1]:], last(st[1]))
		})
	}, reads(x, z), writes(y))
	return nil
}

func (c *compiler) compareInts(n *graph.Node, o graph.Compare) error {
	x, err := c.intsOf(n.In[0])
	if err != nil {
		return err
	}
	z, err := c.intsOf(n.In[1])
	if err != nil {
		return err
	}
	shape := n.Out[0].Shape
	y := c.out(n.Out[0], rowMajor)
	wide := func(v *graph.Value) []int {
		return strides(append(onesShape(len(shape)-len(v.Shape)), v.Shape...), shape)
	}
	lined, st := twoAxes(shape, wide(n.In[0]), wide(n.In[1]))
	length := last(lined)
	c.step("", lined[0], func(r *run, task, _ int) {
		lines(lined, task, st, func(at int, pos []int) {
			compareInto(o.Fn, r.b[y.id][at:at+length], r.i64[x][pos[0]:], last(st[0]), r.i64[z][pos[1]:], last(st[1]))
		})
	}, nil, writes(y))
	return nil
}

func (c *compiler) where(n *graph.Node) {
	out := n.Out[0].Shape
	shape := activation.shape(out)
	l, same := c.flatLayout(n.In[1]), true
	for _, v := range n.In {
		same = same && v.Shape.Equal(out)
	}
	if same {
		k, a, b := c.in(n.In[0], l), c.in(n.In[1], l), c.in(n.In[2], l)
		y := c.out(n.Out[0], l)
		c.pieces("", y.size, func(r *run, lo, hi int) {
			choose(r.b[y.id][lo:hi], r.b[k.id][lo:hi], 1, r.b[a.id][lo:hi], 1, r.b[b.id][lo:hi], 1)
		}, reads(k, a, b), writes(y))
		return
	}
	var bufs [3]*buf
	st := make([][]int, 3)
	for i, v := range n.In {
		s, b := c.stretched(v, len(out), activation)
		bufs[i], st[i] = b, strides(s, shape)
	}
	y := c.out(n.Out[0], activation)
	shape, st = twoAxes(shape, st...)
	length := last(shape)
	c.step("", shape[0], func(r *run, task, _ int) {
		lines(shape, task, st, func(at int, pos []int) {
			choose(r.b[y.id][at:at+length], r.b[bufs[0].id][pos[0]:], last(st[0]), r.b[bufs[1].id][pos[1]:], last(st[1]), r.b[bufs[2].id][pos[2]:], last(st[2]))
		})
	}, reads(bufs[:]...), writes(y))
}

// choose sets y to a where k is not 0, to b elsewhere.
func choose(y, k []float32, kStep int, a []float32, aStep int, b []float32, bStep int) {
	for i := range y {
		if y[i] = b[i*bStep]; k[i*kStep] != 0 {
			y[i] = a[i*aStep]
		}
	}
}

func (c *compiler) toFloat(n *graph.Node) error {
	x, err := c.intsOf(n.In[0])
	if err != nil {
		return err
	}
	y := c.out(n.Out[0], rowMajor)
	c.pieces("", y.size, func(r *run, lo, hi int) {
		out := r.b[y.id][lo:hi]
		for i, v := range r.i64[x][lo:hi] {
			out[i] = float32(v)
		}
	}, nil, writes(y))
	return nil
}

func (c *compiler) toInt(n *graph.Node) {
	x, y := c.in(n.In[0], rowMajor), c.outInts(n.Out[0])
	path := n.String()
	c.pieces("", x.size, func(r *run, lo, hi int) {
		out := r.i64[y][lo:hi]
		for i, v := range r.b[x.id][lo:hi] {
			if !(v > -1<<63 && v < 1<<63) {
				r.fail(fmt.Errorf("engine: %s: %g at %d is no int64", path, v, lo+i))
				return
			}
			out[i] = int64(v)
		}
	}, reads(x), nil)
}
