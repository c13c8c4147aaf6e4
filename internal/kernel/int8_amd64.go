//go:build !purego

package kernel

// int8Tile runs the micro-kernel for a tile of m rows by nz panels, which are
// within int8MaxRows.
func int8Tile(m, nz int, g *int8Args) {
	if useAVX512 && useVNNI {
		int8TileVNNI(m, nz, g)
	} else if useAVX2 {
		int8TileAVX2(m, nz, g)
	} else {
		int8TileGeneric(m, nz, g)
	}
}

// store runs the epilogue of one panel.
func (g *int8Store) store() {
	if useAVX512 {
		int8StoreAVX512(g)
	} else if useAVX2 && g.cols == panelWidth {
		int8StoreAVX2(g)
	} else {
		int8StoreGeneric(g)
	}
}
