package conv

import (
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestConvAtPageEdges(t *testing.T) {
	pool := parallel.NewPool(1)
	defer pool.Close()
	isatest.EachISA(t, func(t *testing.T) {
		e := isatest.NewEdges(t)
		for i, c := range convShapes {
			e.N = i
			fill := func(seed uint64, n int) []float32 {
				s := e.Floats(n)
				copy(s, isatest.RandomFloats(seed, n))
				return s
			}
			x, w, y, bias := fill(1, c.XLen()), fill(2, c.WLen()), fill(3, c.YLen()), fill(4, c.K)
			f, err := PlanConvForward(c)
			if err != nil {
				t.Fatal(err)
			}
			kf, kg := c.ForwardPacking(), c.InputGradPacking()
			packed := e.Floats(kf.Len())
			for task := range kf.Tasks() {
				kf.Run(task, packed, w)
			}
			scratch, stats := e.Floats(f.ScratchFloats() + 1)[:f.ScratchFloats()], e.Floats(f.StatsFloats())
			for task := range f.Tasks() {
				f.RunStats(task, scratch, x, packed, bias, nil, y, isa.ActReLU, stats)
			}
			packed = e.Floats(kg.Len())
			for task := range kg.Tasks() {
				kg.Run(task, packed, w)
			}
			g, err := PlanConvInputGrad(c)
			if err != nil {
				t.Fatal(err)
			}
			scratch = e.Floats(g.ScratchFloats() + 1)[:g.ScratchFloats()]
			for task := range g.Tasks() {
				g.Run(task, scratch, y, packed, x, true)
			}
			h, err := PlanConvWeightGrad(c)
			if err != nil {
				t.Fatal(err)
			}
			scratch = e.Floats(h.ScratchFloats() + 1)[:h.ScratchFloats()]
			partial := e.Floats(h.PartialFloats() + 1)[:h.PartialFloats()]
			for task := range h.Tasks() {
				h.Run(task, scratch, partial, x, y, w, false)
			}
			e.Reset()
		}
	})
}
