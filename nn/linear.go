package nn

import "github.com/resnet-go/resnet/graph"

// Linear is y = x Weightᵀ + Bias. Input [N In], output [N Out].
type Linear struct {
	In, Out int
	Weight  *Param // [Out In]
	Bias    *Param // [Out], may be nil
}

// NewLinear returns a fully connected layer, initialized as PyTorch does:
// weights and bias uniform on ±1/√in.
func NewLinear(in, out int) *Linear {
	return &Linear{In: in, Out: out, Weight: NewParam(TorchWeight(), out, in), Bias: NewBias(TorchBias(in), out)}
}

// Forward computes x Weightᵀ + Bias.
func (m *Linear) Forward(c *Context, x *graph.Value) *graph.Value {
	var b *graph.Value
	if m.Bias != nil {
		b = c.Param(m.Bias)
	}
	return c.Linear(x, c.Param(m.Weight), b)
}
