//go:build !purego

package gemm8

import "github.com/resnet-go/resnet/internal/simd/isa"

// Tile runs the micro-kernel for a tile of m rows by nz panels, which are
// within int8MaxRows.
func Tile(m, nz int, g *Args) {
	if isa.UseAVX512 && isa.UseVNNI {
		int8TileVNNI(m, nz, g)
	} else if isa.UseAVX2 {
		int8TileAVX2(m, nz, g)
	} else {
		tileGeneric(m, nz, g)
	}
}

// Run runs the epilogue of one panel.
func (g *Epilogue) Run() {
	if isa.UseAVX512 {
		int8StoreAVX512(g)
	} else if isa.UseAVX2 && g.Cols == isa.PanelWidth {
		int8StoreAVX2(g)
	} else {
		epilogueGeneric(g)
	}
}
