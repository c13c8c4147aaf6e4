//go:build (!amd64 && !arm64) || purego

package kernel

// haveAsm says that this build has assembly kernels.
const haveAsm = false
