package conv

import (
	"fmt"
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestMatMulAgainstNaive(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		one, many := parallel.NewPool(1), parallel.NewPool(8)
		defer one.Close()
		defer many.Close()
		for _, s := range [][4]int{{1, 1, 1, 1}, {3, 7, 5, 11}, {2, 30, 33, 17}, {1, 31, 33, 1030}, {2, 49, 49, 32}, {1, 1, 300, 200}, {1, 300, 1, 20}} {
			for _, tr := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
				m := MatMul{Batch: s[0], M: s[1], N: s[2], K: s[3], TransA: tr[0], TransB: tr[1]}
				t.Run(fmt.Sprintf("%+v", m), func(t *testing.T) { testMatMul(t, m, one, many) })
			}
		}
	})
}

func testMatMul(t *testing.T, m MatMul, one, many *parallel.Pool) {
	a, b := isatest.RandomFloats(1, m.Batch*m.M*m.K), isatest.RandomFloats(2, m.Batch*m.K*m.N)
	want := make([]float64, m.Batch*m.M*m.N)
	for n := range m.Batch {
		for i := range m.M {
			for j := range m.N {
				for k := range m.K {
					ai, bi := i*m.K+k, k*m.N+j
					if m.TransA {
						ai = k*m.M + i
					}
					if m.TransB {
						bi = j*m.K + k
					}
					want[(n*m.M+i)*m.N+j] += float64(a[n*m.M*m.K+ai]) * float64(b[n*m.K*m.N+bi])
				}
			}
		}
	}
	p, err := PlanMatMul(m)
	if err != nil {
		t.Fatal(err)
	}
	run := func(pool *parallel.Pool, c []float32, accumulate bool) {
		args := Args{X: a, Packed: b, Y: c}
		if accumulate {
			args.Residual = c
		}
		runPlan(pool, p, args)
	}
	c, c8 := isatest.Nans(len(want)), isatest.Nans(len(want))
	run(one, c, false)
	closeTo(t, "c", c, want, m.K)
	run(many, c8, false)
	isatest.SameBits(t, "c", c, c8)
	run(one, c, true)
	closeTo(t, "c+c", c, twice(want), m.K)
}

func TestMatMulErrors(t *testing.T) {
	for _, m := range []MatMul{{0, 1, 1, 1, false, false}, {1, -1, 1, 1, false, false}, {1, 1, 0, 1, false, false}, {1, 1, 1, 0, false, false}, {1 << 20, 1 << 20, 1, 1, false, false}} {
		if _, err := PlanMatMul(m); err == nil {
			t.Errorf("PlanMatMul(%+v) took it", m)
		}
	}
}

func TestColumnSums(t *testing.T) {
	one, many := parallel.NewPool(1), parallel.NewPool(8)
	defer one.Close()
	defer many.Close()
	for _, s := range [][2]int{{1, 1}, {7, 5}, {1000, 130}, {50000, 16}} {
		rows, cols := s[0], s[1]
		x := isatest.RandomFloats(1, rows*cols)
		want := make([]float64, cols)
		for i, v := range x {
			want[i%cols] += float64(v)
		}
		p := PlanColumnSums(rows, cols)
		run := func(pool *parallel.Pool, dst []float32, accumulate bool) {
			args := Args{X: x, Y: dst}
			if accumulate {
				args.Residual = dst
			}
			runPlan(pool, p, args)
		}
		d, d8 := isatest.Nans(cols), isatest.Nans(cols)
		run(one, d, false)
		closeTo(t, "sums", d, want, rows)
		run(many, d8, false)
		isatest.SameBits(t, "sums", d, d8)
		run(one, d, true)
		closeTo(t, "sums+sums", d, twice(want), rows)
	}
}
