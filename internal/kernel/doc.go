// Package kernel holds the numeric kernels: batch-reduce GEMM and the
// convolutions, linear layers and matrix products made of it, and the
// element-wise, normalisation and pooling kernels.
//
// Each stem has a driver in Go (gemm.go), a portable kernel that is built on
// every architecture (gemm_generic.go), dispatch by CPU flags
// (gemm_amd64.go) and generated assembly (gemm_*_amd64.s, made by the
// generator in _asm). The build tag purego leaves the assembly out.
package kernel
