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
	if op == OpPow || !isa.UseAVX2 && !isa.UseAVX512 {
		binaryGeneric(op, y, a, b)
		return
	}
	p, q, r := &y[0], &a[0], &b[0]
	if isa.UseAVX512 {
		switch op {
		case OpAdd:
			binaryAddAVX512(p, q, r, n)
		case OpSub:
			binarySubAVX512(p, q, r, n)
		case OpMul:
			binaryMulAVX512(p, q, r, n)
		case OpDiv:
			binaryDivAVX512(p, q, r, n)
		case OpMax:
			binaryMaxAVX512(p, q, r, n)
		case OpMin:
			binaryMinAVX512(p, q, r, n)
		case OpAddReLU:
			binaryAddReLUAVX512(p, q, r, n)
		}
		return
	}
	switch op {
	case OpAdd:
		binaryAddAVX2(p, q, r, n)
	case OpSub:
		binarySubAVX2(p, q, r, n)
	case OpMul:
		binaryMulAVX2(p, q, r, n)
	case OpDiv:
		binaryDivAVX2(p, q, r, n)
	case OpMax:
		binaryMaxAVX2(p, q, r, n)
	case OpMin:
		binaryMinAVX2(p, q, r, n)
	case OpAddReLU:
		binaryAddReLUAVX2(p, q, r, n)
	}
}

// binaryScalar computes y = a op s.
func binaryScalar(op BinaryOp, y, a []float32, s float32) {
	n := len(a)
	if n == 0 {
		return
	}
	y = y[:n]
	if op == OpPow || !isa.UseAVX2 && !isa.UseAVX512 {
		binaryScalarGeneric(op, y, a, s)
		return
	}
	p, q := &y[0], &a[0]
	if isa.UseAVX512 {
		switch op {
		case OpAdd:
			scalarAddAVX512(p, q, n, s)
		case OpSub:
			scalarSubAVX512(p, q, n, s)
		case OpMul:
			scalarMulAVX512(p, q, n, s)
		case OpDiv:
			scalarDivAVX512(p, q, n, s)
		case OpMax:
			scalarMaxAVX512(p, q, n, s)
		case OpMin:
			scalarMinAVX512(p, q, n, s)
		case OpAddReLU:
			scalarAddReLUAVX512(p, q, n, s)
		}
		return
	}
	switch op {
	case OpAdd:
		scalarAddAVX2(p, q, n, s)
	case OpSub:
		scalarSubAVX2(p, q, n, s)
	case OpMul:
		scalarMulAVX2(p, q, n, s)
	case OpDiv:
		scalarDivAVX2(p, q, n, s)
	case OpMax:
		scalarMaxAVX2(p, q, n, s)
	case OpMin:
		scalarMinAVX2(p, q, n, s)
	case OpAddReLU:
		scalarAddReLUAVX2(p, q, n, s)
	}
}

// axpy computes y += a*x.
func axpy(y, x []float32, a float32) {
	n := len(y)
	if n == 0 {
		return
	}
	x = x[:n]
	if isa.UseAVX512 {
		axpyAVX512(&y[0], &x[0], n, a)
	} else if isa.UseAVX2 {
		axpyAVX2(&y[0], &x[0], n, a)
	} else {
		axpyGeneric(y, x, a)
	}
}

// unary computes y = op(x) if there is assembly for it.
func unary(op UnaryOp, y, x []float32, a, b float32) bool {
	n := len(x)
	if n == 0 || !isa.UseAVX2 && !isa.UseAVX512 {
		return n == 0
	}
	p, q, inf := &y[:n][0], &x[0], float32(math.Inf(1))
	if isa.UseAVX512 {
		switch op {
		case OpReLU:
			clampAVX512(p, q, n, 0, inf)
		case OpClamp:
			clampAVX512(p, q, n, a, b)
		case OpLeakyReLU:
			leakyReLUAVX512(p, q, n, a)
		case OpSigmoid:
			sigmoidAVX512(p, q, n)
		case OpTanh:
			tanhAVX512(p, q, n)
		case OpSiLU:
			siluAVX512(p, q, n)
		case OpGELU:
			geluAVX512(p, q, n)
		case OpExp:
			expAVX512(p, q, n)
		default:
			return false
		}
		return true
	}
	switch op {
	case OpReLU:
		clampAVX2(p, q, n, 0, inf)
	case OpClamp:
		clampAVX2(p, q, n, a, b)
	case OpLeakyReLU:
		leakyReLUAVX2(p, q, n, a)
	case OpSigmoid:
		sigmoidAVX2(p, q, n)
	case OpTanh:
		tanhAVX2(p, q, n)
	case OpSiLU:
		siluAVX2(p, q, n)
	case OpGELU:
		geluAVX2(p, q, n)
	case OpExp:
		expAVX2(p, q, n)
	default:
		return false
	}
	return true
}

// unaryGrad computes dx (+)= dy*op' if there is assembly for it.
func unaryGrad(op UnaryOp, dx, dy, x, y []float32, a, b float32, accumulate bool) bool {
	n := len(dx)
	if n == 0 || !isa.UseAVX2 && !isa.UseAVX512 {
		return n == 0
	}
	p, q := &dx[0], &dy[:n][0]
	if op == OpReLU || op == OpSigmoid || op == OpTanh {
		gradOfOutput(op, p, q, &y[:n][0], n, accumulate)
		return true
	}
	switch op {
	case OpLeakyReLU:
		leakyReLUGrad(p, q, &x[:n][0], n, a, accumulate)
		return true
	case OpSiLU, OpGELU:
	default:
		return false
	}
	if !accumulate {
		gradOfInput(op, p, q, &x[:n][0], n)
		return true
	}
	var buf [256]float32
	for i := 0; i < n; i += len(buf) {
		k := min(len(buf), n-i)
		gradOfInput(op, &buf[0], &dy[i], &x[i], k)
		binary(OpAdd, dx[i:i+k], dx[i:i+k], buf[:k])
	}
	return true
}

func gradOfInput(op UnaryOp, dx, dy, x *float32, n int) {
	switch {
	case op == OpSiLU && isa.UseAVX512:
		siluGradAVX512(dx, dy, x, n)
	case op == OpSiLU:
		siluGradAVX2(dx, dy, x, n)
	case isa.UseAVX512:
		geluGradAVX512(dx, dy, x, n)
	default:
		geluGradAVX2(dx, dy, x, n)
	}
}

func leakyReLUGrad(dx, dy, x *float32, n int, a float32, accumulate bool) {
	switch {
	case isa.UseAVX512 && accumulate:
		leakyReLUGradAddAVX512(dx, dy, x, n, a)
	case isa.UseAVX512:
		leakyReLUGradAVX512(dx, dy, x, n, a)
	case accumulate:
		leakyReLUGradAddAVX2(dx, dy, x, n, a)
	default:
		leakyReLUGradAVX2(dx, dy, x, n, a)
	}
}

func gradOfOutput(op UnaryOp, dx, dy, y *float32, n int, accumulate bool) {
	if isa.UseAVX512 {
		switch {
		case op == OpReLU && accumulate:
			reluGradAddAVX512(dx, dy, y, n)
		case op == OpReLU:
			reluGradAVX512(dx, dy, y, n)
		case op == OpSigmoid && accumulate:
			sigmoidGradAddAVX512(dx, dy, y, n)
		case op == OpSigmoid:
			sigmoidGradAVX512(dx, dy, y, n)
		case op == OpTanh && accumulate:
			tanhGradAddAVX512(dx, dy, y, n)
		case op == OpTanh:
			tanhGradAVX512(dx, dy, y, n)
		}
		return
	}
	switch {
	case op == OpReLU && accumulate:
		reluGradAddAVX2(dx, dy, y, n)
	case op == OpReLU:
		reluGradAVX2(dx, dy, y, n)
	case op == OpSigmoid && accumulate:
		sigmoidGradAddAVX2(dx, dy, y, n)
	case op == OpSigmoid:
		sigmoidGradAVX2(dx, dy, y, n)
	case op == OpTanh && accumulate:
		tanhGradAddAVX2(dx, dy, y, n)
	case op == OpTanh:
		tanhGradAVX2(dx, dy, y, n)
	}
}
