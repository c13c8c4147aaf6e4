package kernel

// multiply computes the products of all positions of some tiles with nz panels.
func (f *Winograd) multiply(block, packed, products []float32, tiles, p, nz int) {
	c := f.conv.C
	var g gemmArgs
	g.setAct(ActNone)
	g.setCols(panelWidth)
	g.aoff, g.batch, g.k = &f.zero[0], 1, c
	g.as, g.bs, g.ldc = c*4, f.positions()*c*panelWidth*4, f.nz*panelWidth*4
	count := ceilDiv(tiles, f.maxM)
	m, larger := tiles/count, tiles%count
	for pos := range f.positions() {
		from := (p*f.positions() + pos) * c * panelWidth
		g.b = &packed[from]
		// Weights that do not stay in cache are fetched one position ahead, a
		// panel with each tile.
		fetch, ahead := 0, from+c*panelWidth
		if pos == f.positions()-1 {
			ahead += (nz - 1) * f.positions() * c * panelWidth
		}
		if f.heavy && ahead < len(packed) {
			fetch = nz
			g.ahead, g.aheadStep = address(&packed[ahead]), g.bs
		} else {
			g.noAhead()
		}
		at := 0
		for mt, n := m+1, larger; mt >= m; mt, n = mt-1, count-larger {
			if n == 0 {
				continue
			}
			g.astep, g.cstep = mt*g.as, mt*g.ldc
			for n > 0 {
				g.tiles = n
				switch {
				case fetch > 0:
					g.tiles = min(n, fetch)
					fetch -= g.tiles
				case f.heavy:
					g.noAhead()
				}
				n -= g.tiles
				g.a, g.c, g.res = &block[pos*f.vPos+at*c], &products[pos*f.mPos+at*f.nz*panelWidth], nil
				at += g.tiles * mt
				gemmNN(mt, nz, &g)
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
const pairPos = (pairDepth + 1) * panelWidth

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
	panel := 9 * c * panelWidth
	from := packed[p*panel:][:nz*panel]
	var g gemmArgs
	g.setAct(ActNone)
	g.setCols(panelWidth)
	g.aoff, g.batch = &f.zero[0], 1
	g.as, g.ldc, g.bs = c*4, f.nz*panelWidth*4, 2*pairEdge*pairPos*4
	count := ceilDiv(tiles, f.maxM)
	m, larger := tiles/count, tiles%count
	// The next panels are fetched at an even rate, so many bytes a channel.
	ahead := f.heavy && (p+nz)*panel < len(packed)
	next, each := address(&packed[min((p+nz)*panel, len(packed)-1)]), nz*9*panelWidth*4/(f.positions()*count)
	for pair, rows := range weightPairs {
		for lo := 0; lo < c; lo += pairDepth {
			g.k = min(pairDepth, c-lo)
			for i := range nz {
				winogradPair(pair, &weights[i*2*pairEdge*pairPos], pairPos*4, &from[i*panel+lo*panelWidth], c*panelWidth*4, g.k)
			}
			for i := range 2 * pairEdge {
				pos := rows[i/pairEdge]*pairEdge + i%pairEdge
				g.b = &weights[i*pairPos]
				at := 0
				for mt, n := m+1, larger; mt >= m; mt, n = mt-1, count-larger {
					if n == 0 {
						continue
					}
					g.astep, g.cstep, g.tiles = mt*g.as, mt*g.ldc, n
					g.noAhead()
					if ahead {
						g.ahead, g.aheadSlow, g.aheadStep = next, 64-each, each*g.k
						next += uintptr(n * each * g.k)
					}
					g.a, g.c, g.res = &block[pos*f.vPos+at*c+lo], &products[pos*f.mPos+at*f.nz*panelWidth], nil
					if lo > 0 {
						g.res = g.c
					}
					at += n * mt
					gemmNN(mt, nz, &g)
				}
			}
		}
	}
}

// The way inRegisters. It does tiles by groups of 8, and of 4 at the end. The
// transformed inputs of each group are
//
//	[channels/48][position][tile][48]
//
// and its products [position][tile][16], so that all offsets are constant.
const (
	tilesDepth = 48
	maxGroup   = 8
)

// groupOf returns the size of the first group of some tiles.
func groupOf(tiles int) int {
	if tiles > maxGroup/2 {
		return maxGroup
	}
	return maxGroup / 2
}

// grouped returns how many places tiles take, some of them empty.
func grouped(tiles int) int { return ceilDiv(tiles, maxGroup/2) * (maxGroup / 2) }

// transformGroup transforms a tile to place at of a group.
func (f *Winograd) transformGroup(tmp, x, block []float32, tile, group, at int) {
	for lo := 0; lo < f.conv.C; lo += tilesDepth {
		to := block[lo*f.positions()*group+at*tilesDepth:]
		f.transformChannels(tmp, x, to, tile, tile+1, 0, group*tilesDepth, lo, min(lo+tilesDepth, f.conv.C))
	}
}

// multiplyGroup computes the products of all positions of a group with a panel.
func (f *Winograd) multiplyGroup(group int, block, packed, products []float32, p int) {
	c := f.conv.C
	panel := 9 * c * panelWidth
	for lo := 0; lo < c; lo += tilesDepth {
		at, ahead := p*panel+lo*panelWidth, p*panel+(lo+tilesDepth)*panelWidth
		if lo+tilesDepth >= c {
			ahead = min((p+1)*panel, len(packed)-1)
		}
		winogradTiles(group, &products[0], &block[lo*f.positions()*group], &packed[at], c*panelWidth*4, min(tilesDepth, c-lo), address(&packed[ahead]), lo)
	}
}
