package engine

import (
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

var reduceKernels = map[graph.ReduceFn]vec.ReduceOp{
	graph.Sum: vec.ReduceSum, graph.Mean: vec.ReduceMean, graph.MaxOf: vec.ReduceMax,
}

func (c *compiler) reduce(n *graph.Node, o graph.Reduce) error {
	x := n.In[0]
	op, ok := reduceKernels[o.Fn]
	if !ok {
		return fmt.Errorf("the engine has no kernel for %v", o.Fn)
	}
	axes := o.Axes
	if len(axes) == 0 {
		axes = permutation(len(x.Shape), rowMajor, rowMajor)
	}
	switch rank := len(x.Shape); {
	case o.Fn != graph.MaxOf && rank == 4 && slices.Equal(axes, []int{2, 3}):
		c.imageSums(n, o)
	case o.Fn == graph.Sum && (rank == 4 && slices.Equal(axes, []int{0, 2, 3}) || rank == 2 && slices.Equal(axes, []int{0})):
		c.columnSums(n)
	default:
		c.reduceGeneral(n, op, axes)
	}
	return nil
}

// imageSums adds up or averages each channel of each image: global average
// pooling.
func (c *compiler) imageSums(n *graph.Node, o graph.Reduce) {
	s := n.In[0].Shape
	x := c.in(n.In[0], activation)
	y := c.out(n.Out[0], activation)
	ch, image := s[1], s[2]*s[3]*s[1]
	scale := float32(1)
	if o.Fn == graph.Mean {
		scale = 1 / float32(s[2]*s[3])
	}
	c.step("", s[0], func(r *run, i, _ int) {
		vec.SumRows(r.b[y.id][i*ch:(i+1)*ch], r.b[x.id][i*image:(i+1)*image], ch, scale)
	}, reads(x), writes(y))
}

// columnSums adds up each channel over all images: the gradient of a bias.
func (c *compiler) columnSums(n *graph.Node) {
	rows, ch, _ := pixels(n.In[0].Shape)
	x := c.in(n.In[0], activation)
	y := c.out(n.Out[0], activation)
	c.emit(conv.PlanColumnSums(rows, ch), args{conv.ArgX: x, conv.ArgY: y}, isa.ActNone)
}

func (c *compiler) reduceGeneral(n *graph.Node, op vec.ReduceOp, axes []int) {
	x := n.In[0]
	// What is left lies in the order of the input: the one that it has, if all axes stay.
	// If only some of four stay, that is not the order of an activation.
	l, to := activation, activation
	switch rank := len(x.Shape); {
	case rank == len(n.Out[0].Shape):
		l, to = c.keptLayout(x), c.keptLayout(x)
	case rank == 4 && len(axes) < rank-1 || rank > 4:
		l, to = rowMajor, rowMajor
	}
	in := c.in(x, l)
	y := c.out(n.Out[0], to)
	shape := l.shape(x.Shape)
	mask := axisMask(l, len(x.Shape), axes)
	size := n.Out[0].Shape.Numel()
	const piece = 1024
	c.step("", vec.Pieces(size, piece), func(r *run, task, _ int) {
		lo, hi := vec.PieceBounds(task, piece, size)
		vec.Reduce(op, r.b[y.id], r.b[in.id], shape, mask, lo, hi)
	}, reads(in), writes(y))
}

// axisMask returns the bits of the given logical axes in memory order.
func axisMask(l layout, rank int, axes []int) uint {
	var mask uint
	for i, a := range l.axes(rank) {
		if slices.Contains(axes, a) {
			mask |= 1 << i
		}
	}
	return mask
}

func (c *compiler) reduceMaxGrad(n *graph.Node, o graph.ReduceMaxGrad) error {
	v := n.In[0]
	axes := o.Of.Axes
	if len(axes) == 0 {
		axes = permutation(len(v.Shape), rowMajor, rowMajor)
	}
	x := c.in(v, rowMajor)
	y, dy := c.in(n.In[1], rowMajor), c.in(n.In[2], rowMajor)
	dx := c.out(n.Out[0], rowMajor)
	mask := axisMask(rowMajor, len(v.Shape), axes)
	size := n.In[1].Shape.Numel()
	const piece = 1024
	c.step("", vec.Pieces(size, piece), func(r *run, task, _ int) {
		lo, hi := vec.PieceBounds(task, piece, size)
		vec.ReduceMaxGrad(r.b[dx.id], r.b[dy.id], r.b[x.id], r.b[y.id], v.Shape, mask, lo, hi)
	}, reads(x, y, dy), writes(dx))
	return nil
}

func (c *compiler) broadcastTo(n *graph.Node, o graph.BroadcastTo) error {
	s, in := c.stretched(n.In[0], len(o.Shape), activation)
	y := c.out(n.Out[0], activation)
	shape := activation.shape(o.Shape)
	if len(shape) == 4 && s[0] == shape[0] && s[1] == 1 && s[2] == 1 && s[3] == shape[3] {
		ch, image := s[3], shape[1]*shape[2]*s[3]
		c.step("", shape[0], func(r *run, i, _ int) {
			vec.BroadcastRow(r.b[y.id][i*image:(i+1)*image], r.b[in.id][i*ch:(i+1)*ch], 1, false)
		}, reads(in), writes(y))
		return nil
	}
	if len(shape) == 0 {
		c.copyBuf(y, in)
		return nil
	}
	from := strides(s, shape)
	to := strides(shape, shape)
	inner := y.size / shape[0]
	rest := append([]int{1}, shape[1:]...)
	c.step("", shape[0], func(r *run, i, _ int) {
		vec.CopyStrided(r.b[y.id][i*inner:(i+1)*inner], to, r.b[in.id][i*from[0]:], from, rest, false)
	}, reads(in), writes(y))
	return nil
}

// softmax runs a kernel over rows along the last axis.
func (c *compiler) softmax(n *graph.Node, f func(y, x []float32, cols int)) error {
	s := n.In[0].Shape
	cols := s[len(s)-1]
	x := c.in(n.In[0], rowMajor)
	y := c.out(n.Out[0], rowMajor)
	c.rows("", x.size/cols, cols, func(r *run, lo, hi int) {
		f(r.b[y.id][lo*cols:hi*cols], r.b[x.id][lo*cols:hi*cols], cols)
	}, reads(x), writes(y))
	return nil
}
