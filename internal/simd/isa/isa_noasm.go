//go:build (!amd64 && !arm64) || purego

package isa

// HaveAsm is set if this build has assembly kernels.
const HaveAsm = false
