package engine

import (
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// reshape costs nothing where both shapes lie in memory alike: the new value
// is the old buffer.
func (c *compiler) reshape(n *graph.Node) error {
	at := c.at[n.In[0]]
	b := at.buf
	if !sameOrder(n.In[0].Shape, at.layout, rowMajor) {
		b = c.in(n.In[0], rowMajor)
	}
	v := n.Out[0]
	if sameOrder(v.Shape, rowMajor, activation) {
		c.at[v] = place{b, activation}
		return nil
	}
	c.at[v] = place{b, rowMajor}
	return nil
}

// alias makes v another name of the value of.
func (c *compiler) alias(v, of *graph.Value) {
	if at, ok := c.at[of]; ok {
		c.at[v] = at
	}
	if slot, ok := c.ints[of]; ok {
		c.ints[v] = slot
	}
}

func (c *compiler) permute(n *graph.Node, o graph.Permute) error {
	in, out := n.In[0].Shape, n.Out[0].Shape
	rank := len(in)
	if rank == 0 {
		return c.reshape(n)
	}
	if c.permuteInPlace(n, o) {
		return nil
	}
	from, to := c.keptLayout(n.In[0]), c.wanted(n.Out[0])
	x := c.in(n.In[0], from)
	y := c.out(n.Out[0], to)
	inAt := permutation(rank, from, rowMajor) // logical axis -> place in memory
	perm := make([]int, rank)
	for i, a := range to.axes(rank) {
		perm[i] = inAt[o.Perm[a]]
	}
	shape := from.shape(in)
	rows := to.shape(out)[0]
	c.step("", rows, func(r *run, i, _ int) {
		vec.Permute(r.b[y.id], r.b[x.id], shape, perm, i, i+1)
	}, reads(x), writes(y))
	return nil
}

// permuteInPlace makes the output another name of the input if its elements lie in
// memory as one of the layouts has them: channels moved last are where activations
// have them already.
func (c *compiler) permuteInPlace(n *graph.Node, o graph.Permute) bool {
	at := c.at[n.In[0]]
	if at.buf.source.scale != nil {
		return false
	}
	to := make([]int, len(o.Perm)) // input axis -> output axis
	for i, a := range o.Perm {
		to[a] = i
	}
	out := n.Out[0].Shape
	var axes []int
	for _, a := range at.layout.axes(len(o.Perm)) {
		if n.In[0].Shape[a] != 1 {
			axes = append(axes, to[a])
		}
	}
	for _, l := range []layout{rowMajor, activation} {
		if slices.Equal(axes, longAxes(out, l.axes(len(out)))) {
			c.keep(at.buf)
			c.at[n.Out[0]] = place{at.buf, l}
			return true
		}
	}
	return false
}

// axisView returns a shape in a layout as outer x size x inner around one axis.
func axisView(l layout, shape []int, axis int) (outer, size, inner int) {
	at := slices.Index(l.axes(len(shape)), axis)
	phys := l.shape(shape)
	outer, inner = 1, 1
	for _, d := range phys[:at] {
		outer *= d
	}
	for _, d := range phys[at+1:] {
		inner *= d
	}
	return outer, phys[at], inner
}

func (c *compiler) concat(n *graph.Node, o graph.Concat) error {
	l := c.keptLayout(n.In[0])
	outer, total, inner := axisView(l, n.Out[0].Shape, o.Axis)
	y := c.out(n.Out[0], l)
	at := 0
	for _, v := range n.In {
		x := c.in(v, l)
		cols := v.Shape[o.Axis] * inner
		to, stride := at, total*inner
		c.rows("", outer, cols, func(r *run, lo, hi int) {
			vec.CopyRows(r.b[y.id][lo*stride+to:], stride, r.b[x.id][lo*cols:], cols, cols, hi-lo, false)
		}, reads(x), writes(y))
		at += cols
	}
	return nil
}

func (c *compiler) slice(n *graph.Node, o graph.Slice) error {
	l := c.keptLayout(n.In[0])
	outer, size, inner := axisView(l, n.In[0].Shape, o.Axis)
	x := c.in(n.In[0], l)
	y := c.out(n.Out[0], l)
	from := []int{size * inner, o.Step * inner, 1}
	to := []int{o.Count * inner, inner, 1}
	c.rows("", outer, o.Count*inner, func(r *run, lo, hi int) {
		vec.CopyStrided(r.b[y.id][lo*to[0]:], to, r.b[x.id][lo*from[0]+o.Start*inner:], from, []int{hi - lo, o.Count, inner}, false)
	}, reads(x), writes(y))
	return nil
}

func (c *compiler) pad(n *graph.Node, o graph.Pad) error {
	l := c.keptLayout(n.In[0])
	outer, size, inner := axisView(l, n.In[0].Shape, o.Axis)
	x := c.in(n.In[0], l)
	y := c.out(n.Out[0], l)
	wide := n.Out[0].Shape[o.Axis] * inner
	from := []int{size * inner, inner, 1}
	to := []int{wide, (o.Between + 1) * inner, 1}
	c.rows("", outer, wide, func(r *run, lo, hi int) {
		vec.Fill(r.b[y.id][lo*wide:hi*wide], o.Value)
		vec.CopyStrided(r.b[y.id][lo*wide+o.Before*inner:], to, r.b[x.id][lo*from[0]:], from, []int{hi - lo, size, inner}, false)
	}, reads(x), writes(y))
	return nil
}
