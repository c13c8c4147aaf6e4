//go:build !purego

package gemm

import "github.com/resnet-go/resnet/internal/simd/isa"

// NN runs the NN micro-kernel for a tile of m rows by nz panels, which are
// within [MaxRows].
func NN(m, nz int, g *Args) {
	if isa.UseAVX512 {
		gemmNNAVX512(m, nz, g)
	} else if isa.UseAVX2 {
		gemmNNAVX2(m, nz, g)
	} else {
		gemmNNGeneric(m, nz, g)
	}
}

// NNSplit runs the split NN micro-kernel for a tile of m rows, an even
// number, by nz panels, which are within maxRows and maxSplitPanels.
func NNSplit(m, nz int, g *Args) {
	if isa.UseAVX512 {
		gemmNNAVX512Split(m, nz, g)
	} else if isa.UseAVX2 {
		gemmNNAVX2Split(m, nz, g)
	} else {
		gemmNNGeneric(m, nz, g)
	}
}

// TN runs the TN micro-kernel for a tile of m rows by nz panels, which are
// within [MaxRows] and [MaxTNPanels].
func TN(m, nz int, g *Args) {
	if isa.UseAVX512 {
		gemmTNAVX512(m, nz, g)
	} else if isa.UseAVX2 {
		gemmTNAVX2(m, nz, g)
	} else {
		gemmTNGeneric(m, nz, g)
	}
}
