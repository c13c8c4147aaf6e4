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
