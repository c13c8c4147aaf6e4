package kernel

import (
	"math"

	"github.com/resnet-go/resnet/internal/cpu"
)

// useVNNI says that the CPU has the 8-bit dot products of AVX-512 (VPDPBUSD);
// they are used where useAVX512 is set too.
var useVNNI = haveAsm && cpu.AVX512VNNI

// int8Args are the arguments of one call of an integer micro-kernel, which
// sums a tile of m rows and nz panels of 16 columns:
//
//	c[i][z][j] = Σ_b Σ_k Σ_q a[aoff[b] + i*as + 4*k + q] * b[z*bs + ((b*kn + k)*16 + j)*4 + q]
//
// with unsigned a, signed b, q in 0..3 and wrapping int32 sums, which makes the
// result independent of the order. Strides are in bytes; c is dense.
type int8Args struct {
	a     *uint8
	aoff  *int // byte offset into a of each batch element
	batch int  // at least 1
	k     int  // words of four inner products per batch element, at least 1
	as    int  // bytes between rows
	b     *int8
	bs    int // bytes between panels
	c     *int32
}

// int8Store are the arguments of the epilogue of one panel, which computes
// from the sums t, in float32 with every operation rounded,
//
//	v = clamp(float(t[i][j] + corr[j])*scale[j] + (float(res[i][j]) - resZero)*resScale, lo, hi)
//
// and stores v, or as uint8 v rounded to the nearest integer, ties to even,
// plus zero. Strides are in bytes.
type int8Store struct {
	t                 *int32
	rows              int // at least 1
	ts                int // bytes between rows of t
	corr              *int32
	scale             *float32
	res               *uint8 // or nil
	ldr               int    // bytes between rows of res
	out               *uint8 // a *float32 where float is set
	ldo               int    // bytes between rows of out
	bits              uint64 // the lowest cols bits set
	resZero, resScale float32
	lo, hi            float32
	zero              int32
	float             int32
	cols              int // columns in use, 1..16
}

// int8TileInts is the largest number of sums of a tile.
const int8TileInts = 28 * panelWidth

// int8MaxRows returns the largest number of rows of a tile of nz panels, 0 if
// the micro-kernels do not take nz.
func int8MaxRows(nz int) int {
	switch {
	case useAVX512 && useVNNI:
		return [maxPanels + 1]int{0, 28, 14, 9, 6}[nz]
	case useAVX2:
		return [maxPanels + 1]int{0, 2}[nz]
	}
	return [maxPanels + 1]int{0, 4}[nz]
}

// Int8Quant says how the integers of a tensor stand for real numbers:
// real = (q - Zero) * Scale, with unsigned 8-bit q.
type Int8Quant struct {
	Scale float32 // above 0
	Zero  uint8
}

// QuantizeTo returns clamp(round(x/scale) + zero, lo, hi), ties rounded to even;
// NaN becomes lo. It divides in float32, as ONNX QuantizeLinear does.
func QuantizeTo(x, scale float32, zero, lo, hi int32) float32 {
	r := math.RoundToEven(float64(x/scale)) + float64(zero)
	if !(r > float64(lo)) {
		return float32(lo)
	}
	return float32(min(r, float64(hi)))
}

// Quantize stores the nearest integers of x as [QuantizeTo] has them, in 0..255.
func (q Int8Quant) Quantize(dst []uint8, x []float32) {
	checkLen(len(x), len(dst), "values to quantise")
	// Adding and taking off 1.5*2^23 rounds to an integer, ties to even.
	const magic = 3 << 22
	lo, hi := -float32(q.Zero), 255-float32(q.Zero)
	scale := q.Scale
	for i, v := range x {
		r := v / scale
		if !(r > lo) { // NaN too
			r = lo
		}
		if r > hi {
			r = hi
		}
		r = float32(r + magic)
		dst[i] = uint8(int32(r-magic) + int32(q.Zero))
	}
}

// Dequantize stores the real numbers of x.
func (q Int8Quant) Dequantize(dst []float32, x []uint8) {
	checkLen(len(x), len(dst), "values to dequantise")
	var table [256]float32
	for i := range table {
		table[i] = float32(int32(i)-int32(q.Zero)) * q.Scale
	}
	for i, v := range x {
		dst[i] = table[v]
	}
}
