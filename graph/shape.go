package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// Reshape gives the elements another shape, in N, C, H, W order whatever the order
// in memory.
type Reshape struct{ Shape tensor.Shape }

func (Reshape) Name() string { return "Reshape" }

func (o Reshape) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if err := validShape(o.Shape); err != nil {
		return nil, err
	}
	if o.Shape.Numel() != in[0].Shape.Numel() {
		return nil, fmt.Errorf("%v has %d elements, the new shape %v has %d", in[0].Shape, in[0].Shape.Numel(), o.Shape, o.Shape.Numel())
	}
	return []Type{F32(o.Shape...)}, floats(in)
}

// Grad gives dy the shape of the input.
func (o Reshape) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(Reshape{n.In[0].Shape}, dout[0])}
}

// Permute reorders the axes: axis i of the output is axis Perm[i] of the
// input. Equals ONNX Transpose.
type Permute struct{ Perm []int }

func (Permute) Name() string { return "Permute" }

func (o Permute) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0].Shape
	out := make(tensor.Shape, len(o.Perm))
	seen := make([]bool, len(x))
	if len(o.Perm) != len(x) {
		return nil, fmt.Errorf("%v is no permutation of the %d axes of %v", o.Perm, len(x), x)
	}
	for i, a := range o.Perm {
		if a < 0 || a >= len(x) || seen[a] {
			return nil, fmt.Errorf("%v is no permutation of the %d axes of %v", o.Perm, len(x), x)
		}
		seen[a] = true
		out[i] = x[a]
	}
	return []Type{F32(out...)}, floats(in)
}

// Grad applies the inverse permutation.
func (o Permute) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	back := make([]int, len(o.Perm))
	for i, a := range o.Perm {
		back[a] = i
	}
	return []*Value{g.Must1(Permute{back}, dout[0])}
}

// Concat joins its inputs along Axis. Equals ONNX Concat.
type Concat struct{ Axis int }

func (Concat) Name() string { return "Concat" }

func (o Concat) Infer(in []Type) ([]Type, error) {
	if len(in) == 0 {
		return nil, fmt.Errorf("there are no inputs to join")
	}
	if err := arity(in, 1, len(in)); err != nil {
		return nil, err
	}
	out := in[0].Shape.Clone()
	if o.Axis < 0 || o.Axis >= len(out) {
		return nil, fmt.Errorf("%v has no axis %d", out, o.Axis)
	}
	for _, t := range in[1:] {
		if len(t.Shape) != len(out) {
			return nil, fmt.Errorf("the ranks of %v and %v differ", in[0].Shape, t.Shape)
		}
		for a, d := range t.Shape {
			if a != o.Axis && d != out[a] {
				return nil, fmt.Errorf("%v and %v differ at axis %d, joining along %d", in[0].Shape, t.Shape, a, o.Axis)
			}
		}
		out[o.Axis] += t.Shape[o.Axis]
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	return result(out...)
}

// Grad slices dy into the parts of the inputs.
func (o Concat) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	d := make([]*Value, len(n.In))
	at := 0
	for i, in := range n.In {
		size := in.Shape[o.Axis]
		if need[i] {
			d[i] = g.Must1(Slice{Axis: o.Axis, Start: at, Count: size, Step: 1}, dout[0])
		}
		at += size
	}
	return d
}

// Slice takes Count elements along Axis: Start, Start+Step, … Equals ONNX Slice.
type Slice struct{ Axis, Start, Count, Step int }

func (Slice) Name() string { return "Slice" }

func (o Slice) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0].Shape
	if o.Axis < 0 || o.Axis >= len(x) {
		return nil, fmt.Errorf("%v has no axis %d", x, o.Axis)
	}
	if o.Start < 0 || o.Count < 1 || o.Step < 1 || o.Start >= x[o.Axis] || o.Count-1 > (x[o.Axis]-1-o.Start)/o.Step {
		return nil, fmt.Errorf("%d elements from %d by %d do not lie in axis %d of %v", o.Count, o.Start, o.Step, o.Axis, x)
	}
	out := x.Clone()
	out[o.Axis] = o.Count
	return []Type{F32(out...)}, floats(in)
}

// Grad puts dy back at its places, with zeros before, between and after.
func (o Slice) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	size := n.In[0].Shape[o.Axis]
	pad := Pad{Axis: o.Axis, Before: o.Start, Between: o.Step - 1}
	pad.After = size - o.Start - (o.Count-1)*o.Step - 1
	return []*Value{g.Must1(pad, dout[0])}
}

// Pad adds elements of the given Value along one axis: Before the first,
// After the last and Between each two neighbors. The zero-padding shortcut of He et al.
// 2015 (option A) is a Pad of the channel axis.
type Pad struct {
	Axis                   int
	Before, After, Between int
	Value                  float32
}

func (Pad) Name() string { return "Pad" }

func (o Pad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0].Shape
	if o.Axis < 0 || o.Axis >= len(x) {
		return nil, fmt.Errorf("%v has no axis %d", x, o.Axis)
	}
	if o.Before < 0 || o.After < 0 || o.Between < 0 {
		return nil, fmt.Errorf("the padding %d before, %d after, %d between must not be negative", o.Before, o.After, o.Between)
	}
	if max(o.Before, o.After, o.Between) > maxExtent {
		return nil, fmt.Errorf("a padding is above %d", maxExtent)
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	out := x.Clone()
	out[o.Axis] = o.Before + x[o.Axis] + (x[o.Axis]-1)*o.Between + o.After
	return result(out...)
}

// Grad takes the elements of dy at the places of the input.
func (o Pad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(Slice{o.Axis, o.Before, n.In[0].Shape[o.Axis], o.Between + 1}, dout[0])}
}
