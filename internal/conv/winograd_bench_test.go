package conv

import (
	"fmt"
	"testing"
	"time"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// winogradLayers are the 3x3 layers of stride 1 of ResNet-18, and those of
// ResNet-50, which are the same.
func winogradLayers(n int) []Conv {
	return []Conv{conv(n, 56, 56, 64, 64, 3, 1, 1), conv(n, 28, 28, 128, 128, 3, 1, 1), conv(n, 14, 14, 256, 256, 3, 1, 1), conv(n, 7, 7, 512, 512, 3, 1, 1)}
}

// The rate counts the operations of the direct convolution, so it may be above
// the peak.
func BenchmarkWinograd(b *testing.B) {
	for _, threads := range []int{1, 2} {
		p := parallel.NewPool(threads)
		defer p.Close()
		for _, n := range []int{1, 8} {
			for _, c := range winogradLayers(n) {
				b.Run(fmt.Sprintf("t%d/%v/direct", threads, c), func(b *testing.B) {
					f, err := PlanConvForward(c)
					if err != nil {
						b.Fatal(err)
					}
					x, y, bias := isatest.RandomFloats(1, c.XLen()), make([]float32, c.YLen()), isatest.RandomFloats(3, c.K)
					packed := isatest.RandomFloats(2, c.ForwardPacking().Len())
					s := scratches(p, f.ScratchFloats())
					task := func(task, worker int) { f.Run(task, s[worker], x, packed, bias, nil, y, isa.ActReLU) }
					measureWall(b, c.FLOPs(), func() { p.Run(f.Tasks(), task) })
				})
				for _, tile := range WinogradTiles {
					for _, way := range winogradWays(tile) {
						b.Run(fmt.Sprintf("t%d/%v/F%d/%d", threads, c, tile, way), func(b *testing.B) {
							benchWay(b, p, planWinograd(c, tile, way))
						})
					}
				}
			}
		}
	}
}

func benchWay(b *testing.B, p *parallel.Pool, f *Winograd) {
	c := f.conv
	x, y, bias := isatest.RandomFloats(1, c.XLen()), make([]float32, c.YLen()), isatest.RandomFloats(3, c.K)
	packed, last := isatest.RandomFloats(2, f.PackedLen()), make([][16]int, p.Workers())
	s := scratches(p, f.ScratchFloats())
	task := func(task, worker int) {
		prev := last[worker][0] - 1
		last[worker][0] = task + 1
		f.Run(prev, task, s[worker], x, packed, bias, nil, y, isa.ActReLU)
	}
	measureWall(b, c.FLOPs(), func() {
		clear(last)
		p.Run(f.Tasks(), task)
	})
}

// measureWall is measure by the wall clock, for several workers.
func measureWall(b *testing.B, flops int64, op func()) {
	start := time.Now()
	measureBy(b, func() time.Duration { return time.Since(start) }, flops, op)
}
