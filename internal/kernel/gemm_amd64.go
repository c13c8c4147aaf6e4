//go:build !purego

package kernel

//go:generate sh -c "cd _asm && go run . -out .."

// gemmNN runs the NN micro-kernel for a tile of m rows by nz panels, which are
// within maxRows.
func gemmNN(m, nz int, g *gemmArgs) {
	if useAVX512 {
		gemmNNAVX512(m, nz, g)
	} else if useAVX2 {
		gemmNNAVX2(m, nz, g)
	} else {
		gemmNNGeneric(m, nz, g)
	}
}

// gemmNNSplit runs the split NN micro-kernel for a tile of m rows, an even
// number, by nz panels, which are within maxRows and maxSplitPanels.
func gemmNNSplit(m, nz int, g *gemmArgs) {
	if useAVX512 {
		gemmNNAVX512Split(m, nz, g)
	} else if useAVX2 {
		gemmNNAVX2Split(m, nz, g)
	} else {
		gemmNNGeneric(m, nz, g)
	}
}

// gemmTN runs the TN micro-kernel for a tile of m rows by nz panels, which are
// within maxRows.
func gemmTN(m, nz int, g *gemmArgs) {
	if useAVX512 {
		gemmTNAVX512(m, nz, g)
	} else if useAVX2 {
		gemmTNAVX2(m, nz, g)
	} else {
		gemmTNGeneric(m, nz, g)
	}
}
