package nn

import "github.com/resnet-go/resnet/graph"

// Dropout sets elements to zero in training; see [graph.Dropout]. Output like the
// input.
type Dropout struct{ P float32 }

// NewDropout returns a dropout of probability p in [0, 1).
func NewDropout(p float32) *Dropout { return &Dropout{p} }

// Forward returns x at inference.
func (m *Dropout) Forward(c *Context, x *graph.Value) *graph.Value {
	return c.Dropout(x, m.P)
}

// StochasticDepth sets whole samples to zero in training. At the end of a
// residual branch it turns the block into its shortcut for these samples (Huang
// et al. 2016).
type StochasticDepth struct{ P float32 }

// NewStochasticDepth returns a stochastic depth of drop probability p in [0, 1).
func NewStochasticDepth(p float32) *StochasticDepth { return &StochasticDepth{p} }

// Forward returns x at inference.
func (m *StochasticDepth) Forward(c *Context, x *graph.Value) *graph.Value {
	return c.DropPath(x, m.P)
}
