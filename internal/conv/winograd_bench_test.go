package conv

import (
	"fmt"
	"testing"
	"time"

	"github.com/resnet-go/resnet/internal/parallel"
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
					measureWall(b, c.FLOPs(), preparedRandom(p, planned(b, directForward, c, Want{}), c, Forward))
				})
				for _, tile := range trainTiles {
					for _, way := range waysOf(tile) {
						b.Run(fmt.Sprintf("t%d/%v/%v/%d", threads, c, tile, way), func(b *testing.B) {
							measureWall(b, c.FLOPs(), preparedRandom(p, plannedWinograd(c, tile, way), c, Forward))
						})
					}
				}
			}
		}
	}
}

// measureWall is measure by the wall clock, for several workers.
func measureWall(b *testing.B, flops int64, op func()) {
	start := time.Now()
	measureBy(b, func() time.Duration { return time.Since(start) }, flops, op)
}
