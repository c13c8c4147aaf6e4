package wino

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// allTiles are the kinds of tiles.
var allTiles = []Tile{Closed2, Closed3, F2, F3, F4}

// weightsAt64 is GgGᵀ of a filter in float64.
func weightsAt64(t Tile, g [9]float64) []float64 {
	line := func(g0, g1, g2 float64) []float64 {
		var points []float64
		switch t {
		case Closed2:
			return []float64{g0 - g1, g1, g2 - g1}
		case Closed3:
			even, odd := (g0+g2)/(4*closedE), (g2-g0)/(4*closedF)
			return []float64{g1/4 + even, g1/4 - even, odd - g1/4, odd + g1/4}
		case F2:
			points = []float64{0, 1, -1}
		case F3:
			points = []float64{0, winogradC, -winogradC, winogradD}
		case F4:
			points = []float64{0, winogradA, -winogradA, winogradB, -winogradB}
		}
		var u []float64
		for i, p := range points {
			scale := 1.0 // the distances to the other points
			for j, other := range points {
				if j != i {
					scale *= p - other
				}
			}
			if t == F2 && p == 0 {
				scale = -scale // and its inputs
			}
			u = append(u, (g0+p*g1+p*p*g2)/scale)
		}
		return append(u, g2)
	}
	edge := t.Positions()
	out := make([]float64, edge*edge)
	var cols [3][]float64
	for s := range cols {
		cols[s] = line(g[s], g[3+s], g[6+s])
	}
	for r := range edge {
		copy(out[r*edge:], line(cols[0][r], cols[1][r], cols[2][r]))
	}
	return out
}

func TestWinogradWeights(t *testing.T) {
	type geometry struct{ rows, cols, stride int }
	for _, c := range []geometry{{1, 16, 16}, {3, 16, 16}, {5, 7, 40}, {2, 8, 8}, {4, 9, 31}, {7, 1, 3}, {6, 15, 15}} {
		for i := range 2 * len(allTiles) {
			tile, turned := allTiles[i/2], i%2 == 1
			edge := tile.Positions()
			w := isatest.RandomFloats(5, 9*c.rows*c.stride)
			// Of the last row of the last tap only the columns that count are there.
			w = w[: len(w)-c.stride+c.cols : len(w)-c.stride+c.cols]
			size := c.rows*isa.PanelWidth + 16 // a gap between positions that must stay
			tap, first := c.rows*c.stride*4, 0
			if turned {
				first, tap = 8*c.rows*c.stride, -tap
			}
			var one []float32
			isatest.EachISA(t, func(t *testing.T) {
				dst := isatest.Nans(edge * edge * size)
				Weights(tile, &dst[0], size*4, &w[first], tap, c.stride*4, c.rows, c.cols)
				if one == nil {
					one = dst
				}
				isatest.SameBits(t, tile.String()+" transform", dst, one)
				for i := range c.rows {
					for k := range isa.PanelWidth {
						var g [9]float64
						norm := 0.0
						for j := range g {
							if k < c.cols {
								g[j] = float64(w[(first*4+j*tap+i*c.stride*4)/4+k])
							}
							norm = max(norm, math.Abs(g[j]))
						}
						for pos, want := range weightsAt64(tile, g) {
							if got := float64(dst[pos*size+i*isa.PanelWidth+k]); !(math.Abs(got-want) <= 6e-7*norm) {
								t.Fatalf("%v: row %d column %d position %d: %g, want %g", tile, i, k, pos, got, want)
							}
						}
					}
				}
				for pos := range edge * edge {
					if gap := dst[pos*size+c.rows*isa.PanelWidth]; gap == gap {
						t.Fatalf("wrote %g behind position %d", gap, pos)
					}
				}
			})
		}
	}
}

// fma is the exact x*y + z rounded once.
func TestFMA(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	float := func() float32 {
		// Few bits and near exponents make sums that lie halfway.
		return float32(math.Ldexp(float64(int32(r.Uint32())>>r.IntN(28)), -r.IntN(60)))
	}
	for range 200000 {
		x, y, z := float(), float(), float()
		exact := new(big.Float).SetPrec(400).Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y)))
		exact.Add(exact, big.NewFloat(float64(z)))
		want, _ := exact.Float32()
		if got := isa.FMA(x, y, z); got != want {
			t.Fatalf("%g*%g + %g = %g, want %g", x, y, z, got, want)
		}
	}
	inf := float32(math.Inf(1))
	if got := isa.FMA(inf, 2, 3); got != inf {
		t.Errorf("infinite: %g", got)
	}
	if got := isa.FMA(inf, 0, 3); got == got {
		t.Errorf("not a number: %g", got)
	}
}

// BenchmarkWinogradWeights reports cycles, taken from the FMA peak of 64 a cycle
// on AVX-512, for each row of 16 columns.
func BenchmarkWinogradWeights(b *testing.B) {
	for _, rows := range []int{8, 64, 512} {
		for _, tile := range allTiles {
			b.Run(fmt.Sprintf("%v/%d", tile, rows), func(b *testing.B) {
				edge := tile.Positions()
				w, dst := isatest.RandomFloats(1, 9*rows*isa.PanelWidth), make([]float32, edge*edge*(rows+1)*isa.PanelWidth)
				const times = 200
				best, peak := math.Inf(1), 0.0
				for b.Loop() {
					start := time.Now()
					for range times {
						Weights(tile, &dst[0], (rows+1)*64, &w[0], rows*64, 64, rows, isa.PanelWidth)
					}
					best = min(best, float64(time.Since(start).Nanoseconds())/float64(times*rows))
					start = time.Now()
					n := isa.FmaPeak()
					peak = max(peak, float64(n)/float64(time.Since(start).Nanoseconds()))
				}
				b.ReportMetric(best*peak/64, "cycles/row")
			})
		}
	}
}
