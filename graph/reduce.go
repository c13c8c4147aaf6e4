package graph

import (
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/tensor"
)

// ReduceFn is a function of many numbers.
type ReduceFn uint8

// The reductions.
const (
	Sum ReduceFn = iota
	Mean
	MaxOf // the gradient is shared equally by all elements that equal the maximum
)

// String returns the reduction's name.
func (f ReduceFn) String() string {
	switch f {
	case Sum:
		return "ReduceSum"
	case Mean:
		return "ReduceMean"
	case MaxOf:
		return "ReduceMax"
	}
	return fmt.Sprintf("ReduceFn(%d)", uint8(f))
}

// Reduce combines the elements along Axes (all axes if empty). The reduced
// axes vanish, or stay with extent 1 with Keep. Global average pooling is the
// Mean over axes 2 and 3. Equals ONNX ReduceSum, ReduceMean, ReduceMax.
type Reduce struct {
	Fn   ReduceFn
	Axes []int // increasing, from 0
	Keep bool
}

func (o Reduce) Name() string { return o.Fn.String() }

func (o Reduce) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if o.Fn > MaxOf {
		return nil, fmt.Errorf("the function %v is unknown", o.Fn)
	}
	x := in[0].Shape
	for i, a := range o.Axes {
		if a < 0 || a >= len(x) || (i > 0 && a <= o.Axes[i-1]) {
			return nil, fmt.Errorf("axes %v are not increasing axes of %v", o.Axes, x)
		}
	}
	out := tensor.Shape{}
	for i, d := range x {
		switch {
		case len(o.Axes) > 0 && !slices.Contains(o.Axes, i):
			out = append(out, d)
		case o.Keep:
			out = append(out, 1)
		}
	}
	return []Type{F32(out...)}, floats(in)
}

// kept returns the shape of the result with extents of 1 for the reduced axes.
func (o Reduce) kept(x tensor.Shape) tensor.Shape {
	o.Keep = true
	t, _ := o.Infer([]Type{F32(x...)})
	return t[0].Shape
}

// Grad stretches dy over the reduced axes: as it is for Sum, divided by the number
// of elements for Mean, to the maxima for MaxOf.
func (o Reduce) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	x, y, dy := n.In[0], n.Out[0], dout[0]
	kept := o.kept(x.Shape)
	widen := func(v *Value) *Value {
		if !v.Shape.Equal(kept) {
			v = g.Must1(Reshape{kept}, v)
		}
		return g.Must1(BroadcastTo{x.Shape}, v)
	}
	switch o.Fn {
	case Sum:
		return []*Value{widen(dy)}
	case Mean:
		share := float32(y.Shape.Numel()) / float32(x.Shape.Numel())
		return []*Value{widen(g.Must1(Affine{Scale: share}, dy))}
	}
	return []*Value{g.Must1(ReduceMaxGrad{o}, x, y, dy)}
}

// ReduceMaxGrad shares dy equally among the elements that equal the maximum.
// Inputs: x, the maxima y, dy; output like x.
type ReduceMaxGrad struct{ Of Reduce }

func (ReduceMaxGrad) Name() string { return "ReduceMaxGrad" }

func (o ReduceMaxGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 3, 3); err != nil {
		return nil, err
	}
	y, err := o.Of.Infer(in[:1])
	if err != nil {
		return nil, err
	}
	if o.Of.Fn != MaxOf {
		return nil, fmt.Errorf("the function is %v, want ReduceMax", o.Of.Fn)
	}
	if !y[0].Shape.Equal(in[1].Shape) || !y[0].Shape.Equal(in[2].Shape) {
		return nil, fmt.Errorf("want maxima and a gradient %v, got %v and %v", y[0].Shape, in[1].Shape, in[2].Shape)
	}
	return []Type{in[0]}, floats(in)
}

// BroadcastTo stretches axes of extent 1 to Shape, aligning at the last axis.
// Equals ONNX Expand.
type BroadcastTo struct{ Shape tensor.Shape }

func (BroadcastTo) Name() string { return "BroadcastTo" }

func (o BroadcastTo) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if err := validShape(o.Shape); err != nil {
		return nil, err
	}
	s, err := Broadcast(in[0].Shape, o.Shape)
	if err != nil {
		return nil, err
	}
	if !s.Equal(o.Shape) {
		return nil, fmt.Errorf("%v does not stretch to %v", in[0].Shape, o.Shape)
	}
	return []Type{F32(o.Shape...)}, floats(in)
}

// Grad sums dy over the stretched axes.
func (o BroadcastTo) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.sumTo(dout[0], n.In[0].Shape)}
}

// Softmax is e^x / Σ e^x along the last axis. Equals ONNX Softmax with axis -1.
type Softmax struct{}

func (Softmax) Name() string { return "Softmax" }

func (Softmax) Infer(in []Type) ([]Type, error) { return lastAxis(in) }

// Grad is y*(dy - Σ dy*y), with the sum along the last axis.
func (Softmax) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	y, dy := n.Out[0], dout[0]
	prod := g.Must1(Binary{Fn: Mul}, dy, y)
	sum := g.Must1(Reduce{Fn: Sum, Axes: []int{len(y.Shape) - 1}, Keep: true}, prod)
	return []*Value{g.Must1(Binary{Fn: Sub}, prod, g.Must1(Binary{Fn: Mul}, y, sum))}
}

// LogSoftmax is the logarithm of [Softmax], without its overflow for large x.
type LogSoftmax struct{}

func (LogSoftmax) Name() string { return "LogSoftmax" }

func (LogSoftmax) Infer(in []Type) ([]Type, error) { return lastAxis(in) }

// Grad is dy - softmax(x)*Σ dy, with the sum along the last axis.
func (LogSoftmax) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	y, dy := n.Out[0], dout[0]
	sum := g.Must1(Reduce{Fn: Sum, Axes: []int{len(y.Shape) - 1}, Keep: true}, dy)
	p := g.Must1(Unary{Fn: Exp}, y)
	return []*Value{g.Must1(Binary{Fn: Sub}, dy, g.Must1(Binary{Fn: Mul}, p, sum))}
}

func lastAxis(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if len(in[0].Shape) == 0 {
		return nil, fmt.Errorf("a scalar has no last axis")
	}
	return []Type{in[0]}, floats(in)
}
