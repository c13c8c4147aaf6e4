package keras

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// This file has activation functions that are made of several operators.

func composed(name string, fn func(c *nn.Context, x *graph.Value) *graph.Value) act {
	return act{kind: actComposed, name: name, fn: fn}
}

// exponential is scale * (x where x > 0, else alpha * (e^x - 1)).
func exponential(name string, alpha, scale float32) act {
	return composed(name, func(c *nn.Context, x *graph.Value) *graph.Value {
		low := c.Affine(c.Exp(c.Min(x, c.Scalar(0))), alpha, -alpha)
		y := c.Add(c.ReLU(x), low)
		if scale != 1 {
			y = c.Affine(y, scale, 0)
		}
		return y
	})
}

// positive is 1 where x > 0, else 0.
func positive(c *nn.Context, x *graph.Value) *graph.Value {
	// The positive part times a number that makes the smallest one larger than 1.
	y := c.ReLU(x)
	for range 2 {
		y = c.Min(c.Affine(y, 1<<63, 0), c.Scalar(1))
	}
	return y
}

// generalReLU is Keras's relu with all of its arguments. x at the threshold gives 0.
func generalReLU(c *nn.Context, x *graph.Value, slope, threshold, most float32) *graph.Value {
	above := x
	if !math.IsInf(float64(most), 1) {
		above = c.Min(above, c.Scalar(most))
	}
	y := c.Mul(above, positive(c, c.Affine(x, 1, -threshold)))
	if slope != 0 {
		low := c.Affine(c.Min(c.Affine(x, 1, -threshold), c.Scalar(0)), slope, 0)
		y = c.Add(y, low)
	}
	return y
}

// eluLayer reads the config of an ELU layer.
func eluLayer(config json.RawMessage) (act, error) {
	var c struct {
		Alpha any `json:"alpha"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return act{}, err
	}
	if c.Alpha == nil {
		c.Alpha = 1.0
	}
	alpha, err := number(c.Alpha)
	if err != nil {
		return act{}, fmt.Errorf("alpha: %w", err)
	}
	return exponential("ELU", float32(alpha), 1), nil
}

// thresholdedLayer reads the config of Keras 2's ThresholdedReLU: x where x > theta,
// else 0.
func thresholdedLayer(config json.RawMessage) (act, error) {
	var c struct {
		Theta any `json:"theta"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return act{}, err
	}
	if c.Theta == nil {
		c.Theta = 1.0
	}
	theta, err := number(c.Theta)
	if err != nil {
		return act{}, fmt.Errorf("theta: %w", err)
	}
	return composed("ThresholdedReLU", func(c *nn.Context, x *graph.Value) *graph.Value {
		return c.Mul(x, positive(c, c.Affine(x, 1, -float32(theta))))
	}), nil
}

func init() {
	for name, fn := range map[string]func(c *nn.Context, x *graph.Value) *graph.Value{
		"softsign": func(c *nn.Context, x *graph.Value) *graph.Value {
			return c.Div(x, c.Affine(c.Abs(x), 1, 1))
		},
		"mish": func(c *nn.Context, x *graph.Value) *graph.Value { return c.Mul(x, c.Tanh(c.Softplus(x))) },
		"log_sigmoid": func(c *nn.Context, x *graph.Value) *graph.Value {
			return c.Affine(c.Softplus(c.Affine(x, -1, 0)), -1, 0)
		},
		"hard_tanh":   func(c *nn.Context, x *graph.Value) *graph.Value { return c.Clip(x, -1, 1) },
		"tanh_shrink": func(c *nn.Context, x *graph.Value) *graph.Value { return c.Sub(x, c.Tanh(x)) },
		"squareplus": func(c *nn.Context, x *graph.Value) *graph.Value {
			return c.Affine(c.Add(x, c.Sqrt(c.Affine(c.Square(x), 1, 4))), 0.5, 0)
		},
		"log_softmax": func(c *nn.Context, x *graph.Value) *graph.Value {
			if len(x.Shape) == 4 {
				return toNCHW(c, c.LogSoftmax(toNHWC(c, x)))
			}
			return c.LogSoftmax(x)
		},
	} {
		activations[name] = composed(name, fn)
	}
	activations["elu"] = exponential("elu", 1, 1)
	activations["celu"] = exponential("celu", 1, 1)
	activations["selu"] = exponential("selu", 1.6732632423543772, 1.0507009873554805)
}
