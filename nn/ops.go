package nn

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// This file has the operators of package graph as methods, for use in Forward.
// Their formulas and shape rules are documented there. Values come before
// attributes, except in Concat, which takes any number of values.

// optional appends b to the inputs unless it is nil.
func optional(b *graph.Value, in ...*graph.Value) []*graph.Value {
	if b == nil {
		return in
	}
	return append(in, b)
}

// Conv2d convolves x [N C H W] with w [K C/groups R S]; b [K] may be nil.
func (c *Context) Conv2d(x, w, b *graph.Value, op graph.Conv2d) *graph.Value {
	return c.Op1(op, optional(b, x, w)...)
}

// Linear is x wᵀ + b for x [N I], w [O I]; b [O] may be nil.
func (c *Context) Linear(x, w, b *graph.Value) *graph.Value {
	return c.Op1(graph.Linear{}, optional(b, x, w)...)
}

// MatMul multiplies matrices or stacks of them.
func (c *Context) MatMul(a, b *graph.Value) *graph.Value { return c.Op1(graph.MatMul{}, a, b) }

// Unary applies any function of one number.
func (c *Context) Unary(x *graph.Value, op graph.Unary) *graph.Value { return c.Op1(op, x) }

func (c *Context) unary(fn graph.UnaryFn, x *graph.Value) *graph.Value {
	return c.Op1(graph.Unary{Fn: fn}, x)
}

// ReLU is max(x, 0).
func (c *Context) ReLU(x *graph.Value) *graph.Value { return c.unary(graph.Relu, x) }

// ReLU6 is min(max(x, 0), 6).
func (c *Context) ReLU6(x *graph.Value) *graph.Value { return c.Clip(x, 0, 6) }

// Clip is min(max(x, lo), hi).
func (c *Context) Clip(x *graph.Value, lo, hi float32) *graph.Value {
	return c.Op1(graph.Unary{Fn: graph.Clip, A: lo, B: hi}, x)
}

// LeakyReLU is x where x > 0, else slope*x.
func (c *Context) LeakyReLU(x *graph.Value, slope float32) *graph.Value {
	return c.Op1(graph.Unary{Fn: graph.LeakyRelu, A: slope}, x)
}

// Sigmoid is 1/(1+e^-x).
func (c *Context) Sigmoid(x *graph.Value) *graph.Value { return c.unary(graph.Sigmoid, x) }

// Tanh is tanh x.
func (c *Context) Tanh(x *graph.Value) *graph.Value { return c.unary(graph.Tanh, x) }

// SiLU is x*sigmoid(x).
func (c *Context) SiLU(x *graph.Value) *graph.Value { return c.unary(graph.Silu, x) }

// GELU is x*Φ(x), exact.
func (c *Context) GELU(x *graph.Value) *graph.Value { return c.unary(graph.Gelu, x) }

// HardSigmoid is min(max(x/6+1/2, 0), 1).
func (c *Context) HardSigmoid(x *graph.Value) *graph.Value { return c.unary(graph.HardSigmoid, x) }

// HardSwish is x*HardSigmoid(x).
func (c *Context) HardSwish(x *graph.Value) *graph.Value { return c.unary(graph.HardSwish, x) }

// Exp is e^x.
func (c *Context) Exp(x *graph.Value) *graph.Value { return c.unary(graph.Exp, x) }

// Log is ln x.
func (c *Context) Log(x *graph.Value) *graph.Value { return c.unary(graph.Log, x) }

// Sqrt is √x.
func (c *Context) Sqrt(x *graph.Value) *graph.Value { return c.unary(graph.Sqrt, x) }

// Square is x².
func (c *Context) Square(x *graph.Value) *graph.Value { return c.unary(graph.Square, x) }

// Abs is |x|.
func (c *Context) Abs(x *graph.Value) *graph.Value { return c.unary(graph.Abs, x) }

// Softplus is ln(1+e^x).
func (c *Context) Softplus(x *graph.Value) *graph.Value { return c.unary(graph.Softplus, x) }

func (c *Context) binary(fn graph.BinaryFn, a, b *graph.Value) *graph.Value {
	return c.Op1(graph.Binary{Fn: fn}, a, b)
}

// Add is a+b, broadcasting as NumPy does.
func (c *Context) Add(a, b *graph.Value) *graph.Value { return c.binary(graph.Add, a, b) }

// Sub is a-b, broadcasting.
func (c *Context) Sub(a, b *graph.Value) *graph.Value { return c.binary(graph.Sub, a, b) }

// Mul is a*b element by element, broadcasting.
func (c *Context) Mul(a, b *graph.Value) *graph.Value { return c.binary(graph.Mul, a, b) }

// Div is a/b element by element, broadcasting.
func (c *Context) Div(a, b *graph.Value) *graph.Value { return c.binary(graph.Div, a, b) }

// Max is the larger of a and b element by element, broadcasting.
func (c *Context) Max(a, b *graph.Value) *graph.Value { return c.binary(graph.Max, a, b) }

// Min is the smaller of a and b element by element, broadcasting.
func (c *Context) Min(a, b *graph.Value) *graph.Value { return c.binary(graph.Min, a, b) }

// Affine is scale*x + shift with constant numbers.
func (c *Context) Affine(x *graph.Value, scale, shift float32) *graph.Value {
	return c.Op1(graph.Affine{Scale: scale, Shift: shift}, x)
}

// MaxPool2d is the maximum over each window of x [N C H W].
func (c *Context) MaxPool2d(x *graph.Value, w graph.Window) *graph.Value {
	return c.Op(graph.MaxPool2d{Window: w}, x)[0]
}

// AvgPool2d is the mean over each window of x [N C H W]; with countPad the
// padding counts as zeros.
func (c *Context) AvgPool2d(x *graph.Value, w graph.Window, countPad bool) *graph.Value {
	return c.Op1(graph.AvgPool2d{Window: w, CountPad: countPad}, x)
}

// GlobalAvgPool is the mean over each channel's image: [N C H W] to [N C].
func (c *Context) GlobalAvgPool(x *graph.Value) *graph.Value {
	if len(x.Shape) != 4 {
		c.Failf("global average pooling needs an input [N C H W], got %v", x.Shape)
	}
	return c.Op1(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, x)
}

// Resize scales the images of x [N C H W] to height by width.
func (c *Context) Resize(x *graph.Value, height, width int, bilinear bool) *graph.Value {
	return c.Op1(graph.Resize{OH: height, OW: width, Bilinear: bilinear}, x)
}

// Mean is the mean along axes, which stay with extent 1.
func (c *Context) Mean(x *graph.Value, axes ...int) *graph.Value {
	return c.Op1(graph.Reduce{Fn: graph.Mean, Axes: axes, Keep: true}, x)
}

// Sum is the sum along axes, which stay with extent 1.
func (c *Context) Sum(x *graph.Value, axes ...int) *graph.Value {
	return c.Op1(graph.Reduce{Fn: graph.Sum, Axes: axes, Keep: true}, x)
}

// MaxOf is the maximum along axes, which stay with extent 1.
func (c *Context) MaxOf(x *graph.Value, axes ...int) *graph.Value {
	return c.Op1(graph.Reduce{Fn: graph.MaxOf, Axes: axes, Keep: true}, x)
}

// Softmax is e^x / Σ e^x along the last axis.
func (c *Context) Softmax(x *graph.Value) *graph.Value { return c.Op1(graph.Softmax{}, x) }

// LogSoftmax is the logarithm of [Context.Softmax].
func (c *Context) LogSoftmax(x *graph.Value) *graph.Value { return c.Op1(graph.LogSoftmax{}, x) }

// Concat joins values along an axis, 1 for channels.
func (c *Context) Concat(axis int, xs ...*graph.Value) *graph.Value {
	return c.Op1(graph.Concat{Axis: axis}, xs...)
}

// Slice takes count elements along axis: start, start+step, …
func (c *Context) Slice(x *graph.Value, axis, start, count, step int) *graph.Value {
	return c.Op1(graph.Slice{Axis: axis, Start: start, Count: count, Step: step}, x)
}

// Pad adds zeros before and after along axis.
func (c *Context) Pad(x *graph.Value, axis, before, after int) *graph.Value {
	return c.Op1(graph.Pad{Axis: axis, Before: before, After: after}, x)
}

// Reshape gives x another shape with the same number of elements.
func (c *Context) Reshape(x *graph.Value, shape ...int) *graph.Value {
	return c.Op1(graph.Reshape{Shape: tensor.Shape(shape).Clone()}, x)
}

// Flatten joins all axes after the first: [N ...] to [N F].
func (c *Context) Flatten(x *graph.Value) *graph.Value {
	if len(x.Shape) == 2 {
		return x
	}
	if len(x.Shape) == 0 {
		c.Failf("a scalar cannot be flattened")
	}
	return c.Reshape(x, x.Shape[0], x.Shape[1:].Numel())
}

// Permute reorders the axes: axis i of the output is axis perm[i] of x.
func (c *Context) Permute(x *graph.Value, perm ...int) *graph.Value {
	return c.Op1(graph.Permute{Perm: append([]int(nil), perm...)}, x)
}

// BroadcastTo stretches axes of extent 1 to the given shape.
func (c *Context) BroadcastTo(x *graph.Value, shape ...int) *graph.Value {
	return c.Op1(graph.BroadcastTo{Shape: tensor.Shape(shape).Clone()}, x)
}

// Scalar is a constant number, of rank 0.
func (c *Context) Scalar(x float32) *graph.Value { return c.Graph().Scalar(x) }

// Const is a constant tensor; t must not be changed afterwards.
func (c *Context) Const(t *tensor.Tensor) *graph.Value { return c.Graph().Const(t) }
