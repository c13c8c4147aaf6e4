package nn

import (
	"fmt"
	"maps"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/suggest"
)

// Activation applies a function to each element. Its zero value is ReLU.
type Activation struct{ Op graph.Unary }

var activations = map[string]graph.Unary{
	"relu":        {Fn: graph.Relu},
	"relu6":       {Fn: graph.Clip, A: 0, B: 6},
	"leaky_relu":  {Fn: graph.LeakyRelu, A: 0.01},
	"sigmoid":     {Fn: graph.Sigmoid},
	"tanh":        {Fn: graph.Tanh},
	"silu":        {Fn: graph.Silu},
	"gelu":        {Fn: graph.Gelu},
	"hardsigmoid": {Fn: graph.HardSigmoid},
	"hardswish":   {Fn: graph.HardSwish},
	"softplus":    {Fn: graph.Softplus},
}

// ActivationNames lists the names for [NewActivation].
func ActivationNames() []string { return slices.Sorted(maps.Keys(activations)) }

// NewActivation returns the activation of that name: relu, relu6, leaky_relu
// (slope 0.01), sigmoid, tanh, silu, gelu, hardsigmoid, hardswish, softplus.
func NewActivation(name string) (*Activation, error) {
	u, ok := activations[name]
	if !ok {
		hint := ""
		if near := suggest.Name(name, ActivationNames()); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return nil, fmt.Errorf("nn: unknown activation %q%s", name, hint)
	}
	return &Activation{u}, nil
}

// NewReLU returns the activation max(x, 0).
func NewReLU() *Activation { return &Activation{} }

// NewLeakyReLU returns the activation that is x where x > 0, else slope*x.
func NewLeakyReLU(slope float32) *Activation {
	return &Activation{graph.Unary{Fn: graph.LeakyRelu, A: slope}}
}

// Kind names the module in summaries.
func (m *Activation) Kind() string {
	if m.Op.Fn == graph.Clip && m.Op.A == 0 && m.Op.B == 6 {
		return "ReLU6"
	}
	switch m.Op.Fn {
	case graph.Relu:
		return "ReLU"
	case graph.LeakyRelu:
		return "LeakyReLU"
	case graph.Silu:
		return "SiLU"
	case graph.Gelu:
		return "GELU"
	}
	return m.Op.Fn.String()
}

// Forward applies Op to each element.
func (m *Activation) Forward(c *Context, x *graph.Value) *graph.Value {
	return c.Unary(x, m.Op)
}
