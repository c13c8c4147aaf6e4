//go:build !purego

package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// Input transforms c channels of a tile; see winogradInputGeneric. tmp
// has winogradFloats.
func Input(t int, v *float32, pos int, in *InputTile, c int, tmp *float32) {
	done := 0
	if isa.UseNEON && c >= 4 {
		done = c &^ 3
		if t == 6 {
			winogradInput4NEON(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, done, tmp)
		} else {
			winogradInput2NEON(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, done, tmp)
		}
	}
	winogradInputGeneric(t, v, pos, in, done, c)
}

// Output stores c channels of a tile; see winogradOutputGeneric. tmp
// has winogradFloats.
func Output(t int, m *float32, pos int, o *OutputTile, c int, tmp *float32) {
	done := 0
	if isa.UseNEON && c >= 4 {
		done = c &^ 3
		switch {
		case t == 6 && o.Res == nil:
			winogradOutput4NEON(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
		case t == 6:
			winogradOutput4AddNEON(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
		case o.Res == nil:
			winogradOutput2NEON(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
		default:
			winogradOutput2AddNEON(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
		}
	}
	winogradOutputGeneric(t, m, pos, o, done, c)
}
