package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// BinaryOp names an element-wise function of two arguments.
type BinaryOp uint8

// The functions of the Binary kernels.
const (
	OpAdd     BinaryOp = iota // a + b
	OpSub                     // a - b
	OpMul                     // a * b
	OpDiv                     // a / b
	OpMax                     // the larger; NaN if either is
	OpMin                     // the smaller; NaN if either is
	OpAddReLU                 // max(0, a+b)
	OpPow                     // a to the power b
	binaryOps
)

// Binary computes y[i] = a[i] op b[i]. y may be a or b.
func Binary(op BinaryOp, y, a, b []float32) {
	isa.CheckLen(len(y), len(a), "Binary y")
	isa.CheckLen(len(b), len(a), "Binary b")
	if op >= binaryOps {
		panic(badOp)
	}
	binary(op, y, a, b)
}

// BinaryScalar computes y[i] = a[i] op s. y may be a.
func BinaryScalar(op BinaryOp, y, a []float32, s float32) {
	isa.CheckLen(len(y), len(a), "BinaryScalar y")
	if op >= binaryOps {
		panic(badOp)
	}
	binaryScalar(op, y, a, s)
}

// BinaryRow computes y[r][ch] = a[r][ch] op row[ch] for rows x c, c = len(row):
// a value per channel. A gate per image and channel (squeeze-and-excitation) is
// one call for the rows of each image. y may be a.
func BinaryRow(op BinaryOp, y, a, row []float32) {
	isa.CheckLen(len(y), len(a), "BinaryRow y")
	if op >= binaryOps {
		panic(badOp)
	}
	if len(a) == 0 {
		return
	}
	c := len(row)
	rows := len(a) / c
	isa.CheckLen(len(a), rows*c, "BinaryRow a")
	if op == OpMul {
		ScaleGrad(y, a, nil, row, false)
		return
	}
	var room [maxWide + 16]float32
	buf := aligned(room[:])
	wide := row
	if k := widen(c, rows); k > 1 {
		wide = buf[:k*c]
		repeat(wide, row)
	}
	w := len(wide)
	r := 0
	for ; r+w <= len(a); r += w {
		binary(op, y[r:r+w], a[r:r+w], wide)
	}
	if r < len(a) {
		binary(op, y[r:], a[r:], wide[:len(a)-r])
	}
}

// BinaryCol computes y[r][ch] = a[r][ch] op col[r] for rows x c: a value per
// pixel (spatial attention). y may be a.
func BinaryCol(op BinaryOp, y, a, col []float32, c int) {
	isa.CheckLen(len(y), len(a), "BinaryCol y")
	isa.CheckLen(len(a), len(col)*c, "BinaryCol a")
	if op >= binaryOps {
		panic(badOp)
	}
	for r, v := range col {
		binaryScalar(op, y[r*c:r*c+c], a[r*c:r*c+c], v)
	}
}

// Broadcast describes the operands of [BinaryStrided]: the shape of the result, of
// at most 8 dimensions, and the distances between elements of a and b in each
// dimension, 0 where they are broadcast.
type Broadcast struct{ Shape, A, B []int }

// BinaryStrided computes y = a op b with general broadcasting. y is contiguous;
// element i, j, ... of a is a[i*s.A[0]+j*s.A[1]+...], likewise b. It does the part
// [lo, hi) of dimension 0. y may be a (or b) if the strides of that one are y's own.
func BinaryStrided(op BinaryOp, y, a, b []float32, s Broadcast, lo, hi int) {
	shape, aStride, bStride := s.Shape, s.A, s.B
	if op >= binaryOps {
		panic(badOp)
	}
	if len(shape) == 0 {
		if lo < hi {
			binary(op, y[:1], a[:1], b[:1])
		}
		return
	}
	inner := 1
	for _, d := range shape[1:] {
		inner *= d
	}
	var w walk
	w.init(shape, aStride, bStride)
	if hi <= lo || inner == 0 {
		return
	}
	a, b = a[lo*aStride[0]:], b[lo*bStride[0]:]
	w.shape[0] = hi - lo
	w.collapse()
	d := w.n - 1
	n, as, bs := w.shape[d], w.stride[0][d], w.stride[1][d]
	out := y[lo*inner : hi*inner]
	for ; len(out) > 0; out = out[n:] {
		x, z, o := a[w.at[0]:], b[w.at[1]:], out[:n]
		switch {
		case as == 1 && bs == 1:
			binary(op, o, x[:n], z[:n])
		case as == 1 && bs == 0:
			binaryScalar(op, o, x[:n], z[0])
		default:
			for i := range o {
				o[i] = binary1(op, x[i*as], z[i*bs])
			}
		}
		w.next(d)
	}
}

// Axpy computes y[i] += a*x[i].
func Axpy(y, x []float32, a float32) {
	isa.CheckLen(len(x), len(y), "Axpy x")
	axpy(y, x, a)
}

// AddTo adds src to dst, of the same length.
func AddTo(dst, src []float32) { axpy(dst, src[:len(dst)], 1) }

// Scale computes y[i] = a*x[i]. y may be x.
func Scale(y, x []float32, a float32) { BinaryScalar(OpMul, y, x, a) }

// Fill sets every element of y to v.
func Fill(y []float32, v float32) {
	if len(y) == 0 {
		return
	}
	if v == 0 && !math.Signbit(float64(v)) {
		clear(y)
		return
	}
	y[0] = v
	for n := 1; n < len(y); n *= 2 {
		copy(y[n:], y[:n])
	}
}

// binary computes y = a op b.
func binary(op BinaryOp, y, a, b []float32) {
	n := len(a)
	if n == 0 {
		return
	}
	y, b = y[:n], b[:n]
	if op == OpPow || isa.Lanes() == 0 {
		binaryGeneric(op, y, a, b)
		return
	}
	p, q, r := &y[0], &a[0], &b[0]
	switch op {
	case OpAdd:
		binaryAddAsm(p, q, r, n)
	case OpSub:
		binarySubAsm(p, q, r, n)
	case OpMul:
		binaryMulAsm(p, q, r, n)
	case OpDiv:
		binaryDivAsm(p, q, r, n)
	case OpMax:
		binaryMaxAsm(p, q, r, n)
	case OpMin:
		binaryMinAsm(p, q, r, n)
	case OpAddReLU:
		binaryAddReLUAsm(p, q, r, n)
	}
}

// binaryScalar computes y = a op s.
func binaryScalar(op BinaryOp, y, a []float32, s float32) {
	n := len(a)
	if n == 0 {
		return
	}
	y = y[:n]
	if op == OpPow || isa.Lanes() == 0 {
		binaryScalarGeneric(op, y, a, s)
		return
	}
	p, q := &y[0], &a[0]
	switch op {
	case OpAdd:
		scalarAddAsm(p, q, n, s)
	case OpSub:
		scalarSubAsm(p, q, n, s)
	case OpMul:
		scalarMulAsm(p, q, n, s)
	case OpDiv:
		scalarDivAsm(p, q, n, s)
	case OpMax:
		scalarMaxAsm(p, q, n, s)
	case OpMin:
		scalarMinAsm(p, q, n, s)
	case OpAddReLU:
		scalarAddReLUAsm(p, q, n, s)
	}
}

// axpy computes y += a*x.
func axpy(y, x []float32, a float32) {
	n := len(y)
	if n == 0 {
		return
	}
	x = x[:n]
	if isa.Lanes() == 0 {
		axpyGeneric(y, x, a)
		return
	}
	axpyAsm(&y[0], &x[0], n, a)
}

func binaryGeneric(op BinaryOp, y, a, b []float32) {
	y, b = y[:len(a)], b[:len(a)]
	switch op {
	case OpAdd:
		for i, v := range a {
			y[i] = v + b[i]
		}
	case OpSub:
		for i, v := range a {
			y[i] = v - b[i]
		}
	case OpMul:
		for i, v := range a {
			y[i] = v * b[i]
		}
	case OpDiv:
		for i, v := range a {
			y[i] = v / b[i]
		}
	default:
		for i, v := range a {
			y[i] = binary1(op, v, b[i])
		}
	}
}

func binaryScalarGeneric(op BinaryOp, y, a []float32, s float32) {
	y = y[:len(a)]
	switch op {
	case OpAdd:
		for i, v := range a {
			y[i] = v + s
		}
	case OpMul:
		for i, v := range a {
			y[i] = v * s
		}
	default:
		for i, v := range a {
			y[i] = binary1(op, v, s)
		}
	}
}

func binary1(op BinaryOp, a, b float32) float32 {
	switch op {
	case OpAdd:
		return a + b
	case OpSub:
		return a - b
	case OpMul:
		return a * b
	case OpDiv:
		return a / b
	case OpMax:
		if a > b || a != a {
			return a
		}
		return b
	case OpMin:
		if a < b || a != a {
			return a
		}
		return b
	case OpAddReLU:
		if v := a + b; !(v < 0) {
			return v
		}
		return 0
	case OpPow:
		return float32(math.Pow(float64(a), float64(b)))
	}
	panic(badOp)
}

func axpyGeneric(y, x []float32, a float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += a * x[i]
	}
}
