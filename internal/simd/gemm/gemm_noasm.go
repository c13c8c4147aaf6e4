//go:build (!amd64 && !arm64) || purego

package gemm

// NN runs the NN micro-kernel for a tile of m rows by nz panels.
func NN(m, nz int, g *Args) { gemmNNGeneric(m, nz, g) }

// NNSplit runs the split NN micro-kernel for a tile of m rows, an even number, by nz
// panels.
func NNSplit(m, nz int, g *Args) { gemmNNGeneric(m, nz, g) }

// TN runs the TN micro-kernel for a tile of m rows by nz panels.
func TN(m, nz int, g *Args) { gemmTNGeneric(m, nz, g) }
