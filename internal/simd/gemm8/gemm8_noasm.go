//go:build !amd64 || purego

package gemm8

func sumTile(m, nz int, g *Args) { tileGeneric(m, nz, g) }

func storePanel(e *Epilogue) { epilogueGeneric(e) }
