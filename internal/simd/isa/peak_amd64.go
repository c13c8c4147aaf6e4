//go:build !purego

package isa

//go:noescape
func bf16Peak(n int)

//go:noescape
func fmaPeakAVX512(n int)

//go:noescape
func fmaPeakAVX2(n int)

// FmaPeak runs about 16 million floating-point operations or more on registers
// and returns their number.
func FmaPeak() (flops int) {
	const n = 1 << 16
	switch {
	case UseAVX512:
		fmaPeakAVX512(n)
		return n * 12 * 16 * 2
	case UseAVX2:
		fmaPeakAVX2(n)
		return n * 12 * 8 * 2
	}
	return 0
}
