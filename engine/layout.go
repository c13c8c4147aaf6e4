package engine

import (
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

// A layout is the order of a value's axes in memory. The public order
// is N, C, H, W; inside the engine channels come last, because a vector of
// neighboring channels is what every kernel loads.
type layout uint8

const (
	// activation: rank 4 as N, H, W, C; other ranks as they are written.
	activation layout = iota
	// weight: rank 4 as H, W, I, O and rank 2 as I, O: what the packing and
	// weight-gradient kernels take. Variables are kept so, and with them their
	// gradients and optimizer slots.
	weight
	// rowMajor: the public order.
	rowMajor
)

// axes returns which logical axis each axis in memory is, outermost first.
func (l layout) axes(rank int) []int {
	switch {
	case l == activation && rank == 4:
		return []int{0, 2, 3, 1}
	case l == weight && rank == 4:
		return []int{2, 3, 1, 0}
	case l == weight && rank == 2:
		return []int{1, 0}
	}
	axes := make([]int, rank)
	for i := range axes {
		axes[i] = i
	}
	return axes
}

// shape returns the extents in memory order.
func (l layout) shape(s tensor.Shape) []int {
	out := make([]int, len(s))
	for i, a := range l.axes(len(s)) {
		out[i] = s[a]
	}
	return out
}

// sameOrder reports whether a tensor of this shape lies in memory alike under
// both layouts: extents of 1 may stand anywhere.
func sameOrder(s tensor.Shape, a, b layout) bool {
	if a == b || len(s) != 4 && a != weight && b != weight {
		return true // without allocating: Run asks for each output
	}
	pa, pb := longAxes(s, a.axes(len(s))), longAxes(s, b.axes(len(s)))
	for i := range pa {
		if pa[i] != pb[i] {
			return false
		}
	}
	return true
}

func longAxes(s tensor.Shape, axes []int) []int {
	var out []int
	for _, a := range axes {
		if s[a] != 1 {
			out = append(out, a)
		}
	}
	return out
}

// permutation returns perm such that axis i in layout `to` is axis perm[i] in
// layout `from`.
func permutation(rank int, from, to layout) []int {
	at := make([]int, rank)
	for i, a := range from.axes(rank) {
		at[a] = i
	}
	perm := make([]int, rank)
	for i, a := range to.axes(rank) {
		perm[i] = at[a]
	}
	return perm
}

// relayout copies src, a tensor of shape s in layout from, to dst in layout to.
func relayout(dst, src []float32, s tensor.Shape, from, to layout) {
	if sameOrder(s, from, to) {
		copy(dst, src)
		return
	}
	perm := permutation(len(s), from, to)
	shape := from.shape(s)
	vec.Permute(dst, src, shape, perm, 0, shape[perm[0]])
}

// wanted returns the order in which those that read v take it: the public one if all do,
// directly or behind operators that keep the order.
func (c *compiler) wanted(v *graph.Value) layout {
	if len(v.Shape) != 4 {
		return activation
	}
	l, ok := c.wants[v]
	if !ok {
		l = rowMajor
		if slices.ContainsFunc(c.use[v], func(n *graph.Node) bool { return !c.takesPublic(n) }) {
			l = activation
		}
		c.wants[v] = l
	}
	return l
}

// takesPublic reports whether a reader, nil for an output, takes the public order.
func (c *compiler) takesPublic(n *graph.Node) bool {
	if n == nil {
		return true
	}
	switch n.Op.(type) {
	case graph.Reshape, graph.Softmax, graph.Gather:
		return true
	case graph.Unary, graph.Affine, graph.Binary, graph.Slice, graph.Pad, graph.Concat, graph.Reduce:
		return len(n.Out[0].Shape) != 4 || c.wanted(n.Out[0]) == rowMajor
	}
	return false
}

// keptLayout is the layout in which an operator that copies parts of v works: the one it
// has, if it is one of activations.
func (c *compiler) keptLayout(v *graph.Value) layout {
	if c.flatLayout(v) == rowMajor {
		return rowMajor
	}
	return activation
}

// variableLayout is the layout in which Vars keeps a variable of this type.
func variableLayout(t graph.Type) layout {
	if len(t.Shape) == 2 || len(t.Shape) == 4 {
		return weight
	}
	return rowMajor
}
