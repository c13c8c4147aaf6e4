// Package gemm multiplies matrices of float32, and of bfloat16 with sums in float32,
// by batch-reduce micro-kernels: a tile of m rows by nz panels of 16 columns stays in
// registers while it is summed over a batch of products (Georganas et al.,
// "High-Performance Deep Learning via a Single Building Block", 2019,
// arXiv:1906.06440). See [Args] for what they compute.
//
// The NN kernel reads the rows of its tile AStride bytes apart and the columns from
// packed panels. For a convolution the rows are neighboring output pixels: with
// channels last, the s*c inputs under a row of the kernel are contiguous, so a batch
// element is a kernel row, and the inputs of the next pixel start stride*c floats
// further on:
//
//	x, one padded row:   [p0 c0..][p1 c0..][p2 c0..][p3 c0..] …
//	A row of pixel 0      ^----------- S*C ----------^
//	A row of pixel 1              ^----------- S*C ----------^
//
// Weights are packed in panels of 16 output channels, in the order in which the
// kernel reads them:
//
//	panel 0: [r][s][c][16]    panel 1: [r][s][c][16]    …    zeros after the last
//
// The TN kernel reads both operands down their columns: the rows of its tile, and its
// columns, are neighboring floats of each row of k. Gradients of weights are sums over
// output pixels of this form. It takes at most [MaxTNPanels] panels.
//
// With [BF16] the same kernels, with VDPBF16PS instead of the FMA, work on words of
// two numbers: of neighboring channels in the NN kernel, of neighboring pixels in the
// TN kernel. Operands are rounded when they are packed.
//
// gemm_generic.go and bf16_generic.go define the results in plain Go.
package gemm

import "github.com/resnet-go/resnet/internal/simd/isa"

// Args are the arguments of one call of a micro-kernel: a tile of m rows
// and nz panels of 16 columns. The NN kernel computes
//
//	C[i][j] = act(Bias[j] + Res[i][j] + Σ_b Σ_k A[AOff[b] + i*AStride + k] * B[panel(j)][b*K+k][j%16])
//
// with the sum in the order of b, then k. The TN kernel, where the rows of the
// tile are contiguous in A and the columns contiguous in B, computes
//
//	C[i][j] = act(Bias[j] + Res[i][j] + Σ_b Σ_k A[AOff[b] + k*AStride + i] * B[(b*K+k)*BStride + j])
//
// Res has the layout of C and may be C itself, which makes the call accumulate.
// The split NN kernel, for even m, has the second half of its rows elsewhere in
// both A and C. All strides and offsets are in bytes. The assembly reads the struct by
// its offsets, so a change needs go generate. A call advances A, A2, C, Res and
// Prefetch to the last tile that it computes.
type Args struct {
	A       *float32   // first element of A
	A2      *float32   // NN split: A of row m/2
	AOff    *int       // byte offset into A of each batch element
	Batch   int        // batch elements, at least 1
	K       int        // inner products per batch element, at least 1
	AStride int        // NN: bytes between rows of the tile. TN: bytes between k
	B       *float32   // first element of B
	BStride int        // NN: bytes between panels. TN: bytes between k
	C       *float32   // first element of the tile
	LDC     int        // bytes between rows of C and of Res
	Res     *float32   // or nil
	Bias    *float32   // or nil
	cols    int        // columns in use of the last panel, 1..16
	bits    uint64     // the lowest cols bits set
	mask    *[16]int32 // the first cols elements all ones
	clamp   int        // 0: no bound is applied, 1: only lo, 2: lo and hi
	lo      float32
	hi      float32

	// One call computes several tiles with the same B.
	Tiles        int     // at least 1; 0 after the call
	AStep        int     // bytes from A of a tile to A of the next one
	CStep        int     // bytes from C, and Res, of a tile to those of the next one
	Prefetch     uintptr // address prefetched to L2 while a tile is computed. NN: advanced by 64-PrefetchSlow bytes per step of k. It may point outside of any allocation
	PrefetchStep int     // bytes from Prefetch of a tile to Prefetch of the next one
	CJump        int     // NN split: bytes from row m/2-1 of C, and Res, to row m/2
	PrefetchK    int     // TN: bytes that the prefetch advances every other step of k
	PrefetchSlow int     // NN: bytes subtracted from the prefetch stride of 64
}

// NoPrefetch makes the prefetch harmless: it stays at B, which is read anyway.
func (g *Args) NoPrefetch() {
	g.Prefetch, g.PrefetchStep, g.PrefetchK, g.PrefetchSlow = isa.Address(g.B), 0, 0, 0
}

// MaxSplitPanels is the largest number of panels of the split NN kernels.
const MaxSplitPanels = 3

// MaxTNPanels is the largest number of panels of the TN kernels.
const MaxTNPanels = 2

// SetAct sets the bounds that the epilogue clamps to.
func (g *Args) SetAct(act isa.Act) {
	switch act {
	case isa.ActNone:
		g.clamp = 0
	case isa.ActReLU:
		g.clamp, g.lo = 1, 0
	case isa.ActReLU6:
		g.clamp, g.lo, g.hi = 2, 0, 6
	default:
		panic("gemm: unknown activation")
	}
}

// SetCols sets the number of columns of the last panel that are in use, 1 to 16.
func (g *Args) SetCols(n int) {
	g.cols, g.bits, g.mask = n, 1<<n-1, &isa.TailMasks[n]
}

// neonRows is the largest number of rows of a tile on NEON, of one panel.
const neonRows = 6

// PairOfPanels returns the number of panels of a call and the largest m with it: two
// panels where there are two and the micro-kernels take them, else one.
func PairOfPanels(panels int) (nz, m int) {
	if panels >= 2 && MaxRows(2) > 0 {
		return 2, MaxRows(2)
	}
	return 1, MaxRows(1)
}

// MaxRows returns the largest m that the micro-kernels take with nz panels, 0
// if they do not take nz.
func MaxRows(nz int) int {
	switch machine := isa.Planned(); {
	case machine.AVX512:
		return [isa.MaxPanels + 1]int{0, 28, 14, 9, 7}[nz]
	case machine.AVX2:
		return [isa.MaxPanels + 1]int{0, 6}[nz]
	case machine.NEON:
		return [isa.MaxPanels + 1]int{0, neonRows}[nz]
	}
	return [isa.MaxPanels + 1]int{0, 8}[nz]
}
