package gemm

import (
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestMicroKernelsAtPageEdges(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		e := isatest.NewEdges(t)
		for range 2 { // so that each array is at both edges
			e.N++
			eachTile(r, func(c tile) {
				c.check(t, r, e.Floats)
				e.Reset()
			})
		}
	})
}
