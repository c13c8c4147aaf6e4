//go:build !purego

package isa

// FmaPeak runs about 12 million floating-point operations on registers and
// returns their number.
func FmaPeak() (flops int) {
	if !UseNEON {
		return 0
	}
	const n = 1 << 16
	fmaPeakNEON(n)
	return n * 24 * 4 * 2
}
