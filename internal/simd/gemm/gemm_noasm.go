//go:build (!amd64 && !arm64) || purego

package gemm

func NN(m, nz int, g *Args) { gemmNNGeneric(m, nz, g) }

func NNSplit(m, nz int, g *Args) { gemmNNGeneric(m, nz, g) }

func TN(m, nz int, g *Args) { gemmTNGeneric(m, nz, g) }
