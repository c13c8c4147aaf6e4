package conv

import (
	"fmt"
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// BenchmarkWinogradTraining runs what a training step does with the 3x3 layers
// of stride 1, directly (F0) and by Winograd. The rate counts the operations of
// the direct convolution, so it may be above the peak.
func BenchmarkWinogradTraining(b *testing.B) {
	layers := append(winogradLayers(16), conv(128, 32, 32, 16, 16, 3, 1, 1), conv(128, 16, 16, 32, 32, 3, 1, 1), conv(128, 8, 8, 64, 64, 3, 1, 1))
	for _, threads := range []int{1, 2} {
		p := parallel.NewPool(threads)
		defer p.Close()
		for _, c := range layers {
			x, y, w := isatest.RandomFloats(1, c.XLen()), isatest.RandomFloats(2, c.YLen()), isatest.RandomFloats(3, c.WLen())
			name := func(op string, tile int) string { return fmt.Sprintf("t%d/%s/%v/F%d", threads, op, c, tile) }
			b.Run(name("forward", 0), func(b *testing.B) {
				f, err := PlanConvForward(c)
				if err != nil {
					b.Fatal(err)
				}
				pack := c.ForwardPacking()
				packed, stats, s := make([]float32, pack.Len()), make([]float32, f.StatsFloats()), scratches(p, f.ScratchFloats())
				packTask := func(task, _ int) { pack.Run(task, packed, w) }
				task := func(task, worker int) {
					f.RunStats(task, s[worker], x, packed, nil, nil, y, isa.ActNone, stats)
				}
				measureWall(b, c.FLOPs(), func() { p.Run(pack.Tasks(), packTask); p.Run(f.Tasks(), task) })
			})
			b.Run(name("forward", 4), func(b *testing.B) {
				f, err := PlanWinograd(c, 4)
				if err != nil {
					b.Fatal(err)
				}
				benchWinograd(b, p, f, c.ForwardPacking(), x, w, y)
			})
			b.Run(name("inputGrad", 0), func(b *testing.B) {
				g, err := PlanConvInputGrad(c)
				if err != nil {
					b.Fatal(err)
				}
				pack := c.InputGradPacking()
				packed, s := make([]float32, pack.Len()), scratches(p, g.ScratchFloats())
				packTask := func(task, _ int) { pack.Run(task, packed, w) }
				task := func(task, worker int) { g.Run(task, s[worker], y, packed, x, false) }
				measureWall(b, c.FLOPs(), func() { p.Run(pack.Tasks(), packTask); p.Run(g.Tasks(), task) })
			})
			b.Run(name("inputGrad", 4), func(b *testing.B) {
				f, err := PlanWinogradInputGrad(c, 4)
				if err != nil {
					b.Fatal(err)
				}
				benchWinograd(b, p, f, c.InputGradPacking(), y, w, x)
			})
			b.Run(name("weightGrad", 0), func(b *testing.B) {
				g, err := PlanConvWeightGrad(c)
				if err != nil {
					b.Fatal(err)
				}
				partial, s := make([]float32, g.PartialFloats()), scratches(p, g.ScratchFloats())
				task := func(task, worker int) { g.Run(task, s[worker], partial, x, y, w, false) }
				reduce := func(task, _ int) { g.Reduce(task, partial, w, false) }
				measureWall(b, c.FLOPs(), func() { p.Run(g.Tasks(), task); p.Run(g.ReduceTasks(), reduce) })
			})
			b.Run(name("weightGrad", 4), func(b *testing.B) {
				g, err := PlanWinogradWeightGrad(c)
				if err != nil {
					b.Fatal(err)
				}
				partial, s := make([]float32, g.PartialFloats()), scratches(p, g.ScratchFloats())
				task := func(task, worker int) { g.Run(task, s[worker], partial, x, y, w) }
				reduce := func(task, _ int) { g.Reduce(task, partial, w) }
				measureWall(b, c.FLOPs(), func() { p.Run(g.Tasks(), task); p.Run(g.ReduceTasks(), reduce) })
			})
		}
	}
}

func benchWinograd(b *testing.B, p *parallel.Pool, f *Winograd, pack *Packing, x, w, y []float32) {
	panels, packed := make([]float32, pack.Len()), make([]float32, f.PackedLen())
	stats, s := make([]float32, f.StatsFloats()), scratches(p, f.ScratchFloats())
	tasks := []struct {
		n  int
		do func(task, worker int)
	}{
		{pack.Tasks(), func(task, _ int) { pack.Run(task, panels, w) }},
		{f.PackTasks(), func(task, _ int) { f.PackPanels(task, packed, panels) }},
		{f.Tasks(), func(task, worker int) {
			f.RunStats(-1, task, s[worker], x, packed, nil, nil, y, isa.ActNone, stats)
		}},
	}
	measureWall(b, f.conv.FLOPs(), func() {
		for _, t := range tasks {
			p.Run(t.n, t.do)
		}
	})
}
