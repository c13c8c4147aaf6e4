package conv

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// Winograd's products of bfloat16 numbers agree with float64 within a few times the
// rounding of the direct ones, have the same bits at any number of threads, and those of
// the instruction are those of its emulation.
func TestWinogradBF16(t *testing.T) {
	one, two, eight := parallel.NewPool(1), parallel.NewPool(2), parallel.NewPool(8)
	defer one.Close()
	defer two.Close()
	defer eight.Close()
	shapes := slices.Concat(winogradShapes, dilatedShapes, stride2Shapes, []Conv{conv(1, 14, 14, 200, 48, 3, 1, 1), conv(2, 7, 7, 512, 70, 3, 1, 1)})
	want := Want{Fast: true, ConstantWeights: true}
	isatest.EachISA(t, func(t *testing.T) {
		for _, c := range shapes {
			if tooSlow(c, 1<<21) {
				continue
			}
			t.Run(c.String(), func(t *testing.T) {
				k := newConvCase(c)
				var first []float32
				for _, p := range bf16Precisions() {
					k.Precision = p
					algorithm := winogradForward(wino.F4)
					if c.StrideH == 2 {
						algorithm = winogradStride2
					}
					plan := planned(t, narrow(algorithm), k.Conv, want)
					y := runForward(one, plan, k, nil, nil, isa.ActNone)
					nearlyTo(t, "y", y, k.y64)
					for _, many := range []*parallel.Pool{two, eight} {
						isatest.SameBits(t, fmt.Sprintf("y of %d workers", many.Workers()), runForward(many, plan, k, nil, nil, isa.ActNone), y)
					}
					if first == nil {
						first = y
					}
					isatest.SameBits(t, fmt.Sprint("y of ", p), y, first)
					sum := make([]float64, len(k.y64))
					for i, v := range k.y64 {
						sum[i] = max(0, v+float64(k.bias[i%k.K])+float64(k.res[i]))
					}
					nearlyTo(t, "relu(y+bias+residual)", runForward(one, plan, k, k.bias, k.res, isa.ActReLU), sum)
				}
			})
		}
	})
}

// The same of training: statistics, the gradients of inputs, added to others, too, and of
// weights.
func TestWinogradBF16Training(t *testing.T) {
	one, two, eight := parallel.NewPool(1), parallel.NewPool(2), parallel.NewPool(8)
	defer one.Close()
	defer two.Close()
	defer eight.Close()
	shapes := slices.Concat(winogradShapes[1:], dilatedShapes, []Conv{conv(3, 9, 22, 70, 80, 3, 1, 1), conv(4, 14, 14, 128, 64, 3, 1, 1)})
	forward, input, weight := narrow(winogradForward(wino.F4)), narrow(winogradInputGrad(wino.F4)), narrow(winogradWeightGrad)
	isatest.EachISA(t, func(t *testing.T) {
		for _, c := range shapes {
			if tooSlow(c, 1<<20) || max(c.PadTop, c.PadBottom) > 2*c.DilH || max(c.PadLeft, c.PadRight) > 2*c.DilW {
				continue
			}
			t.Run(c.String(), func(t *testing.T) {
				k := newConvCase(c)
				var first [3][]float32
				for i, p := range bf16Precisions() {
					k.Precision = p
					stats := planned(t, forward, k.Conv, Want{Fast: true, Stats: true})
					dx64 := slices.Clone(k.dx64)
					for i, x := range k.x {
						dx64[i] += float64(x)
					}
					inputs := planned(t, input, k.Conv, Want{Op: InputGrad, Fast: true, Residual: true})
					weights := planned(t, weight, k.Conv, Want{Op: WeightGrad, Fast: true})
					var got [3][]float32
					for j, pool := range []*parallel.Pool{one, two, eight} {
						y, mean, variance := isatest.Nans(k.YLen()), isatest.Nans(k.K), isatest.Nans(k.K)
						runPlan(pool, stats, Args{X: k.x, Packed: packWith(pool, stats.Packed, k.w), Y: y, Mean: mean, Variance: variance})
						checkStats(t, y, k.K, mean, variance)
						dx := slices.Clone(k.x)
						runPlan(pool, inputs, Args{X: k.dy, Packed: packWith(pool, inputs.Packed, k.w), Y: dx, Residual: dx})
						dw := isatest.Nans(k.WLen())
						runPlan(pool, weights, Args{X: k.x, DY: k.dy, Y: dw})
						if j == 0 {
							got = [3][]float32{y, dx, dw}
							nearlyTo(t, "y", y, k.y64)
							nearlyTo(t, "x+dx", dx, dx64)
							nearlyTo(t, "dw", dw, k.dw64)
						}
						for at, s := range [3][]float32{y, dx, dw} {
							isatest.SameBits(t, fmt.Sprintf("%d of %d workers", at, pool.Workers()), s, got[at])
						}
					}
					if i == 0 {
						first = got
					}
					for at := range got {
						isatest.SameBits(t, fmt.Sprintf("%d of %v", at, p), got[at], first[at])
					}
				}
			})
		}
	})
}

// tooSlow reports whether bfloat16 products of a convolution of so many operations take
// too long: emulated without vectors, or under the race detector.
func tooSlow(c Conv, operations int64) bool {
	return (!isa.UseAVX512 || testing.Short()) && c.FLOPs() > operations
}

// nearlyTo checks that the mean square of errors is below 3 % of the exact values', and
// that none is far above it.
func nearlyTo(t *testing.T, what string, got []float32, exact []float64) {
	t.Helper()
	var errs, squares, worst float64
	for i, v := range exact {
		e := math.Abs(float64(got[i]) - v)
		errs, squares, worst = errs+e*e, squares+v*v, max(worst, e)
		if math.IsNaN(e) {
			t.Fatalf("%s[%d] is %v, want %v", what, i, got[i], v)
		}
	}
	n := float64(len(exact))
	if rms, scale := math.Sqrt(errs/n), math.Sqrt(squares/n); rms > 0.03*scale || worst > 0.4*scale {
		t.Errorf("%s: errors of %.4f, %.4f at most, of values of %.4f", what, rms, worst, scale)
	}
}

func TestWinogradBF16Refuses(t *testing.T) {
	c := conv(1, 14, 14, 32, 32, 3, 1, 1)
	inference := Want{Fast: true, ConstantWeights: true}
	for _, k := range []struct {
		p    gemm.Precision
		tile wino.Tile
		w    Want
	}{
		{gemm.FP32, wino.F4, inference},
		{gemm.BF16Emulated, wino.F2, inference},
		{gemm.BF16Emulated, wino.F4, Want{ConstantWeights: true}},
		{gemm.BF16Emulated, wino.Closed3, inference},
	} {
		c.Precision = k.p
		if a, err := narrow(winogradForward(k.tile))(c, k.w); err == nil {
			t.Errorf("%s of %+v", a.name, k)
		}
	}
}
