package gemm8

import (
	"encoding/binary"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Wide reports whether the micro-kernels take pixels and weights as 16 bits each, of
// pixels unsigned bytes, two in a word, instead of as bytes, four in a word: AVX2 has no
// product of bytes whose sums cannot saturate.
func Wide() bool {
	machine := isa.Planned()
	return machine.AVX2 && !(machine.AVX512 && machine.VNNI)
}

// Size returns the bytes of a pixel's channel and of a weight: 2 if they are [Wide].
func Size() int {
	if Wide() {
		return 2
	}
	return 1
}

// Widen stores the bytes of src as 16 bits each, of which dst has as many.
func Widen(dst, src []uint8) {
	isa.CheckLen(len(dst), 2*len(src), "widened bytes")
	n := 0
	if isa.UseAVX2 && len(src) >= 16 {
		n = len(src) / 16 * 16
		widen(dst, src, n)
	}
	for i, v := range src[n:] {
		binary.LittleEndian.PutUint16(dst[2*(n+i):], uint16(v))
	}
}
