//go:build !purego

package gemm8

import "github.com/resnet-go/resnet/internal/simd/isa"

// sumTile runs the micro-kernel of a tile of m rows by nz panels, at most
// [MaxRows].
func sumTile(m, nz int, g *Args) {
	if isa.UseAVX512 && isa.UseVNNI {
		tileVNNI(m, nz, g)
	} else if isa.UseAVX2 {
		tileAVX2(m, nz, g)
	} else {
		tileGeneric(m, nz, g)
	}
}

// sum runs the micro-kernel of [Args.Sum], if there is one.
func sum(m int, g *Args) bool {
	switch {
	case isa.UseAVX512 && isa.UseVNNI:
		sumVNNI(m, g)
	case isa.UseAVX2:
		sumAVX2(m, g)
	default:
		return false
	}
	return true
}

// widen is [Widen] of n bytes, a positive multiple of 16.
func widen(dst, src []uint8, n int) { widenAVX2(&dst[0], &src[0], n) }

// storePanel applies the epilogue to the sums of one panel.
func storePanel(e *Epilogue) {
	if isa.UseAVX512 {
		storeAVX512(e)
	} else if isa.UseAVX2 && e.cols == isa.PanelWidth {
		storeAVX2(e)
	} else {
		epilogueGeneric(e)
	}
}
