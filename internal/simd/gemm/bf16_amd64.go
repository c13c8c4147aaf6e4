//go:build !purego

package gemm

import "github.com/resnet-go/resnet/internal/simd/isa"

// gemmNNBF16 runs the NN micro-kernel for a tile of m rows by nz panels of
// words of two bfloat16 numbers; p is BF16 or BF16Emulated.
func gemmNNBF16(p Precision, m, nz int, g *Args) {
	switch {
	case p == BF16:
		gemmNNBF16Native(m, nz, g)
	case isa.UseAVX512:
		gemmNNBF16Emulated(m, nz, g)
	default:
		bf16Tile(false, m, nz, g)
	}
}

func gemmNNSplitBF16(p Precision, m, nz int, g *Args) {
	switch {
	case p == BF16:
		gemmNNBF16NativeSplit(m, nz, g)
	case isa.UseAVX512:
		gemmNNBF16EmulatedSplit(m, nz, g)
	default:
		bf16Tile(false, m, nz, g)
	}
}

func gemmTNBF16(p Precision, m, nz int, g *Args) {
	switch {
	case p == BF16:
		gemmTNBF16Native(m, nz, g)
	case isa.UseAVX512:
		gemmTNBF16Emulated(m, nz, g)
	default:
		bf16Tile(true, m, nz, g)
	}
}

func (p Precision) narrowRows(g *bf16Args) {
	switch {
	case p == BF16:
		bf16NarrowNative(g)
	case isa.UseAVX512:
		bf16NarrowEmulated(g)
	default:
		bf16NarrowGeneric(g)
	}
}

func (p Precision) pairRows(g *bf16Args) {
	switch {
	case p == BF16:
		bf16PairsNative(g)
	case isa.UseAVX512:
		bf16PairsEmulated(g)
	default:
		bf16PairsGeneric(g)
	}
}
