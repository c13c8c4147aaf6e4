package nn_test

import (
	"reflect"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

type forward func(c *nn.Context, x *graph.Value) *graph.Value

func (f forward) Forward(c *nn.Context, x *graph.Value) *graph.Value { return f(c, x) }

// TestOpsBuildTheirOperator checks that each method adds the operator it is
// named for, with its attributes and inputs in order.
func TestOpsBuildTheirOperator(t *testing.T) {
	window := graph.Window{KernelH: 2, KernelW: 2, StrideH: 2, StrideW: 2}
	conv := graph.Conv2d{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1}
	unary := func(fn graph.UnaryFn) graph.Op { return graph.Unary{Fn: fn} }
	binary := func(f func(c *nn.Context, a, b *graph.Value) *graph.Value) forward {
		return func(c *nn.Context, x *graph.Value) *graph.Value { return f(c, x, c.Scalar(2)) }
	}
	image, matrix := tensor.Shape{2, 4, 6, 6}, tensor.Shape{3, 4}
	for _, c := range []struct {
		in   tensor.Shape
		f    forward
		want graph.Op
		out  tensor.Shape
	}{
		{image, func(c *nn.Context, x *graph.Value) *graph.Value {
			return c.Conv2d(x, c.Const(tensor.New(5, 4, 3, 3)), nil, conv)
		}, conv, tensor.Shape{2, 5, 4, 4}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value {
			return c.Conv2d(x, c.Const(tensor.New(5, 4, 3, 3)), c.Const(tensor.New(5)), conv)
		}, conv, tensor.Shape{2, 5, 4, 4}},
		{matrix, func(c *nn.Context, x *graph.Value) *graph.Value {
			return c.Linear(x, c.Const(tensor.New(7, 4)), nil)
		}, graph.Linear{}, tensor.Shape{3, 7}},
		{matrix, func(c *nn.Context, x *graph.Value) *graph.Value { return c.MatMul(x, c.Const(tensor.New(4, 8))) },
			graph.MatMul{}, tensor.Shape{3, 8}},
		{image, (*nn.Context).ReLU, unary(graph.Relu), image},
		{image, (*nn.Context).ReLU6, graph.Unary{Fn: graph.Clip, B: 6}, image},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Clip(x, -1, 2) }, graph.Unary{Fn: graph.Clip, A: -1, B: 2}, image},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.LeakyReLU(x, 0.2) }, graph.Unary{Fn: graph.LeakyRelu, A: 0.2}, image},
		{image, (*nn.Context).Sigmoid, unary(graph.Sigmoid), image},
		{image, (*nn.Context).Tanh, unary(graph.Tanh), image},
		{image, (*nn.Context).SiLU, unary(graph.Silu), image},
		{image, (*nn.Context).GELU, unary(graph.Gelu), image},
		{image, (*nn.Context).HardSigmoid, unary(graph.HardSigmoid), image},
		{image, (*nn.Context).HardSwish, unary(graph.HardSwish), image},
		{image, (*nn.Context).Exp, unary(graph.Exp), image},
		{image, (*nn.Context).Log, unary(graph.Log), image},
		{image, (*nn.Context).Sqrt, unary(graph.Sqrt), image},
		{image, (*nn.Context).Square, unary(graph.Square), image},
		{image, (*nn.Context).Abs, unary(graph.Abs), image},
		{image, (*nn.Context).Softplus, unary(graph.Softplus), image},
		{image, binary((*nn.Context).Add), graph.Binary{Fn: graph.Add}, image},
		{image, binary((*nn.Context).Sub), graph.Binary{Fn: graph.Sub}, image},
		{image, binary((*nn.Context).Mul), graph.Binary{Fn: graph.Mul}, image},
		{image, binary((*nn.Context).Div), graph.Binary{Fn: graph.Div}, image},
		{image, binary((*nn.Context).Max), graph.Binary{Fn: graph.Max}, image},
		{image, binary((*nn.Context).Min), graph.Binary{Fn: graph.Min}, image},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Affine(x, 2, 3) }, graph.Affine{Scale: 2, Shift: 3}, image},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.MaxPool2d(x, window) }, graph.MaxPool2d{Window: window}, tensor.Shape{2, 4, 3, 3}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.AvgPool2d(x, window, true) },
			graph.AvgPool2d{Window: window, CountPad: true}, tensor.Shape{2, 4, 3, 3}},
		{image, (*nn.Context).GlobalAvgPool, graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, tensor.Shape{2, 4}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Resize(x, 3, 9, true) },
			graph.Resize{OH: 3, OW: 9, Bilinear: true}, tensor.Shape{2, 4, 3, 9}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Mean(x, 1) }, graph.Reduce{Fn: graph.Mean, Axes: []int{1}, Keep: true}, tensor.Shape{2, 1, 6, 6}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Sum(x, 0, 1) }, graph.Reduce{Fn: graph.Sum, Axes: []int{0, 1}, Keep: true}, tensor.Shape{1, 1, 6, 6}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.MaxOf(x, 3) }, graph.Reduce{Fn: graph.MaxOf, Axes: []int{3}, Keep: true}, tensor.Shape{2, 4, 6, 1}},
		{matrix, (*nn.Context).Softmax, graph.Softmax{}, matrix},
		{matrix, (*nn.Context).LogSoftmax, graph.LogSoftmax{}, matrix},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Concat(1, x, x) }, graph.Concat{Axis: 1}, tensor.Shape{2, 8, 6, 6}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Slice(x, 2, 1, 2, 3) }, graph.Slice{Axis: 2, Start: 1, Count: 2, Step: 3}, tensor.Shape{2, 4, 2, 6}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Pad(x, 1, 1, 2) }, graph.Pad{Axis: 1, Before: 1, After: 2}, tensor.Shape{2, 7, 6, 6}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Reshape(x, 8, 36) }, graph.Reshape{Shape: tensor.Shape{8, 36}}, tensor.Shape{8, 36}},
		{image, (*nn.Context).Flatten, graph.Reshape{Shape: tensor.Shape{2, 144}}, tensor.Shape{2, 144}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Permute(x, 0, 2, 3, 1) }, graph.Permute{Perm: []int{0, 2, 3, 1}}, tensor.Shape{2, 6, 6, 4}},
		{image, (*nn.Context).Detach, graph.Detach{}, image},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Compare(graph.Greater, x, c.Scalar(1)) }, graph.Compare{Fn: graph.Greater}, image},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Where(x, c.Scalar(1), x) }, graph.Where{}, image},
		{matrix, func(c *nn.Context, x *graph.Value) *graph.Value { return c.Gather(x, c.Const(tensor.NewInt64(5)), 1) }, graph.Gather{Axis: 1}, tensor.Shape{3, 5}},
		{matrix, func(c *nn.Context, x *graph.Value) *graph.Value {
			return c.GatherElements(x, c.Const(tensor.NewInt64(3, 2)), 1)
		}, graph.GatherElements{Axis: 1}, tensor.Shape{3, 2}},
		{matrix, func(c *nn.Context, x *graph.Value) *graph.Value { y, _ := c.TopK(x, 2, 1); return y }, graph.TopK{K: 2, Axis: 1}, tensor.Shape{3, 2}},
		{matrix, func(c *nn.Context, x *graph.Value) *graph.Value { return c.ArgMax(x, 0) }, graph.ArgMax{}, tensor.Shape{4}},
		{image, func(c *nn.Context, x *graph.Value) *graph.Value {
			return c.RoIAlign(x, c.Const(tensor.New(5, 5)), graph.RoIAlign{OH: 2, OW: 3, Scale: 0.5})
		}, graph.RoIAlign{OH: 2, OW: 3, Scale: 0.5}, tensor.Shape{5, 4, 2, 3}},
		{matrix, func(c *nn.Context, x *graph.Value) *graph.Value { return c.BroadcastTo(x, 2, 3, 4) }, graph.BroadcastTo{Shape: tensor.Shape{2, 3, 4}}, tensor.Shape{2, 3, 4}},
	} {
		tr, err := nn.Trace(c.f, nn.TraceOptions{Input: graph.F32(c.in...)})
		if err != nil {
			t.Errorf("%+v: %v", c.want, err)
			continue
		}
		n := tr.Output.Node
		if !reflect.DeepEqual(n.Op, c.want) || !tr.Output.Shape.Equal(c.out) || n.In[0] != tr.Input || tr.Output.Index != 0 {
			t.Errorf("%T%+v of %v gives %v, want %T%+v with %v", n.Op, n.Op, n.In, tr.Output.Shape, c.want, c.want, c.out)
		}
	}
}

// TestTraceAtOnce traces one model by several goroutines, as a server does for
// new input sizes; the race detector watches.
func TestTraceAtOnce(t *testing.T) {
	m := nn.Sequential{nn.NewConv2d(3, 4, 3), nn.NewBatchNorm2d(4), nn.NewReLU(), nn.NewGlobalAvgPool(), nn.NewLinear(4, 2)}
	errs := make(chan error)
	for i := range 4 {
		go func() {
			_, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(1, 3, 8+i, 8), Training: i%2 == 0})
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
