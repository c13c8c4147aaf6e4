package ref

import (
	"math"

	"github.com/resnet-go/resnet/graph"
)

// alongAxis calls f for each element of x with its index along the axis, or 0
// where there is one scale for all.
func alongAxis(x array, axis, scales int, f func(x float64, at int) float64) array {
	y := zeros(x.shape...)
	step := 1
	if scales > 1 {
		step = strides(x.shape)[axis]
	}
	for i, v := range x.f {
		y.f[i] = f(v, i/step%scales)
	}
	return y
}

func quantizeLinear(o graph.QuantizeLinear, x array) array {
	lo, hi := o.Bounds()
	return alongAxis(x, o.Axis, len(o.Scale), func(x float64, at int) float64 {
		if math.IsNaN(x) {
			return float64(lo)
		}
		q := math.RoundToEven(float64(float32(x)/o.Scale[at])) + float64(o.Zero[at])
		return min(max(q, float64(lo)), float64(hi))
	})
}

func dequantizeLinear(o graph.DequantizeLinear, x array) array {
	return alongAxis(x, o.Axis, len(o.Scale), func(x float64, at int) float64 {
		return (x - float64(o.Zero[at])) * float64(o.Scale[at])
	})
}
