//go:build (!amd64 && !arm64) || purego

package kernel

func gemmNN(m, nz int, g *gemmArgs)      { gemmNNGeneric(m, nz, g) }
func gemmNNSplit(m, nz int, g *gemmArgs) { gemmNNGeneric(m, nz, g) }
func gemmTN(m, nz int, g *gemmArgs)      { gemmTNGeneric(m, nz, g) }
