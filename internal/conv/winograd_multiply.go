package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// multiply computes the products of all positions of some tiles with nz panels.
func (f *Winograd) multiply(block, packed, products []float32, tiles, p, nz int) {
	c := f.conv.C
	var g gemm.Args
	g.SetAct(isa.ActNone)
	g.SetCols(isa.PanelWidth)
	g.AOff, g.Batch, g.K = &f.zero[0], 1, c
	g.AStride, g.BStride, g.LDC = c*4, f.positions()*c*isa.PanelWidth*4, f.nz*isa.PanelWidth*4
	count := isa.CeilDiv(tiles, f.maxM)
	m, larger := tiles/count, tiles%count
	for pos := range f.positions() {
		from := (p*f.positions() + pos) * c * isa.PanelWidth
		g.B = &packed[from]
		// Weights that do not stay in cache are fetched one position ahead, a
		// panel with each tile.
		fetch, ahead := 0, from+c*isa.PanelWidth
		if pos == f.positions()-1 {
			ahead += (nz - 1) * f.positions() * c * isa.PanelWidth
		}
		if f.heavy && ahead < len(packed) {
			fetch = nz
			g.Prefetch, g.PrefetchStep = isa.Address(&packed[ahead]), g.BStride
		} else {
			g.NoPrefetch()
		}
		at := 0
		for mt, n := m+1, larger; mt >= m; mt, n = mt-1, count-larger {
			if n == 0 {
				continue
			}
			g.AStep, g.CStep = mt*g.AStride, mt*g.LDC
			for n > 0 {
				g.Tiles = n
				switch {
				case fetch > 0:
					g.Tiles = min(n, fetch)
					fetch -= g.Tiles
				case f.heavy:
					g.NoPrefetch()
				}
				n -= g.Tiles
				g.A, g.C, g.Res = &block[pos*f.vPos+at*c], &products[pos*f.mPos+at*f.nz*isa.PanelWidth], nil
				at += g.Tiles * mt
				gemm.NN(mt, nz, &g)
			}
		}
	}
}

// The way pairedRows: two rows of positions of a panel at a time.

// pairDepth is how many channels of weights it transforms at a time: many enough
// for the micro-kernel's sums to be long, few enough for the transforms to stay
// in the second-level cache beside the tiles.
const pairDepth = 128

// pairPos is the number of floats from one position's transformed weights to the
// next one's: other sets of the cache.
const pairPos = (pairDepth + 1) * isa.PanelWidth

// pairEdge is the edge of the tiles of inputs of the ways with plain weights.
const pairEdge = 6

// weightFloats is the length of the weights that a task transforms at a time.
func (f *Winograd) weightFloats() int {
	if f.way == pairedRows {
		return 2 * pairEdge * f.nz * pairPos
	}
	return 0
}

// multiplyPairs computes the products of all positions of some tiles with nz
// panels.
func (f *Winograd) multiplyPairs(block, packed, products, weights []float32, tiles, p, nz int) {
	c := f.conv.C
	panel := 9 * c * isa.PanelWidth
	from := packed[p*panel:][:nz*panel]
	var g gemm.Args
	g.SetAct(isa.ActNone)
	g.SetCols(isa.PanelWidth)
	g.AOff, g.Batch = &f.zero[0], 1
	g.AStride, g.LDC, g.BStride = c*4, f.nz*isa.PanelWidth*4, 2*pairEdge*pairPos*4
	count := isa.CeilDiv(tiles, f.maxM)
	m, larger := tiles/count, tiles%count
	// The next panels are fetched at an even rate, so many bytes a channel.
	ahead := f.heavy && (p+nz)*panel < len(packed)
	next, each := isa.Address(&packed[min((p+nz)*panel, len(packed)-1)]), nz*9*isa.PanelWidth*4/(f.positions()*count)
	for pair, rows := range wino.RowPairs {
		for lo := 0; lo < c; lo += pairDepth {
			g.K = min(pairDepth, c-lo)
			for i := range nz {
				wino.WeightRows(pair, &weights[i*2*pairEdge*pairPos], pairPos*4, &from[i*panel+lo*isa.PanelWidth], c*isa.PanelWidth*4, g.K)
			}
			for i := range 2 * pairEdge {
				pos := rows[i/pairEdge]*pairEdge + i%pairEdge
				g.B = &weights[i*pairPos]
				at := 0
				for mt, n := m+1, larger; mt >= m; mt, n = mt-1, count-larger {
					if n == 0 {
						continue
					}
					g.AStep, g.CStep, g.Tiles = mt*g.AStride, mt*g.LDC, n
					g.NoPrefetch()
					if ahead {
						g.Prefetch, g.PrefetchSlow, g.PrefetchStep = next, 64-each, each*g.K
						next += uintptr(n * each * g.K)
					}
					g.A, g.C, g.Res = &block[pos*f.vPos+at*c+lo], &products[pos*f.mPos+at*f.nz*isa.PanelWidth], nil
					if lo > 0 {
						g.Res = g.C
					}
					at += n * mt
					gemm.NN(mt, nz, &g)
				}
			}
		}
	}
}

// transformGroup transforms a tile to place at of a group.
func (f *Winograd) transformGroup(tmp, x, block []float32, tile, group, at int) {
	for lo := 0; lo < f.conv.C; lo += wino.TilesDepth {
		to := block[lo*f.positions()*group+at*wino.TilesDepth:]
		f.transformChannels(tmp, x, to, tile, tile+1, 0, group*wino.TilesDepth, lo, min(lo+wino.TilesDepth, f.conv.C))
	}
}

// multiplyGroup computes the products of all positions of a group with a panel.
func (f *Winograd) multiplyGroup(group int, block, packed, products []float32, p int) {
	c := f.conv.C
	panel := 9 * c * isa.PanelWidth
	for lo := 0; lo < c; lo += wino.TilesDepth {
		at, ahead := p*panel+lo*isa.PanelWidth, p*panel+(lo+wino.TilesDepth)*isa.PanelWidth
		if lo+wino.TilesDepth >= c {
			ahead = min((p+1)*panel, len(packed)-1)
		}
		wino.MultiplyTiles(group, &products[0], &block[lo*f.positions()*group], &packed[at], c*isa.PanelWidth*4, min(wino.TilesDepth, c-lo), isa.Address(&packed[ahead]), lo)
	}
}
