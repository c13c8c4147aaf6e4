package wino

import (
	"math"
	"testing"
	"time"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// BenchmarkTransforms reports cycles, taken from the FMA peak of 64 a cycle on
// AVX-512, for 16 channels of a tile. Package conv has the ratios in its cost model.
func BenchmarkTransforms(b *testing.B) {
	const c, tiles, times = 256, 8, 50
	pos := (c*tiles + isa.PanelWidth) * 4
	x, products := isatest.RandomFloats(1, maxEdge*maxEdge*c), isatest.RandomFloats(2, maxEdge*maxEdge*pos/4)
	v, y, bias, tmp := make([]float32, maxEdge*maxEdge*pos/4), make([]float32, maxEdge*maxEdge*c), make([]float32, c), make([]float32, ScratchFloats)
	for _, tile := range allTiles {
		in := InputTile{Pixel: 4 * c, Right: tile.Inputs()}
		for i := range in.Rows {
			in.Rows[i] = &x[i*maxEdge*c]
		}
		out := OutputTile{Y: &y[0], Row: 4 * maxEdge * c, Pixel: 4 * c, Height: tile.Outputs(), Width: tile.Outputs(), Bias: &bias[0], Lo: -math.MaxFloat32, Hi: math.MaxFloat32}
		for _, of := range []struct {
			name      string
			transform func(i int)
		}{
			{"input", func(i int) { Input(tile, &v[i*c], pos, &in, c, &tmp[0]) }},
			{"output", func(i int) { Output(tile, &products[i*c], pos, &out, c, &tmp[0]) }},
		} {
			b.Run(tile.String()+"/"+of.name, func(b *testing.B) {
				best, peak := math.Inf(1), 0.0
				for b.Loop() {
					start := time.Now()
					for i := range tiles * times {
						of.transform(i % tiles)
					}
					best = min(best, float64(time.Since(start).Nanoseconds())/(tiles*times*c/isa.PanelWidth))
					start = time.Now()
					n := isa.FmaPeak()
					peak = max(peak, float64(n)/float64(time.Since(start).Nanoseconds()))
				}
				b.ReportMetric(best*peak/64, "cycles/tile")
			})
		}
	}
}
