package nn

import "github.com/resnet-go/resnet/graph"

// Conv2d is a convolution with its weights; see [graph.Conv2d] for the
// formula. Input [N In H W], output [N Out OH OW].
type Conv2d struct {
	Op               graph.Conv2d // stride, padding, dilation, groups
	In, Out          int
	KernelH, KernelW int
	Weight           *Param // [Out In/Groups KernelH KernelW]
	Bias             *Param // [Out], may be nil
}

// ConvOption changes a [Conv2d] from its defaults.
type ConvOption func(*Conv2d)

// NewConv2d returns a convolution with PyTorch's defaults: stride 1, no
// padding, no dilation, one group, a bias, weights uniform on ±1/√(fan in).
// Numbers that make no convolution are an error of [Trace].
func NewConv2d(in, out, kernel int, opts ...ConvOption) *Conv2d {
	m := &Conv2d{
		Op: graph.Conv2d{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1},
		In: in, Out: out, KernelH: kernel, KernelW: kernel,
		Bias: &Param{}, // made below, unless an option removes it
	}
	for _, o := range opts {
		o(m)
	}
	perGroup := in / max(m.Op.Groups, 1)
	m.Weight = NewParam(TorchWeight(), out, perGroup, m.KernelH, m.KernelW)
	if m.Bias != nil {
		m.Bias = NewBias(TorchBias(perGroup*m.KernelH*m.KernelW), out)
	}
	return m
}

// Stride sets the stride of both axes.
func Stride(n int) ConvOption { return StrideHW(n, n) }

// StrideHW sets the stride of each axis.
func StrideHW(h, w int) ConvOption {
	return func(m *Conv2d) { m.Op.StrideH, m.Op.StrideW = h, w }
}

// Padding sets the number of zeros added on all four sides.
func Padding(n int) ConvOption { return PaddingSides(n, n, n, n) }

// PaddingSides sets the number of zeros added on each side.
func PaddingSides(top, bottom, left, right int) ConvOption {
	return func(m *Conv2d) { m.Op.PadTop, m.Op.PadBottom, m.Op.PadLeft, m.Op.PadRight = top, bottom, left, right }
}

// Dilation sets the distance between the kernel's elements.
func Dilation(n int) ConvOption {
	return func(m *Conv2d) { m.Op.DilationH, m.Op.DilationW = n, n }
}

// Groups splits the channels into n groups that are convolved separately.
func Groups(n int) ConvOption {
	return func(m *Conv2d) { m.Op.Groups = n }
}

// KernelHW sets the height and width of the kernel.
func KernelHW(h, w int) ConvOption {
	return func(m *Conv2d) { m.KernelH, m.KernelW = h, w }
}

// NoBias leaves out the bias, which a batch norm would subtract again.
func NoBias() ConvOption {
	return func(m *Conv2d) { m.Bias = nil }
}

// Forward convolves x with Weight and adds Bias.
func (m *Conv2d) Forward(c *Context, x *graph.Value) *graph.Value {
	var b *graph.Value
	if m.Bias != nil {
		b = c.Param(m.Bias)
	}
	return c.Conv2d(x, c.Param(m.Weight), b, m.Op)
}
