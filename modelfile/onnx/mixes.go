package onnx

import (
	"slices"

	"github.com/resnet-go/resnet/graph"
)

// mixes reports whether a picture's part of out may depend on other pictures of
// the batch, which has n. The pictures lie one after another along the first axis of
// the input and, as far as is followed here, of all that is computed from it; an
// operator of which that is not known counts as one that mixes. reduced is set if one
// certainly does: it reduces the first axis.
func mixes(out *graph.Value, n int) (mixed, reduced bool) {
	w := &batchWalk{n: n, seen: map[*graph.Node]bool{}, known: map[*graph.Node]bool{}}
	w.depends(out.Node)
	return w.mixed, w.reduced
}

type batchWalk struct {
	n           int
	seen, known map[*graph.Node]bool // known: whether a node depends on the input
	mixed       bool
	reduced     bool
}

// depends reports whether a node depends on the pictures, and checks the nodes on
// which it depends.
func (w *batchWalk) depends(root *graph.Node) bool {
	// A loop, since a graph may be deep.
	stack := []*graph.Node{root}
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		if !w.seen[node] {
			w.seen[node] = true
			for _, in := range node.In {
				if !w.seen[in.Node] {
					stack = append(stack, in.Node)
				}
			}
			continue
		}
		stack = stack[:len(stack)-1]
		if _, done := w.known[node]; done {
			continue
		}
		_, isInput := node.Op.(graph.Input)
		var on []int // inputs that depend on the pictures
		for i, in := range node.In {
			if w.known[in.Node] {
				on = append(on, i)
			}
		}
		w.known[node] = isInput || len(on) > 0
		if len(on) > 0 && !w.keeps(node, on) {
			w.mixed = true
		}
	}
	return w.known[root]
}

// keeps reports whether a node keeps pictures separate along the first axis.
func (w *batchWalk) keeps(node *graph.Node, on []int) bool {
	in, out := node.In, node.Out[0].Shape
	if op, ok := node.Op.(graph.Reduce); ok && slices.Contains(op.Axes, 0) && in[0].Shape[0]%w.n == 0 {
		w.reduced = true
	}
	if len(out) == 0 || out[0]%w.n != 0 {
		return false
	}
	aligned := func() bool {
		for _, i := range on {
			if s := in[i].Shape; len(s) != len(out) || s[0] != out[0] {
				return false
			}
		}
		return true
	}
	first := len(on) == 1 && on[0] == 0
	switch op := node.Op.(type) {
	case graph.Unary, graph.Affine, graph.Binary, graph.BroadcastTo, graph.Dropout, graph.QuantizeLinear, graph.DequantizeLinear:
		return aligned()
	case graph.Conv2d, graph.Conv2dInputGrad, graph.MaxPool2d, graph.AvgPool2d, graph.Resize, graph.BatchNorm, graph.Linear:
		return first && in[0].Shape[0] == out[0]
	case graph.GroupNorm:
		return first && aligned()
	case graph.Softmax, graph.LogSoftmax:
		return aligned() && len(out) > 1
	case graph.Reduce:
		for _, a := range op.Axes {
			if a == 0 {
				return false
			}
		}
		return in[0].Shape[0] == out[0]
	case graph.Reshape:
		return len(in[0].Shape) > 0 && in[0].Shape[0]%w.n == 0
	case graph.Permute:
		return op.Perm[0] == 0
	case graph.Concat:
		return op.Axis != 0 && len(on) == len(in)
	case graph.Slice:
		return op.Axis != 0
	case graph.Pad:
		return op.Axis != 0
	case graph.MatMul:
		if len(out) == 3 {
			return aligned()
		}
		return first && !op.TransA && in[0].Shape[0] == out[0]
	}
	return false
}
