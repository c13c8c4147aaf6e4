package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// Linear is y = x wᵀ + b. Inputs: x [N I], w [O I] and optionally b [O];
// output [N O]. Equals ONNX Gemm with transB.
type Linear struct{}

func (Linear) Name() string { return "Linear" }

func (Linear) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 3); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	x, w := in[0].Shape, in[1].Shape
	if len(x) != 2 || len(w) != 2 {
		return nil, fmt.Errorf("want an input [N I] and a weight [O I], got %v and %v; flatten the input first", x, w)
	}
	if x[1] != w[1] {
		return nil, fmt.Errorf("the weight takes %d features, the input has %d", w[1], x[1])
	}
	if len(in) == 3 && !in[2].Shape.Equal(tensor.Shape{w[0]}) {
		return nil, fmt.Errorf("the bias must be [%d], got %v", w[0], in[2].Shape)
	}
	return result(x[0], w[0])
}

// Grad returns dx = dy w, dw = dyᵀ x, and db, the sum of dy over N.
func (Linear) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	d := make([]*Value, len(n.In))
	if need[0] {
		d[0] = g.Must1(LinearInputGrad{}, dout[0], n.In[1])
	}
	if need[1] {
		d[1] = g.Must1(LinearWeightGrad{}, n.In[0], dout[0])
	}
	if len(n.In) == 3 && need[2] {
		d[2] = g.Must1(Reduce{Fn: Sum, Axes: []int{0}}, dout[0])
	}
	return d
}

// LinearInputGrad is dx = dy w. Inputs: dy [N O], w [O I]; output [N I].
type LinearInputGrad struct{}

func (LinearInputGrad) Name() string { return "LinearInputGrad" }

func (LinearInputGrad) Infer(in []Type) ([]Type, error) {
	if err := matrices(in); err != nil {
		return nil, err
	}
	return matmulType(in, false, false)
}

// Grad of dx = dy w: for dy it is Linear, for w the incoming gradient takes the
// place of x in [LinearWeightGrad].
func (LinearInputGrad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{
		g.Must1(Linear{}, dout[0], n.In[1]),
		g.Must1(LinearWeightGrad{}, dout[0], n.In[0]),
	}
}

// LinearWeightGrad is dw = dyᵀ x. Inputs: x [N I], dy [N O]; output [O I].
type LinearWeightGrad struct{}

func (LinearWeightGrad) Name() string { return "LinearWeightGrad" }

func (LinearWeightGrad) Infer(in []Type) ([]Type, error) {
	if err := matrices(in); err != nil {
		return nil, err
	}
	return matmulType([]Type{in[1], in[0]}, true, false)
}

// Grad of dw = dyᵀ x, which is linear in both inputs.
func (LinearWeightGrad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{
		g.Must1(LinearInputGrad{}, n.In[1], dout[0]),
		g.Must1(Linear{}, n.In[0], dout[0]),
	}
}

// MatMul multiplies matrices, or stacks of equally many matrices:
// y = op(a) op(b), where op transposes the last two axes if TransA or TransB.
// Inputs: a [... M K] (or [... K M] with TransA), b [... K N] (or [... N K]
// with TransB), rank 2 or 3; output [... M N].
type MatMul struct{ TransA, TransB bool }

func (MatMul) Name() string { return "MatMul" }

func (o MatMul) Infer(in []Type) ([]Type, error) { return matmulType(in, o.TransA, o.TransB) }

// Grad returns da = dy bᵀ and db = aᵀ dy, transposed where a or b was.
func (o MatMul) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	a, b, dy := n.In[0], n.In[1], dout[0]
	d := make([]*Value, 2)
	if need[0] {
		if o.TransA {
			d[0] = g.Must1(MatMul{o.TransB, true}, b, dy)
		} else {
			d[0] = g.Must1(MatMul{false, !o.TransB}, dy, b)
		}
	}
	if need[1] {
		if o.TransB {
			d[1] = g.Must1(MatMul{true, o.TransA}, dy, a)
		} else {
			d[1] = g.Must1(MatMul{!o.TransA, false}, a, dy)
		}
	}
	return d
}

// matrices checks that both inputs are matrices.
func matrices(in []Type) error {
	if err := arity(in, 2, 2); err != nil {
		return err
	}
	if len(in[0].Shape) != 2 || len(in[1].Shape) != 2 {
		return fmt.Errorf("want two matrices, got %v and %v", in[0].Shape, in[1].Shape)
	}
	return nil
}

func matmulType(in []Type, transA, transB bool) ([]Type, error) {
	if err := arity(in, 2, 2); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	a, b := in[0].Shape, in[1].Shape
	r := len(a)
	if r != len(b) || r < 2 || r > 3 {
		return nil, fmt.Errorf("want two matrices, or two stacks of matrices, got %v and %v", a, b)
	}
	if r == 3 && a[0] != b[0] {
		return nil, fmt.Errorf("the stacks have %d and %d matrices, want equally many", a[0], b[0])
	}
	m, k := a[r-2], a[r-1]
	if transA {
		m, k = k, m
	}
	k2, n := b[r-2], b[r-1]
	if transB {
		k2, n = n, k2
	}
	if k != k2 {
		return nil, fmt.Errorf("the inner extents %d and %d differ", k, k2)
	}
	return result(append(a[:r-2].Clone(), m, n)...)
}
