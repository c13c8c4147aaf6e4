//go:build !purego

package kernel

// winogradWeights transforms 3x3 filters, GgGᵀ, for tiles of t x t inputs: c
// rows (input channels) of a panel of 16 columns (output channels), of which the
// first cols are read and the others become zero. Tap r*3+s of row i is at
// (r*3+s)*tap + i*row bytes of w, position j of t*t of row i at j*pos + 64*i
// bytes of dst. Strides may be negative: from the last tap on with -tap, the
// filters are rotated by half a turn, as the gradient of the input wants them.
// c is at least 1.
func winogradWeights(t int, dst *float32, pos int, w *float32, tap, row, c, cols int) {
	mask, bits := &tailMasks[cols], uint64(1)<<cols-1
	switch {
	case useAVX512 && t == 6:
		winogradWeights4AVX512(dst, pos, w, tap, row, c, mask, bits)
	case useAVX512:
		winogradWeights2AVX512(dst, pos, w, tap, row, c, mask, bits)
	case useAVX2:
		for k := 0; k < panelWidth; k += 8 {
			mask, to, from := &tailMasks[min(max(cols-k, 0), 8)], floatAt(dst, 4*k), w
			if k < cols {
				from = floatAt(w, 4*k) // else nothing is read
			}
			if t == 6 {
				winogradWeights4AVX2(to, pos, from, tap, row, c, mask, bits)
			} else {
				winogradWeights2AVX2(to, pos, from, tap, row, c, mask, bits)
			}
		}
	default:
		winogradWeightsGeneric(t, dst, pos, w, tap, row, c, cols)
	}
}

// winogradPair transforms c rows of a whole panel for tiles of 6x6 inputs and
// the two rows of positions weightPairs[pair]: tap r*3+s of row i is at
// (r*3+s)*tap + 64*i bytes of w, position j of the 12 at j*pos + 64*i bytes of
// dst.
func winogradPair(pair int, dst *float32, pos int, w *float32, tap, c int) {
	switch {
	case useAVX512:
		switch pair {
		case 0:
			winogradPair0AVX512(dst, pos, w, tap, c)
		case 1:
			winogradPair1AVX512(dst, pos, w, tap, c)
		case 2:
			winogradPair2AVX512(dst, pos, w, tap, c)
		}
	case useAVX2:
		for k := 0; k < panelWidth; k += 8 {
			to, from := floatAt(dst, 4*k), floatAt(w, 4*k)
			switch pair {
			case 0:
				winogradPair0AVX2(to, pos, from, tap, c)
			case 1:
				winogradPair1AVX2(to, pos, from, tap, c)
			case 2:
				winogradPair2AVX2(to, pos, from, tap, c)
			}
		}
	default:
		winogradPairGeneric(pair, dst, pos, w, tap, c)
	}
}

// winogradTiles adds k channels to the products of 4 or 8 tiles with a panel, all
// 36 positions, or starts with them if more is 0: c is [position][tile][16], v
// [position][tile][tilesDepth]; tap r*3+s of channel i is at (r*3+s)*tap + 64*i
// bytes of w. It brings the taps of as many channels at ahead into the
// second-level cache.
func winogradTiles(tiles int, c, v, w *float32, tap, k int, ahead uintptr, more int) {
	switch {
	case useAVX512 && tiles == 4:
		winogradTiles4AVX512(c, v, w, tap, k, ahead, more)
	case useAVX512 && tiles == 8:
		winogradTiles8AVX512(c, v, w, tap, k, ahead, more)
	default:
		winogradTilesGeneric(tiles, c, v, w, tap, k, more)
	}
}
