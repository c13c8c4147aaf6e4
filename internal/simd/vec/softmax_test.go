package vec

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestSoftmax(t *testing.T) {
	isatest.EachShape(t, func(t *testing.T, b *isatest.Buffers, rows, c int) {
		for _, mean := range []float64{0, 500, -2000} {
			n := rows * c
			x, dy := b.In(b.Normal(n, mean, 4)), b.In(b.Normal(n, 0, 1))
			p := make([]float64, n)
			logp := make([]float64, n)
			for r := range rows {
				m, s := math.Inf(-1), 0.0
				for _, v := range x[r*c : r*c+c] {
					m = max(m, float64(v))
				}
				for _, v := range x[r*c : r*c+c] {
					s += math.Exp(float64(v) - m)
				}
				for i := r * c; i < r*c+c; i++ {
					logp[i] = float64(x[i]) - m - math.Log(s)
					p[i] = math.Exp(logp[i])
				}
			}
			dots := func(f func(i int) float64) func(i int) float64 {
				sums := make([]float64, rows)
				for i := range n {
					sums[i/c] += f(i)
				}
				return func(i int) float64 { return sums[i/c] }
			}
			y := b.Out(n)
			Softmax(y, x, c)
			isatest.Near(t, "Softmax", y, func(i int) float64 { return p[i] }, 1e-30, 3e-6)
			dx := b.Inout(dy)
			SoftmaxGrad(dx, dx, y, c, false)
			dot := dots(func(j int) float64 { return float64(dy[j]) * p[j] })
			isatest.Near(t, "SoftmaxGrad", dx, func(i int) float64 { return p[i] * (float64(dy[i]) - dot(i)) }, 2e-6, 1e-6)
			once := append([]float32{}, dx...)
			SoftmaxGrad(dx, dy, y, c, true)
			isatest.Near(t, "SoftmaxGrad accumulated", dx, func(i int) float64 { return 2 * float64(once[i]) }, 1e-6, 1e-6)
			LogSoftmax(y, x, c)
			isatest.Near(t, "LogSoftmax", y, func(i int) float64 { return logp[i] }, 1e-6, 1e-6)
			dx = b.Inout(dy)
			LogSoftmaxGrad(dx, dx, y, c, false)
			sum := dots(func(j int) float64 { return float64(dy[j]) })
			isatest.Near(t, "LogSoftmaxGrad", dx, func(i int) float64 { return float64(dy[i]) - p[i]*sum(i) }, 3e-6, 2e-6)
		}
	})
}

func TestCrossEntropyCheck(t *testing.T) {
	e := CrossEntropy{}
	if at := e.Check([]int64{0, 4, 5}, 5); at != 2 {
		t.Errorf("label 5 of 5 classes: index %d, want 2", at)
	}
	if at := e.Check([]int64{0, -1}, 5); at != 1 {
		t.Errorf("label -1: index %d, want 1", at)
	}
	e.UseIgnore, e.Ignore = true, -1
	if at := e.Check([]int64{0, -1}, 5); at != -1 {
		t.Errorf("ignored label: index %d, want -1", at)
	}
	x, loss, dx := make([]float32, 10), make([]float32, 2), make([]float32, 10)
	dx[9] = 7
	isatest.NoAllocs(t, "CrossEntropy", func() { e.Labels(loss, dx, x, []int64{0, -1}, 5, 1) })
	if loss[1] != 0 || dx[9] != 0 {
		t.Errorf("ignored row: loss %v, gradient %v", loss[1], dx[5:])
	}
}

// Logits so far apart that a careless formula overflows.
func TestCrossEntropyExtreme(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		x := []float32{1e4, -1e4, 0, -3e38, 3e38, 0}
		e := CrossEntropy{Smoothing: 0.1}
		loss, dx := make([]float32, 2), make([]float32, 6)
		e.Labels(loss, dx, x, []int64{1, 1}, 3, 1)
		if math.Abs(float64(loss[0])-(0.9*2e4+0.1/3*(2e4+1e4))) > 1 || loss[1] < 1e36 {
			t.Errorf("losses %v", loss)
		}
		isatest.Near(t, "dx", dx, func(i int) float64 {
			return []float64{1 - 0.1/3, -0.9 - 0.1/3, -0.1 / 3, -0.1 / 3, 1 - 0.9 - 0.1/3, -0.1 / 3}[i]
		}, 1e-6, 1e-6)
		logits, tgt := []float32{1e4, -1e4, 1e4, -1e4}, []float32{1, 0, 0, 1}
		one := make([]float32, 1)
		BCEWithLogits(one, dx[:4], logits, tgt, nil, 4, 1)
		if one[0] != 2e4 {
			t.Errorf("bce %v, want 20000", one[0])
		}
		isatest.Near(t, "bce dx", dx[:4], func(i int) float64 { return []float64{0, 0, 1, -1}[i] }, 1e-6, 0)
	})
}

func TestTopK(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, c := range []int{1, 2, 5, 10, 37} {
		const rows = 50
		x, labels := make([]float32, rows*c), make([]int64, rows)
		for i := range x {
			x[i] = float32(rng.IntN(6))
			if rng.IntN(20) == 0 {
				x[i] = float32(math.NaN())
			}
		}
		for i := range labels {
			labels[i] = int64(rng.IntN(c+1)) - 1
		}
		for k := 1; k <= c; k++ {
			idx, val := make([]int64, rows*k), make([]float32, rows*k)
			TopK(idx, val, x, c, k)
			correct := 0
			for r := range rows {
				order := make([]int64, c)
				for i := range order {
					order[i] = int64(i)
				}
				row := x[r*c : r*c+c]
				slices.SortStableFunc(order, func(i, j int64) int {
					a, b := row[i], row[j]
					switch {
					case a > b || (a == a && b != b):
						return -1
					case a < b || (a != a && b == b):
						return 1
					}
					return 0
				})
				if !slices.Equal(order[:k], idx[r*k:r*k+k]) {
					t.Fatalf("row %v: top %d is %v, want %v", row, k, idx[r*k:r*k+k], order[:k])
				}
				for i, j := range order[:k] {
					if v := val[r*k+i]; v != row[j] && (v == v || row[j] == row[j]) {
						t.Fatalf("value %v, want %v", v, row[j])
					}
					if j == labels[r] && row[j] == row[j] {
						correct++
					}
				}
			}
			if got := TopKCorrect(x, labels, c, k); got != correct {
				t.Errorf("c %d: %d rows are right among the top %d, want %d", c, got, k, correct)
			}
			if k == 1 {
				arg := make([]int64, rows)
				ArgMax(arg, x, c)
				for r := range arg {
					if v := x[r*c+int(arg[r])]; arg[r] != idx[r] && (v == v || idx[r] == 0) {
						t.Errorf("row %v: ArgMax %d, TopK %d", x[r*c:r*c+c], arg[r], idx[r])
					}
				}
			}
		}
	}
}
