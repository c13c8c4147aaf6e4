//go:build !purego

package kernel

//go:generate sh -c "cd _asm && go run ./arm64 -out .."

// gemmNN runs the NN micro-kernel for a tile of m rows by nz panels, which are
// within maxRows.
func gemmNN(m, nz int, g *gemmArgs) {
	if !useNEON {
		gemmNNGeneric(m, nz, g)
	} else if g.cols == panelWidth {
		gemmNNNEON(m, g, nil)
	} else {
		var square [neonRows][panelWidth]float32
		for ; g.tiles > 0; g.nextTile() {
			gemmNNNEON(m, g, &square[0][0])
			g.storeSquare(square[:m])
		}
	}
}

// gemmNNSplit runs the split NN micro-kernel for a tile of m rows, an even
// number, by nz panels, which are within maxRows and maxSplitPanels.
func gemmNNSplit(m, nz int, g *gemmArgs) {
	if !useNEON {
		gemmNNGeneric(m, nz, g)
	} else if g.cols == panelWidth {
		gemmNNSplitNEON(m, g, nil)
	} else {
		var square [neonRows][panelWidth]float32
		for ; g.tiles > 0; g.nextTile() {
			gemmNNSplitNEON(m, g, &square[0][0])
			g.storeSquare(square[:m])
		}
	}
}

// gemmTN runs the TN micro-kernel for a tile of m rows by nz panels, which are
// within maxRows.
func gemmTN(m, nz int, g *gemmArgs) {
	if !useNEON {
		gemmTNGeneric(m, nz, g)
	} else if g.cols == panelWidth {
		gemmTNNEON(m, g, nil)
	} else {
		var square [neonRows][panelWidth]float32
		for ; g.tiles > 0; g.nextTile() {
			gemmTNNEON(m, g, &square[0][0])
			g.storeSquare(square[:m])
		}
	}
}

// storeSquare is the epilogue of a tile whose only panel is partial: NEON has
// no masked stores.
func (g *gemmArgs) storeSquare(square [][panelWidth]float32) {
	at := 0
	for i := range square {
		if g.a2 != nil && i == len(square)/2 {
			at += g.cjump - g.ldc
		}
		g.store(at, 0, g.cols, &square[i])
		at += g.ldc
	}
}
