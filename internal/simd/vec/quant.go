package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Quant is the scale and the zero point of a quantized tensor, whose unsigned
// bytes q stand for the real numbers (q - Zero) * Scale.
type Quant struct {
	Scale float32 // above 0
	Zero  uint8
}

// QuantizeTo returns clamp(round(x/scale) + zero, lo, hi), ties rounded to even;
// NaN becomes lo. It divides in float32, as ONNX's QuantizeLinear does: a product
// by the reciprocal rounds differently.
func QuantizeTo(x, scale float32, zero, lo, hi int32) float32 {
	r := math.RoundToEven(float64(x/scale)) + float64(zero)
	if !(r > float64(lo)) {
		return float32(lo)
	}
	return float32(min(r, float64(hi)))
}

// Quantize stores [QuantizeTo] of x, in 0..255.
func (q Quant) Quantize(dst []uint8, x []float32) {
	isa.CheckLen(len(x), len(dst), "values to quantize")
	n := q.quantizeVec(dst, x)
	dst, x = dst[n:], x[n:]
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
		r = float32(r + isa.RoundMagic)
		dst[i] = uint8(int32(r-isa.RoundMagic) + int32(q.Zero))
	}
}

// Dequantize stores the real numbers that x stands for.
func (q Quant) Dequantize(dst []float32, x []uint8) {
	isa.CheckLen(len(x), len(dst), "values to dequantize")
	n := q.dequantizeVec(dst, x)
	zero := float32(q.Zero)
	for i := n; i < len(x); i++ {
		dst[i] = (float32(x[i]) - zero) * q.Scale
	}
}

// quantizeVec quantizes whole vectors and returns the number of values done. Only
// amd64 has kernels for bytes.
func (q Quant) quantizeVec(dst []uint8, x []float32) int {
	n := len(x) &^ 15
	if n == 0 || !isa.UseAVX2 {
		return 0
	}
	lo := -float32(q.Zero)
	quantizeBytesAsm(&dst[0], &x[0], n, q.Scale, lo, lo+255, int32(q.Zero))
	return n
}

// dequantizeVec is quantizeVec for [Quant.Dequantize].
func (q Quant) dequantizeVec(dst []float32, x []uint8) int {
	n := len(x) &^ 15
	if n == 0 || !isa.UseAVX2 {
		return 0
	}
	dequantizeBytesAsm(&dst[0], &x[0], n, q.Scale, float32(q.Zero))
	return n
}

// MaxPoolBytes is [MaxPool] of bytes without the winners, for the output rows
// lo to hi of all images. The largest byte stands for the largest real number, so
// nothing is dequantized. scratch holds a row of x.
func MaxPoolBytes(y, x, scratch []uint8, p *PoolShape, lo, hi int) {
	isa.CheckLen(len(x), p.N*p.H*p.W*p.C, "input")
	isa.CheckLen(len(y), p.N*p.OH*p.OW*p.C, "output")
	row := p.W * p.C
	dh, dw := max(p.DH, 1), max(p.DW, 1)
	isa.CheckMinBytes(len(scratch), row)
	column := scratch[:row]
	for r := lo; r < hi; r++ {
		n, start := r/p.OH, r%p.OH*p.SH-p.PadTop
		k0, k1 := taps(start, p.KH, dh, p.H)
		in := func(k int) []uint8 { return x[((n*p.H)+start+k*dh)*row:][:row] }
		tall := in(k0)
		for k := k0 + 1; k < k1; k++ {
			maxBytes(column, tall, in(k))
			tall = column
		}
		for ow := range p.OW {
			left := ow*p.SW - p.PadLeft
			k0, k1 := taps(left, p.KW, dw, p.W)
			d := y[(r*p.OW+ow)*p.C:][:p.C]
			at := func(k int) []uint8 { return tall[(left+k*dw)*p.C:][:p.C] }
			if k1 == k0+1 {
				copy(d, at(k0))
				continue
			}
			wide := at(k0)
			for k := k0 + 1; k < k1; k++ {
				maxBytes(d, wide, at(k))
				wide = d
			}
		}
	}
}

// maxBytes stores the larger of x and y.
func maxBytes(dst, x, y []uint8) {
	n := maxBytesVec(dst, x, y)
	for i := n; i < len(dst); i++ {
		dst[i] = max(x[i], y[i])
	}
}

// maxBytesVec is quantizeVec for maxBytes.
func maxBytesVec(dst, x, y []uint8) int {
	n := len(dst) &^ 63
	if n == 0 || !isa.UseAVX2 {
		return 0
	}
	maxBytesAsm(&dst[0], &x[0], &y[0], n)
	return n
}
