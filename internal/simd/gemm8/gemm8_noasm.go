//go:build !amd64 || purego

package gemm8

func Tile(m, nz int, g *Args) { tileGeneric(m, nz, g) }

func (g *Epilogue) Run() { epilogueGeneric(g) }
