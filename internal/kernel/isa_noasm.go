//go:build !amd64 || purego

package kernel

// haveAsm says that this build has assembly kernels.
const haveAsm = false
