package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// What weightLine multiplies the taps of a filter with: the powers of a point
// over the product of its distances to the other points, for the points 0,
// ±winogradA and ±winogradB. The generator in _asm has the same numbers.
const (
	weightA2, weightB2 = winogradA * winogradA, winogradB * winogradB

	weightZero  float32 = 1 / (weightA2 * weightB2)
	weightTapA0 float32 = 1 / (2 * weightA2 * (weightA2 - weightB2))
	weightTapA1 float32 = 1 / (2 * winogradA * (weightA2 - weightB2))
	weightTapA2 float32 = 1 / (2 * (weightA2 - weightB2))
	weightTapB0 float32 = 1 / (2 * weightB2 * (weightB2 - weightA2))
	weightTapB1 float32 = 1 / (2 * winogradB * (weightB2 - weightA2))
	weightTapB2 float32 = 1 / (2 * (weightB2 - weightA2))
)

// What weightLine multiplies with for F(3x3,3x3): the value of a filter at a point,
// or g0 for the point 0, by one over the product of the point's distances to the
// others. For closed tiles of 3x3 it multiplies a tap or a sum of two of them.
const (
	weightC2, weightD2 = winogradC * winogradC, winogradD * winogradD

	weightOrigin float32 = 1 / (weightC2 * winogradD)
	weightPlusC  float32 = 1 / (2 * weightC2 * (winogradC - winogradD))
	weightMinusC float32 = -1 / (2 * weightC2 * (winogradC + winogradD))
	weightAtD    float32 = 1 / (winogradD * (weightD2 - weightC2))

	weightEven float32 = 1 / (4 * closedE)
	weightOdd  float32 = 1 / (4 * closedF)
)

// weightLine transforms a row or a column of a 3x3 filter: Gg, the filter's
// values at the points over the products of the point's distances to the others,
// or the factors u of a closed tile. Every instruction set does these operations in
// this order, so all have the same bits.
func weightLine(t Tile, g0, g1, g2 float32, u *[maxEdge]float32) {
	switch t {
	case Closed2:
		u[0], u[1], u[2] = g0-g1, g1, g2-g1
	case Closed3:
		even, middle, odd := g0+g2, float32(g1*0.25), float32((g2-g0)*weightOdd)
		u[0], u[1] = isa.FMA(even, weightEven, middle), isa.FMA(-even, weightEven, middle)
		u[2], u[3] = odd-middle, odd+middle
	case F2:
		h := float32(g0+g2) * 0.5
		u[0], u[1], u[2], u[3] = g0, isa.FMA(g1, 0.5, h), isa.FMA(-g1, 0.5, h), g2
	case F3:
		even := isa.FMA(g2, weightC2, g0)
		u[0], u[4] = float32(g0*weightOrigin), g2
		u[1] = float32(isa.FMA(g1, winogradC, even) * weightPlusC)
		u[2] = float32(isa.FMA(-g1, winogradC, even) * weightMinusC)
		u[3] = float32(isa.FMA(g1, winogradD, isa.FMA(g2, weightD2, g0)) * weightAtD)
	case F4:
		pa, pb := isa.FMA(g2, weightTapA2, float32(g0*weightTapA0)), isa.FMA(g2, weightTapB2, float32(g0*weightTapB0))
		u[0], u[5] = float32(g0*weightZero), g2
		u[1], u[2] = isa.FMA(g1, weightTapA1, pa), isa.FMA(-g1, weightTapA1, pa)
		u[3], u[4] = isa.FMA(g1, weightTapB1, pb), isa.FMA(-g1, weightTapB1, pb)
	}
}

// winogradWeightsGeneric is [Weights] in plain Go.
func winogradWeightsGeneric(t Tile, dst *float32, pos int, w *float32, tap, row, c, cols int) {
	edge := t.Positions()
	for i := range c {
		for k := range isa.PanelWidth {
			var g [9]float32
			for j := range g {
				if k < cols {
					g[j] = *isa.FloatAt(w, j*tap+i*row+4*k)
				}
			}
			var sq [3][maxEdge]float32 // by column
			for s := range sq {
				weightLine(t, g[s], g[3+s], g[6+s], &sq[s])
			}
			for r := range edge {
				var line [maxEdge]float32
				weightLine(t, sq[0][r], sq[1][r], sq[2][r], &line)
				for s := range edge {
					*isa.FloatAt(dst, (r*edge+s)*pos+i*isa.PanelWidth*4+4*k) = line[s]
				}
			}
		}
	}
}

// RowPairs are the rows of positions that [WeightRows] transforms together:
// those that need the same parts of the sum.
var RowPairs = [3][2]int{{0, 5}, {1, 2}, {3, 4}}

// winogradPairGeneric is [WeightRows] in plain Go.
func winogradPairGeneric(pair int, dst *float32, pos int, w *float32, tap, c int) {
	for i := range c {
		for k := range isa.PanelWidth {
			var sq [3][maxEdge]float32
			for s := range sq {
				at := s*tap + i*isa.PanelWidth*4 + 4*k
				weightLine(F4, *isa.FloatAt(w, at), *isa.FloatAt(w, at+3*tap), *isa.FloatAt(w, at+6*tap), &sq[s])
			}
			for j, r := range RowPairs[pair] {
				var line [maxEdge]float32
				weightLine(F4, sq[0][r], sq[1][r], sq[2][r], &line)
				for s := range line {
					*isa.FloatAt(dst, (6*j+s)*pos+i*isa.PanelWidth*4+4*k) = line[s]
				}
			}
		}
	}
}

// winogradTilesGeneric is [MultiplyTiles] in plain Go.
func winogradTilesGeneric(tiles int, c, v, w *float32, tap, k, more int) {
	for j := range isa.PanelWidth {
		var sums [maxEdge * maxEdge * MaxGroup]float32
		if more != 0 {
			for at := range sums[:maxEdge*maxEdge*tiles] {
				sums[at] = *isa.FloatAt(c, (at*isa.PanelWidth+j)*4)
			}
		}
		for i := range k {
			var sq [3][maxEdge]float32
			for s := range sq {
				at := s*tap + i*isa.PanelWidth*4 + 4*j
				weightLine(F4, *isa.FloatAt(w, at), *isa.FloatAt(w, at+3*tap), *isa.FloatAt(w, at+6*tap), &sq[s])
			}
			for r := range maxEdge {
				var line [maxEdge]float32
				weightLine(F4, sq[0][r], sq[1][r], sq[2][r], &line)
				for s, u := range line {
					for tile := range tiles {
						at := (r*maxEdge+s)*tiles + tile
						sums[at] += float32(u * *isa.FloatAt(v, (at*TilesDepth+i)*4))
					}
				}
			}
		}
		for at, sum := range sums[:maxEdge*maxEdge*tiles] {
			*isa.FloatAt(c, (at*isa.PanelWidth+j)*4) = sum
		}
	}
}
