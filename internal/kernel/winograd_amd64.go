//go:build !purego

package kernel

// winogradInput transforms c channels of a tile; see winogradInputGeneric. tmp
// has winogradFloats.
func winogradInput(t int, v *float32, pos int, in *inputTile, c int, tmp *float32) {
	done := 0
	switch {
	case useAVX512 && t == 6:
		winogradInput4AVX512(v, pos, &in.rows[0], in.pixel, in.left, in.right, c, tmp)
		return
	case useAVX512:
		winogradInput2AVX512(v, pos, &in.rows[0], in.pixel, in.left, in.right, c, tmp)
		return
	case useAVX2 && t == 6:
		done = c &^ 7
		winogradInput4AVX2(v, pos, &in.rows[0], in.pixel, in.left, in.right, c, tmp)
	case useAVX2:
		done = c &^ 7
		winogradInput2AVX2(v, pos, &in.rows[0], in.pixel, in.left, in.right, c, tmp)
	}
	winogradInputGeneric(t, v, pos, in, done, c)
}

// winogradOutput stores c channels of a tile; see winogradOutputGeneric. tmp
// has winogradFloats.
func winogradOutput(t int, m *float32, pos int, o *outputTile, c int, tmp *float32) {
	done := 0
	switch {
	case useAVX512 && t == 6 && o.res == nil:
		winogradOutput4AVX512(o.y, nil, m, pos, o.bias, o.row, o.pixel, o.height, o.width, c, o.lo, o.hi, tmp)
		return
	case useAVX512 && t == 6:
		winogradOutput4AddAVX512(o.y, o.res, m, pos, o.bias, o.row, o.pixel, o.height, o.width, c, o.lo, o.hi, tmp)
		return
	case useAVX512 && o.res == nil:
		winogradOutput2AVX512(o.y, nil, m, pos, o.bias, o.row, o.pixel, o.height, o.width, c, o.lo, o.hi, tmp)
		return
	case useAVX512:
		winogradOutput2AddAVX512(o.y, o.res, m, pos, o.bias, o.row, o.pixel, o.height, o.width, c, o.lo, o.hi, tmp)
		return
	case useAVX2 && t == 6 && o.res == nil:
		done = c &^ 7
		winogradOutput4AVX2(o.y, nil, m, pos, o.bias, o.row, o.pixel, o.height, o.width, c, o.lo, o.hi, tmp)
	case useAVX2 && t == 6:
		done = c &^ 7
		winogradOutput4AddAVX2(o.y, o.res, m, pos, o.bias, o.row, o.pixel, o.height, o.width, c, o.lo, o.hi, tmp)
	case useAVX2 && o.res == nil:
		done = c &^ 7
		winogradOutput2AVX2(o.y, nil, m, pos, o.bias, o.row, o.pixel, o.height, o.width, c, o.lo, o.hi, tmp)
	case useAVX2:
		done = c &^ 7
		winogradOutput2AddAVX2(o.y, o.res, m, pos, o.bias, o.row, o.pixel, o.height, o.width, c, o.lo, o.hi, tmp)
	}
	winogradOutputGeneric(t, m, pos, o, done, c)
}
