package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// How Winograd's algorithm multiplies by weights that it transforms as it reads
// them, for few tiles and many channels: the traffic of transformed weights,
// four times that of the untransformed, would take longer than the transforms.

// pairDepth is the number of channels of weights transformed at a time: enough
// for the micro-kernel's sums to be long, few enough for the transforms to stay
// in the second-level cache beside the tiles.
const pairDepth = 128

// pairPos is the number of floats from one position's transformed weights to the
// next one's: other sets of the cache.
const pairPos = (pairDepth + 1) * isa.PanelWidth

// pairEdge is the edge of the tiles of inputs with untransformed weights.
const pairEdge = 6

// pairFloats is the length of the weights that a task transforms at a time.
func (f *winograd) pairFloats() int {
	if f.weights == pairedRows {
		return 2 * pairEdge * f.nz * pairPos
	}
	return 0
}

// multiplyPairs computes the products of all positions of some tiles with nz
// panels of untransformed weights, two rows of positions at a time.
func (f *winograd) multiplyPairs(block, packed, products, pairs []float32, tiles, p, nz int) {
	c := f.conv.C
	panel := 9 * c * isa.PanelWidth
	from := packed[p*panel:][:nz*panel]
	var g gemm.Args
	g.SetAct(isa.ActNone)
	g.SetCols(isa.PanelWidth)
	g.AOff, g.Batch = &f.zero[0], 1
	g.AStride, g.LDC, g.BStride = f.pitch*4, f.nz*isa.PanelWidth*4, 2*pairEdge*pairPos*4
	var ahead prefetcher // of the next panels
	ahead.begin(f.positions * isa.CeilDiv(tiles, f.maxM) * isa.CeilDiv(c, pairDepth))
	if f.weightsExceedL2 && (p+nz)*panel < len(packed) {
		ahead.add(isa.Address(&packed[(p+nz)*panel]), nz*panel*4)
	}
	for pair, rows := range wino.RowPairs {
		for lo := 0; lo < c; lo += pairDepth {
			g.K = min(pairDepth, c-lo)
			for i := range nz {
				wino.WeightRows(pair, &pairs[i*2*pairEdge*pairPos], pairPos*4, &from[i*panel+lo*isa.PanelWidth], c*isa.PanelWidth*4, g.K)
			}
			for i := range 2 * pairEdge {
				pos := rows[i/pairEdge]*pairEdge + i%pairEdge
				g.B = &pairs[i*pairPos]
				at := 0
				for _, t := range split(tiles, f.maxM) {
					g.AStep, g.CStep = t.rows*g.AStride, t.rows*g.LDC
					for n := t.n; n > 0; {
						g.Tiles = ahead.set(&g, n)
						n -= g.Tiles
						g.A, g.C, g.Res = &block[pos*f.vPos+at*f.pitch+lo], &products[pos*f.mPos+at*f.nz*isa.PanelWidth], nil
						if lo > 0 {
							g.Res = g.C
						}
						at += g.Tiles * t.rows
						gemm.NN(t.rows, nz, &g)
					}
				}
			}
		}
	}
}

// vTile returns the length of a tile's transformed inputs with the weights
// inRegisters.
func (f *winograd) vTile() int {
	return f.positions * isa.CeilDiv(f.conv.C, wino.TilesDepth) * wino.TilesDepth
}

// transformGroup transforms a tile to place at of a group.
func (f *winograd) transformGroup(tmp, x, block []float32, tile, group, at int) {
	for lo := 0; lo < f.conv.C; lo += wino.TilesDepth {
		to := block[lo*f.positions*group+at*wino.TilesDepth:]
		f.transformTiles(tmp, x, to, tile, tile+1, channels{lo, min(lo+wino.TilesDepth, f.conv.C), 0, group * wino.TilesDepth})
	}
}

// multiplyGroup computes the products of all positions of a group with a panel.
func (f *winograd) multiplyGroup(group int, block, packed, products []float32, p int) {
	c := f.conv.C
	panel := 9 * c * isa.PanelWidth
	for lo := 0; lo < c; lo += wino.TilesDepth {
		at, ahead := p*panel+lo*isa.PanelWidth, p*panel+(lo+wino.TilesDepth)*isa.PanelWidth
		if lo+wino.TilesDepth >= c {
			ahead = min((p+1)*panel, len(packed)-1)
		}
		wino.MultiplyTiles(group, &products[0], &block[lo*f.positions*group], &packed[at], c*isa.PanelWidth*4, min(wino.TilesDepth, c-lo), isa.Address(&packed[ahead]), lo)
	}
}
