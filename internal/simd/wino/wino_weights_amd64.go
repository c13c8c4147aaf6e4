//go:build !purego

package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// Weights transforms 3x3 filters, GgGᵀ, for tiles of t x t inputs: c
// rows (input channels) of a panel of 16 columns (output channels), of which the
// first cols are read and the others become zero. Tap r*3+s of row i is at
// (r*3+s)*tap + i*row bytes of w, position j of t*t of row i at j*pos + 64*i
// bytes of dst. Strides may be negative: from the last tap on with -tap, the
// filters are rotated by half a turn, as the gradient of the input wants them.
// c is at least 1.
func Weights(t int, dst *float32, pos int, w *float32, tap, row, c, cols int) {
	mask, bits := &isa.TailMasks[cols], uint64(1)<<cols-1
	switch {
	case isa.UseAVX512 && t == 6:
		winogradWeights4AVX512(dst, pos, w, tap, row, c, mask, bits)
	case isa.UseAVX512:
		winogradWeights2AVX512(dst, pos, w, tap, row, c, mask, bits)
	case isa.UseAVX2:
		for k := 0; k < isa.PanelWidth; k += 8 {
			mask, to, from := &isa.TailMasks[min(max(cols-k, 0), 8)], isa.FloatAt(dst, 4*k), w
			if k < cols {
				from = isa.FloatAt(w, 4*k) // else nothing is read
			}
			if t == 6 {
				winogradWeights4AVX2(to, pos, from, tap, row, c, mask, bits)
			} else {
				winogradWeights2AVX2(to, pos, from, tap, row, c, mask, bits)
			}
		}
	default:
		winogradWeightsGeneric(t, dst, pos, w, tap, row, c, cols)
	}
}

// WeightRows transforms c rows of a whole panel for tiles of 6x6 inputs and
// the two rows of positions weightPairs[pair]: tap r*3+s of row i is at
// (r*3+s)*tap + 64*i bytes of w, position j of the 12 at j*pos + 64*i bytes of
// dst.
func WeightRows(pair int, dst *float32, pos int, w *float32, tap, c int) {
	switch {
	case isa.UseAVX512:
		switch pair {
		case 0:
			winogradPair0AVX512(dst, pos, w, tap, c)
		case 1:
			winogradPair1AVX512(dst, pos, w, tap, c)
		case 2:
			winogradPair2AVX512(dst, pos, w, tap, c)
		}
	case isa.UseAVX2:
		for k := 0; k < isa.PanelWidth; k += 8 {
			to, from := isa.FloatAt(dst, 4*k), isa.FloatAt(w, 4*k)
			switch pair {
			case 0:
				winogradPair0AVX2(to, pos, from, tap, c)
			case 1:
				winogradPair1AVX2(to, pos, from, tap, c)
			case 2:
				winogradPair2AVX2(to, pos, from, tap, c)
			}
		}
	default:
		winogradPairGeneric(pair, dst, pos, w, tap, c)
	}
}

// MultiplyTiles adds k channels to the products of 4 or 8 tiles with a panel, all
// 36 positions, or starts with them if more is 0: c is [position][tile][16], v
// [position][tile][tilesDepth]; tap r*3+s of channel i is at (r*3+s)*tap + 64*i
// bytes of w. It brings the taps of as many channels at ahead into the
// second-level cache.
func MultiplyTiles(tiles int, c, v, w *float32, tap, k int, ahead uintptr, more int) {
	switch {
	case isa.UseAVX512 && tiles == 4:
		winogradTiles4AVX512(c, v, w, tap, k, ahead, more)
	case isa.UseAVX512 && tiles == 8:
		winogradTiles8AVX512(c, v, w, tap, k, ahead, more)
	default:
		winogradTilesGeneric(tiles, c, v, w, tap, k, more)
	}
}
