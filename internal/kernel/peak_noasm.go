//go:build (!amd64 && !arm64) || purego

package kernel

func fmaPeak() int { return 0 }

// BF16PeakGFLOPS returns 0: without assembly there are no dot products of
// bfloat16 numbers.
func BF16PeakGFLOPS() float64 { return 0 }
