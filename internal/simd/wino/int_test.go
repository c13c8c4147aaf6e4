package wino

import (
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// Sums by the transforms are those of the products, for all bytes, among them those whose
// transforms are the largest numbers.
func TestIntTransformsAreExact(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 5))
		for trial := range 400 {
			checkIntTransforms(t, r, [2]Tile{F4, F2}[trial%2], trial/2, 16*(1+r.IntN(3)), 1+r.IntN(3))
		}
	})
}

func checkIntTransforms(t *testing.T, r *rand.Rand, tile Tile, trial, channels, tiles int) {
	edge, out := tile.Inputs(), tile.Outputs()
	positions := edge * edge
	pixel := channels + r.IntN(5)
	zero := [3]uint8{0, 255, uint8(r.IntN(256))}[trial%3]
	value := func() uint8 {
		if trial%4 == 0 {
			return 255 * uint8(r.IntN(2))
		}
		return uint8(r.IntN(256))
	}
	filters := make([][3][3]int8, channels*isa.PanelWidth) // [channel][16]
	for i := range filters {
		for a := range 3 {
			for b := range 3 {
				filters[i][a][b] = int8(r.IntN(256) - 128)
				if trial%4 == 0 {
					filters[i][a][b] = [2]int8{-128, 127}[r.IntN(2)]
				}
			}
		}
	}
	products := make([]int32, positions*tiles*isa.PanelWidth)
	tmp := make([]int32, IntScratch)
	images := make([][intMaxEdge][intMaxEdge][]uint8, tiles)
	for n := range tiles {
		in := IntTile{Pixel: pixel, Left: r.IntN(3), Right: edge - r.IntN(2), Zero: zero}
		for i := range edge {
			row := make([]uint8, (in.Right-in.Left)*pixel)
			outside := i == 0 && r.IntN(2) == 0
			for j := range row {
				if row[j] = value(); outside {
					row[j] = zero
				}
			}
			in.Rows[i] = &row[0]
			for j := range edge {
				if pixels := make([]uint8, channels); j < in.Left || j >= in.Right {
					for ch := range pixels {
						pixels[ch] = zero
					}
					images[n][i][j] = pixels
				} else {
					images[n][i][j] = row[(j-in.Left)*pixel:][:channels]
				}
			}
		}
		pos := channels + 16 // numbers between positions
		v := make([]int16, positions*pos)
		IntInput(tile, &v[0], 2*pos, &in, channels, &tmp[0])
		for k := range isa.PanelWidth {
			for ch := range channels {
				u := make([]int16, positions)
				IntWeights(tile, u, &filters[ch*isa.PanelWidth+k])
				for i, u := range u {
					products[(i*tiles+n)*isa.PanelWidth+k] += int32(u) * int32(v[i*pos+ch])
				}
			}
		}
	}
	var corr [isa.PanelWidth]int32
	for i := range corr {
		corr[i] = int32(r.Uint32())
	}
	width := out * tiles
	sums := make([]int32, out*width*isa.PanelWidth)
	IntOutput(tile, &sums[0], 4*width*isa.PanelWidth, &products[0], 4*tiles*isa.PanelWidth, &corr, tiles, &tmp[0])
	for at, got := range sums {
		k, x, y := at%isa.PanelWidth, at/isa.PanelWidth%width, at/isa.PanelWidth/width
		want := corr[k]
		for a := range 3 {
			for b := range 3 {
				for ch, p := range images[x/out][y+a][x%out+b] {
					want += (int32(p) - int32(zero)) * int32(filters[ch*isa.PanelWidth+k][a][b])
				}
			}
		}
		if got != want {
			t.Fatalf("tile %v, trial %d, %d channels, tile %d: output %d, %d of column %d is %d, want %d", tile, trial, channels, x/out, y, x, k, got, want)
		}
	}
}

// The transforms of a picture are read and written in place.
func TestIntTransformsAllocateNothing(t *testing.T) {
	var in IntTile
	row := make([]uint8, 6*16)
	for i := range in.Rows {
		in.Rows[i] = &row[0]
	}
	in.Pixel, in.Right = 16, 6
	v, m, sums, tmp := make([]int16, 36*16), make([]int32, 36*16), make([]int32, 16*16), make([]int32, IntScratch)
	var corr [isa.PanelWidth]int32
	isatest.NoAllocs(t, "integer transforms", func() {
		IntInput(F4, &v[0], 32, &in, 16, &tmp[0])
		IntOutput(F4, &sums[0], 4*4*16, &m[0], 64, &corr, 1, &tmp[0])
	})
}
