package nn

import "github.com/resnet-go/resnet/graph"

// ConvTranspose2d is a transposed convolution with its weights; see
// [graph.ConvTranspose2d] for the formula. Input [N In H W], output [N Out OH OW].
type ConvTranspose2d struct {
	Op      graph.ConvTranspose2d // stride, paddings, dilation, groups
	In, Out int
	Weight  *Param // [In Out/Groups kernel kernel]
	Bias    *Param // [Out], may be nil
}

// NewConvTranspose2d returns a transposed convolution with a square kernel and PyTorch's
// defaults: no padding, no dilation, one group, a bias, weights and bias uniform on
// ±1/√(Out*kernel²). Stride 2 and kernel 2 double the size. Set Op before tracing for
// paddings and dilation.
func NewConvTranspose2d(in, out, kernel, stride int) *ConvTranspose2d {
	return &ConvTranspose2d{
		Op: graph.ConvTranspose2d{StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1, Groups: 1},
		In: in, Out: out,
		Weight: NewParam(TorchWeight(), in, out, kernel, kernel),
		Bias:   NewBias(TorchBias(out*kernel*kernel), out),
	}
}

// Forward convolves x with Weight, transposed, and adds Bias.
func (m *ConvTranspose2d) Forward(c *Context, x *graph.Value) *graph.Value {
	var b *graph.Value
	if m.Bias != nil {
		b = c.Param(m.Bias)
	}
	return m.Op.Apply(c.Graph(), x, c.Param(m.Weight), b)
}
