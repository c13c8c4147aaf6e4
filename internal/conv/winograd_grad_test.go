package conv

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/isatest"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

func winogradStats(t *testing.T, p *parallel.Pool, c Conv, tile wino.Tile, x, w []float32) (y, mean, variance []float32) {
	t.Helper()
	plan := planned(t, winogradForward(tile), c, Want{Fast: true, Stats: true})
	y, mean, variance = isatest.Nans(c.YLen()), isatest.Nans(c.K), isatest.Nans(c.K)
	runPlan(p, plan, Args{X: x, Packed: packWith(p, plan.Packed, w), Y: y, Mean: mean, Variance: variance})
	return y, mean, variance
}

// winogradInputGradient adds to dx where accumulate is set.
func winogradInputGradient(t *testing.T, p *parallel.Pool, c Conv, tile wino.Tile, dy, w, dx []float32, accumulate bool) {
	t.Helper()
	plan := planned(t, winogradInputGrad(tile), c, Want{Op: InputGrad, Fast: true, Residual: accumulate})
	a := Args{X: dy, Packed: packWith(p, plan.Packed, w), Y: dx}
	if accumulate {
		a.Residual = dx
	}
	runPlan(p, plan, a)
}

func winogradWeightGradient(t *testing.T, p *parallel.Pool, c Conv, x, dy []float32) []float32 {
	t.Helper()
	dw := isatest.Nans(c.WLen())
	runPlan(p, planned(t, winogradWeightGrad, c, Want{Op: WeightGrad, Fast: true}), Args{X: x, DY: dy, Y: dw})
	return dw
}

// testWinogradTraining compares statistics and gradients with float64, run by
// one, and the bits that the other pools get with those.
func testWinogradTraining(t *testing.T, k *convCase, tile wino.Tile, one *parallel.Pool, others ...*parallel.Pool) {
	c := k.Conv
	y, mean, variance := winogradStats(t, one, c, tile, k.x, k.w)
	closeTo(t, "y", y, k.y64, 4*9*c.C) // rounding is twice that of the direct sum
	checkStats(t, y, c.K, mean, variance)
	for _, many := range others {
		y2, mean2, variance2 := winogradStats(t, many, c, tile, k.x, k.w)
		isatest.SameBits(t, "y", y2, y)
		isatest.SameBits(t, "mean", mean2, mean)
		isatest.SameBits(t, "variance", variance2, variance)
	}
	if _, err := c.transposed(); err == nil {
		dx := isatest.Nans(c.XLen())
		winogradInputGradient(t, one, c, tile, k.dy, k.w, dx, false)
		closeTo(t, "dx", dx, k.dx64, 6*9*c.K)
		for _, many := range others {
			dx2 := isatest.Nans(c.XLen())
			winogradInputGradient(t, many, c, tile, k.dy, k.w, dx2, false)
			isatest.SameBits(t, "dx", dx2, dx)
		}
		sum := make([]float64, len(dx))
		for i, x := range k.x {
			sum[i] = float64(x) + k.dx64[i]
		}
		copy(dx, k.x)
		winogradInputGradient(t, one, c, tile, k.dy, k.w, dx, true)
		closeTo(t, "x+dx", dx, sum, 6*9*c.K)
	}
	if tile != wino.F4 {
		return
	}
	dw := winogradWeightGradient(t, one, c, k.x, k.dy)
	closeTo(t, "dw", dw, k.dw64, 4*c.N*(c.OutH()+3)*(c.OutW()+3))
	for _, many := range others {
		isatest.SameBits(t, "dw", winogradWeightGradient(t, many, c, k.x, k.dy), dw)
	}
}

func TestWinogradTrainingAgainstNaive(t *testing.T) {
	one, two, eight := parallel.NewPool(1), parallel.NewPool(2), parallel.NewPool(8)
	defer one.Close()
	defer two.Close()
	defer eight.Close()
	var cases []*convCase
	for _, c := range slices.Concat([]Conv{conv(3, 9, 22, 70, 80, 3, 1, 1)}, winogradShapes, dilatedShapes) {
		cases = append(cases, newConvCase(c))
	}
	isatest.EachISA(t, func(t *testing.T) {
		for _, k := range cases {
			for _, tile := range trainTiles {
				t.Run(fmt.Sprintf("%v/%s", tile, k.Conv), func(t *testing.T) { testWinogradTraining(t, k, tile, one, two, eight) })
			}
		}
	})
}

// A random geometry on the fastest instruction set agrees with the naive sums.
func FuzzWinogradTraining(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(99))
	one, pool := parallel.NewPool(1), parallel.NewPool(2)
	f.Cleanup(one.Close)
	f.Cleanup(pool.Close)
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 8))
		c := Conv{
			N: 1 + r.IntN(3), H: 1 + r.IntN(18), W: 1 + r.IntN(25), C: 1 + r.IntN(40), K: 1 + r.IntN(70), R: 3, S: 3, StrideH: 1, StrideW: 1,
			PadTop: r.IntN(4), PadLeft: r.IntN(4), PadBottom: r.IntN(4), PadRight: r.IntN(4), DilH: 1 + r.IntN(4), DilW: 1 + r.IntN(4), Groups: 1,
		}
		if c.Check() != nil {
			t.Skip("the kernel is larger than the input")
		}
		testWinogradTraining(t, newConvCase(c), trainTiles[r.IntN(2)], one, pool)
	})
}

func TestWinogradTrainingRefuses(t *testing.T) {
	input, weights := Want{Op: InputGrad, Fast: true}, Want{Op: WeightGrad, Fast: true}
	if _, err := winogradInputGrad(wino.F4)(conv(1, 8, 8, 4, 4, 3, 1, 3), input); err == nil || !strings.Contains(err.Error(), "padding of at most 2x2, got 3") {
		t.Errorf("error %v", err)
	}
	for _, c := range []Conv{conv(1, 8, 8, 4, 4, 3, 2, 1), conv(0, 8, 8, 4, 4, 3, 1, 1)} {
		if _, err := winogradInputGrad(wino.F4)(c, input); err == nil {
			t.Errorf("winogradInputGrad took %v", c)
		}
		if _, err := winogradWeightGrad(c, weights); err == nil {
			t.Errorf("winogradWeightGrad took %v", c)
		}
	}
}

func TestWinogradTrainingAllocatesNothing(t *testing.T) {
	c := conv(2, 9, 9, 17, 33, 3, 1, 1)
	x, y, dw, k := make([]float32, c.XLen()), make([]float32, c.YLen()), make([]float32, c.WLen()), make([]float32, c.K)
	isatest.EachISA(t, func(t *testing.T) {
		f := newWinograd(c, wino.F4, storedWeights).plan(Want{Fast: true, Stats: true}, c.FLOPs(), c.forwardPacking())
		taskAllocations(t, "forward", f, Args{X: x, Packed: make([]float32, f.Packed.Len), Y: y, Mean: k, Variance: k})
		taskAllocations(t, "weight gradient", planned(t, winogradWeightGrad, c, Want{Op: WeightGrad, Fast: true}), Args{X: x, DY: y, Y: dw})
	})
}
