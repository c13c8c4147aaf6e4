package graph

import (
	"fmt"
	"math"
)

// QuantizeLinear gives the integers that stand for x, by ONNX's operator of
// that name: y = clamp(round(x/Scale) + Zero), the quotient in float32 and
// rounded to the nearest integer, ties to even, clamped to 0..255 or, with
// Signed, to -128..127; NaN becomes the lowest. Input any shape, output the
// same; the integers are float32 values, which hold them exactly.
type QuantizeLinear struct {
	Scale  []float32 // one, or one for each index of Axis
	Zero   []int32   // as many
	Axis   int       // matters with more than one scale only
	Signed bool
}

// Name implements [Op].
func (QuantizeLinear) Name() string { return "QuantizeLinear" }

// Bounds returns the least and the greatest integer.
func (o QuantizeLinear) Bounds() (lo, hi int32) {
	if o.Signed {
		return -128, 127
	}
	return 0, 255
}

// Infer implements [Op].
func (o QuantizeLinear) Infer(in []Type) ([]Type, error) {
	lo, hi := o.Bounds()
	for _, z := range o.Zero {
		if z < lo || z > hi {
			return nil, fmt.Errorf("the zero point %d is not within %d..%d", z, lo, hi)
		}
	}
	return inferScales(in, o.Scale, o.Zero, o.Axis)
}

// DequantizeLinear is y = (x - Zero) * Scale for x of integers as
// [QuantizeLinear] gives them. Input any shape, output the same.
type DequantizeLinear struct {
	Scale []float32 // one, or one for each index of Axis
	Zero  []int32   // as many
	Axis  int       // matters with more than one scale only
}

// Name implements [Op].
func (DequantizeLinear) Name() string { return "DequantizeLinear" }

// Infer implements [Op].
func (o DequantizeLinear) Infer(in []Type) ([]Type, error) {
	return inferScales(in, o.Scale, o.Zero, o.Axis)
}

func inferScales(in []Type, scale []float32, zero []int32, axis int) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if len(zero) != len(scale) {
		return nil, fmt.Errorf("%d scales but %d zero points", len(scale), len(zero))
	}
	for _, s := range scale {
		if !(s > 0) || math.IsInf(float64(s), 0) {
			return nil, fmt.Errorf("the scale %g is not a positive number", s)
		}
	}
	if len(scale) != 1 {
		if axis < 0 || axis >= len(in[0].Shape) {
			return nil, fmt.Errorf("axis %d of %v", axis, in[0].Shape)
		}
		if len(scale) != in[0].Shape[axis] {
			return nil, fmt.Errorf("%d scales for axis %d of %v", len(scale), axis, in[0].Shape)
		}
	}
	return []Type{in[0]}, floats(in)
}
