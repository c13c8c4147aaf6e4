//go:build !purego

package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// Stride2Input transforms c channels of a tile; see
// winogradStride2InputGeneric. tmp has stride2Floats.
func Stride2Input(v *float32, pos int, in *Stride2Tile, c int, tmp *float32) {
	done := 0
	switch {
	case isa.UseAVX512:
		winogradStride2InputAVX512(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, c, tmp)
		return
	case isa.UseAVX2:
		done = c &^ 7
		winogradStride2InputAVX2(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, done, tmp)
	}
	winogradStride2InputGeneric(v, pos, in, done, c)
}

// Stride2Output stores c channels of a tile; see
// winogradStride2OutputGeneric. tmp has stride2Floats.
func Stride2Output(p *float32, pos int, o *OutputTile, c int, tmp *float32) {
	done := 0
	switch {
	case isa.UseAVX512 && o.Res == nil:
		winogradStride2OutputAVX512(o.Y, nil, p, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
		return
	case isa.UseAVX512:
		winogradStride2OutputAddAVX512(o.Y, o.Res, p, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, c, o.Lo, o.Hi, tmp)
		return
	case isa.UseAVX2 && o.Res == nil:
		done = c &^ 7
		winogradStride2OutputAVX2(o.Y, nil, p, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
	case isa.UseAVX2:
		done = c &^ 7
		winogradStride2OutputAddAVX2(o.Y, o.Res, p, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
	}
	winogradStride2OutputGeneric(p, pos, o, done, c)
}
