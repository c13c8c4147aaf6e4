package conv

import (
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// TestPrefetcher: the tiles prefetch each stretch from its start to its end, one after
// the other, where they have the steps for that, and at a rate that differs
// little between them.
func TestPrefetcher(t *testing.T) {
	for _, v := range []struct {
		tiles, steps int
		sizes        []int
		slack        float64 // of the fastest rate to the mean
	}{
		{4, 512, []int{32768, 32768}, 1.01},       // two panels by four tiles: half the rate
		{14, 256, []int{16384, 16384}, 1.01},      // by 14
		{7, 256, []int{16384, 16384}, 1.3},        // 3 and 4 tiles
		{40, 64, []int{17920, 71680}, 1.01},       // input and output of a sweep
		{40, 64, []int{17920, 60000, 60000}, 1.3}, // and a residual elsewhere
		{1, 2048, []int{131072, 131072}, 1},       // too few tiles: the first only
		{3, 100, []int{6400, 6400, 100, 1}, 2},
		{10, 147, []int{200_000}, 1},                // more than the steps can fetch
		{5, 9, []int{1000}, 1.1}, {8, 64, nil, 1.0}, // little, nothing
	} {
		var f prefetcher
		f.begin(v.tiles)
		total, at := 0, uintptr(1<<20)
		var want []stretch
		for _, size := range v.sizes {
			f.add(at, size)
			want = append(want, stretch{at, size})
			at += 1 << 24
			total += size
		}
		g := gemm.Args{Batch: 1, K: v.steps, B: new(float32)}
		got := map[uintptr]int{} // begin of a stretch → bytes fetched of it
		fastest := 0
		for left := v.tiles; left > 0; {
			n := f.set(&g, min(left, 3)) // rows of three tiles
			if n < 1 || n > left {
				t.Fatalf("%v: %d of %d tiles", v, n, left)
			}
			left -= n
			if g.Prefetch == isa.Address(g.B) {
				continue // nothing is left to fetch
			}
			rate := 64 - g.PrefetchSlow
			if rate < 0 || rate > 64 || g.PrefetchStep != rate*v.steps {
				t.Fatalf("%v: %d bytes a step, %d a tile", v, rate, g.PrefetchStep)
			}
			fastest = max(fastest, rate)
			i := slices.IndexFunc(want, func(s stretch) bool { return g.Prefetch >= s.at && g.Prefetch < s.at+1<<24 })
			if int(g.Prefetch-want[i].at) != got[want[i].at] {
				t.Fatalf("%v: stretch %d is fetched from byte %d after %d", v, i, g.Prefetch-want[i].at, got[want[i].at])
			}
			got[want[i].at] += n * g.PrefetchStep
		}
		for i, s := range want {
			can := v.tiles * v.steps * 64
			if i > 0 && v.tiles < len(want) || total > can*9/10 {
				continue
			}
			if got[s.at] < s.size {
				t.Errorf("%v: %d bytes of %d of stretch %d", v, got[s.at], s.size, i)
			}
		}
		if mean := float64(total) / float64(v.tiles*v.steps); float64(fastest) > math.Ceil(v.slack*math.Ceil(mean)) {
			t.Errorf("%v: up to %d bytes a step, %.1f on the average", v, fastest, mean)
		}
	}
}

// TestPrevious: a task whose input the one before it has copied gives the bits
// of one that copies it.
func TestPrevious(t *testing.T) {
	shared := 0
	for _, c := range append(slices.Clone(convShapes),
		conv(1, 14, 14, 256, 512, 3, 2, 1), conv(2, 14, 14, 512, 512, 1, 2, 0), // panels in several tasks
	) {
		for _, v := range []struct {
			plan  *Plan
			parts []*direct
			y     int
		}{
			{planned(t, directForward, c, Want{}), []*direct{newDirectForward(c)}, c.YLen()},
			{planned(t, directInputGrad, c, Want{Op: InputGrad}), newDirectInputGrad(c).parts, c.XLen()},
		} {
			for _, q := range v.parts {
				for task := 1; q.copied && task < q.tasks(); task++ {
					if b := q.block(task); q.sameInput(task-1, &b) {
						shared++
					}
				}
			}
			want, got := make([]float32, v.y), make([]float32, v.y)
			a := Args{X: isatest.RandomFloats(1, c.XLen()+c.YLen()-v.y), Packed: isatest.RandomFloats(2, v.plan.Packed.Len), Y: want}
			step, w := &v.plan.Steps[0], &Worker{Scratch: isatest.Nans(v.plan.scratch())}
			for task := range step.Tasks {
				w.Begin()
				step.Run(w, task, a)
			}
			w.Begin()
			a.Y = got
			for task := range step.Tasks {
				step.Run(w, task, a)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v: other bits after another task", c)
			}
		}
	}
	if shared == 0 {
		t.Error("no two tasks share an input: the test tests nothing")
	}
}
