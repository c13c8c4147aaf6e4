package nn

import "github.com/resnet-go/resnet/graph"

// MaxPool2d is the maximum over each window; see [graph.MaxPool2d]. Input
// [N C H W], output [N C OH OW].
type MaxPool2d struct{ graph.Window }

// NewMaxPool2d returns a pooling with square windows.
func NewMaxPool2d(kernel, stride, padding int) *MaxPool2d {
	return &MaxPool2d{square(kernel, stride, padding)}
}

// Forward takes the maximum over each window.
func (m *MaxPool2d) Forward(c *Context, x *graph.Value) *graph.Value {
	return c.MaxPool2d(x, m.Window)
}

// AvgPool2d is the mean over each window; see [graph.AvgPool2d]. Input
// [N C H W], output [N C OH OW].
type AvgPool2d struct {
	graph.Window
	CountPad bool // padding counts as zeros
}

// NewAvgPool2d returns a pooling with square windows; padding counts as zeros,
// PyTorch's default.
func NewAvgPool2d(kernel, stride, padding int) *AvgPool2d {
	return &AvgPool2d{square(kernel, stride, padding), true}
}

// Forward takes the mean over each window.
func (m *AvgPool2d) Forward(c *Context, x *graph.Value) *graph.Value {
	return c.AvgPool2d(x, m.Window, m.CountPad)
}

func square(kernel, stride, padding int) graph.Window {
	return graph.Window{
		KernelH: kernel, KernelW: kernel, StrideH: stride, StrideW: stride,
		PadTop: padding, PadLeft: padding, PadBottom: padding, PadRight: padding,
	}
}

// GlobalAvgPool is the mean over each channel's image: [N C H W] to [N C], like
// PyTorch's AdaptiveAvgPool2d(1) followed by flatten.
type GlobalAvgPool struct{ Stateless }

// NewGlobalAvgPool returns a global average pooling.
func NewGlobalAvgPool() *GlobalAvgPool { return &GlobalAvgPool{} }

// Forward takes the mean over height and width.
func (m *GlobalAvgPool) Forward(c *Context, x *graph.Value) *graph.Value {
	return c.GlobalAvgPool(x)
}

// AdaptiveAvgPool2d is the mean over a grid of H by W equal windows: [N C h w]
// to [N C H W]. The input's extents must be multiples of H and W.
type AdaptiveAvgPool2d struct{ H, W int }

// NewAdaptiveAvgPool2d returns a pooling to h by w.
func NewAdaptiveAvgPool2d(h, w int) *AdaptiveAvgPool2d { return &AdaptiveAvgPool2d{h, w} }

// Forward takes the mean over each of H by W windows.
func (m *AdaptiveAvgPool2d) Forward(c *Context, x *graph.Value) *graph.Value {
	if len(x.Shape) != 4 || m.H < 1 || m.W < 1 || x.Shape[2]%m.H != 0 || x.Shape[3]%m.W != 0 {
		c.Failf("the input %v does not divide into %dx%d equal windows", x.Shape, m.H, m.W)
	}
	if m.H == 1 && m.W == 1 {
		return c.Mean(x, 2, 3)
	}
	h, w := x.Shape[2]/m.H, x.Shape[3]/m.W
	return c.AvgPool2d(x, graph.Window{KernelH: h, KernelW: w, StrideH: h, StrideW: w}, false)
}
