package isa

import "math"

// FMA returns x*y + z rounded once to float32. The product is exact in float64;
// the sum is rounded to odd there, which a second rounding does not disturb.
func FMA(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	sum := p + c
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return float32(sum)
	}
	t := sum - p
	rest := (p - (sum - t)) + (c - t)
	if bits := math.Float64bits(sum); rest != 0 && bits&1 == 0 {
		if (rest > 0) == (sum > 0) {
			bits++
		} else {
			bits--
		}
		sum = math.Float64frombits(bits)
	}
	return float32(sum)
}
