//go:build !purego

package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// Weights transforms 3x3 filters; see the one of amd64.
func Weights(t int, dst *float32, pos int, w *float32, tap, row, c, cols int) {
	if !isa.UseNEON || cols != isa.PanelWidth {
		winogradWeightsGeneric(t, dst, pos, w, tap, row, c, cols)
		return
	}
	for k := 0; k < isa.PanelWidth; k += 4 {
		if t == 6 {
			winogradWeights4NEON(isa.FloatAt(dst, 4*k), pos, isa.FloatAt(w, 4*k), tap, row, c)
		} else {
			winogradWeights2NEON(isa.FloatAt(dst, 4*k), pos, isa.FloatAt(w, 4*k), tap, row, c)
		}
	}
}

// OutputGrad transforms c channels of a tile; see
// winogradOutputGradGeneric. tmp has winogradFloats.
func OutputGrad(v *float32, pos int, in *GradTile, c int, tmp *float32) {
	done := 0
	if isa.UseNEON && c >= 4 {
		done = c &^ 3
		winogradOutputGradNEON(v, pos, &in.Rows[0], in.Pixel, in.Width, done, tmp)
	}
	winogradOutputGradGeneric(v, pos, in, done, c)
}

// WeightGrad transforms n columns; see winogradWeightGradGeneric. tmp
// has winogradFloats.
func WeightGrad(dw *float32, tap int, u *float32, pos, n int, tmp *float32) {
	done := 0
	if isa.UseNEON && n >= 4 {
		done = n &^ 3
		winogradWeightGradNEON(dw, tap, u, pos, done, tmp)
	}
	winogradWeightGradGeneric(dw, tap, u, pos, done, n)
}

// WeightRows transforms two rows of positions; see the one of amd64.
func WeightRows(pair int, dst *float32, pos int, w *float32, tap, c int) {
	if !isa.UseNEON {
		winogradPairGeneric(pair, dst, pos, w, tap, c)
		return
	}
	for k := 0; k < isa.PanelWidth; k += 4 {
		to, from := isa.FloatAt(dst, 4*k), isa.FloatAt(w, 4*k)
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

// MultiplyTiles multiplies 4 or 8 tiles; see the one of amd64. Only AVX-512 has
// the registers that make it worth while, so no plan for NEON uses it.
func MultiplyTiles(tiles int, c, v, w *float32, tap, k int, _ uintptr, more int) {
	winogradTilesGeneric(tiles, c, v, w, tap, k, more)
}
