package vec

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestInt8QuantizeRoundsToEvenAndClamps(t *testing.T) {
	inf := float32(math.Inf(1))
	x := []float32{0, 0.25, 0.75, 1.25, -0.25, -0.75, -5, -5.5, 1000, inf, -inf, float32(math.NaN()), 3e38, -3e38}
	want := []uint8{10, 10, 12, 12, 10, 8, 0, 0, 255, 255, 0, 0, 255, 0}
	q := Quant{Scale: 0.5, Zero: 10}
	isatest.EachISA(t, func(t *testing.T) {
		// Whole vectors and ends.
		for _, n := range []int{1, 15, 16, 17, 50, 129} {
			long, got, back := make([]float32, n), make([]uint8, n), make([]float32, n)
			for i := range long {
				long[i] = x[i%len(x)]
			}
			q.Quantize(got, long)
			q.Dequantize(back, got)
			for i := range got {
				if got[i] != want[i%len(x)] {
					t.Fatalf("%d values: Quantize(%v) = %d, want %d", n, long[i], got[i], want[i%len(x)])
				}
				if v := (float32(got[i]) - 10) * 0.5; back[i] != v {
					t.Fatalf("%d values: Dequantize(%d) = %v, want %v", n, got[i], back[i], v)
				}
			}
		}
		// Quotients near the middle of two integers are divided, not multiplied.
		r := rand.New(rand.NewPCG(7, 7))
		q, many, got := Quant{0.0371, 3}, make([]float32, 1<<12), make([]uint8, 1<<12)
		for i := range many {
			many[i] = (float32(r.IntN(250)) + 0.5) * q.Scale
			if i%3 == 0 {
				many[i] = math.Nextafter32(many[i], 0)
			}
		}
		q.Quantize(got, many)
		for i, v := range many {
			if want := QuantizeTo(v, q.Scale, 3, 0, 255); float32(got[i]) != want {
				t.Fatalf("Quantize(%v) = %d, want %v", v, got[i], want)
			}
		}
	})
}

// The pool of bytes gives what the pool of real numbers gives.
func TestMaxPoolBytes(t *testing.T) {
	shapes := []*PoolShape{
		{N: 2, H: 9, W: 11, C: 64, KH: 3, KW: 3, SH: 2, SW: 2, PadTop: 1, PadLeft: 1, OH: 5, OW: 6},
		{N: 1, H: 8, W: 8, C: 70, KH: 2, KW: 2, SH: 2, SW: 2, OH: 4, OW: 4},
		{N: 1, H: 5, W: 7, C: 3, KH: 3, KW: 1, SH: 1, SW: 1, OH: 3, OW: 7},
		{N: 1, H: 9, W: 9, C: 130, KH: 2, KW: 3, SH: 1, SW: 2, PadTop: 1, PadLeft: 2, DH: 3, DW: 2, OH: 7, OW: 4},
	}
	isatest.EachISA(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 9))
		for _, p := range shapes {
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			x, f := make([]uint8, p.N*p.H*p.W*p.C), make([]float32, p.N*p.H*p.W*p.C)
			for i := range x {
				x[i] = uint8(r.IntN(256))
				f[i] = float32(x[i])
			}
			rows := p.N * p.OH
			got, want := make([]uint8, rows*p.OW*p.C), make([]float32, rows*p.OW*p.C)
			MaxPool(want, nil, f, p, 0, rows)
			scratch := make([]uint8, p.W*p.C)
			MaxPoolBytes(got, x, scratch, p, 0, rows/2)
			MaxPoolBytes(got, x, scratch, p, rows/2, rows)
			for i := range got {
				if float32(got[i]) != want[i] {
					t.Fatalf("%+v: element %d is %d, want %v", p, i, got[i], want[i])
				}
			}
		}
	})
}
