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
