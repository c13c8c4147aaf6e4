// Package kernel holds the numeric kernels: batch-reduce GEMM and the
// convolutions, linear layers and matrix products made of it, and the
// element-wise, normalisation and pooling kernels.
//
// Each stem has a driver in Go (gemm.go), a portable kernel that is built on
// every architecture (gemm_generic.go), dispatch by CPU flags
// (gemm_amd64.go, gemm_arm64.go) and generated assembly (gemm_*_amd64.s,
// gemm_*_arm64.s, made by the generators in _asm). The build tag purego leaves the assembly out.
//
// # Convolutions
//
// Everything that multiplies is one of two micro-kernels, as in "High-Performance
// Deep Learning via a Single Building Block" (Georganas et al., 2019,
// arXiv:1906.06440); see gemmArgs. Both keep a tile of m rows by nz panels of 16
// columns in registers while they sum over a batch of matrix products.
//
// The NN kernel computes forward convolutions and input gradients. The rows of
// its tile are m neighbouring output pixels, its columns output channels. With
// channels last, the s*c inputs under a row of the kernel are contiguous, so a
// batch element is a kernel row, and the next pixel's begin stride*c floats on:
//
//	x, one padded row:   [p0 c0..][p1 c0..][p2 c0..][p3 c0..] …
//	A row of pixel 0      ^----------- S*C ----------^
//	A row of pixel 1              ^----------- S*C ----------^
//
// Its weights are packed in panels of 16 output channels, in the order in which
// the kernel reads them:
//
//	panel 0: [r][s][c][16]    panel 1: [r][s][c][16]    …    zeros after the last
//
// The TN kernel computes weight gradients: the rows of its tile are m
// neighbouring floats (s, c) of the pixels under a kernel row, its columns the
// channels of dy, and it sums over output pixels.
//
// 3x3 convolutions of stride 1 have a second way, Winograd's (winograd.go). Each
// position of a transformed tile is a matrix product by the NN kernel; the
// weights of a position are packed like those of a 1x1 convolution:
//
//	panel 0: [position][c][16]    panel 1: [position][c][16]    …
//
// Where the weights are many and the tiles few, they stay in the panels of the
// direct way and are transformed as they are read (winograd_multiply.go).
//
// With products of bfloat16 numbers (Conv.Products) the same micro-kernels, with
// VDPBF16PS in place of the FMA, work on words of two numbers: of neighbouring
// channels in the NN kernel, of neighbouring pixels in the TN kernel. Operands
// are rounded when they are packed, the input always through scratch; to the rest
// of a plan such a convolution has half the channels.
//
// A plan (PlanConvForward, …) chooses the tile, what is copied to scratch with
// its borders, and the tasks, from the geometry and the instruction set alone.
// The number of threads has no part in it, so it does not change a bit of the
// result.
package kernel
