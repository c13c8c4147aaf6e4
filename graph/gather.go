package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// axisOf checks an axis of x.
func axisOf(axis int, x tensor.Shape) error {
	if axis < 0 || axis >= len(x) {
		return fmt.Errorf("%v has no axis %d", x, axis)
	}
	return nil
}

// indexed checks the inputs of an operator that reads float32 values by int64 indices.
func indexed(in []Type) error {
	if err := arity(in, 2, 2); err != nil {
		return err
	}
	if in[0].DType != tensor.Float32 || in[1].DType != tensor.Int64 {
		return fmt.Errorf("want a float32 input and int64 indices, got %s and %s", in[0], in[1])
	}
	return nil
}

// Gather takes whole slices of x along Axis: y[..., i, ...] = x[..., index[i], ...], where
// the axis is replaced by those of the indices. Rows of a table along axis 0 are an
// embedding. Inputs: x, int64 indices of any shape; output of x's shape with the
// indices' instead of the axis. An index outside of 0..extent-1 stops the run with an
// error. Equals ONNX Gather.
type Gather struct{ Axis int }

func (Gather) Name() string { return "Gather" }

func (o Gather) Infer(in []Type) ([]Type, error) {
	if err := indexed(in); err != nil {
		return nil, err
	}
	x := in[0].Shape
	if err := axisOf(o.Axis, x); err != nil {
		return nil, err
	}
	out := append(x[:o.Axis].Clone(), in[1].Shape...)
	return result(append(out, x[o.Axis+1:]...)...)
}

// Grad adds dy up at the places that were read.
func (o Gather) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(GatherGrad{o.Axis, n.In[0].Shape}, dout[0], n.In[1]), nil}
}

// GatherGrad is the gradient of [Gather]: the slices of dy are added up at the indices
// that they were read from, in their order. Inputs: dy, the indices; output of shape X.
type GatherGrad struct {
	Axis int
	X    tensor.Shape
}

func (GatherGrad) Name() string { return "GatherGrad" }

func (o GatherGrad) Infer(in []Type) ([]Type, error) {
	if err := indexed(in); err != nil {
		return nil, err
	}
	return gradientOf(Gather{o.Axis}, o.X, in)
}

// Grad reads the incoming gradient at the indices: the operator is linear.
func (o GatherGrad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(Gather{o.Axis}, dout[0], n.In[1]), nil}
}

// gradientOf is the shape rule of the gradient of op with respect to its first input, of
// shape x. in are dy and the op's other inputs.
func gradientOf(op Op, x tensor.Shape, in []Type) ([]Type, error) {
	y, err := op.Infer(append([]Type{F32(x...)}, in[1:]...))
	if err != nil {
		return nil, err
	}
	if !y[0].Shape.Equal(in[0].Shape) {
		return nil, fmt.Errorf("want a gradient %v, got %v", y[0].Shape, in[0].Shape)
	}
	return []Type{F32(x...)}, nil
}

// GatherElements takes single elements along Axis: y[i, j, k] = x[i, index[i, j, k], k]
// for axis 1, as PyTorch's gather. Inputs: x; int64 indices of x's rank, whose other
// extents are not above x's. Output of the indices' shape. An index outside of
// 0..extent-1 stops the run with an error. Equals ONNX GatherElements.
type GatherElements struct{ Axis int }

func (GatherElements) Name() string { return "GatherElements" }

func (o GatherElements) Infer(in []Type) ([]Type, error) {
	if err := indexed(in); err != nil {
		return nil, err
	}
	x, index := in[0].Shape, in[1].Shape
	if err := axisOf(o.Axis, x); err != nil {
		return nil, err
	}
	if len(index) != len(x) {
		return nil, fmt.Errorf("the ranks of the input %v and the indices %v differ", x, index)
	}
	for i, d := range index {
		if i != o.Axis && d > x[i] {
			return nil, fmt.Errorf("the indices %v reach beyond axis %d of %v", index, i, x)
		}
	}
	return result(index...)
}

// Grad adds dy up at the places that were read.
func (o GatherElements) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(GatherElementsGrad{o.Axis, n.In[0].Shape}, dout[0], n.In[1]), nil}
}

// GatherElementsGrad is the gradient of [GatherElements]: the elements of dy are added up
// where they were read from, in their order. Inputs: dy, the indices; output of shape X.
type GatherElementsGrad struct {
	Axis int
	X    tensor.Shape
}

func (GatherElementsGrad) Name() string { return "GatherElementsGrad" }

func (o GatherElementsGrad) Infer(in []Type) ([]Type, error) {
	if err := indexed(in); err != nil {
		return nil, err
	}
	return gradientOf(GatherElements{o.Axis}, o.X, in)
}

// Grad reads the incoming gradient at the indices: the operator is linear.
func (o GatherElementsGrad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(GatherElements{o.Axis}, dout[0], n.In[1]), nil}
}

// TopK finds the K largest elements along Axis, or the smallest with Smallest, in order:
// the lower index first among equals, and NaN as larger than all numbers, as PyTorch.
// Input x; outputs of x's shape with K for the axis: the values, and their indices as
// int64. Equals ONNX TopK with sorted 1.
type TopK struct {
	K, Axis  int
	Smallest bool
}

func (TopK) Name() string { return "TopK" }

func (o TopK) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	if err := axisOf(o.Axis, in[0].Shape); err != nil {
		return nil, err
	}
	if o.K < 1 || o.K > in[0].Shape[o.Axis] {
		return nil, fmt.Errorf("want a K from 1 to the %d elements of axis %d of %v, got %d", in[0].Shape[o.Axis], o.Axis, in[0].Shape, o.K)
	}
	out := in[0].Shape.Clone()
	out[o.Axis] = o.K
	return []Type{F32(out...), {DType: tensor.Int64, Shape: out}}, nil
}

// Grad gives dy to the elements that were chosen.
func (o TopK) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(GatherElementsGrad{o.Axis, n.In[0].Shape}, dout[0], n.Out[1])}
}

// ArgMax is the index of the largest element along Axis: the lowest among equals, and
// that of the first NaN if there is one, as PyTorch. Input x float32; output int64 of
// x's shape without the axis, or with 1 for it if Keep is set. Equals ONNX ArgMax.
type ArgMax struct {
	Axis int
	Keep bool
}

func (ArgMax) Name() string { return "ArgMax" }

func (o ArgMax) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	x := in[0].Shape
	if err := axisOf(o.Axis, x); err != nil {
		return nil, err
	}
	out := x[:o.Axis].Clone()
	if o.Keep {
		out = append(out, 1)
	}
	return []Type{{DType: tensor.Int64, Shape: append(out, x[o.Axis+1:]...)}}, nil
}
