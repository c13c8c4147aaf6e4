package nn

import "github.com/resnet-go/resnet/graph"

// BlurPool2d blurs by the binomial kernel [1 2 1]/4 along both axes and takes
// every Stride-th pixel, so that subsampling does not alias (Zhang 2019, "Making
// Convolutional Networks Shift-Invariant Again", section 3). Beyond its edges
// the image is reflected without repeating the edge. It has no parameters.
// Input [N C H W], H and W at least 2; output [N C ⌈H/Stride⌉ ⌈W/Stride⌉].
type BlurPool2d struct{ Stride int }

// NewBlurPool2d returns a blur that keeps every stride-th pixel.
func NewBlurPool2d(stride int) *BlurPool2d { return &BlurPool2d{stride} }

// Forward reflects the edges, then computes the kernel as two means of 2x2 windows,
// of which the second has the stride.
func (m *BlurPool2d) Forward(c *Context, x *graph.Value) *graph.Value {
	if len(x.Shape) != 4 || x.Shape[2] < 2 || x.Shape[3] < 2 {
		c.Failf("a blur needs an input [N C H W] of at least 2x2 pixels, got %v", x.Shape)
	}
	for axis := 2; axis < 4; axis++ {
		last := x.Shape[axis] - 1
		x = c.Concat(axis, c.Slice(x, axis, 1, 1, 1), x, c.Slice(x, axis, last-1, 1, 1))
	}
	// [1 2 1]/4 is [1 1]/2 twice.
	mean := graph.Window{KernelH: 2, KernelW: 2, StrideH: 1, StrideW: 1}
	x = c.AvgPool2d(x, mean, false)
	mean.StrideH, mean.StrideW = m.Stride, m.Stride
	return c.AvgPool2d(x, mean, false)
}
