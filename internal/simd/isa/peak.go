package isa

import "time"

// PeakGFLOPS measures how many billion floating-point operations a second (an
// FMA counts as two a lane) one core does on registers alone: the bound that
// the GEMM kernels are compared with. It takes about ten milliseconds and takes
// the best of several, because other programs may use the core. It returns 0
// where there are no assembly kernels.
func PeakGFLOPS() float64 {
	best := 0.0
	for range 64 {
		start := time.Now()
		flops := FmaPeak()
		if flops == 0 {
			return 0
		}
		best = max(best, float64(flops)/float64(time.Since(start).Nanoseconds()))
	}
	return best
}
