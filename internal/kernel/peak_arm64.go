//go:build !purego

package kernel

// fmaPeak runs about 12 million floating-point operations on registers and
// returns their number.
func fmaPeak() (flops int) {
	if !useNEON {
		return 0
	}
	const n = 1 << 16
	fmaPeakNEON(n)
	return n * 24 * 4 * 2
}
