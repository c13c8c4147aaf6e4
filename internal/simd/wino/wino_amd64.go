//go:build !purego

package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// Input transforms c channels of a tile; see winogradInputGeneric. tmp
// has winogradFloats.
func Input(t int, v *float32, pos int, in *InputTile, c int, tmp *float32) {
	done := 0
	switch {
	case isa.UseAVX512 && t == 6:
		winogradInput4AVX512(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, c, tmp)
		return
	case isa.UseAVX512:
		winogradInput2AVX512(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, c, tmp)
		return
	case isa.UseAVX2 && t == 6:
		done = c &^ 7
		winogradInput4AVX2(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, c, tmp)
	case isa.UseAVX2:
		done = c &^ 7
		winogradInput2AVX2(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, c, tmp)
	}
	winogradInputGeneric(t, v, pos, in, done, c)
}

// Output stores c channels of a tile; see winogradOutputGeneric. tmp
// has winogradFloats.
func Output(t int, m *float32, pos int, o *OutputTile, c int, tmp *float32) {
	done := 0
	switch {
	case isa.UseAVX512 && t == 6 && o.Res == nil:
		winogradOutput4AVX512(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
		return
	case isa.UseAVX512 && t == 6:
		winogradOutput4AddAVX512(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
		return
	case isa.UseAVX512 && o.Res == nil:
		winogradOutput2AVX512(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
		return
	case isa.UseAVX512:
		winogradOutput2AddAVX512(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
		return
	case isa.UseAVX2 && t == 6 && o.Res == nil:
		done = c &^ 7
		winogradOutput4AVX2(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case isa.UseAVX2 && t == 6:
		done = c &^ 7
		winogradOutput4AddAVX2(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case isa.UseAVX2 && o.Res == nil:
		done = c &^ 7
		winogradOutput2AVX2(o.Y, nil, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	case isa.UseAVX2:
		done = c &^ 7
		winogradOutput2AddAVX2(o.Y, o.Res, m, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
	}
	winogradOutputGeneric(t, m, pos, o, done, c)
}
