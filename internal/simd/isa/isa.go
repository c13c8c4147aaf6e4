// Package isa is the part of the SIMD kernels that they all share: which
// instruction sets are in use, the width of a panel, the activations of an
// epilogue, and the exact fused multiply-add that plain Go compares with.
package isa

//go:generate go -C ../_asm run . -out ..

import (
	"errors"
	"time"

	"github.com/resnet-go/resnet/internal/cpu"
)

// The instruction sets that the kernels use; all false with the build tag purego.
// Tests flip them to run each variant. Nothing else writes them after start-up.
var (
	UseAVX2   = HaveAsm && cpu.AVX2
	UseAVX512 = HaveAsm && cpu.AVX512
	UseNEON   = HaveAsm && cpu.NEON
)

// ISA returns the name of the widest instruction set in use: "avx512", "avx2",
// "neon" or "generic".
func ISA() string {
	switch {
	case UseAVX512:
		return "avx512"
	case UseAVX2:
		return "avx2"
	case UseNEON:
		return "neon"
	}
	return "generic"
}

// Lanes returns the number of float32 in a vector of the instruction set in use, 0
// without assembly.
func Lanes() int {
	switch {
	case UseAVX512:
		return 16
	case UseAVX2:
		return 8
	case UseNEON:
		return 4
	}
	return 0
}

// Vectorized returns the number of channels, of n neighboring ones, that kernels over
// channels compute: whole vectors, which leave the rest to Go. AVX-512 masks the last
// vector and computes all.
func Vectorized(n int) int {
	switch {
	case UseAVX512:
		return n
	case UseAVX2:
		return n &^ 7
	case UseNEON:
		return n &^ 3
	}
	return 0
}

// UseVNNI is set if the CPU has the 8-bit dot products of AVX-512 (VPDPBUSD). They
// are used where UseAVX512 is set too.
var UseVNNI = HaveAsm && cpu.AVX512VNNI

// Set is a choice of instruction sets, and the core that has them.
type Set struct {
	AVX2, AVX512, NEON, VNNI bool
	Core                     cpu.Core
}

// PlanFor, unless it is nil, replaces the instruction sets in use wherever the form
// of a computation is chosen: algorithms, tiles, tasks. A test sets it to see the
// plans of a machine that it does not run on. Such a plan can be compiled, for
// weights are packed alike everywhere, but must not be run.
var PlanFor *Set

// Planned returns the instruction sets that plans are made for.
func Planned() Set {
	if PlanFor != nil {
		return *PlanFor
	}
	return Set{AVX2: UseAVX2, AVX512: UseAVX512, NEON: UseNEON, VNNI: UseVNNI, Core: cpu.Detected}
}

// RoundMagic is 1.5·2²³: adding it to a float32 below 2²² and subtracting it again
// rounds to the nearest integer, ties to even.
const RoundMagic = 3 << 22

// HaveBF16 is set if the processor has bfloat16 dot products (AVX512-BF16).
var HaveBF16 = HaveAsm && cpu.AVX512BF16

// ErrNoBF16 names the missing instructions.
var ErrNoBF16 = errors.New("this processor has no bfloat16 dot products (AVX512-BF16)")

// BF16PeakGFLOPS is [PeakGFLOPS] of the dot products of bfloat16 numbers, a
// product and its sum counted as two; 0 where the processor has none.
func BF16PeakGFLOPS() float64 {
	const n = 1 << 14
	best := 0.0
	for range 64 {
		if !HaveBF16 {
			break
		}
		start := time.Now()
		bf16Peak(n)
		best = max(best, n*12*32*2/float64(time.Since(start).Nanoseconds()))
	}
	return best
}
