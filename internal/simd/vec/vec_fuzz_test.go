package vec

import (
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// FuzzVec compares the kernels of this machine's instruction sets with the
// portable ones on random shapes and values.
func FuzzVec(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint16(16))
	f.Add(uint64(2), uint8(255), uint16(1))
	f.Add(uint64(3), uint8(7), uint16(777))
	f.Fuzz(func(t *testing.T, seed uint64, r uint8, ch uint16) {
		rows, c := int(r), 1+int(ch)%1024
		n := rows * c
		b := isatest.NewBuffers(t, seed)
		x, dy, z := b.In(b.Normal(n, 0, 2)), b.In(b.Normal(n, 0, 1)), b.In(b.Normal(n, 0, 1))
		scale, shift, mean := b.In(b.Positive(c)), b.In(b.Normal(c, 0, 1)), b.In(b.Normal(c, 0, 1))
		var results [][][]float32
		had2, had512, hadNEON := isa.UseAVX2, isa.UseAVX512, isa.UseNEON
		defer func() { isa.UseAVX2, isa.UseAVX512, isa.UseNEON = had2, had512, hadNEON }()
		for _, set := range [][3]bool{{false, false, false}, {had2, false, false}, {had2, had512, false}, {false, false, hadNEON}} {
			isa.UseAVX2, isa.UseAVX512, isa.UseNEON = set[0], set[1], set[2]
			stats, reduce, sums := b.Out(2*c), b.Out(2*c), b.Out(c)
			y, masked, dx, act, drop, p, v := b.Out(n), b.Out(n), b.Out(n), b.Out(n), b.Out(n), b.Inout(x), b.Inout(z)
			BatchNormStats(stats, x, c)
			ScaleShiftAdd(y, x, scale, shift, z, true)
			BatchNormGradReduce(reduce, masked, dy, x, z, mean)
			BatchNormGradApplyRecomputed(dx, dy, x, NormGradCoefs{mean, scale, shift, mean, scale, shift}, false)
			SumMulRows(sums, x, dy, c, 0.5)
			Unary(UnaryOp(seed%uint64(OpExp)), act, x, -1, 1)
			Dropout(drop, x, 0.25, DropoutKey{Seed: seed}, int(ch))
			(&SGD{LR: 0.1, Momentum: 0.9, WeightDecay: 0.01}).Step(p, v, dy)
			results = append(results, [][]float32{stats, reduce, sums, y, masked, dx, act, drop, p, v})
		}
		b.Check()
		for i, r := range results[1:] {
			for k := range r {
				want := results[0][k]
				// Sums of n terms differ by their order, dx where rounding
				// puts the output of the ReLU on the other side of 0.
				switch k {
				case 0, 1, 2:
					isatest.Near(t, "sums", r[k], func(j int) float64 { return float64(want[j]) }, 1e-5*float64(rows+1), 1e-5)
				case 5:
					wrong := 0
					for j := range want {
						if d := r[k][j] - want[j]; d > 1e-4 || d < -1e-4 {
							wrong++
						}
					}
					if wrong > 2 {
						t.Fatalf("variant %d: %d of %d gradients differ", i, wrong, n)
					}
				default:
					isatest.Near(t, "elements", r[k], func(j int) float64 { return float64(want[j]) }, 4e-6, 4e-6)
				}
			}
		}
	})
}
