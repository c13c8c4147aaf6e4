//go:build !purego

package kernel

// winogradOutputGrad transforms c channels of a tile; see
// winogradOutputGradGeneric. tmp has winogradFloats.
func winogradOutputGrad(v *float32, pos int, in *gradTile, c int, tmp *float32) {
	done := 0
	switch {
	case useAVX512:
		winogradOutputGradAVX512(v, pos, &in.rows[0], in.pixel, in.width, c, tmp)
		return
	case useAVX2:
		done = c &^ 7
		winogradOutputGradAVX2(v, pos, &in.rows[0], in.pixel, in.width, c, tmp)
	}
	winogradOutputGradGeneric(v, pos, in, done, c)
}

// winogradWeightGrad transforms n columns; see winogradWeightGradGeneric. tmp
// has winogradFloats.
func winogradWeightGrad(dw *float32, tap int, u *float32, pos, n int, tmp *float32) {
	done := 0
	switch {
	case useAVX512:
		winogradWeightGradAVX512(dw, tap, u, pos, n, tmp)
		return
	case useAVX2:
		done = n &^ 7
		winogradWeightGradAVX2(dw, tap, u, pos, n, tmp)
	}
	winogradWeightGradGeneric(dw, tap, u, pos, done, n)
}
