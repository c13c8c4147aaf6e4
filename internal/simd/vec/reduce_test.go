package vec

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestRowSums(t *testing.T) {
	isatest.EachShape(t, func(t *testing.T, b *isatest.Buffers, rows, c int) {
		n := rows * c
		x, z := b.In(b.Normal(n, 0.5, 1)), b.In(b.Normal(n, 0, 1))
		out := b.Out(c)
		column := func(ch int, f func(i int) float64) float64 {
			s := 0.0
			for i := ch; i < n; i += c {
				s += f(i)
			}
			return s
		}
		SumRows(out, x, c, 0.5)
		isatest.Near(t, "SumRows", out, func(ch int) float64 {
			return 0.5 * column(ch, func(i int) float64 { return float64(x[i]) })
		}, 1e-5, 1e-6)
		SumMulRows(out, x, z, c, 1)
		isatest.Near(t, "SumMulRows", out, func(ch int) float64 {
			return column(ch, func(i int) float64 { return float64(x[i]) * float64(z[i]) })
		}, 2e-5, 1e-6)
		MaxRows(out, x, c)
		isatest.Near(t, "MaxRows", out, func(ch int) float64 {
			m := math.Inf(-1)
			for i := ch; i < n; i += c {
				m = max(m, float64(x[i]))
			}
			return m
		}, 0, 0)
		MinRows(out, x, c)
		isatest.Near(t, "MinRows", out, func(ch int) float64 {
			m := math.Inf(1)
			for i := ch; i < n; i += c {
				m = min(m, float64(x[i]))
			}
			return m
		}, 0, 0)
		row := func(r int, f func(i int) float64) float64 {
			s := 0.0
			for i := r * c; i < r*c+c; i++ {
				s += f(i)
			}
			return s
		}
		out = b.Out(rows)
		SumCols(out, x, c, 0.25)
		isatest.Near(t, "SumCols", out, func(r int) float64 { return 0.25 * row(r, func(i int) float64 { return float64(x[i]) }) }, 1e-5, 1e-6)
		SumMulCols(out, x, z, c, 1)
		isatest.Near(t, "SumMulCols", out, func(r int) float64 {
			return row(r, func(i int) float64 { return float64(x[i]) * float64(z[i]) })
		}, 1e-5, 1e-6)
		MaxCols(out, x, c)
		isatest.Near(t, "MaxCols", out, func(r int) float64 {
			m := math.Inf(-1)
			row(r, func(i int) float64 { m = max(m, float64(x[i])); return 0 })
			return m
		}, 0, 0)
		if rows*c > 0 {
			bad := b.Inout(x)
			bad[rows*c-1] = float32(math.NaN())
			MaxCols(out, bad, c)
			if m := out[rows-1]; m == m {
				t.Fatalf("MaxCols of a NaN is %v", m)
			}
		}
		gate := b.In(b.Normal(c, 0, 1))
		dx := b.Inout(x)
		BroadcastRow(dx, gate, 2, true)
		isatest.Near(t, "BroadcastRow accumulated", dx, func(i int) float64 { return float64(x[i]) + 2*float64(gate[i%c]) }, 1e-6, 1e-6)
		BroadcastRow(dx, gate, 2, false)
		isatest.Near(t, "BroadcastRow", dx, func(i int) float64 { return 2 * float64(gate[i%c]) }, 0, 1e-6)
		// Pieces joined in order.
		if rows >= 2 {
			parts, whole := b.Out(2*c), b.Inout(gate)
			cut := rows / 2 * c
			SumRows(parts[:c], x[:cut], c, 1)
			SumRows(parts[c:], x[cut:], c, 1)
			CombineSums(whole, parts, c, 2, true)
			isatest.Near(t, "CombineSums", whole, func(ch int) float64 {
				return float64(gate[ch]) + 2*column(ch, func(i int) float64 { return float64(x[i]) })
			}, 3e-5, 1e-6)
		}
	})
}

func TestReduce(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(4, 4))
		for round := range 500 {
			n := rng.IntN(maxDims + 1)
			shape := make([]int, n)
			size, outs := 1, 1
			axes := uint(rng.IntN(1 << n))
			if round%4 == 0 && n == 4 {
				axes = []uint{0b0110, 0b0111}[round/4%2] // H,W and N,H,W
			}
			for d := range shape {
				shape[d] = 1 + rng.IntN(5)
				size *= shape[d]
				if axes>>d&1 == 0 {
					outs *= shape[d]
				}
			}
			b := isatest.NewBuffers(t, uint64(round))
			v := b.Normal(size, 0, 1)
			for i := range v { // few values, so that maxima have equals
				v[i] = float32(math.Round(float64(v[i])*2)) / 2
			}
			x := b.In(v)
			outOf := func(i int) int {
				o, scale := 0, 1
				for d := n - 1; d >= 0; d-- {
					if axes>>d&1 == 0 {
						o += i % shape[d] * scale
						scale *= shape[d]
					}
					i /= shape[d]
				}
				return o
			}
			for op := range reduceOps {
				want := make([]float64, outs)
				count := make([]int, outs)
				for i := range want {
					want[i] = map[ReduceOp]float64{ReduceMax: math.Inf(-1), ReduceMin: math.Inf(1), ReduceProd: 1}[op]
				}
				for i, v := range x {
					o := outOf(i)
					count[o]++
					switch u := float64(v); op {
					case ReduceMax:
						want[o] = max(want[o], u)
					case ReduceMin:
						want[o] = min(want[o], u)
					case ReduceProd:
						want[o] *= u
					default:
						want[o] += u
					}
				}
				if op == ReduceMean {
					for o := range want {
						want[o] /= float64(count[o])
					}
				}
				y := b.Out(outs)
				cut := rng.IntN(outs + 1)
				Reduce(op, y, x, shape, axes, cut, outs)
				Reduce(op, y, x, shape, axes, 0, cut)
				isatest.Near(t, "Reduce", y, func(i int) float64 { return want[i] }, 1e-5, 1e-6)

				if op == ReduceMax {
					dy := b.In(b.Normal(outs, 0, 1))
					dx := b.Out(size)
					ReduceMaxGrad(dx, dy, x, y, shape, axes, cut, outs)
					ReduceMaxGrad(dx, dy, x, y, shape, axes, 0, cut)
					isatest.Near(t, "ReduceMaxGrad", dx, func(i int) float64 {
						o := outOf(i)
						ties := 0
						for j := range x {
							if outOf(j) == o && x[j] == y[o] {
								ties++
							}
						}
						if x[i] != y[o] {
							return 0
						}
						return float64(dy[o]) / float64(ties)
					}, 1e-4, 1e-5)
				}
				if size > 200 {
					break // the quadratic reference
				}
			}
			b.Check()
		}
	})
}
