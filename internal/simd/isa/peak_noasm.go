//go:build (!amd64 && !arm64) || purego

package isa

// FmaPeak returns 0: without assembly there is nothing to measure.
func FmaPeak() int { return 0 }
