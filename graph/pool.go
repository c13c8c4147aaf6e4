package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// Window is the geometry of a pooling operator. With Ceil a last window may
// reach beyond the right and bottom edge, as with PyTorch's ceil_mode.
type Window struct {
	KernelH, KernelW    int
	StrideH, StrideW    int
	PadTop, PadLeft     int
	PadBottom, PadRight int
	Ceil                bool
}

func (w Window) infer(x tensor.Shape) (tensor.Shape, error) {
	if len(x) != 4 {
		return nil, fmt.Errorf("want an input [N C H W], got %v", x)
	}
	if err := validShape(x); err != nil {
		return nil, err
	}
	if w.KernelH < 1 || w.KernelW < 1 || w.StrideH < 1 || w.StrideW < 1 {
		return nil, fmt.Errorf("kernel and stride must be at least 1, got %dx%d and %dx%d", w.KernelH, w.KernelW, w.StrideH, w.StrideW)
	}
	if max(w.KernelH, w.KernelW, w.StrideH, w.StrideW) > maxExtent {
		return nil, fmt.Errorf("a kernel or stride is above %d", maxExtent)
	}
	for _, p := range []struct{ pad, kernel int }{{w.PadTop, w.KernelH}, {w.PadBottom, w.KernelH}, {w.PadLeft, w.KernelW}, {w.PadRight, w.KernelW}} {
		if p.pad < 0 || p.pad >= p.kernel {
			return nil, fmt.Errorf("padding %d must be from 0 to below the kernel's %d", p.pad, p.kernel)
		}
	}
	oh := w.count(x[2], w.PadTop, w.PadBottom, w.KernelH, w.StrideH)
	ow := w.count(x[3], w.PadLeft, w.PadRight, w.KernelW, w.StrideW)
	if oh < 1 || ow < 1 {
		return nil, fmt.Errorf("a %dx%d window does not fit into the padded %dx%d input",
			w.KernelH, w.KernelW, x[2]+w.PadTop+w.PadBottom, x[3]+w.PadLeft+w.PadRight)
	}
	y := tensor.Shape{x[0], x[1], oh, ow}
	return y, validShape(y)
}

func (w Window) count(size, before, after, kernel, stride int) int {
	n := windowCount(size, before+after, kernel, stride, 1, w.Ceil)
	if w.Ceil && (n-1)*stride >= size+before {
		n-- // the last window would start in the padding on the right
	}
	return n
}

// MaxPool2d is the maximum over each window; positions in the padding never
// win. Input x [N C H W]; outputs y [N C OH OW] and, for the gradient, the
// winners: the position of the first largest element within its window, counted
// row by row, as float32 [N C OH OW]. Equals ONNX MaxPool except for the winners,
// which ONNX counts within the whole input.
type MaxPool2d struct{ Window }

func (MaxPool2d) Name() string { return "MaxPool2d" }

func (o MaxPool2d) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	s, err := o.infer(in[0].Shape)
	if err != nil {
		return nil, err
	}
	return []Type{F32(s...), F32(s...)}, floats(in)
}

// Grad sends dy to the winners that the forward pass recorded.
func (o MaxPool2d) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	if dout[0] == nil {
		return []*Value{nil}
	}
	return []*Value{g.Must1(MaxPool2dGrad{o.Window, n.In[0].Shape}, dout[0], n.Out[1])}
}

// MaxPool2dGrad sends each window's gradient to its winner. Inputs: dy and the
// winners of [MaxPool2d]; output of shape X.
type MaxPool2dGrad struct {
	Window Window
	X      tensor.Shape
}

func (MaxPool2dGrad) Name() string { return "MaxPool2dGrad" }

func (o MaxPool2dGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 2); err != nil {
		return nil, err
	}
	s, err := o.Window.infer(o.X)
	if err != nil {
		return nil, err
	}
	if !s.Equal(in[0].Shape) || !s.Equal(in[1].Shape) {
		return nil, fmt.Errorf("want gradients and winners %v, got %v and %v", s, in[0].Shape, in[1].Shape)
	}
	return []Type{F32(o.X...)}, floats(in)
}

// AvgPool2d is the mean over each window. With CountPad the padding counts as
// zeros in the mean (PyTorch's default); without it the mean is over the
// elements inside the input. Input x [N C H W]; output [N C OH OW]. Equals
// ONNX AveragePool. The mean over a whole image is [Reduce] with Mean.
type AvgPool2d struct {
	Window
	CountPad bool
}

func (AvgPool2d) Name() string { return "AvgPool2d" }

func (o AvgPool2d) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	s, err := o.infer(in[0].Shape)
	if err != nil {
		return nil, err
	}
	return []Type{F32(s...)}, floats(in)
}

// Grad spreads dy evenly over each window.
func (o AvgPool2d) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(AvgPool2dGrad{o, n.In[0].Shape}, dout[0])}
}

// AvgPool2dGrad is the gradient of [AvgPool2d]. Input: dy; output of shape X.
type AvgPool2dGrad struct {
	Pool AvgPool2d
	X    tensor.Shape
}

func (AvgPool2dGrad) Name() string { return "AvgPool2dGrad" }

func (o AvgPool2dGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	s, err := o.Pool.infer(o.X)
	if err != nil {
		return nil, err
	}
	if !s.Equal(in[0].Shape) {
		return nil, fmt.Errorf("want a gradient %v, got %v", s, in[0].Shape)
	}
	return []Type{F32(o.X...)}, floats(in)
}

// Grad is the pooling itself: the operator is the transpose of a linear one.
func (o AvgPool2dGrad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(o.Pool, dout[0])}
}

// Resize scales images to OH x OW by nearest neighbor or bilinear
// interpolation with half-pixel centers (PyTorch's interpolate with
// align_corners=False; no antialias). Input [N C H W]; output [N C OH OW].
// Equals ONNX Resize.
//
// Positions follow the ratio of the sizes, or 1/ScaleH and 1/ScaleW where those are
// not 0: PyTorch's interpolate with a scale_factor, whose output has floor(scale*H)
// rows, goes by the scale itself. An axis whose size stays is copied. Positions are
// computed in float32; nearest takes pixel floor(i*ratio).
type Resize struct {
	OH, OW         int
	Bilinear       bool
	ScaleH, ScaleW float64
}

func (Resize) Name() string { return "Resize" }

func (o Resize) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	x := in[0].Shape
	if len(x) != 4 {
		return nil, fmt.Errorf("want an input [N C H W], got %v", x)
	}
	if o.OH < 1 || o.OW < 1 {
		return nil, fmt.Errorf("the size is %dx%d, must be positive", o.OH, o.OW)
	}
	for _, scale := range []float64{o.ScaleH, o.ScaleW} {
		if !(scale >= 0 && scale <= maxExtent) || scale != 0 && 1/scale > maxExtent {
			return nil, fmt.Errorf("the scale is %g, must be positive, or 0 for the ratio of the sizes", scale)
		}
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	return result(x[0], x[1], o.OH, o.OW)
}

// Grad is the transpose of the interpolation: each output pixel gives its weights
// back.
func (o Resize) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(ResizeGrad{o, n.In[0].Shape}, dout[0])}
}

// ResizeGrad is the gradient of [Resize]. Input: dy; output of shape X.
type ResizeGrad struct {
	Resize Resize
	X      tensor.Shape
}

func (ResizeGrad) Name() string { return "ResizeGrad" }

func (o ResizeGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	y, err := o.Resize.Infer([]Type{F32(o.X...)})
	if err != nil {
		return nil, err
	}
	if !y[0].Shape.Equal(in[0].Shape) {
		return nil, fmt.Errorf("want a gradient %v, got %v", y[0].Shape, in[0].Shape)
	}
	return []Type{F32(o.X...)}, floats(in)
}

// Grad is the interpolation itself: the operator is the transpose of a linear one.
func (o ResizeGrad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(o.Resize, dout[0])}
}
