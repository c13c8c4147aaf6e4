package nn

import (
	"strconv"

	"github.com/resnet-go/resnet/graph"
)

// Sequential runs modules one after the other. Their keys are 0, 1, 2, …
type Sequential []Module

// Forward calls the modules in order.
func (s Sequential) Forward(c *Context, x *graph.Value) *graph.Value {
	for i, m := range s {
		x = c.child(strconv.Itoa(i), m, x)
	}
	return x
}

// Residual adds a shortcut to a branch (He et al. 2015, equations 1 and 2):
// Activation(Main(x) + Shortcut(x)). A nil Shortcut is the identity, a nil
// Activation leaves the sum as it is.
type Residual struct {
	Main       Module
	Shortcut   Module
	Activation Module
}

// Forward computes Activation(Main(x) + Shortcut(x)).
func (m *Residual) Forward(c *Context, x *graph.Value) *graph.Value {
	y := c.Call(m.Main, x)
	shortcut := x
	if m.Shortcut != nil {
		shortcut = c.Call(m.Shortcut, x)
	}
	y = c.Add(y, shortcut)
	if m.Activation != nil {
		y = c.Call(m.Activation, y)
	}
	return y
}

// Identity returns its input.
type Identity struct{ Stateless }

// NewIdentity returns an identity.
func NewIdentity() *Identity { return &Identity{} }

// Forward returns x.
func (m *Identity) Forward(c *Context, x *graph.Value) *graph.Value {
	return x
}

// Flatten joins all axes after the first: [N C H W] to [N C*H*W].
type Flatten struct{ Stateless }

// NewFlatten returns a flatten.
func NewFlatten() *Flatten { return &Flatten{} }

// Forward reshapes x to [N F].
func (m *Flatten) Forward(c *Context, x *graph.Value) *graph.Value {
	return c.Flatten(x)
}

// Softmax turns logits into probabilities, along the last axis.
type Softmax struct{ Stateless }

// NewSoftmax returns a softmax.
func NewSoftmax() *Softmax { return &Softmax{} }

// Forward computes e^x / Σ e^x along the last axis.
func (m *Softmax) Forward(c *Context, x *graph.Value) *graph.Value {
	return c.Softmax(x)
}
