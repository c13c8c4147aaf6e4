//go:build (!amd64 && !arm64) || purego

package isa

// HaveAsm says that this build has assembly kernels.
const HaveAsm = false
