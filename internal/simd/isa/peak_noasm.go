//go:build (!amd64 && !arm64) || purego

package isa

func FmaPeak() int { return 0 }
