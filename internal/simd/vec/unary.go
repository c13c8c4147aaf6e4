package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// UnaryOp names an element-wise function of one argument.
type UnaryOp uint8

// The functions of [Unary]; a and b are its parameters.
const (
	OpReLU        UnaryOp = iota // max(0, x)
	OpClamp                      // min(max(x, a), b); ReLU6 is a = 0, b = 6
	OpLeakyReLU                  // x if x > 0, else a*x
	OpSigmoid                    // 1/(1+exp(-x))
	OpTanh                       // tanh(x)
	OpSiLU                       // x*sigmoid(x)
	OpGELU                       // x*(1+erf(x/sqrt(2)))/2
	OpExp                        // exp(x)
	OpLog                        // ln(x)
	OpSqrt                       // sqrt(x)
	OpRsqrt                      // 1/sqrt(x)
	OpNeg                        // -x
	OpAbs                        // |x|
	OpSquare                     // x*x
	OpReciprocal                 // 1/x
	OpHardSigmoid                // min(max(a*x+b, 0), 1); torch has a = 1/6, b = 1/2
	OpHardSwish                  // x*min(max(x+3, 0), 6)/6
	OpSoftplus                   // ln(1+exp(x))
	OpELU                        // x if x > 0, else a*(exp(x)-1)
	OpErf                        // erf(x)
	unaryOps
)

// Unary computes y[i] = op(x[i]). y may be x. NaN gives NaN. On vector units
// the exponential functions are within 3 units in the last place (GELU and tanh
// within 4e-7 of max(1, |x|) absolutely); elsewhere they are rounded from
// float64.
func Unary(op UnaryOp, y, x []float32, a, b float32) {
	isa.CheckLen(len(y), len(x), "Unary y")
	if op >= unaryOps {
		panic(badOp)
	}
	if unary(op, y, x, a, b) {
		return
	}
	unaryGeneric(op, y, x, a, b)
}

// GradNeeds reports whether [UnaryGrad] reads the input x and the output y of the
// forward pass; what it does not read may be nil.
func (op UnaryOp) GradNeeds() (x, y bool) {
	switch op {
	case OpReLU, OpSigmoid, OpTanh, OpExp, OpSqrt, OpRsqrt, OpReciprocal:
		return false, true
	case OpNeg:
		return false, false
	}
	return true, false
}

// UnaryGrad computes dx[i] (+)= dy[i]*op'(x[i]); x and y are the input and the
// output of [Unary]; [UnaryOp.GradNeeds] reports which it reads. With
// accumulate it adds to dx. dx may be any of the inputs. At a kink the
// derivative is torch's: ReLU, ELU and leaky ReLU take the left one at 0, clamp
// is 0 at both bounds (torch's relu6 and hardtanh), |x| is 0 at 0.
func UnaryGrad(op UnaryOp, dx, dy, x, y []float32, a, b float32, accumulate bool) {
	isa.CheckLen(len(dy), len(dx), "UnaryGrad dy")
	needX, needY := op.GradNeeds()
	if needX {
		isa.CheckLen(len(x), len(dx), "UnaryGrad x")
	}
	if needY {
		isa.CheckLen(len(y), len(dx), "UnaryGrad y")
	}
	if op >= unaryOps {
		panic(badOp)
	}
	if unaryGrad(op, dx, dy, x, y, a, b, accumulate) {
		return
	}
	unaryGradGeneric(op, dx, dy, x, y, a, b, accumulate)
}

// unary computes y = op(x) if there is assembly for it.
func unary(op UnaryOp, y, x []float32, a, b float32) bool {
	n := len(x)
	if n == 0 || isa.Lanes() == 0 {
		return n == 0
	}
	p, q := &y[:n][0], &x[0]
	switch op {
	case OpReLU:
		clampAsm(p, q, n, 0, float32(math.Inf(1)))
	case OpClamp:
		clampAsm(p, q, n, a, b)
	case OpLeakyReLU:
		leakyReLUAsm(p, q, n, a)
	case OpSigmoid:
		sigmoidAsm(p, q, n)
	case OpTanh:
		tanhAsm(p, q, n)
	case OpSiLU:
		siluAsm(p, q, n)
	case OpGELU:
		geluAsm(p, q, n)
	case OpExp:
		expAsm(p, q, n)
	case OpSqrt:
		sqrtAsm(p, q, n)
	case OpNeg:
		negAsm(p, q, n)
	case OpAbs:
		absAsm(p, q, n)
	case OpSquare:
		squareAsm(p, q, n)
	case OpReciprocal:
		reciprocalAsm(p, q, n)
	case OpHardSigmoid:
		hardSigmoidAsm(p, q, n, a, b)
	case OpHardSwish:
		hardSwishAsm(p, q, n)
	default:
		return false
	}
	return true
}

// unaryGrad computes dx (+)= dy*op' if there is assembly for it.
func unaryGrad(op UnaryOp, dx, dy, x, y []float32, a, b float32, accumulate bool) bool {
	n := len(dx)
	if n == 0 || isa.Lanes() == 0 {
		return n == 0
	}
	p, q := &dx[0], &dy[:n][0]
	switch {
	case op == OpReLU && accumulate:
		reluGradAddAsm(p, q, &y[:n][0], n)
	case op == OpReLU:
		reluGradAsm(p, q, &y[:n][0], n)
	case op == OpSigmoid && accumulate:
		sigmoidGradAddAsm(p, q, &y[:n][0], n)
	case op == OpSigmoid:
		sigmoidGradAsm(p, q, &y[:n][0], n)
	case op == OpTanh && accumulate:
		tanhGradAddAsm(p, q, &y[:n][0], n)
	case op == OpTanh:
		tanhGradAsm(p, q, &y[:n][0], n)
	case op == OpLeakyReLU && accumulate:
		leakyReLUGradAddAsm(p, q, &x[:n][0], n, a)
	case op == OpLeakyReLU:
		leakyReLUGradAsm(p, q, &x[:n][0], n, a)
	case op != OpSiLU && op != OpGELU:
		return false
	case !accumulate:
		gradOfInput(op, p, q, &x[:n][0], n)
	default:
		var buf [256]float32
		for i := 0; i < n; i += len(buf) {
			k := min(len(buf), n-i)
			gradOfInput(op, &buf[0], &dy[i], &x[i], k)
			binary(OpAdd, dx[i:i+k], dx[i:i+k], buf[:k])
		}
	}
	return true
}

func gradOfInput(op UnaryOp, dx, dy, x *float32, n int) {
	if op == OpSiLU {
		siluGradAsm(dx, dy, x, n)
	} else {
		geluGradAsm(dx, dy, x, n)
	}
}

func unaryGeneric(op UnaryOp, y, x []float32, a, b float32) {
	y = y[:len(x)]
	switch op {
	case OpReLU:
		for i, v := range x {
			if v < 0 {
				v = 0
			}
			y[i] = v
		}
	case OpLeakyReLU:
		for i, v := range x {
			if v < 0 {
				v *= a
			}
			y[i] = v
		}
	default:
		for i, v := range x {
			y[i] = unary1(op, v, a, b)
		}
	}
}

func unary1(op UnaryOp, v, a, b float32) float32 {
	x := float64(v)
	switch op {
	case OpReLU:
		if v < 0 {
			return 0
		}
		return v
	case OpClamp:
		return clamp(v, a, b)
	case OpLeakyReLU:
		if v < 0 {
			return v * a
		}
		return v
	case OpSigmoid:
		return float32(sigmoid(x))
	case OpTanh:
		return float32(math.Tanh(x))
	case OpSiLU:
		if v == float32(math.Inf(-1)) {
			return float32(math.NaN()) // -Inf*0, as torch
		}
		return float32(x * sigmoid(x))
	case OpGELU:
		return float32(x * 0.5 * math.Erfc(-x*math.Sqrt2/2))
	case OpExp:
		return float32(math.Exp(x))
	case OpLog:
		return float32(math.Log(x))
	case OpSqrt:
		return float32(math.Sqrt(x))
	case OpRsqrt:
		return float32(1 / math.Sqrt(x))
	case OpNeg:
		return -v
	case OpAbs:
		return float32(math.Abs(x))
	case OpSquare:
		return v * v
	case OpReciprocal:
		return 1 / v
	case OpHardSigmoid:
		return clamp(float32(a*v)+b, 0, 1)
	case OpHardSwish:
		return v * clamp(v+3, 0, 6) / 6
	case OpSoftplus:
		return float32(softplus(x))
	case OpELU:
		if v > 0 {
			return v
		}
		return float32(float64(a) * math.Expm1(x))
	case OpErf:
		return float32(math.Erf(x))
	}
	panic(badOp)
}

// clamp returns min(max(v, lo), hi); NaN stays NaN.
func clamp(v, lo, hi float32) float32 {
	if v < lo {
		return lo
	}
	if v > hi {
		return hi
	}
	return v
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func softplus(x float64) float64 {
	return math.Log1p(math.Exp(-math.Abs(x))) + max(x, 0)
}

func unaryGradGeneric(op UnaryOp, dx, dy, x, y []float32, a, b float32, accumulate bool) {
	if op == OpReLU && !accumulate {
		for i, g := range dy {
			if y[i] <= 0 {
				g = 0
			}
			dx[i] = g
		}
		return
	}
	needX, needY := op.GradNeeds()
	for i, g := range dy {
		var u, v float32
		if needX {
			u = x[i]
		}
		if needY {
			v = y[i]
		}
		d := unaryGrad1(op, g, u, v, a, b)
		if accumulate {
			d += dx[i]
		}
		dx[i] = d
	}
}

func unaryGrad1(op UnaryOp, g, u, v, a, b float32) float32 {
	x := float64(u)
	switch op {
	case OpReLU:
		if v <= 0 {
			return 0
		}
		return g
	case OpClamp:
		if u <= a || u >= b {
			return 0
		}
		return g
	case OpLeakyReLU:
		if u > 0 {
			return g
		}
		return g * a
	case OpSigmoid:
		return g * (1 - v) * v
	case OpTanh:
		return g * (1 - float32(v*v))
	case OpSiLU:
		s := sigmoid(x)
		return float32(float64(g) * s * (1 + x*(1-s)))
	case OpGELU:
		cdf := 0.5 * math.Erfc(-x*math.Sqrt2/2)
		pdf := math.Exp(-x*x/2) / math.Sqrt(2*math.Pi)
		return float32(float64(g) * (cdf + x*pdf))
	case OpExp:
		return g * v
	case OpLog:
		return g / u
	case OpSqrt:
		return g / (2 * v)
	case OpRsqrt:
		return -0.5 * g * v * v * v
	case OpNeg:
		return -g
	case OpAbs:
		switch {
		case u > 0:
			return g
		case u < 0:
			return -g
		}
		return 0 * u
	case OpSquare:
		return 2 * g * u
	case OpReciprocal:
		return -g * v * v
	case OpHardSigmoid:
		if t := float32(a*u) + b; t <= 0 || t >= 1 {
			return 0
		}
		return g * a
	case OpHardSwish:
		switch {
		case u < -3:
			return 0
		case u < 3:
			return g * (u/3 + 0.5)
		}
		return g
	case OpSoftplus:
		return float32(float64(g) * sigmoid(x))
	case OpELU:
		if u > 0 {
			return g
		}
		return float32(float64(g) * float64(a) * math.Exp(x))
	case OpErf:
		return float32(float64(g) * 2 / math.Sqrt(math.Pi) * math.Exp(-x*x))
	}
	panic(badOp)
}
