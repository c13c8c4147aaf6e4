//go:build !amd64 || purego

package kernel

// PeakGFLOPS returns 0: without assembly kernels the peak of vector arithmetic
// says nothing.
func PeakGFLOPS() float64 { return 0 }

func fmaPeak() int { return 0 }
