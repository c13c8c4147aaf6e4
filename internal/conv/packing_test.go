package conv

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// Packing from PyTorch's order equals reordering, scaling and packing in the order HWIO.
func TestPackOIHW(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, c := range []Conv{
		{C: 3, K: 64, R: 7, S: 7, Groups: 1},
		{C: 5, K: 17, R: 1, S: 1, Groups: 1},
		{C: 130, K: 33, R: 1, S: 1, Groups: 1},
		{C: 70, K: 40, R: 3, S: 3, Groups: 1},
		{C: 12, K: 60, R: 3, S: 2, Groups: 3},
		{C: 8, K: 8, R: 3, S: 3, Groups: 8},
		Linear(1, 100, 10),
	} {
		c.N, c.H, c.W, c.StrideH, c.StrideW, c.DilH, c.DilW = 1, 9, 9, 1, 1, 1, 1
		p := c.forwardPacking()
		w := make([]float32, c.WLen())
		scale := make([]float64, c.K)
		for i := range w {
			w[i] = float32(r.NormFloat64())
		}
		for i := range scale {
			scale[i] = r.NormFloat64()
		}
		for _, scale := range [][]float64{nil, scale} {
			hwio := make([]float32, len(w))
			vec.OIHWToHWIO(hwio, w, c.K, c.C/c.Groups, c.R, c.S)
			for i := range hwio {
				if scale != nil {
					hwio[i] = float32(float64(hwio[i]) * scale[i%c.K])
				}
			}
			want, got := make([]float32, p.Len), make([]float32, p.Len)
			for i := range got {
				got[i] = -7 // to be overwritten
			}
			for task := range p.Tasks {
				p.Pack(task, want, Weights{Data: hwio})
				p.Pack(task, got, Weights{w, OIHW, scale})
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v, scaled %v: differs", c, scale != nil)
			}
		}
	}
}

// Winograd's weights made from PyTorch's order equal those made from the
// reordered and scaled ones.
func TestWinogradPackOIHW(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	for _, c := range []Conv{conv(1, 8, 8, 16, 16, 3, 1, 1), conv(1, 7, 5, 19, 37, 3, 1, 1)} {
		w, hwio := make([]float32, c.WLen()), make([]float32, c.WLen())
		scale := make([]float64, c.K)
		for i := range w {
			w[i] = float32(r.NormFloat64())
		}
		for i := range scale {
			scale[i] = r.NormFloat64()
		}
		vec.OIHWToHWIO(hwio, w, c.K, c.C, c.R, c.S)
		for i := range hwio {
			hwio[i] = float32(float64(hwio[i]) * scale[i%c.K])
		}
		for _, tile := range winogradTiles {
			p := newWinograd(c, tile, storedWeights).packing()
			want, got := make([]float32, p.Len), isatest.Nans(p.Len)
			for task := range p.Tasks {
				p.Pack(task, want, Weights{Data: hwio})
				p.Pack(task, got, Weights{w, OIHW, scale})
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v, tiles of %v: differs", c, tile)
			}
		}
	}
}
