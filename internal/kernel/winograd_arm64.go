//go:build !purego

package kernel

// winogradInput transforms c channels of a tile; see winogradInputGeneric. tmp
// has winogradFloats.
func winogradInput(t int, v *float32, pos int, in *inputTile, c int, tmp *float32) {
	done := 0
	if useNEON && c >= 4 {
		done = c &^ 3
		if t == 6 {
			winogradInput4NEON(v, pos, &in.rows[0], in.pixel, in.left, in.right, done, tmp)
		} else {
			winogradInput2NEON(v, pos, &in.rows[0], in.pixel, in.left, in.right, done, tmp)
		}
	}
	winogradInputGeneric(t, v, pos, in, done, c)
}

// winogradOutput stores c channels of a tile; see winogradOutputGeneric. tmp
// has winogradFloats.
func winogradOutput(t int, m *float32, pos int, o *outputTile, c int, tmp *float32) {
	done := 0
	if useNEON && c >= 4 {
		done = c &^ 3
		switch {
		case t == 6 && o.res == nil:
			winogradOutput4NEON(o.y, nil, m, pos, o.bias, o.row, o.pixel, o.height, o.width, done, o.lo, o.hi, tmp)
		case t == 6:
			winogradOutput4AddNEON(o.y, o.res, m, pos, o.bias, o.row, o.pixel, o.height, o.width, done, o.lo, o.hi, tmp)
		case o.res == nil:
			winogradOutput2NEON(o.y, nil, m, pos, o.bias, o.row, o.pixel, o.height, o.width, done, o.lo, o.hi, tmp)
		default:
			winogradOutput2AddNEON(o.y, o.res, m, pos, o.bias, o.row, o.pixel, o.height, o.width, done, o.lo, o.hi, tmp)
		}
	}
	winogradOutputGeneric(t, m, pos, o, done, c)
}
