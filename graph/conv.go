package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// Conv2d is the cross-correlation that networks call convolution:
//
//	y[n,k,i,j] = b[k] + Σ_{c,r,s} x[n, c, i*StrideH - PadTop + r*DilationH, j*StrideW - PadLeft + s*DilationW] * w[k,c,r,s]
//
// where positions outside x count as 0 and, with Groups g > 1, the channels
// split into g independent groups. Inputs: x [N C H W], w [K C/g R S] and
// optionally b [K]; output [N K OH OW]. Equals ONNX Conv.
type Conv2d struct {
	StrideH, StrideW     int
	PadTop, PadLeft      int
	PadBottom, PadRight  int
	DilationH, DilationW int
	Groups               int
}

func (Conv2d) Name() string { return "Conv2d" }

func (o Conv2d) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 3); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	x, w := in[0].Shape, in[1].Shape
	if len(x) != 4 || len(w) != 4 {
		return nil, fmt.Errorf("want an input [N C H W] and a weight [K C/groups R S], got %v and %v", x, w)
	}
	if o.StrideH < 1 || o.StrideW < 1 || o.DilationH < 1 || o.DilationW < 1 || o.Groups < 1 {
		return nil, fmt.Errorf("stride, dilation and groups must be at least 1, got %dx%d, %dx%d, %d", o.StrideH, o.StrideW, o.DilationH, o.DilationW, o.Groups)
	}
	if o.PadTop < 0 || o.PadLeft < 0 || o.PadBottom < 0 || o.PadRight < 0 {
		return nil, fmt.Errorf("the padding %d above, %d left, %d below, %d right must not be negative", o.PadTop, o.PadLeft, o.PadBottom, o.PadRight)
	}
	if max(o.StrideH, o.StrideW, o.DilationH, o.DilationW, o.PadTop, o.PadLeft, o.PadBottom, o.PadRight) > maxExtent {
		return nil, fmt.Errorf("a stride, dilation or padding is above %d", maxExtent)
	}
	if x[1]%o.Groups != 0 || w[0]%o.Groups != 0 {
		return nil, fmt.Errorf("%d input and %d output channels do not divide into %d groups", x[1], w[0], o.Groups)
	}
	if w[1] != x[1]/o.Groups {
		return nil, fmt.Errorf("the weight takes %d channels per group, the input has %d in %d group(s)", w[1], x[1], o.Groups)
	}
	if len(in) == 3 && !in[2].Shape.Equal(tensor.Shape{w[0]}) {
		return nil, fmt.Errorf("the bias must be [%d], got %v", w[0], in[2].Shape)
	}
	oh := windowCount(x[2], o.PadTop+o.PadBottom, w[2], o.StrideH, o.DilationH, false)
	ow := windowCount(x[3], o.PadLeft+o.PadRight, w[3], o.StrideW, o.DilationW, false)
	if oh < 1 || ow < 1 {
		return nil, fmt.Errorf("a %dx%d kernel (dilation %dx%d) does not fit into the padded %dx%d input",
			w[2], w[3], o.DilationH, o.DilationW, x[2]+o.PadTop+o.PadBottom, x[3]+o.PadLeft+o.PadRight)
	}
	return result(x[0], w[0], oh, ow)
}

// Grad returns dx by [Conv2dInputGrad], dw by [Conv2dWeightGrad], and db, the sum
// of dy over N, H and W.
func (o Conv2d) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	x, w := n.In[0], n.In[1]
	d := make([]*Value, len(n.In))
	if need[0] {
		d[0] = g.Must1(Conv2dInputGrad{o, x.Shape}, dout[0], w)
	}
	if need[1] {
		d[1] = g.Must1(Conv2dWeightGrad{o, w.Shape}, x, dout[0])
	}
	if len(n.In) == 3 && need[2] {
		d[2] = g.Must1(Reduce{Fn: Sum, Axes: []int{0, 2, 3}}, dout[0])
	}
	return d
}

// Conv2dInputGrad is the gradient of [Conv2d] with respect to its input, which is
// also the transposed convolution. Inputs: dy [N K OH OW], w [K C/g R S]; output of
// shape X [N C H W].
type Conv2dInputGrad struct {
	Conv Conv2d
	X    tensor.Shape
}

func (Conv2dInputGrad) Name() string { return "Conv2dInputGrad" }

func (o Conv2dInputGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 2); err != nil {
		return nil, err
	}
	y, err := o.Conv.Infer([]Type{F32(o.X...), in[1]})
	if err != nil {
		return nil, err
	}
	if !y[0].Shape.Equal(in[0].Shape) {
		return nil, fmt.Errorf("want a gradient %v of the output, got %v", y[0].Shape, in[0].Shape)
	}
	return []Type{F32(o.X...)}, nil
}

// Grad uses that the operator is linear in dy and in w: the gradient with respect
// to dy is the convolution itself.
func (o Conv2dInputGrad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	d := make([]*Value, 2)
	if need[0] {
		d[0] = g.Must1(o.Conv, dout[0], n.In[1])
	}
	if need[1] {
		d[1] = g.Must1(Conv2dWeightGrad{o.Conv, n.In[1].Shape}, dout[0], n.In[0])
	}
	return d
}

// Conv2dWeightGrad is the gradient of [Conv2d] with respect to its weight. Inputs: x
// [N C H W], dy [N K OH OW]; output of shape W [K C/g R S].
type Conv2dWeightGrad struct {
	Conv Conv2d
	W    tensor.Shape
}

func (Conv2dWeightGrad) Name() string { return "Conv2dWeightGrad" }

func (o Conv2dWeightGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 2); err != nil {
		return nil, err
	}
	y, err := o.Conv.Infer([]Type{in[0], F32(o.W...)})
	if err != nil {
		return nil, err
	}
	if !y[0].Shape.Equal(in[1].Shape) {
		return nil, fmt.Errorf("want a gradient %v of the output, got %v", y[0].Shape, in[1].Shape)
	}
	return []Type{F32(o.W...)}, nil
}

// Grad uses that the operator is linear in x and in dy: the gradient with respect
// to dy is the convolution itself, by the incoming gradient as its weight.
func (o Conv2dWeightGrad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	d := make([]*Value, 2)
	if need[0] {
		d[0] = g.Must1(Conv2dInputGrad{o.Conv, n.In[0].Shape}, n.In[1], dout[0])
	}
	if need[1] {
		d[1] = g.Must1(o.Conv, n.In[0], dout[0])
	}
	return d
}

// windowCount returns the number of windows that fit along one axis.
// With ceil, a last window that starts inside the input or its left padding
// may reach beyond the right edge, as in PyTorch's ceil_mode.
func windowCount(size, pad, kernel, stride, dilation int, ceil bool) int {
	span := size + pad - dilation*(kernel-1) - 1
	if span < 0 {
		return 0
	}
	if ceil {
		return (span+stride-1)/stride + 1
	}
	return span/stride + 1
}
