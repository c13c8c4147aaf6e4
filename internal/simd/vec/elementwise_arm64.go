//go:build !purego

package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// binary computes y = a op b.
func binary(op BinaryOp, y, a, b []float32) {
	n := len(a)
	if n == 0 {
		return
	}
	y, b = y[:n], b[:n]
	if op == OpPow || !isa.UseNEON {
		binaryGeneric(op, y, a, b)
		return
	}
	p, q, r := &y[0], &a[0], &b[0]
	switch op {
	case OpAdd:
		binaryAddNEON(p, q, r, n)
	case OpSub:
		binarySubNEON(p, q, r, n)
	case OpMul:
		binaryMulNEON(p, q, r, n)
	case OpDiv:
		binaryDivNEON(p, q, r, n)
	case OpMax:
		binaryMaxNEON(p, q, r, n)
	case OpMin:
		binaryMinNEON(p, q, r, n)
	case OpAddReLU:
		binaryAddReLUNEON(p, q, r, n)
	}
}

// binaryScalar computes y = a op s.
func binaryScalar(op BinaryOp, y, a []float32, s float32) {
	n := len(a)
	if n == 0 {
		return
	}
	y = y[:n]
	if op == OpPow || !isa.UseNEON {
		binaryScalarGeneric(op, y, a, s)
		return
	}
	p, q := &y[0], &a[0]
	switch op {
	case OpAdd:
		scalarAddNEON(p, q, n, s)
	case OpSub:
		scalarSubNEON(p, q, n, s)
	case OpMul:
		scalarMulNEON(p, q, n, s)
	case OpDiv:
		scalarDivNEON(p, q, n, s)
	case OpMax:
		scalarMaxNEON(p, q, n, s)
	case OpMin:
		scalarMinNEON(p, q, n, s)
	case OpAddReLU:
		scalarAddReLUNEON(p, q, n, s)
	}
}

// axpy computes y += a*x.
func axpy(y, x []float32, a float32) {
	n := len(y)
	if n == 0 {
		return
	}
	x = x[:n]
	if isa.UseNEON {
		axpyNEON(&y[0], &x[0], n, a)
	} else {
		axpyGeneric(y, x, a)
	}
}

// unary computes y = op(x) if there is assembly for it.
func unary(op UnaryOp, y, x []float32, a, b float32) bool {
	n := len(x)
	if n == 0 || !isa.UseNEON {
		return n == 0
	}
	p, q, inf := &y[:n][0], &x[0], float32(math.Inf(1))
	switch op {
	case OpReLU:
		clampNEON(p, q, n, 0, inf)
	case OpClamp:
		clampNEON(p, q, n, a, b)
	case OpLeakyReLU:
		leakyReLUNEON(p, q, n, a)
	case OpSigmoid:
		sigmoidNEON(p, q, n)
	case OpTanh:
		tanhNEON(p, q, n)
	case OpSiLU:
		siluNEON(p, q, n)
	case OpGELU:
		geluNEON(p, q, n)
	case OpExp:
		expNEON(p, q, n)
	default:
		return false
	}
	return true
}

// unaryGrad computes dx (+)= dy*op' if there is assembly for it.
func unaryGrad(op UnaryOp, dx, dy, x, y []float32, a, b float32, accumulate bool) bool {
	n := len(dx)
	if n == 0 || !isa.UseNEON {
		return n == 0
	}
	p, q := &dx[0], &dy[:n][0]
	switch {
	case op == OpReLU && accumulate:
		reluGradAddNEON(p, q, &y[:n][0], n)
	case op == OpReLU:
		reluGradNEON(p, q, &y[:n][0], n)
	case op == OpSigmoid && accumulate:
		sigmoidGradAddNEON(p, q, &y[:n][0], n)
	case op == OpSigmoid:
		sigmoidGradNEON(p, q, &y[:n][0], n)
	case op == OpTanh && accumulate:
		tanhGradAddNEON(p, q, &y[:n][0], n)
	case op == OpTanh:
		tanhGradNEON(p, q, &y[:n][0], n)
	case op == OpLeakyReLU && accumulate:
		leakyReLUGradAddNEON(p, q, &x[:n][0], n, a)
	case op == OpLeakyReLU:
		leakyReLUGradNEON(p, q, &x[:n][0], n, a)
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
		siluGradNEON(dx, dy, x, n)
	} else {
		geluGradNEON(dx, dy, x, n)
	}
}

// expShift sets y = exp(x-m) and returns the sum of y.
func expShift(y, x []float32, m float32) float64 {
	n := len(x)
	if n == 0 {
		return 0
	}
	y = y[:n]
	if !isa.UseNEON {
		return expShiftGeneric(y, x, m)
	}
	var lane [4]float32
	expShiftNEON(&y[0], &x[0], n, m, &lane[0])
	return sum64(lane[:])
}

// rowMax returns the largest value. A NaN may or may not be noticed: it shows
// in the sum of the exponentials anyway.
func rowMax(x []float32) float32 {
	n := len(x)
	if n < 16 || !isa.UseNEON {
		return rowMaxGeneric(x)
	}
	var lane [4]float32
	rowMaxNEON(&x[0], n, &lane[0])
	return rowMaxGeneric(lane[:])
}

// rowSum returns the sum of x.
func rowSum(x []float32) float64 {
	n := len(x)
	if n < 32 || !isa.UseNEON {
		return sum64(x)
	}
	var lane [4]float32
	laneSumNEON(&x[0], n, &lane[0])
	return sum64(lane[:])
}

// rowDot returns the sum of a*b.
func rowDot(a, b []float32) float64 {
	n := len(a)
	if n < 32 || !isa.UseNEON {
		return dot64(a, b)
	}
	var lane [4]float32
	laneDotNEON(&a[0], &b[:n][0], n, &lane[0])
	return sum64(lane[:])
}
