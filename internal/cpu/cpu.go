// Package cpu detects which vector instruction sets this machine and its
// operating system offer to the kernels.
//
// Detection is golang.org/x/sys/cpu's, so the switches of the GODEBUG
// environment variable are honored: GODEBUG=cpu.avx512f=off leaves AVX-512
// out, GODEBUG=cpu.avx2=off leaves AVX2 (and with it all of AVX-512) out,
// GODEBUG=cpu.asimd=off leaves NEON out.
package cpu

import "strings"

// The levels that kernels choose between. Each is false on a machine of
// another architecture and where the operating system does not save the
// registers. They are set before any other package's init and never change.
var (
	// AVX2 means AVX2 and FMA3 (three-operand fused multiply-add).
	AVX2 bool

	// AVX512 means AVX2 above plus AVX-512 F, BW, DQ and VL: what every
	// server core since Skylake has.
	AVX512 bool

	// AVX512VNNI means AVX512 plus the 8-bit dot products (VPDPBUSD).
	AVX512VNNI bool

	// AVX512BF16 means AVX512 plus the bfloat16 dot products (VDPBF16PS).
	AVX512BF16 bool

	// NEON means the 128-bit vector unit of arm64.
	NEON bool
)

// Names returns the levels that are on, widest first, in the spelling that
// `resnet doctor` prints: "avx512", "avx512vnni", "avx512bf16", "avx2",
// "neon". It is empty where only portable Go code can run.
func Names() []string {
	var names []string
	for _, f := range []struct {
		name string
		on   bool
	}{
		{"avx512", AVX512},
		{"avx512vnni", AVX512VNNI},
		{"avx512bf16", AVX512BF16},
		{"avx2", AVX2},
		{"neon", NEON},
	} {
		if f.on {
			names = append(names, f.name)
		}
	}
	return names
}

// String returns the names joined by spaces, or "generic" if there are none.
func String() string {
	if n := Names(); len(n) > 0 {
		return strings.Join(n, " ")
	}
	return "generic"
}
