//go:build !amd64 || purego

package isa

func bf16Peak(int) {}
