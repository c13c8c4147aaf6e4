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

// quantizeVec does as many values as there are whole vectors and returns their number.
func (q Int8Quant) quantizeVec(dst []uint8, x []float32) int {
	n := len(x) &^ 15
	lo := -float32(q.Zero)
	switch {
	case n == 0 || !useAVX2:
		return 0
	case useAVX512:
		quantizeBytesAVX512(&dst[0], &x[0], n, q.Scale, lo, lo+255, int32(q.Zero))
	default:
		quantizeBytesAVX2(&dst[0], &x[0], n, q.Scale, lo, lo+255, int32(q.Zero))
	}
	return n
}

// dequantizeVec does as many values as there are whole vectors and returns their number.
func (q Int8Quant) dequantizeVec(dst []float32, x []uint8) int {
	n := len(x) &^ 15
	switch {
	case n == 0 || !useAVX2:
		return 0
	case useAVX512:
		dequantizeBytesAVX512(&dst[0], &x[0], n, q.Scale, float32(q.Zero))
	default:
		dequantizeBytesAVX2(&dst[0], &x[0], n, q.Scale, float32(q.Zero))
	}
	return n
}

// maxBytesVec does as many values as there are whole vectors and returns their number.
func maxBytesVec(dst, x, y []uint8) int {
	n := len(dst) &^ 63
	switch {
	case n == 0 || !useAVX2:
		return 0
	case useAVX512:
		maxBytesAVX512(&dst[0], &x[0], &y[0], n)
	default:
		maxBytesAVX2(&dst[0], &x[0], &y[0], n)
	}
	return n
}
