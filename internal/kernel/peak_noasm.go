//go:build !amd64 || purego

package kernel

// PeakGFLOPS returns 0: without assembly kernels the peak of vector arithmetic
// says nothing.
func PeakGFLOPS() float64 { return 0 }

func fmaPeak() int { return 0 }

// BF16PeakGFLOPS returns 0: without assembly there are no dot products of
// bfloat16 numbers.
func BF16PeakGFLOPS() float64 { return 0 }
