//go:build !purego

package gemm

import "github.com/resnet-go/resnet/internal/simd/isa"

// NN runs the NN micro-kernel for a tile of m rows by nz panels, which are
// within [MaxRows].
func NN(m, nz int, g *Args) {
	if !isa.UseNEON {
		gemmNNGeneric(m, nz, g)
	} else if g.cols == isa.PanelWidth {
		gemmNNNEON(m, g, nil)
	} else {
		var square [neonRows][isa.PanelWidth]float32
		for ; g.Tiles > 0; g.nextTile() {
			gemmNNNEON(m, g, &square[0][0])
			g.storeSquare(square[:m])
		}
	}
}

// NNSplit runs the split NN micro-kernel for a tile of m rows, an even
// number, by nz panels, which are within maxRows and maxSplitPanels.
func NNSplit(m, nz int, g *Args) {
	if !isa.UseNEON {
		gemmNNGeneric(m, nz, g)
	} else if g.cols == isa.PanelWidth {
		gemmNNSplitNEON(m, g, nil)
	} else {
		var square [neonRows][isa.PanelWidth]float32
		for ; g.Tiles > 0; g.nextTile() {
			gemmNNSplitNEON(m, g, &square[0][0])
			g.storeSquare(square[:m])
		}
	}
}

// TN runs the TN micro-kernel for a tile of m rows by nz panels, which are
// within [MaxRows] and [MaxTNPanels].
func TN(m, nz int, g *Args) {
	if !isa.UseNEON {
		gemmTNGeneric(m, nz, g)
	} else if g.cols == isa.PanelWidth {
		gemmTNNEON(m, g, nil)
	} else {
		var square [neonRows][isa.PanelWidth]float32
		for ; g.Tiles > 0; g.nextTile() {
			gemmTNNEON(m, g, &square[0][0])
			g.storeSquare(square[:m])
		}
	}
}

// storeSquare is the epilogue of a tile whose only panel is partial: NEON has
// no masked stores.
func (g *Args) storeSquare(square [][isa.PanelWidth]float32) {
	at := 0
	for i := range square {
		if g.A2 != nil && i == len(square)/2 {
			at += g.CJump - g.LDC
		}
		g.store(at, 0, g.cols, &square[i])
		at += g.LDC
	}
}
