package keras

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// act is an activation function; its zero value is the identity.
type act struct {
	kind  actKind
	unary graph.Unary
	name  string // of a function that is made of several operators
	fn    func(c *nn.Context, x *graph.Value) *graph.Value
}

type actKind uint8

const (
	actLinear actKind = iota
	actUnary
	actSoftmax
	actComposed
)

// nonNegative reports whether the function has no negative values.
func (a act) nonNegative() bool {
	if a.kind == actSoftmax {
		return true
	}
	if a.kind == actUnary {
		switch a.unary.Fn {
		case graph.Relu, graph.Sigmoid, graph.HardSigmoid, graph.Softplus:
			return true
		case graph.Clip:
			return a.unary.A >= 0
		}
	}
	return false
}

func (a act) apply(c *nn.Context, x *graph.Value) *graph.Value {
	switch a.kind {
	case actUnary:
		return c.Unary(x, a.unary)
	case actSoftmax: // along Keras's last axis, which are the channels
		if len(x.Shape) == 4 {
			return toNCHW(c, c.Softmax(toNHWC(c, x)))
		}
		return c.Softmax(x)
	case actComposed:
		return a.fn(c, x)
	}
	return x
}

// activations are Keras's functions by name.
var activations = map[string]act{
	"linear":       {},
	"relu":         {kind: actUnary, unary: graph.Unary{Fn: graph.Relu}},
	"relu6":        {kind: actUnary, unary: graph.Unary{Fn: graph.Clip, A: 0, B: 6}},
	"leaky_relu":   {kind: actUnary, unary: graph.Unary{Fn: graph.LeakyRelu, A: 0.2}},
	"sigmoid":      {kind: actUnary, unary: graph.Unary{Fn: graph.Sigmoid}},
	"tanh":         {kind: actUnary, unary: graph.Unary{Fn: graph.Tanh}},
	"silu":         {kind: actUnary, unary: graph.Unary{Fn: graph.Silu}},
	"swish":        {kind: actUnary, unary: graph.Unary{Fn: graph.Silu}},
	"gelu":         {kind: actUnary, unary: graph.Unary{Fn: graph.Gelu}},
	"hard_sigmoid": {kind: actUnary, unary: graph.Unary{Fn: graph.HardSigmoid}},
	"hard_silu":    {kind: actUnary, unary: graph.Unary{Fn: graph.HardSwish}},
	"hard_swish":   {kind: actUnary, unary: graph.Unary{Fn: graph.HardSwish}},
	"exponential":  {kind: actUnary, unary: graph.Unary{Fn: graph.Exp}},
	"softplus":     {kind: actUnary, unary: graph.Unary{Fn: graph.Softplus}},
	"softmax":      {kind: actSoftmax},
}

// parseAct reads the activation in a layer's config: a name, a function, or a
// layer such as LeakyReLU.
func parseAct(raw json.RawMessage) (act, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return act{}, nil
	}
	var name string
	if raw[0] == '{' {
		var o rawObject
		if err := json.Unmarshal(raw, &o); err != nil {
			return act{}, fmt.Errorf("activation: %w", err)
		}
		switch o.ClassName {
		case "ReLU":
			return reluLayer(o.Config)
		case "LeakyReLU":
			return leakyLayer(o.Config)
		case "ELU":
			return eluLayer(o.Config)
		case "function":
			raw = o.Config
		default:
			return act{}, fmt.Errorf("the activation %q is not supported", o.ClassName)
		}
	}
	if err := json.Unmarshal(raw, &name); err != nil {
		return act{}, fmt.Errorf("activation: %w", err)
	}
	a, ok := activations[name]
	if !ok {
		return act{}, fmt.Errorf("the activation %q is not supported", name)
	}
	return a, nil
}

// reluLayer reads the config of a ReLU layer.
func reluLayer(config json.RawMessage) (act, error) {
	var c struct {
		Max       *float32 `json:"max_value"`
		Slope     any      `json:"negative_slope"`
		Threshold any      `json:"threshold"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return act{}, err
	}
	slope, err := number(c.Slope)
	if err != nil {
		return act{}, fmt.Errorf("negative_slope: %w", err)
	}
	threshold, err := number(c.Threshold)
	if err != nil {
		return act{}, fmt.Errorf("threshold: %w", err)
	}
	switch {
	case threshold != 0 || c.Max != nil && slope != 0: // f(x) = x above the threshold to max, slope*(x - threshold) below
		if c.Max == nil {
			inf := float32(math.Inf(1))
			c.Max = &inf
		}
		return composed("ReLU", func(c2 *nn.Context, x *graph.Value) *graph.Value {
			return generalReLU(c2, x, float32(slope), float32(threshold), *c.Max)
		}), nil
	case c.Max != nil:
		return act{kind: actUnary, unary: graph.Unary{Fn: graph.Clip, A: 0, B: *c.Max}}, nil
	case slope != 0:
		return leaky(slope)
	}
	return activations["relu"], nil
}

// leakyLayer reads the config of a LeakyReLU layer; its slope is 0.3 unless
// given.
func leakyLayer(config json.RawMessage) (act, error) {
	var c struct {
		Alpha any `json:"alpha"` // Keras 2
		Slope any `json:"negative_slope"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return act{}, err
	}
	if c.Slope == nil {
		c.Slope = c.Alpha
	}
	if c.Slope == nil {
		return leaky(0.3)
	}
	slope, err := number(c.Slope)
	if err != nil {
		return act{}, fmt.Errorf("negative_slope: %w", err)
	}
	return leaky(slope)
}

func leaky(slope float64) (act, error) {
	if !(slope >= 0) {
		return act{}, fmt.Errorf("a negative_slope of %g is not supported", slope)
	}
	return act{kind: actUnary, unary: graph.Unary{Fn: graph.LeakyRelu, A: float32(slope)}}, nil
}

// number reads a number that may also be an array of one, as Keras 2 writes
// NumPy scalars; nil is 0.
func number(v any) (float64, error) {
	switch v := v.(type) {
	case nil:
		return 0, nil
	case float64:
		return v, nil
	case json.Number:
		return v.Float64()
	case map[string]any:
		return number(v["value"])
	}
	return 0, fmt.Errorf("%v is no number", v)
}

func toNHWC(c *nn.Context, x *graph.Value) *graph.Value { return c.Permute(x, 0, 2, 3, 1) }
func toNCHW(c *nn.Context, x *graph.Value) *graph.Value { return c.Permute(x, 0, 3, 1, 2) }
