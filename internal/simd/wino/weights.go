package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// Convolutions that transform their weights as they multiply do tiles by groups of
// 8, and of 4 at the end. The transformed inputs of each group are
//
//	[channels/48][position][tile][48]
//
// and its products [position][tile][16], so that all offsets are constant.
const (
	TilesDepth = 48
	MaxGroup   = 8
)

// GroupOf returns the size of the first group of some tiles.
func GroupOf(tiles int) int {
	if tiles > MaxGroup/2 {
		return MaxGroup
	}
	return MaxGroup / 2
}

// Grouped returns how many places tiles take, some of them empty.
func Grouped(tiles int) int { return isa.CeilDiv(tiles, MaxGroup/2) * (MaxGroup / 2) }

// Weights transforms 3x3 filters, GgGᵀ, for tiles t: c
// rows (input channels) of a panel of 16 columns (output channels). It reads
// the first cols columns; the others become zero. Tap r*3+s of row i is at
// (r*3+s)*tap + i*row bytes of w, position j of row i at j*pos + 64*i
// bytes of dst. Strides may be negative: from the last tap on with -tap, the
// filters are rotated by half a turn, as the gradient of the input wants them.
// c is at least 1.
func Weights(t Tile, dst *float32, pos int, w *float32, tap, row, c, cols int) {
	switch {
	case isa.UseAVX512:
		weights(t, dst, pos, w, tap, row, c, &isa.TailMasks[cols], uint64(1)<<cols-1)
	case isa.UseAVX2:
		for k := 0; k < isa.PanelWidth; k += 8 {
			mask, from := &isa.TailMasks[min(max(cols-k, 0), 8)], w
			if k < cols {
				from = isa.FloatAt(w, 4*k) // else nothing is read
			}
			weights(t, isa.FloatAt(dst, 4*k), pos, from, tap, row, c, mask, 0)
		}
	case isa.UseNEON && cols == isa.PanelWidth:
		for k := 0; k < isa.PanelWidth; k += 4 {
			wholeWeights(t, isa.FloatAt(dst, 4*k), pos, isa.FloatAt(w, 4*k), tap, row, c)
		}
	default:
		winogradWeightsGeneric(t, dst, pos, w, tap, row, c, cols)
	}
}

// weights is [Weights] for a vector of columns, by the assembly of amd64.
func weights(t Tile, dst *float32, pos int, w *float32, tap, row, c int, mask *[16]int32, bits uint64) {
	switch t {
	case Closed2:
		winogradWeightsClosed2Asm(dst, pos, w, tap, row, c, mask, bits)
	case Closed3:
		winogradWeightsClosed3Asm(dst, pos, w, tap, row, c, mask, bits)
	case F2:
		winogradWeights2Asm(dst, pos, w, tap, row, c, mask, bits)
	case F3:
		winogradWeights3Asm(dst, pos, w, tap, row, c, mask, bits)
	case F4:
		winogradWeights4Asm(dst, pos, w, tap, row, c, mask, bits)
	}
}

// wholeWeights is [Weights] for a vector of columns, by the assembly of arm64.
func wholeWeights(t Tile, dst *float32, pos int, w *float32, tap, row, c int) {
	switch t {
	case Closed2:
		winogradWholeWeightsClosed2Asm(dst, pos, w, tap, row, c)
	case Closed3:
		winogradWholeWeightsClosed3Asm(dst, pos, w, tap, row, c)
	case F2:
		winogradWholeWeights2Asm(dst, pos, w, tap, row, c)
	case F3:
		winogradWholeWeights3Asm(dst, pos, w, tap, row, c)
	case F4:
		winogradWholeWeights4Asm(dst, pos, w, tap, row, c)
	}
}

// WeightRows transforms c rows of a whole panel for tiles of 6x6 inputs and
// the two rows of positions RowPairs[pair]: tap r*3+s of row i is at
// (r*3+s)*tap + 64*i bytes of w, position j of the 12 at j*pos + 64*i bytes of
// dst.
func WeightRows(pair int, dst *float32, pos int, w *float32, tap, c int) {
	lanes := isa.Lanes()
	if lanes == 0 {
		winogradPairGeneric(pair, dst, pos, w, tap, c)
		return
	}
	for k := 0; k < isa.PanelWidth; k += lanes {
		to, from := isa.FloatAt(dst, 4*k), isa.FloatAt(w, 4*k)
		switch pair {
		case 0:
			winogradPair0Asm(to, pos, from, tap, c)
		case 1:
			winogradPair1Asm(to, pos, from, tap, c)
		case 2:
			winogradPair2Asm(to, pos, from, tap, c)
		}
	}
}

// MultiplyTiles continues the sums of the products of 4 or 8 tiles with a panel, all
// 36 positions, by k channels, or starts with them if more is 0. Each sum is one chain
// over all channels, as in [gemm.NN] with stored weights, so both have the same bits. c is [position][tile][16], v
// [position][tile][TilesDepth]; tap r*3+s of channel i is at (r*3+s)*tap + 64*i
// bytes of w. It prefetches the taps of as many channels at prefetch into L2. Only
// AVX-512 has the registers that make it worthwhile: plans for other instruction
// sets do not use it.
func MultiplyTiles(tiles int, c, v, w *float32, tap, k int, prefetch uintptr, more int) {
	switch {
	case isa.UseAVX512 && tiles == 4:
		winogradTiles4Asm(c, v, w, tap, k, prefetch, more)
	case isa.UseAVX512 && tiles == 8:
		winogradTiles8Asm(c, v, w, tap, k, prefetch, more)
	default:
		winogradTilesGeneric(tiles, c, v, w, tap, k, more)
	}
}
