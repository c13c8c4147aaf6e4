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
			run := func(plan *Plan, a Args) {
				if plan.Packed != nil {
					a.Packed = e.Floats(plan.Packed.Len)
					for task := range plan.Packed.Tasks {
						plan.Packed.Pack(task, a.Packed, Weights{Data: w})
					}
				}
				worker := &Worker{Scratch: e.Floats(plan.scratch() + 1)[:plan.scratch()]}
				a.Partial = e.Floats(plan.Floats[ArgPartial] + 1)[:plan.Floats[ArgPartial]]
				for i := range plan.Steps {
					worker.Begin()
					for task := range plan.Steps[i].Tasks {
						plan.Steps[i].Run(worker, task, a)
					}
				}
			}
			run(planned(t, directForward, c, Want{Stats: true}), Args{X: x, Bias: bias, Y: y, Mean: e.Floats(c.K), Variance: e.Floats(c.K), Act: isa.ActReLU})
			run(planned(t, directInputGrad, c, Want{Op: InputGrad, Residual: true}), Args{X: y, Residual: x, Y: x})
			run(planned(t, directWeightGrad, c, Want{Op: WeightGrad}), Args{X: x, DY: y, Y: w})
			e.Reset()
		}
	})
}
