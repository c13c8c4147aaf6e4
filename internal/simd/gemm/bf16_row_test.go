package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// The fast way of a row gives the bits of bf16Dot, also where sums are halfway
// between two numbers, tiny, huge or not finite.
func TestBF16DotRow(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	word := func() uint32 {
		w := uint32(0)
		for range 2 {
			w = w<<16 | bf16Bits(edgyFloat(r))&0xffff
		}
		if r.IntN(2) == 0 { // near one, with few bits, so that sums are often ties
			w = 0x3f803f80 | uint32(r.IntN(4))<<5 | uint32(r.IntN(4))<<21
		}
		return w
	}
	for range 20000 {
		var acc, want [isa.PanelWidth]float32
		var b [isa.PanelWidth]float32
		a := word()
		for j := range acc {
			b[j] = math.Float32frombits(word())
			acc[j] = edgyFloat(r)
			if r.IntN(2) == 0 {
				acc[j] = float32(math.Ldexp(float64(1+r.IntN(1<<23)), r.IntN(6)-2))
			}
			want[j] = bf16Dot(acc[j], a, math.Float32bits(b[j]))
		}
		was := acc
		bf16DotRow(&acc, a, &b)
		sameOrNaN(t, fmt.Sprintf("%08x with %x and %v", a, b, was), acc[:], want[:])
	}
}
