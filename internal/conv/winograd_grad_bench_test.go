package conv

import (
	"fmt"
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/isatest"
	"github.com/resnet-go/resnet/internal/simd/wino"
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
			for _, v := range []struct {
				name string
				a    algorithm
				want Want
				tile wino.Tile
			}{
				{"forward", directForward, Want{Stats: true}, 0},
				{"forward", winogradForward(wino.F4), Want{Fast: true, Stats: true}, 4},
				{"inputGrad", directInputGrad, Want{Op: InputGrad}, 0},
				{"inputGrad", winogradInputGrad(wino.F4), Want{Op: InputGrad, Fast: true}, 4},
				{"weightGrad", directWeightGrad, Want{Op: WeightGrad}, 0},
				{"weightGrad", winogradWeightGrad, Want{Op: WeightGrad, Fast: true}, 4},
			} {
				b.Run(fmt.Sprintf("t%d/%s/%v/F%d", threads, v.name, c, v.tile), func(b *testing.B) {
					plan := planned(b, v.a, c, v.want)
					run := preparedRandom(p, plan, c, v.want.Op)
					if k := plan.Packed; k != nil { // the weights change with each step
						packed, w, products := make([]float32, k.Len), isatest.RandomFloats(3, c.WLen()), run
						task := func(task, _ int) { k.Pack(task, packed, Weights{Data: w}) }
						run = func() { p.Run(k.Tasks, task); products() }
					}
					measureWall(b, c.FLOPs(), run)
				})
			}
		}
	}
}
