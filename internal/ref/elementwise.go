package ref

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softplus is ln(1+e^x) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func unary(o graph.Unary, x array) ([]array, error) {
	a, b := float64(o.A), float64(o.B)
	var f func(x float64) float64
	switch o.Fn {
	case graph.Relu:
		f = func(x float64) float64 { return max(x, 0) }
	case graph.Clip:
		f = func(x float64) float64 { return min(max(x, a), b) }
	case graph.LeakyRelu:
		f = func(x float64) float64 {
			if x > 0 {
				return x
			}
			return a * x
		}
	case graph.Sigmoid:
		f = sigmoid
	case graph.Tanh:
		f = math.Tanh
	case graph.Silu:
		f = func(x float64) float64 { return x * sigmoid(x) }
	case graph.Gelu:
		f = func(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 }
	case graph.HardSigmoid:
		f = func(x float64) float64 { return min(max(x/6+0.5, 0), 1) }
	case graph.HardSwish:
		f = func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }
	case graph.Exp:
		f = math.Exp
	case graph.Log:
		f = math.Log
	case graph.Sqrt:
		f = math.Sqrt
	case graph.Rsqrt:
		f = func(x float64) float64 { return 1 / math.Sqrt(x) }
	case graph.Square:
		f = func(x float64) float64 { return x * x }
	case graph.Abs:
		f = math.Abs
	case graph.Softplus:
		f = softplus
	default:
		return nil, fmt.Errorf("the interpreter has no function %v", o.Fn)
	}
	return one(x.apply(f))
}

// unaryGrad returns dy times the derivative, which is a function of the output
// or the input depending on o.Fn.FromOutput.
func unaryGrad(o graph.Unary, of, dy array) ([]array, error) {
	a, b := float64(o.A), float64(o.B)
	inside := func(yes bool) float64 {
		if yes {
			return 1
		}
		return 0
	}
	var slope func(v float64) float64
	switch o.Fn {
	case graph.Relu:
		slope = func(y float64) float64 { return 1 - inside(y <= 0) } // 1 at NaN
	case graph.Clip:
		slope = func(x float64) float64 { return inside(a < x && x < b) }
	case graph.LeakyRelu:
		slope = func(x float64) float64 {
			if x > 0 {
				return 1
			}
			return a
		}
	case graph.Sigmoid:
		slope = func(y float64) float64 { return y * (1 - y) }
	case graph.Tanh:
		slope = func(y float64) float64 { return 1 - y*y }
	case graph.Silu:
		slope = func(x float64) float64 { s := sigmoid(x); return s * (1 + x*(1-s)) }
	case graph.Gelu:
		slope = func(x float64) float64 {
			return math.Erfc(-x/math.Sqrt2)/2 + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
		}
	case graph.HardSigmoid:
		slope = func(x float64) float64 { return inside(-3 < x && x < 3) / 6 }
	case graph.HardSwish:
		slope = func(x float64) float64 {
			switch {
			case x <= -3:
				return 0
			case x < 3:
				return x/3 + 0.5
			}
			return 1
		}
	case graph.Exp:
		slope = func(y float64) float64 { return y }
	case graph.Log:
		slope = func(x float64) float64 { return 1 / x }
	case graph.Sqrt:
		slope = func(y float64) float64 { return 1 / (2 * y) }
	case graph.Rsqrt:
		slope = func(y float64) float64 { return -y * y * y / 2 }
	case graph.Square:
		slope = func(x float64) float64 { return 2 * x }
	case graph.Abs:
		slope = func(x float64) float64 { return inside(x > 0) - inside(x < 0) }
	case graph.Softplus:
		slope = sigmoid
	default:
		return nil, fmt.Errorf("the interpreter has no derivative of %v", o.Fn)
	}
	flat := o.Fn == graph.Relu || o.Fn == graph.Clip || o.Fn == graph.HardSigmoid || o.Fn == graph.HardSwish
	dx := zeros(dy.shape...)
	for i, d := range dy.f {
		s := slope(of.f[i])
		if s == 0 && flat {
			continue // where the function is flat not even an infinite gradient passes
		}
		dx.f[i] = d * s
	}
	return one(dx)
}

// stretch returns the shape to which a and b are broadcast together.
func stretch(a, b tensor.Shape) tensor.Shape {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := a.Clone()
	for i, d := range b {
		if at := len(a) - len(b) + i; d != 1 {
			out[at] = d
		}
	}
	return out
}

func binary(o graph.Binary, a, b array) ([]array, error) {
	var f func(x, y float64) float64
	switch o.Fn {
	case graph.Add:
		f = func(x, y float64) float64 { return x + y }
	case graph.Sub:
		f = func(x, y float64) float64 { return x - y }
	case graph.Mul:
		f = func(x, y float64) float64 { return x * y }
	case graph.Div:
		f = func(x, y float64) float64 { return x / y }
	case graph.Max:
		f = func(x, y float64) float64 { return max(x, y) }
	case graph.Min:
		f = func(x, y float64) float64 { return min(x, y) }
	default:
		return nil, fmt.Errorf("the interpreter has no function %v", o.Fn)
	}
	y := zeros(stretch(a.shape, b.shape)...)
	walk(y.shape, func(at int, pos []int) {
		y.f[at] = f(a.f[pos[0]], b.f[pos[1]])
	}, stretched(a.shape, y.shape), stretched(b.shape, y.shape))
	return one(y)
}

func selectGrad(o graph.SelectGrad, x, other, dy array) array {
	d := zeros(dy.shape...)
	walk(dy.shape, func(at int, pos []int) {
		u, v := x.f[pos[0]], other.f[pos[1]]
		switch {
		case u == v:
			d.f[at] = dy.f[at] / 2
		case o.Fn == graph.Max && u > v, o.Fn == graph.Min && u < v:
			d.f[at] = dy.f[at]
		}
	}, stretched(x.shape, dy.shape), stretched(other.shape, dy.shape))
	return d
}
