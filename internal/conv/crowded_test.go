package conv

import (
	"testing"

	"github.com/resnet-go/resnet/internal/cpu"
	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// withCore runs f with plans for another core.
func withCore(core cpu.Core, f func()) {
	set := isa.Planned()
	set.Core = core
	isa.PlanFor = &set
	defer func() { isa.PlanFor = nil }()
	f()
}

// Rows that crowd sets of the cache are copied apart, which changes no bit: the
// order of the sums is the same.
func TestCrowdedRows(t *testing.T) {
	shapes := append([]Conv{
		conv(2, 4, 5, 64, 80, 1, 1, 0),
		conv(1, 17, 16, 64, 64, 1, 2, 0),
		conv(2, 5, 5, 48, 70, 3, 2, 1),
		conv(1, 3, 5, 1100, 64, 1, 1, 0), // in parts of the sum
		conv(2, 9, 8, 64, 300, 1, 1, 0),  // two blocks of channels of dy
		conv(1, 12, 15, 257, 40, 3, 1, 1),
	}, convShapes...)
	crowded := cpu.Core{L1Bytes: 4, L1Ways: 1} // any two rows share a set
	pool := parallel.NewPool(2)
	defer pool.Close()
	isatest.EachISA(t, func(t *testing.T) {
		copied, bothCopied := 0, 0
		for _, c := range shapes {
			precisions := []gemm.Precision{gemm.FP32}
			if isa.HaveBF16 && isa.UseAVX512 {
				precisions = append(precisions, gemm.BF16)
			}
			for _, c.Precision = range precisions {
				x, y, w := isatest.RandomFloats(1, c.XLen()), isatest.RandomFloats(2, c.YLen()), isatest.RandomFloats(3, c.WLen())
				bias := isatest.RandomFloats(4, c.K)
				var got, want [3][]float32
				run := func() (out [3][]float32) {
					forward := planned(t, directForward, c, Want{})
					out[0] = isatest.Nans(c.YLen())
					runPlan(pool, forward, Args{X: x, Packed: packWith(pool, forward.Packed, w), Bias: bias, Residual: y, Y: out[0], Act: isa.ActReLU})
					grad := planned(t, directInputGrad, c, Want{Op: InputGrad})
					out[1] = isatest.Nans(c.XLen())
					runPlan(pool, grad, Args{X: y, Packed: packWith(pool, grad.Packed, w), Y: out[1]})
					out[2] = isatest.Nans(c.WLen())
					runPlan(pool, planned(t, directWeightGrad, c, Want{Op: WeightGrad}), Args{X: x, DY: y, Y: out[2]})
					return out
				}
				withCore(cpu.Core{}, func() { want = run() })
				withCore(crowded, func() {
					got = run()
					if q := newDirectForward(c); q.copied && q.pixPitch > q.c {
						copied++
					}
					if g := newWeightGrad(c); g.wholeDY && g.copyX {
						bothCopied++
					}
				})
				isatest.SameBits(t, c.String()+" y", got[0], want[0])
				isatest.SameBits(t, c.String()+" dx", got[1], want[1])
				isatest.SameBits(t, c.String()+" dw", got[2], want[2])
			}
		}
		if copied < len(shapes)/2 {
			t.Errorf("rows are copied apart in %d of %d convolutions", copied, len(shapes))
		}
		if avx2 := isa.UseAVX2 && !isa.UseAVX512; avx2 != (bothCopied >= len(shapes)/2) {
			t.Errorf("x and dy are copied in %d of %d gradients of weights", bothCopied, len(shapes))
		}
	})
}

// The rows of ResNet-50's layers with 1,024 channels crowd a first-level cache of 8
// ways, those of its other layers do not.
func TestCrowdedLayers(t *testing.T) {
	avx512 := isa.Set{AVX2: true, AVX512: true, Core: cpu.Zen4}
	avx2 := isa.Set{AVX2: true, Core: cpu.Zen3}
	for _, l := range []struct {
		set    isa.Set
		c      Conv
		copied bool
	}{
		{avx512, conv(1, 14, 14, 1024, 256, 1, 1, 0), true},
		{avx512, conv(1, 14, 14, 1040, 256, 1, 1, 0), false},
		{avx512, conv(1, 14, 14, 1024, 32, 1, 1, 0), false}, // a copy would cost more
		{avx512, conv(1, 28, 28, 512, 1024, 1, 2, 0), true},
		{avx512, conv(1, 28, 28, 512, 128, 1, 1, 0), false},
		{avx2, conv(1, 14, 14, 1024, 256, 1, 1, 0), false}, // 6 rows
	} {
		isa.PlanFor = &l.set
		q := newDirectForward(l.c)
		isa.PlanFor = nil
		if q.copied != l.copied {
			t.Errorf("%v: rows are copied: %v", l.c, q.copied)
		}
	}
}
