//go:build !amd64 || purego

package gemm

func gemmNNBF16(_ Precision, m, nz int, g *Args) { bf16Tile(false, m, nz, g) }

func gemmNNSplitBF16(_ Precision, m, nz int, g *Args) { bf16Tile(false, m, nz, g) }

func gemmTNBF16(_ Precision, m, nz int, g *Args) { bf16Tile(true, m, nz, g) }

func (Precision) narrowRows(g *bf16Args) { bf16NarrowGeneric(g) }

func (Precision) pairRows(g *bf16Args) { bf16PairsGeneric(g) }
