package isa

import "math"

// FMA returns x*y + z rounded once to float32.
func FMA(x, y, z float32) float32 { return float32(FMAOdd(x, y, z)) }

// FMAOdd returns x*y + z rounded to odd in float64: where the exact value lies
// between two float64 numbers, the one whose last bit is set. Rounding that again to
// float32 gives the exact value rounded once (Boldo and Melquiond, "Emulation of FMA
// and Correctly Rounded Sums: Proved Algorithms Using Rounding to Odd", 2008).
func FMAOdd(x, y, z float32) float64 {
	p, c := float64(x)*float64(y), float64(z) // both exact
	sum := p + c
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return sum
	}
	t := sum - p
	rest := (p - (sum - t)) + (c - t) // the exact error of the sum
	if bits := math.Float64bits(sum); rest != 0 && bits&1 == 0 {
		if (rest > 0) == (sum > 0) {
			bits++
		} else {
			bits--
		}
		sum = math.Float64frombits(bits)
	}
	return sum
}
