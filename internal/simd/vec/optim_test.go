package vec

import (
	"math"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestOptimLengths(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		for _, n := range isatest.Lengths() {
			b := isatest.NewBuffers(t, uint64(n))
			b.Next = n
			p0, v0, m0, g := b.Normal(n, 0, 1), b.Positive(n), b.Normal(n, 0, 1), b.In(b.Normal(n, 0, 1))
			cut := n / 3
			for _, o := range []SGD{
				{LR: 0.1}, {LR: 0.1, WeightDecay: 0.01, GradScale: 0.5, Trust: 3},
				{LR: 0.1, Momentum: 0.9, Dampening: 0.2, WeightDecay: 0.01, GradScale: 0.5, Trust: 3},
				{LR: 0.1, Momentum: 0.9, Nesterov: true, WeightDecay: 0.01}, {LR: 0.1, Momentum: 0.9, First: true},
			} {
				p, v, p2, v2 := b.Inout(p0), b.Inout(v0), b.Inout(p0), b.Inout(v0)
				o.Step(p, v, g)
				wantV := func(i int) (d, v float64) {
					d = float64(orOne(o.Trust)) * (float64(orOne(o.GradScale))*float64(g[i]) + float64(o.WeightDecay)*float64(p0[i]))
					v = float64(o.Momentum)*float64(v0[i]) + (1-float64(o.Dampening))*d
					if o.First {
						v = d
					}
					return d, v
				}
				isatest.Near(t, "p", p, func(i int) float64 {
					d, v := wantV(i)
					if o.Momentum == 0 {
						v = d
					}
					if o.Nesterov {
						v = d + float64(o.Momentum)*v
					}
					return float64(p0[i]) - float64(o.LR)*v
				}, 1e-6, 1e-6)
				if o.Momentum != 0 {
					isatest.Near(t, "v", v, func(i int) float64 { _, v := wantV(i); return v }, 1e-6, 1e-6)
				}
				o.Step(p2[:cut], v2[:cut], g[:cut])
				o.Step(p2[cut:], v2[cut:], g[cut:])
				isatest.SameBits(t, "p cut", p2, p)
				isatest.SameBits(t, "v cut", v2, v)
			}
			for _, o := range []Adam{
				{LR: 0.01, Beta1: 0.9, Beta2: 0.99, Eps: 1e-6, Step: 3, WeightDecay: 0.1, GradScale: 2},
				{LR: 0.01, Beta1: 0.9, Beta2: 0.99, Eps: 1e-6, Step: 1, WeightDecay: 0.1, Decoupled: true},
			} {
				p, m, v := b.Inout(p0), b.Inout(m0), b.Inout(v0)
				o.Update(p[cut:], m[cut:], v[cut:], g[cut:])
				o.Update(p[:cut], m[:cut], v[:cut], g[:cut])
				wantM := func(i int) (float64, float64, float64) {
					d := float64(orOne(o.GradScale)) * float64(g[i])
					if !o.Decoupled {
						d += float64(o.WeightDecay) * float64(p0[i])
					}
					return 0.9*float64(m0[i]) + 0.1*d, 0.99*float64(v0[i]) + 0.01*d*d, d
				}
				direction := func(i int) float64 {
					m, v, _ := wantM(i)
					return m / (1 - math.Pow(0.9, float64(o.Step))) / (math.Sqrt(v/(1-math.Pow(0.99, float64(o.Step)))) + 1e-6)
				}
				isatest.Near(t, "m", m, func(i int) float64 { m, _, _ := wantM(i); return m }, 1e-6, 1e-6)
				isatest.Near(t, "v", v, func(i int) float64 { _, v, _ := wantM(i); return v }, 1e-6, 1e-6)
				isatest.Near(t, "p", p, func(i int) float64 {
					keep := 1.0
					if o.Decoupled {
						keep -= 0.01 * 0.1
					}
					return keep*float64(p0[i]) - 0.01*direction(i)
				}, 1e-6, 1e-6)
				if o.Decoupled {
					u, m, v := b.Out(n), b.Inout(m0), b.Inout(v0)
					p := b.In(p0)
					o.LAMBDirection(u, p, m, v, g)
					isatest.Near(t, "LAMB", u, func(i int) float64 { return direction(i) + 0.1*float64(p0[i]) }, 2e-6, 2e-6)
				}
			}
			avg := b.Inout(p0)
			EMA(avg, g, 0.99)
			isatest.Near(t, "EMA", avg, func(i int) float64 { return 0.99*float64(p0[i]) + 0.01*float64(g[i]) }, 1e-6, 1e-6)
			b.Check()
		}
	})
}

func TestSumSquares(t *testing.T) {
	var want []float64
	isatest.EachISA(t, func(t *testing.T) {
		for k, n := range append(isatest.Lengths(), 1<<16) {
			b := isatest.NewBuffers(t, uint64(n))
			b.Next = n
			v := b.Normal(n, 0, 1)
			for i := range v {
				v[i] *= float32(math.Exp(20 * b.Rng.NormFloat64()))
			}
			x := b.In(v)
			got, exact := SumSquares(x), 0.0
			for _, u := range x {
				exact += float64(u) * float64(u)
			}
			if math.Abs(got-exact) > 1e-14*exact {
				t.Fatalf("length %d: %v, want %v", n, got, exact)
			}
			if len(want) <= k {
				want = append(want, got)
			}
			if got != want[k] {
				t.Fatalf("length %d: %v here, %v on another instruction set", n, got, want[k])
			}
			b.Check()
		}
		if !math.IsNaN(SumSquares([]float32{1, float32(math.NaN())})) || !math.IsInf(SumSquares([]float32{float32(math.Inf(-1))}), 1) {
			t.Error("NaN or Inf is lost")
		}
	})
	if s := SumFloat64([]float64{1, 2, 3.5}); s != 6.5 {
		t.Errorf("SumFloat64 is %v", s)
	}
}

func TestTrust(t *testing.T) {
	if r := LARSTrust(4, 9, 0.001, 0.1, 0); math.Abs(float64(r)-0.001*2/(3+0.2)) > 1e-9 {
		t.Errorf("LARSTrust is %v", r)
	}
	if LARSTrust(0, 1, 1, 1, 1) != 1 || LARSTrust(1, 0, 1, 1, 1) != 1 {
		t.Error("a norm of 0 must give 1")
	}
}

func TestOptimAllocs(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		x := make([]float32, 1000)
		s, a := SGD{LR: 1, Momentum: 1}, Adam{Step: 1}
		isatest.NoAllocs(t, "optimizers", func() {
			s.Step(x, x, x)
			a.Update(x, x, x, x)
			EMA(x, x, 1)
			SumSquares(x)
			Unary(OpGELU, x, x, 0, 0)
			UnaryGrad(OpGELU, x, x, x, x, 0, 0, true)
			BinaryRow(OpAdd, x, x, x[:10])
			Softmax(x, x, 10)
			SumMulRows(x[:10], x, x, 10, 1)
			Reduce(ReduceSum, x, x, []int{10, 10, 10}, 2, 0, 100)
		})
	})
}
