//go:build !purego

package kernel

// winogradWeights transforms 3x3 filters; see the one of amd64.
func winogradWeights(t int, dst *float32, pos int, w *float32, tap, row, c, cols int) {
	if !useNEON || cols != panelWidth {
		winogradWeightsGeneric(t, dst, pos, w, tap, row, c, cols)
		return
	}
	for k := 0; k < panelWidth; k += 4 {
		if t == 6 {
			winogradWeights4NEON(floatAt(dst, 4*k), pos, floatAt(w, 4*k), tap, row, c)
		} else {
			winogradWeights2NEON(floatAt(dst, 4*k), pos, floatAt(w, 4*k), tap, row, c)
		}
	}
}

// winogradOutputGrad transforms c channels of a tile; see
// winogradOutputGradGeneric. tmp has winogradFloats.
func winogradOutputGrad(v *float32, pos int, in *gradTile, c int, tmp *float32) {
	done := 0
	if useNEON && c >= 4 {
		done = c &^ 3
		winogradOutputGradNEON(v, pos, &in.rows[0], in.pixel, in.width, done, tmp)
	}
	winogradOutputGradGeneric(v, pos, in, done, c)
}

// winogradWeightGrad transforms n columns; see winogradWeightGradGeneric. tmp
// has winogradFloats.
func winogradWeightGrad(dw *float32, tap int, u *float32, pos, n int, tmp *float32) {
	done := 0
	if useNEON && n >= 4 {
		done = n &^ 3
		winogradWeightGradNEON(dw, tap, u, pos, done, tmp)
	}
	winogradWeightGradGeneric(dw, tap, u, pos, done, n)
}

// winogradPair transforms two rows of positions; see the one of amd64.
func winogradPair(pair int, dst *float32, pos int, w *float32, tap, c int) {
	if !useNEON {
		winogradPairGeneric(pair, dst, pos, w, tap, c)
		return
	}
	for k := 0; k < panelWidth; k += 4 {
		to, from := floatAt(dst, 4*k), floatAt(w, 4*k)
		switch pair {
		case 0:
			winogradPair0NEON(to, pos, from, tap, c)
		case 1:
			winogradPair1NEON(to, pos, from, tap, c)
		case 2:
			winogradPair2NEON(to, pos, from, tap, c)
		}
	}
}

// winogradTiles multiplies 4 or 8 tiles; see the one of amd64. Only AVX-512 has
// the registers that make it worth while, so no plan for NEON uses it.
func winogradTiles(tiles int, c, v, w *float32, tap, k int, _ uintptr, more int) {
	winogradTilesGeneric(tiles, c, v, w, tap, k, more)
}
