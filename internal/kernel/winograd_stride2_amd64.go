//go:build !purego

package kernel

// winogradStride2Input transforms c channels of a tile; see
// winogradStride2InputGeneric. tmp has stride2Floats.
func winogradStride2Input(v *float32, pos int, in *stride2Tile, c int, tmp *float32) {
	done := 0
	switch {
	case useAVX512:
		winogradStride2InputAVX512(v, pos, &in.rows[0], in.pixel, in.left, in.right, c, tmp)
		return
	case useAVX2:
		done = c &^ 7
		winogradStride2InputAVX2(v, pos, &in.rows[0], in.pixel, in.left, in.right, done, tmp)
	}
	winogradStride2InputGeneric(v, pos, in, done, c)
}

// winogradStride2Output stores c channels of a tile; see
// winogradStride2OutputGeneric. tmp has stride2Floats.
func winogradStride2Output(p *float32, pos int, o *outputTile, c int, tmp *float32) {
	done := 0
	switch {
	case useAVX512 && o.res == nil:
		winogradStride2OutputAVX512(o.y, nil, p, pos, o.bias, o.row, o.pixel, o.height, o.width, c, o.lo, o.hi, tmp)
		return
	case useAVX512:
		winogradStride2OutputAddAVX512(o.y, o.res, p, pos, o.bias, o.row, o.pixel, o.height, o.width, c, o.lo, o.hi, tmp)
		return
	case useAVX2 && o.res == nil:
		done = c &^ 7
		winogradStride2OutputAVX2(o.y, nil, p, pos, o.bias, o.row, o.pixel, o.height, o.width, done, o.lo, o.hi, tmp)
	case useAVX2:
		done = c &^ 7
		winogradStride2OutputAddAVX2(o.y, o.res, p, pos, o.bias, o.row, o.pixel, o.height, o.width, done, o.lo, o.hi, tmp)
	}
	winogradStride2OutputGeneric(p, pos, o, done, c)
}
