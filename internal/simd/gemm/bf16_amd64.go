//go:build !purego

package gemm

func gemmNNBF16(p Precision, m, nz int, g *Args) {
	if p == BF16 {
		gemmNNBF16Native(m, nz, g)
	} else {
		bf16Tile(false, m, nz, g)
	}
}

func gemmNNSplitBF16(p Precision, m, nz int, g *Args) {
	if p == BF16 {
		gemmNNBF16NativeSplit(m, nz, g)
	} else {
		bf16Tile(false, m, nz, g)
	}
}

func gemmTNBF16(p Precision, m, nz int, g *Args) {
	if p == BF16 {
		gemmTNBF16Native(m, nz, g)
	} else {
		bf16Tile(true, m, nz, g)
	}
}

func (p Precision) narrowRows(g *bf16Args) {
	if p == BF16 {
		bf16NarrowNative(g)
	} else {
		bf16NarrowGeneric(g)
	}
}

func (p Precision) pairRows(g *bf16Args) {
	if p == BF16 {
		bf16PairsNative(g)
	} else {
		bf16PairsGeneric(g)
	}
}
