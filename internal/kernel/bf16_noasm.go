//go:build !amd64 || purego

package kernel

func gemmNNBF16(_ Products, m, nz int, g *gemmArgs)      { bf16Tile(false, m, nz, g) }
func gemmNNSplitBF16(_ Products, m, nz int, g *gemmArgs) { bf16Tile(false, m, nz, g) }
func gemmTNBF16(_ Products, m, nz int, g *gemmArgs)      { bf16Tile(true, m, nz, g) }
func (Products) narrowRows(g *bf16Args)                  { bf16NarrowGeneric(g) }
func (Products) pairRows(g *bf16Args)                    { bf16PairsGeneric(g) }

// BF16PeakGFLOPS returns 0: without assembly there are no dot products of
// bfloat16 numbers.
func BF16PeakGFLOPS() float64 { return 0 }
