package vec

import (
	"math"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestPieceRows(t *testing.T) {
	for _, c := range []int{1, 3, 16, 64, 2048, 100000} {
		for _, rows := range []int{0, 1, 7, 49, 784, 6272, 200704} {
			size := PieceRows(rows, c)
			n := Pieces(rows, size)
			at := 0
			for i := range n {
				lo, hi := PieceBounds(i, size, rows)
				if lo != at || hi <= lo {
					t.Fatalf("rows %d c %d: piece %d is [%d, %d), after %d", rows, c, i, lo, hi, at)
				}
				at = hi
			}
			if at != rows {
				t.Fatalf("rows %d c %d: pieces end at %d", rows, c, at)
			}
		}
	}
}

// moments returns mean and sum of squared deviations in float64.
func moments(x []float32, c, ch int) (mean, m2 float64) {
	rows := len(x) / c
	for r := range rows {
		mean += float64(x[r*c+ch])
	}
	mean /= float64(rows)
	for r := range rows {
		d := float64(x[r*c+ch]) - mean
		m2 += d * d
	}
	return mean, m2
}

func TestBatchNormStats(t *testing.T) {
	for _, mean := range []float64{0, 1000, -3} {
		isatest.EachShape(t, func(t *testing.T, b *isatest.Buffers, rows, c int) {
			x := b.In(b.Normal(rows*c, mean, 1))
			part := b.Out(2 * c)
			BatchNormStats(part, x, c)
			if rows == 0 {
				isatest.Near(t, "part", part, func(int) float64 { return 0 }, 0, 0)
				return
			}
			isatest.Near(t, "mean", part[:c], func(i int) float64 { m, _ := moments(x, c, i); return m }, 1e-6, 1e-6)
			isatest.Near(t, "m2", part[c:], func(i int) float64 { _, q := moments(x, c, i); return q }, 1e-6, 1e-5)
		})
	}
}

func TestBatchNormStatsSpecial(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		// A constant channel has variance 0; NaN and Inf stay in their channel.
		const rows, c = 300, 5
		x := make([]float32, rows*c)
		for r := range rows {
			x[r*c], x[r*c+1], x[r*c+2], x[r*c+3], x[r*c+4] = 1234.5678, float32(r), 1, -7, 0
		}
		x[77*c+2] = float32(math.NaN())
		x[8*c+3] = float32(math.Inf(1))
		var part [2 * c]float32
		BatchNormStats(part[:], x, c)
		if part[0] != 1234.5678 || part[c] != 0 {
			t.Errorf("constant channel: mean %v, M2 %v", part[0], part[c])
		}
		if math.Abs(float64(part[1])-149.5) > 1e-4 {
			t.Errorf("mean %v beside NaN, want 149.5", part[1])
		}
		if part[2] == part[2] || part[c+3] == part[c+3] || part[4] != 0 {
			t.Errorf("NaN or Inf lost: %v", part)
		}
	})
}

func TestBatchNormForward(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		for _, s := range [][3]int{{1, 7, 1}, {50, 3, 7}, {5000, 16, 512}, {777, 64, 100}, {90, 300, 32}} {
			rows, c, piece := s[0], s[1], s[2]
			b := isatest.NewBuffers(t, 5)
			x, gamma, beta := b.In(b.Normal(rows*c, 1000, 1)), b.In(b.Positive(c)), b.In(b.Normal(c, 0, 1))
			parts := b.Out(Pieces(rows, piece) * 2 * c)
			for i := range Pieces(rows, piece) {
				lo, hi := PieceBounds(i, piece, rows)
				BatchNormStats(parts[i*2*c:(i+1)*2*c], x[lo*c:hi*c], c)
			}
			runMean, runVar := b.Inout(b.Normal(c, 1, 1)), b.Inout(b.Positive(c))
			oldMean, oldVar := append([]float32{}, runMean...), append([]float32{}, runVar...)
			bn := BatchNorm{
				Gamma: gamma, Beta: beta, RunningMean: runMean, RunningVar: runVar, Eps: 1e-5, Momentum: 0.1,
				Mean: b.Out(c), InvStd: b.Out(c), Scale: b.Out(c), Shift: b.Out(c),
			}
			bn.Finalize(parts, rows, piece)
			y := b.Out(rows * c)
			ScaleShift(y, x, bn.Scale, bn.Shift, false)
			mean64, m2 := make([]float64, c), make([]float64, c)
			for ch := range c {
				mean64[ch], m2[ch] = moments(x, c, ch)
			}
			isatest.Near(t, "mean", bn.Mean, func(i int) float64 { return mean64[i] }, 0, 1e-6)
			isatest.Near(t, "running mean", runMean, func(i int) float64 {
				return 0.9*float64(oldMean[i]) + 0.1*mean64[i]
			}, 1e-5, 1e-6)
			isatest.Near(t, "running var", runVar, func(i int) float64 {
				return 0.9*float64(oldVar[i]) + 0.1*m2[i]/float64(max(rows-1, 1))
			}, 1e-6, 1e-5)
			isatest.Near(t, "y", y, func(i int) float64 {
				m, inv := mean64[i%c], 1/math.Sqrt(m2[i%c]/float64(rows)+1e-5)
				if rows == 1 {
					inv = float64(bn.InvStd[i])
				}
				return (float64(x[i])-m)*inv*float64(gamma[i%c]) + float64(beta[i%c])
			}, 6e-4*float64(1+300*b2f(rows == 1)), 1e-4)
			b.Check()

			bn.Fixed()
			isatest.Near(t, "fixed scale", bn.Scale, func(i int) float64 {
				return float64(gamma[i]) / math.Sqrt(float64(runVar[i])+1e-5)
			}, 0, 1e-6)
			isatest.Near(t, "fixed shift", bn.Shift, func(i int) float64 {
				return float64(beta[i]) - float64(runMean[i])*float64(bn.Scale[i])
			}, 1e-5, 1e-6)
		}
	})
}

func b2f(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestScaleShift(t *testing.T) {
	isatest.EachShape(t, func(t *testing.T, b *isatest.Buffers, rows, c int) {
		n := rows * c
		xv := b.Normal(n, 0, 1)
		if n > 3 {
			xv[n/2], xv[n-1], xv[0] = float32(math.NaN()), float32(math.Inf(-1)), float32(math.Inf(1))
		}
		x, res := b.In(xv), b.In(b.Normal(n, 0, 1))
		scale, shift := b.In(b.Normal(c, 0, 1)), b.In(b.Normal(c, 0, 1))
		rs, rb := b.In(b.Normal(c, 0, 1)), b.In(b.Normal(c, 0, 1))
		for _, relu := range []bool{false, true} {
			act := func(v float64) float64 {
				if relu && v < 0 {
					return 0
				}
				return v
			}
			base := func(i int) float64 { return float64(x[i])*float64(scale[i%c]) + float64(shift[i%c]) }
			y := b.Out(n)
			ScaleShift(y, x, scale, shift, relu)
			isatest.Near(t, "ScaleShift", y, func(i int) float64 { return act(base(i)) }, 1e-6, 1e-6)
			ScaleShiftAdd(y, x, scale, shift, res, relu)
			isatest.Near(t, "ScaleShiftAdd", y, func(i int) float64 { return act(base(i) + float64(res[i])) }, 1e-6, 1e-6)
			whole := b.Out(n)
			ScaleShiftAddScaled(whole, x, scale, shift, res, rs, rb, relu)
			isatest.Near(t, "ScaleShiftAddScaled", whole, func(i int) float64 {
				return act(base(i) + float64(res[i])*float64(rs[i%c]) + float64(rb[i%c]))
			}, 2e-6, 1e-6)
			// In place, and cut in two: the same bits.
			y = b.Inout(x)
			cut := rows / 3 * c
			ScaleShiftAddScaled(y[:cut], y[:cut], scale, shift, res[:cut], rs, rb, relu)
			ScaleShiftAddScaled(y[cut:], y[cut:], scale, shift, res[cut:], rs, rb, relu)
			isatest.SameBits(t, "in place and cut", y, whole)
		}
	})
}

func TestBatchNormGradReduce(t *testing.T) {
	isatest.EachShape(t, func(t *testing.T, b *isatest.Buffers, rows, c int) {
		n := rows * c
		dy, x, y := b.In(b.Normal(n, 0, 1)), b.In(b.Normal(n, 3, 2)), b.In(b.Normal(n, 0, 1))
		mean := b.In(b.Normal(c, 3, 1))
		for variant := range 4 {
			yy, dz := y, []float32(nil)
			if variant&1 == 0 {
				yy = nil
			}
			if variant&2 != 0 {
				dz = b.Out(n)
			}
			part := b.Out(2 * c)
			BatchNormGradReduce(part, dz, dy, yy, x, mean)
			masked := func(i int) float64 {
				if yy != nil && yy[i] <= 0 {
					return 0
				}
				return float64(dy[i])
			}
			isatest.Near(t, "sum dy'", part[:c], func(ch int) float64 {
				s := 0.0
				for i := ch; i < n; i += c {
					s += masked(i)
				}
				return s
			}, 2e-5, 1e-5)
			isatest.Near(t, "sum dy'*(x-mean)", part[c:], func(ch int) float64 {
				s := 0.0
				for i := ch; i < n; i += c {
					s += masked(i) * (float64(x[i]) - float64(mean[ch]))
				}
				return s
			}, 1e-4, 1e-5)
			if dz != nil {
				isatest.Near(t, "dz", dz, masked, 0, 0)
				// dz may be dy.
				again, alias := b.Out(2*c), b.Inout(dy)
				BatchNormGradReduce(again, alias, alias, yy, x, mean)
				isatest.SameBits(t, "dz in place", alias, dz)
				isatest.SameBits(t, "part, dz in place", again, part)
			}
		}
	})
}

// The mask from x is the one from the stored output, bit for bit.
func TestBatchNormGradAgain(t *testing.T) {
	isatest.EachShape(t, func(t *testing.T, b *isatest.Buffers, rows, c int) {
		n := rows * c
		dy, x, old := b.In(b.Normal(n, 0, 1)), b.In(b.Normal(n, 0, 1)), b.Normal(n, 0, 1)
		gamma, beta := b.In(b.Positive(c)), b.In(b.Normal(c, 0, 1))
		ka, kb, kc := b.In(b.Normal(c, 0, 1)), b.In(b.Normal(c, 0, 1)), b.In(b.Normal(c, 0, 1))
		bn := BatchNorm{Gamma: gamma, Beta: beta, RunningMean: b.In(b.Normal(c, 0, 1)), RunningVar: b.In(b.Positive(c)),
			Eps: 1e-5, Mean: b.Out(c), InvStd: b.Out(c), Scale: b.Out(c), Shift: b.Out(c)}
		bn.Fixed()
		y, want, part := b.Out(n), b.Out(2*c), b.Out(2*c)
		ScaleShift(y, x, bn.Scale, bn.Shift, true)
		again := bn
		again.Scale, again.Shift = b.Out(c), b.Out(c)
		again.Coefs()
		isatest.SameBits(t, "scale", again.Scale, bn.Scale)
		isatest.SameBits(t, "shift", again.Shift, bn.Shift)
		BatchNormGradReduce(want, nil, dy, y, x, bn.Mean)
		BatchNormGradReduceRecomputed(part, dy, x, bn.Mean, again.Scale, again.Shift)
		isatest.SameBits(t, "part", part, want)
		for _, acc := range []bool{false, true} {
			wantDX, dx := b.Inout(old), b.Inout(old)
			BatchNormGradApply(wantDX, dy, y, x, NormGradCoefs{Mean: bn.Mean, A: ka, B: kb, C: kc}, acc)
			BatchNormGradApplyRecomputed(dx, dy, x, NormGradCoefs{bn.Mean, ka, kb, kc, again.Scale, again.Shift}, acc)
			isatest.SameBits(t, "dx", dx, wantDX)
		}
	})
}

func TestBatchNormGradApply(t *testing.T) {
	isatest.EachShape(t, func(t *testing.T, b *isatest.Buffers, rows, c int) {
		n := rows * c
		dy, x, y, old := b.In(b.Normal(n, 0, 1)), b.In(b.Normal(n, 100, 2)), b.In(b.Normal(n, 0, 1)), b.Normal(n, 0, 1)
		mean, ka, kb, kc := b.In(b.Normal(c, 100, 1)), b.In(b.Normal(c, 0, 1)), b.In(b.Normal(c, 0, 1)), b.In(b.Normal(c, 0, 1))
		for variant := range 4 {
			yy, acc := y, variant&2 != 0
			if variant&1 == 0 {
				yy = nil
			}
			want := func(i int, full bool) float64 {
				g := float64(dy[i])
				if yy != nil && yy[i] <= 0 {
					g = 0
				}
				v := float64(ka[i%c]) * g
				if full {
					v += float64(kb[i%c])*(float64(x[i])-float64(mean[i%c])) + float64(kc[i%c])
				}
				if acc {
					v += float64(old[i])
				}
				return v
			}
			dx := b.Inout(old)
			BatchNormGradApply(dx, dy, yy, x, NormGradCoefs{Mean: mean, A: ka, B: kb, C: kc}, acc)
			isatest.Near(t, "BatchNormGradApply", dx, func(i int) float64 { return want(i, true) }, 2e-6, 1e-6)
			if !acc {
				alias := b.Inout(dy)
				BatchNormGradApply(alias, alias, yy, x, NormGradCoefs{Mean: mean, A: ka, B: kb, C: kc}, acc)
				isatest.SameBits(t, "in place", alias, dx)
			}
			cut := b.Inout(old)
			k := rows / 3 * c
			BatchNormGradApply(cut[:k], dy[:k], upTo(yy, k), x[:k], NormGradCoefs{Mean: mean, A: ka, B: kb, C: kc}, acc)
			BatchNormGradApply(cut[k:], dy[k:], from(yy, k), x[k:], NormGradCoefs{Mean: mean, A: ka, B: kb, C: kc}, acc)
			isatest.SameBits(t, "cut", cut, dx)
			dx = b.Inout(old)
			ScaleGrad(dx, dy, yy, ka, acc)
			isatest.Near(t, "ScaleGrad", dx, func(i int) float64 { return want(i, false) }, 2e-6, 1e-6)
		}
	})
}

// The whole gradient against finite differences of the forward formula in
// float64.
func TestBatchNormGradient(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		const rows, c, piece = 37, 5, 8
		b := isatest.NewBuffers(t, 3)
		x, gamma, beta, dy := b.Normal(rows*c, 2, 3), b.Positive(c), b.Normal(c, 0, 1), b.Normal(rows*c, 0, 1)
		loss := func(x, gamma, beta []float64) float64 {
			l := 0.0
			for ch := range c {
				m, q := 0.0, 0.0
				for r := range rows {
					m += x[r*c+ch] / rows
				}
				for r := range rows {
					q += (x[r*c+ch] - m) * (x[r*c+ch] - m) / rows
				}
				for r := range rows {
					v := (x[r*c+ch]-m)/math.Sqrt(q+1e-5)*gamma[ch] + beta[ch]
					l += max(v, 0) * float64(dy[r*c+ch])
				}
			}
			return l
		}
		parts := make([]float32, Pieces(rows, piece)*2*c)
		each := func(f func(part []float32, lo, hi int)) {
			for i := range Pieces(rows, piece) {
				lo, hi := PieceBounds(i, piece, rows)
				f(parts[i*2*c:(i+1)*2*c], lo*c, hi*c)
			}
		}
		s := func() []float32 { return make([]float32, c) }
		bn := BatchNorm{Gamma: gamma, Beta: beta, Eps: 1e-5, Mean: s(), InvStd: s(), Scale: s(), Shift: s()}
		each(func(p []float32, lo, hi int) { BatchNormStats(p, x[lo:hi], c) })
		bn.Finalize(parts, rows, piece)
		y, dx := make([]float32, rows*c), make([]float32, rows*c)
		ScaleShift(y, x, bn.Scale, bn.Shift, true)
		each(func(p []float32, lo, hi int) { BatchNormGradReduce(p, nil, dy[lo:hi], y[lo:hi], x[lo:hi], bn.Mean) })
		gr := BatchNormGrad{Gamma: gamma, Mean: bn.Mean, InvStd: bn.InvStd, DGamma: s(), DBeta: s(), A: s(), B: s(), C: s()}
		gr.Finalize(parts, rows, piece)
		BatchNormGradApply(dx, dy, y, x, NormGradCoefs{Mean: bn.Mean, A: gr.A, B: gr.B, C: gr.C}, false)

		to64 := func(v []float32) []float64 {
			w := make([]float64, len(v))
			for i := range v {
				w[i] = float64(v[i])
			}
			return w
		}
		x64, g64, b64 := to64(x), to64(gamma), to64(beta)
		diff := func(v []float64) func(i int) float64 {
			return func(i int) float64 {
				const h = 1e-6
				old := v[i]
				v[i] = old + h
				up := loss(x64, g64, b64)
				v[i] = old - h
				down := loss(x64, g64, b64)
				v[i] = old
				return (up - down) / (2 * h)
			}
		}
		isatest.Near(t, "dx", dx, diff(x64), 1e-5, 1e-4)
		isatest.Near(t, "dgamma", gr.DGamma, diff(g64), 1e-5, 1e-4)
		isatest.Near(t, "dbeta", gr.DBeta, diff(b64), 1e-5, 1e-4)

		// Accumulate doubles the gradients of the parameters.
		once := append([]float32{}, gr.DGamma...)
		gr.Accumulate = true
		gr.Finalize(parts, rows, piece)
		isatest.Near(t, "accumulated dgamma", gr.DGamma, func(i int) float64 { return 2 * float64(once[i]) }, 1e-6, 1e-6)
		// Fixed statistics: dx is dy'*gamma*invstd.
		gr.Fixed = true
		gr.Finalize(parts, rows, piece)
		ScaleGrad(dx, dy, y, gr.A, false)
		isatest.Near(t, "dx of fixed statistics", dx, func(i int) float64 {
			if y[i] <= 0 {
				return 0
			}
			return float64(dy[i]) * float64(bn.Scale[i%c])
		}, 0, 1e-6)
	})
}

func TestBatchNormAllocs(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		const rows, c = 200, 16
		x, y, part, v := make([]float32, rows*c), make([]float32, rows*c), make([]float32, 2*c), make([]float32, c)
		bn := BatchNorm{Eps: 1, Mean: v, InvStd: v, Scale: v, Shift: v}
		isatest.NoAllocs(t, "batch norm", func() {
			BatchNormStats(part, x, c)
			bn.Finalize(part, rows, rows)
			ScaleShiftAddScaled(y, x, v, v, x, v, v, true)
			BatchNormGradReduce(part, nil, y, y, x, v)
			BatchNormGradReduceRecomputed(part, y, x, v, v, v)
			BatchNormGradApplyRecomputed(y, y, x, NormGradCoefs{v, v, v, v, v, v}, false)
			BatchNormGradApply(y, y, y, x, NormGradCoefs{Mean: v, A: v, B: v, C: v}, true)
		})
	})
}
