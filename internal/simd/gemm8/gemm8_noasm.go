//go:build !amd64 || purego

package gemm8

func sumTile(m, nz int, g *Args) { tileGeneric(m, nz, g) }

func sum(m int, g *Args) bool { return false }

func widen(dst, src []uint8, n int) { panic("gemm8: no assembly") }

func storePanel(e *Epilogue) { epilogueGeneric(e) }
