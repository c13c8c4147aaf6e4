//go:build !purego

package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// quantizeVec quantizes whole vectors and returns the number of values done.
func (q Quant) quantizeVec(dst []uint8, x []float32) int {
	n := len(x) &^ 15
	lo := -float32(q.Zero)
	switch {
	case n == 0 || !isa.UseAVX2:
		return 0
	case isa.UseAVX512:
		quantizeBytesAVX512(&dst[0], &x[0], n, q.Scale, lo, lo+255, int32(q.Zero))
	default:
		quantizeBytesAVX2(&dst[0], &x[0], n, q.Scale, lo, lo+255, int32(q.Zero))
	}
	return n
}

// dequantizeVec dequantizes whole vectors and returns the number of values done.
func (q Quant) dequantizeVec(dst []float32, x []uint8) int {
	n := len(x) &^ 15
	switch {
	case n == 0 || !isa.UseAVX2:
		return 0
	case isa.UseAVX512:
		dequantizeBytesAVX512(&dst[0], &x[0], n, q.Scale, float32(q.Zero))
	default:
		dequantizeBytesAVX2(&dst[0], &x[0], n, q.Scale, float32(q.Zero))
	}
	return n
}

// maxBytesVec is maxBytes of whole vectors. It returns the number of values done.
func maxBytesVec(dst, x, y []uint8) int {
	n := len(dst) &^ 63
	switch {
	case n == 0 || !isa.UseAVX2:
		return 0
	case isa.UseAVX512:
		maxBytesAVX512(&dst[0], &x[0], &y[0], n)
	default:
		maxBytesAVX2(&dst[0], &x[0], &y[0], n)
	}
	return n
}
