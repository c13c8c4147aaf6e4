//go:build !purego

package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// OutputGrad transforms c channels of a tile; see
// winogradOutputGradGeneric. tmp has winogradFloats.
func OutputGrad(v *float32, pos int, in *GradTile, c int, tmp *float32) {
	done := 0
	switch {
	case isa.UseAVX512:
		winogradOutputGradAVX512(v, pos, &in.Rows[0], in.Pixel, in.Width, c, tmp)
		return
	case isa.UseAVX2:
		done = c &^ 7
		winogradOutputGradAVX2(v, pos, &in.Rows[0], in.Pixel, in.Width, c, tmp)
	}
	winogradOutputGradGeneric(v, pos, in, done, c)
}

// WeightGrad transforms n columns; see winogradWeightGradGeneric. tmp
// has winogradFloats.
func WeightGrad(dw *float32, tap int, u *float32, pos, n int, tmp *float32) {
	done := 0
	switch {
	case isa.UseAVX512:
		winogradWeightGradAVX512(dw, tap, u, pos, n, tmp)
		return
	case isa.UseAVX2:
		done = n &^ 7
		winogradWeightGradAVX2(dw, tap, u, pos, n, tmp)
	}
	winogradWeightGradGeneric(dw, tap, u, pos, done, n)
}
