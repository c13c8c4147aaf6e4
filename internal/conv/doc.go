// Package conv computes convolutions, their gradients, and other products made
// of the same kernels. It is plain Go: all that depends on the processor is in
// internal/simd.
//
// [Choose] compiles a convolution for one geometry ([Conv]) and this machine: it
// picks the algorithm, its tiles and its tasks, and returns a [Plan], a list of
// steps. Each algorithm has a file of its own that returns plans: direct.go,
// direct_grad.go (input gradient), weight_grad.go, winograd.go, winograd_grad.go,
// winograd_weight_grad.go, winograd_stride2.go, int8.go, matmul.go, stats.go. To
// add one, write its file and a line in the table of choose.go. What they share is
// written once: splitting into tiles and blocks (tiles.go), copying an input
// window with its padding (window.go), prefetching (prefetch.go), packing
// weights (packing.go), rounding to bfloat16 (bf16.go) and the cost model
// (cost.go).
//
// # Micro-kernels
//
// Everything that multiplies float32 is one of two micro-kernels of package gemm,
// as in "High-Performance Deep Learning via a Single Building Block" (Georganas
// et al., 2019, arXiv:1906.06440). Both keep a tile of m rows by nz panels of 16
// columns in registers while they sum over a batch of matrix products.
//
// The NN kernel computes forward convolutions and input gradients. The rows of
// its tile are m neighboring output pixels, its columns output channels. With
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
// neighboring floats (s, c) of the pixels under a kernel row, its columns the
// channels of dy, and it sums over output pixels.
//
// # Winograd
//
// 3x3 convolutions have a second algorithm. Each position of a transformed tile is
// a matrix product by the NN kernel; the weights of a position are packed like
// those of a 1x1 convolution:
//
//	panel 0: [position][c][16]    panel 1: [position][c][16]    …
//
// Where the weights are many and the tiles few, they stay in the panels of the
// direct algorithm and are transformed as they are read (winograd_multiply.go).
//
// # bfloat16
//
// With products of bfloat16 numbers (Conv.Precision) the same micro-kernels, with
// VDPBF16PS instead of the FMA, work on words of two numbers: of neighboring
// channels in the NN kernel, of neighboring pixels in the TN kernel. Operands
// are rounded when they are packed, the input always through scratch; to the rest
// of a plan such a convolution has half the channels. Winograd's algorithms multiply
// float32 numbers and are candidates for these convolutions, too.
//
// # Integers
//
// Quantized networks multiply unsigned bytes by signed ones ([QuantForward], int8.go),
// with the micro-kernels of package gemm8, which draws their tiles. Weights are
// packed four channels to a word (int8_pack.go):
//
//	panel 0: [r][s][c/4][16][4]    panel 1: [r][s][c/4][16][4]    …
//
// with zeros where a row of the filter, or a dilated tap, ends within a word. The
// epilogue (int8_epilogue.go) scales the sums of each channel, adds a residual and
// rounds to bytes; int8_add.go finds how to add as onnxruntime does. With one filter for
// each channel a word holds neighboring taps of a row instead (int8_depthwise.go).
//
// # Threads
//
// A plan depends on the geometry and the instruction set alone. The number of
// threads has no part in it, so it does not change a bit of the result.
package conv
