package jpeg

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
	"github.com/resnet-go/resnet/internal/simd/pixels"
)

// randomBlock returns coefficients and steps of some kind: as files have them, few or
// many, in one row or column, or such that products and sums leave 16 bits.
func randomBlock(rng *rand.Rand) (b, q block) {
	most := []int{1, 2, 60, 1024, 32767}[rng.IntN(5)]
	steps := []int{1, 16, 255, 32767}[rng.IntN(4)]
	value := func(most int) int16 {
		switch rng.IntN(40) {
		case 0:
			return -1 << 15
		case 1:
			return 1<<15 - 1
		}
		return int16(rng.IntN(2*most+1) - most)
	}
	kind := rng.IntN(5)
	for i := range b {
		q[i] = int16(1 + rng.IntN(steps))
		switch {
		case kind == 0 && i >= 8, kind == 1 && i%8 > 0, kind == 2 && i > 0, kind == 3 && rng.IntN(6) > 0:
			continue
		}
		if b[i] = value(most); most == 60 && rng.IntN(20) > 0 {
			b[i] = int16(rng.IntN(2*most+1) - most)
		}
	}
	return b, q
}

// The transform by vector instructions is that of plain Go for any coefficients.
func TestTransformByVectorInstructions(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 1))
		for i := range 40000 {
			b, q := randomBlock(rng)
			stride := 8 + rng.IntN(20)
			want, got := bytes.Repeat([]uint8{77}, 7*stride+8), bytes.Repeat([]uint8{77}, 7*stride+8)
			idct8(&b, &q, want, stride)
			cleared := b
			if !pixels.IDCT8(got, stride, (*[blockSize]int16)(&cleared), (*[blockSize]int16)(&q)) {
				if isa.UseAVX2 || isa.UseNEON {
					t.Fatal("there is assembly, but it is not used")
				}
				return
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("block %d: %v by %v: %v, not %v", i, b, q, got, want)
			}
			if cleared != (block{}) {
				t.Fatalf("block %d is not cleared: %v", i, cleared)
			}
		}
	})
}

// A block of one coefficient is flat, and as the whole transform has it.
func TestFlatBlocks(t *testing.T) {
	for v := -1 << 15; v < 1<<15; v += 7 {
		for _, q := range []int16{1, 2, 16, 255, 30000} {
			c := component{side: 8, stride: 8, pix: make([]uint8, 64)}
			c.quant[0] = q
			want := make([]uint8, 64)
			idct8(&block{int16(v)}, &c.quant, want, 8)
			b := block{int16(v)}
			if c.store(&b, true, 0, 0); !bytes.Equal(c.pix, want) || b != (block{}) {
				t.Fatalf("%d by %d is %d, not %d", v, q, c.pix[0], want[0])
			}
		}
	}
}

func BenchmarkTransform(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 1))
	var from, q block
	for i := range from {
		from[i], q[i] = int16(rng.IntN(9)-4), 10
	}
	c := component{side: 8, stride: 512, pix: make([]uint8, 8*512), quant: q}
	for b.Loop() {
		work := from
		c.store(&work, false, 3, 0)
	}
}
