package isa

import "math"

// Act is the activation that a kernel's epilogue applies to what it stores.
type Act uint8

// The activations of the epilogue. Each passes NaN through.
const (
	ActNone  Act = iota // y = v
	ActReLU             // y = max(v, 0)
	ActReLU6            // y = min(max(v, 0), 6)
)

func CeilDiv(a, b int) int { return (a + b - 1) / b }

// CheckFloats panics unless a slice handed to a kernel has the length that its
// plan was made for: a wrong one is a bug in the caller, and the kernels below
// do not look again.
func CheckFloats(what string, s []float32, want int) {
	if len(s) != want {
		panic("isa: " + what + " has the wrong length")
	}
}

func CheckMin(what string, s []float32, want int) {
	if len(s) < want {
		panic("isa: " + what + " is too short")
	}
}

// Bounds returns what the activation clamps to.
func (a Act) Bounds() (lo, hi float32) {
	switch a {
	case ActNone:
		return float32(math.Inf(-1)), float32(math.Inf(1))
	case ActReLU:
		return 0, float32(math.Inf(1))
	case ActReLU6:
		return 0, 6
	}
	panic("isa: unknown activation")
}
