package graph

import (
	"fmt"
	"math"
)

// QuantizeLinear maps x to 8-bit integers, as ONNX's operator of the same name:
//
//	y = clamp(round(x/Scale) + Zero)
//
// The quotient is a float32, rounded to the nearest integer, ties to even. The
// range is 0..255 or, with Signed, -128..127; NaN becomes the lowest integer.
// Input any shape, output the same. The integers are stored as float32 values,
// which represent them exactly.
type QuantizeLinear struct {
	Scale  []float32 // one, or one for each index of Axis
	Zero   []int32   // zero points, one for each scale
	Axis   int       // of the scales if there is more than one
	Signed bool
}

func (QuantizeLinear) Name() string { return "QuantizeLinear" }

// Bounds returns the range of the integers.
func (o QuantizeLinear) Bounds() (lo, hi int32) {
	if o.Signed {
		return -128, 127
	}
	return 0, 255
}

func (o QuantizeLinear) Infer(in []Type) ([]Type, error) {
	lo, hi := o.Bounds()
	for _, z := range o.Zero {
		if z < lo || z > hi {
			return nil, fmt.Errorf("the zero point %d is not within %d..%d", z, lo, hi)
		}
	}
	return inferScales(in, o.Scale, o.Zero, o.Axis)
}

// DequantizeLinear is y = (x - Zero) * Scale for integers x from a
// [QuantizeLinear]. Input any shape, output the same.
type DequantizeLinear struct {
	Scale []float32 // one, or one for each index of Axis
	Zero  []int32   // zero points, one for each scale
	Axis  int       // of the scales if there is more than one
}

func (DequantizeLinear) Name() string { return "DequantizeLinear" }

func (o DequantizeLinear) Infer(in []Type) ([]Type, error) {
	return inferScales(in, o.Scale, o.Zero, o.Axis)
}

func inferScales(in []Type, scale []float32, zero []int32, axis int) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if len(zero) != len(scale) {
		return nil, fmt.Errorf("there are %d scales but %d zero points, want one each", len(scale), len(zero))
	}
	for _, s := range scale {
		if !(s > 0) || math.IsInf(float64(s), 0) {
			return nil, fmt.Errorf("the scale %g is not a positive number", s)
		}
	}
	if len(scale) != 1 {
		if axis < 0 || axis >= len(in[0].Shape) {
			return nil, fmt.Errorf("the scales' axis %d is no axis of %v", axis, in[0].Shape)
		}
		if len(scale) != in[0].Shape[axis] {
			return nil, fmt.Errorf("there are %d scales for axis %d of %v, want one for each index", len(scale), axis, in[0].Shape)
		}
	}
	return []Type{in[0]}, floats(in)
}
