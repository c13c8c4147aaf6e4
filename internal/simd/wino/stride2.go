package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// Stride2Input transforms c channels of a tile; see
// winogradStride2InputGeneric. tmp has [Stride2ScratchFloats].
func Stride2Input(v *float32, pos int, in *Stride2Tile, c int, tmp *float32) {
	done := stride2Vectorized(c)
	if done > 0 {
		winogradStride2InputAsm(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, done, tmp)
	}
	if done < c {
		winogradStride2InputGeneric(v, pos, in, done, c)
	}
}

// Stride2Output transforms the products of c channels of a tile and stores them
// with the epilogue of o; see winogradStride2OutputGeneric. tmp has
// [Stride2ScratchFloats].
func Stride2Output(p *float32, pos int, o *OutputTile, c int, tmp *float32) {
	done := stride2Vectorized(c)
	switch {
	case done == 0:
	case o.Res == nil:
		winogradStride2OutputAsm(o.Y, nil, p, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
	default:
		winogradStride2OutputAddAsm(o.Y, o.Res, p, pos, o.Bias, o.Row, o.Pixel, o.Height, o.Width, done, o.Lo, o.Hi, tmp)
	}
	if done < c {
		winogradStride2OutputGeneric(p, pos, o, done, c)
	}
}

// stride2Vectorized is [isa.Vectorized] of these transforms, which NEON lacks.
func stride2Vectorized(c int) int {
	if isa.UseNEON {
		return 0
	}
	return isa.Vectorized(c)
}
