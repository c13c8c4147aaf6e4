//go:build !purego

package kernel

import "time"

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

// BF16PeakGFLOPS is [PeakGFLOPS] of the dot products of bfloat16 numbers, a
// product and its sum counted as two; 0 where the processor has none.
func BF16PeakGFLOPS() float64 {
	const n = 1 << 14
	best := 0.0
	for range 64 {
		if !haveBF16 {
			break
		}
		start := time.Now()
		bf16Peak(n)
		best = max(best, n*12*32*2/float64(time.Since(start).Nanoseconds()))
	}
	return best
}
