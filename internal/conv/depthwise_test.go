package conv

import (
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestDepthwiseEqualsDirect(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		p := parallel.NewPool(3)
		defer p.Close()
		r := rand.New(rand.NewPCG(9, 1))
		rounds := 60
		if testing.Short() {
			rounds = 20
		}
		for round := range rounds {
			ch := 2 + r.IntN(70)
			c := Conv{
				N: 1 + r.IntN(3), H: 1 + r.IntN(12), W: 1 + r.IntN(20), C: ch, K: ch, Groups: ch, R: 1 + r.IntN(5), S: 1 + r.IntN(5),
				StrideH: 1 + r.IntN(3), StrideW: 1 + r.IntN(3), PadTop: r.IntN(4), PadLeft: r.IntN(4), PadBottom: r.IntN(4), PadRight: r.IntN(4),
				DilH: 1 + r.IntN(2), DilW: 1 + r.IntN(2),
			}
			if c.Check() != nil {
				continue
			}
			seed := uint64(round)
			x, w, bias := isatest.RandomFloats(seed, c.XLen()), isatest.RandomFloats(seed+1, c.WLen()), isatest.RandomFloats(seed+2, c.K)
			a := Args{X: x, Act: isa.Act(round % 3)}
			if round%2 == 0 {
				a.Bias = bias
			}
			if round%5 == 0 {
				a.Residual = isatest.RandomFloats(seed+3, c.YLen())
			}
			var y [2][]float32
			for i, algorithm := range []algorithm{directForward, depthwiseForward} {
				plan := planned(t, algorithm, c, Want{})
				a.Packed, y[i] = packWith(p, plan.Packed, w), isatest.Nans(c.YLen())
				a.Y = y[i]
				runPlan(p, plan, a)
			}
			isatest.Near(t, c.String(), y[1], func(i int) float64 { return float64(y[0][i]) }, 1e-6, 4e-6)
			if a.Residual != nil { // which y may be
				plan := planned(t, depthwiseForward, c, Want{})
				a.Y = append([]float32{}, a.Residual...)
				a.Residual = a.Y
				runPlan(p, plan, a)
				isatest.SameBits(t, c.String()+" in place", a.Y, y[1])
			}
		}
	})
}

func TestDepthwiseIsChosen(t *testing.T) {
	c := conv(1, 56, 56, 144, 144, 3, 1, 1)
	c.Groups = 144
	for name, v := range map[string]struct {
		change func(c *Conv, w *Want)
		want   string
	}{
		"inference":  {func(*Conv, *Want) {}, Depthwise},
		"exact":      {func(_ *Conv, w *Want) { w.Fast = false }, Depthwise},
		"training":   {func(_ *Conv, w *Want) { w.ConstantWeights = false }, Depthwise},
		"statistics": {func(_ *Conv, w *Want) { w.Stats = true }, Direct},
		"bf16":       {func(c *Conv, _ *Want) { c.Precision = gemm.BF16Emulated }, Depthwise},
		"bf16 exact": {func(c *Conv, w *Want) { c.Precision, w.Fast = gemm.BF16Emulated, false }, "direct bf16"},
		"bf16 pairs": {func(c *Conv, _ *Want) { c.Precision, c.Groups = gemm.BF16Emulated, 72 }, Direct},
		"bf16 whole": {func(c *Conv, _ *Want) { c.Precision, c.Groups, c.StrideH = gemm.BF16Emulated, 1, 3 }, "direct bf16"},
		"groups":     {func(c *Conv, _ *Want) { c.Groups = 72 }, Direct},
		"multiplier": {func(c *Conv, _ *Want) { c.K = 288 }, Direct},
	} {
		c, w := c, Want{Fast: true, ConstantWeights: true}
		v.change(&c, &w)
		p, err := Choose(c, w)
		if err != nil {
			t.Fatal(err)
		}
		if p.Algorithm != v.want {
			t.Errorf("%s: %s was chosen, want %s", name, p.Algorithm, v.want)
		}
	}
}

// Weights in PyTorch's order become the same bits.
func TestDepthwisePacks(t *testing.T) {
	c := conv(1, 9, 9, 37, 37, 3, 1, 1)
	c.Groups = 37
	w, scale := isatest.RandomFloats(1, c.WLen()), make([]float64, c.K)
	oihw, scaled := make([]float32, len(w)), make([]float32, len(w))
	for ch := range c.K {
		scale[ch] = float64(ch) / 7
		for tap := range 9 {
			oihw[ch*9+tap] = w[tap*c.C+ch]
			scaled[tap*c.C+ch] = float32(float64(w[tap*c.C+ch]) * scale[ch])
		}
	}
	p := c.depthwisePacking()
	for _, v := range []struct {
		what string
		w    Weights
		want []float32
	}{{"HWIO", Weights{Data: w}, w}, {"OIHW", Weights{Data: oihw, Order: OIHW}, w}, {"scaled", Weights{oihw, OIHW, scale}, scaled}} {
		got := isatest.Nans(p.Len)
		for task := range p.Tasks {
			p.Pack(task, got, v.w)
		}
		isatest.SameBits(t, v.what, got, v.want)
	}
}

func BenchmarkDepthwise(b *testing.B) {
	for _, c := range []Conv{conv(1, 112, 112, 32, 32, 3, 1, 1), conv(1, 56, 56, 144, 144, 3, 2, 1), conv(1, 14, 14, 384, 384, 3, 1, 1), conv(1, 28, 28, 120, 120, 5, 1, 2)} {
		c.Groups = c.C
		b.Run(c.Geometry(), func(b *testing.B) {
			p := parallel.NewPool(1)
			defer p.Close()
			plan := planned(b, depthwiseForward, c, Want{})
			run := prepared(p, plan, Args{X: isatest.RandomFloats(1, c.XLen()), Packed: isatest.RandomFloats(2, plan.Packed.Len), Y: make([]float32, c.YLen()), Act: isa.ActReLU})
			for b.Loop() {
				run()
			}
			b.ReportMetric(float64(c.FLOPs())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
