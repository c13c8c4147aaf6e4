package kernel

import "math"

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
