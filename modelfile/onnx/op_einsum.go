package onnx

import (
	"slices"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// einsum sums products over indices, of one or two operands whose indices do not
// repeat within one: a product of stacks of matrices, with axes in any order.
func einsum(n *node) {
	equation := strings.ReplaceAll(n.attrString("equation", ""), " ", "")
	in, out, explicit := strings.Cut(equation, "->")
	terms := strings.Split(in, ",")
	if len(terms) != len(n.ins) || strings.Contains(equation, "...") {
		n.failf("the equation %q for %d operands is not supported", equation, len(n.ins))
	}
	extent := map[rune]int{}
	xs := make([]*graph.Value, len(terms))
	for i, t := range terms {
		xs[i] = n.x(i)
		if len([]rune(t)) != len(xs[i].Shape) {
			n.failf("the equation %q for an operand %v", equation, xs[i].Shape)
		}
		for a, r := range []rune(t) {
			if strings.Count(t, string(r)) > 1 || extent[r] != 0 && extent[r] != xs[i].Shape[a] {
				n.failf("the equation %q for an operand %v is not supported", equation, xs[i].Shape)
			}
			extent[r] = xs[i].Shape[a]
		}
	}
	if !explicit { // the indices that are there once, sorted
		var once []rune
		for r := range extent {
			if strings.Count(in, string(r)) == 1 {
				once = append(once, r)
			}
		}
		slices.Sort(once)
		out = string(once)
	}
	for _, r := range out {
		if extent[r] == 0 || strings.Count(out, string(r)) > 1 {
			n.failf("the equation %q is not supported", equation)
		}
	}
	y, indices := xs[0], terms[0]
	if len(xs) == 2 {
		y, indices = n.contract(xs, terms, out, extent)
	} else {
		y, indices = n.sumOver(y, indices, func(r rune) bool { return !strings.ContainsRune(out, r) })
	}
	n.set(n.arrange(y, indices, out))
}

// sumOver sums over the indices for which gone is true.
func (n *node) sumOver(x *graph.Value, indices string, gone func(rune) bool) (*graph.Value, string) {
	var axes []int
	left := ""
	for a, r := range []rune(indices) {
		if gone(r) {
			axes = append(axes, a)
		} else {
			left += string(r)
		}
	}
	if len(axes) > 0 {
		x = n.do(graph.Reduce{Fn: graph.Sum, Axes: axes}, x)
	}
	return x, left
}

// arrange permutes the axes of x, named by indices, into another order of these.
func (n *node) arrange(x *graph.Value, indices, order string) *graph.Value {
	perm := make([]int, 0, len(order))
	for _, r := range order {
		perm = append(perm, slices.Index([]rune(indices), r))
	}
	if slices.IsSorted(perm) {
		return x
	}
	return n.do(graph.Permute{Perm: perm}, x)
}

// contract multiplies two operands: indices of both that the result keeps count
// stacks, those that it does not keep are summed over.
func (n *node) contract(xs []*graph.Value, terms []string, out string, extent map[rune]int) (*graph.Value, string) {
	for i := range xs { // what only one has and the result has not
		xs[i], terms[i] = n.sumOver(xs[i], terms[i], func(r rune) bool {
			return !strings.ContainsRune(out, r) && !strings.ContainsRune(terms[1-i], r)
		})
	}
	var stack, inner, left, right string
	for _, r := range terms[0] {
		switch both, kept := strings.ContainsRune(terms[1], r), strings.ContainsRune(out, r); {
		case both && kept:
			stack += string(r)
		case both:
			inner += string(r)
		default:
			left += string(r)
		}
	}
	for _, r := range terms[1] {
		if !strings.ContainsRune(terms[0], r) {
			right += string(r)
		}
	}
	size := func(indices string) int {
		k := 1
		for _, r := range indices {
			k *= extent[r]
		}
		return k
	}
	a := n.reshape(n.arrange(xs[0], terms[0], stack+left+inner), size(stack), size(left), size(inner))
	b := n.reshape(n.arrange(xs[1], terms[1], stack+inner+right), size(stack), size(inner), size(right))
	y := n.do(graph.MatMul{}, a, b)
	shape := tensor.Shape{}
	for _, r := range stack + left + right {
		shape = append(shape, extent[r])
	}
	return n.reshape(y, shape...), stack + left + right
}
