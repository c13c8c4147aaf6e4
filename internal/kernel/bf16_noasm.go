//go:build !amd64 || purego

package kernel

func gemmNNBF16(_ Products, m, nz int, g *gemmArgs)      { bf16Tile(false, m, nz, g) }
func gemmNNSplitBF16(_ Products, m, nz int, g *gemmArgs) { bf16Tile(false, m, nz, g) }
func gemmTNBF16(_ Products, m, nz int, g *gemmArgs)      { bf16Tile(true, m, nz, g) }
func (Products) narrowRows(g *bf16Args)                  { bf16NarrowGeneric(g) }
func (Products) pairRows(g *bf16Args)                    { bf16PairsGeneric(g) }
func bf16Peak(int)                                       {}
