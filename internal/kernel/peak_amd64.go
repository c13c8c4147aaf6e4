//go:build !purego

package kernel

//go:noescape
func fmaPeakAVX512(n int)

//go:noescape
func fmaPeakAVX2(n int)

// fmaPeak runs about 16 million floating-point operations or more on registers
// and returns their number.
func fmaPeak() (flops int) {
	const n = 1 << 16
	switch {
	case useAVX512:
		fmaPeakAVX512(n)
		return n * 12 * 16 * 2
	case useAVX2:
		fmaPeakAVX2(n)
		return n * 12 * 8 * 2
	}
	return 0
}
