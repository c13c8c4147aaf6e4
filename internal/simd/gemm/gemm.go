package gemm

import "github.com/resnet-go/resnet/internal/simd/isa"

// Args are the arguments of one call of a micro-kernel: a tile of m rows
// and nz panels of 16 columns. The NN kernel computes
//
//	c[i][j] = act(bias[j] + res[i][j] + Σ_b Σ_k a[aoff[b] + i*as + k] * b[panel(j)][b*kn+k][j%16])
//
// with the sum in the order of b, then k; the TN kernel, where the rows of the
// tile are contiguous in a and the columns contiguous in b,
//
//	c[i][j] = act(bias[j] + res[i][j] + Σ_b Σ_k a[aoff[b] + k*as + i] * b[(b*kn+k)*bs + j])
//
// res has the layout of c and may be c itself, which makes the call accumulate.
// The split NN kernel, for even m, has the second half of its rows elsewhere in
// both a and c. All strides and offsets are in bytes. The assembly knows the struct by
// offsets; gemm_stubs_amd64.go checks them. A call leaves a, a2, c, res and ahead
// one tile past the last.
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
	LDC     int        // bytes between rows of c and of res
	Res     *float32   // or nil
	Bias    *float32   // or nil
	cols    int        // columns in use of the last panel, 1..16
	bits    uint64     // the lowest cols bits set
	mask    *[16]int32 // the first cols elements all ones
	clamp   int        // 0: no bound is applied, 1: only lo, 2: lo and hi
	lo      float32
	hi      float32

	// One call does several tiles with the same b.
	Tiles        int     // at least 1; 0 after the call
	AStep        int     // bytes from the a of a tile to the next one's
	CStep        int     // bytes from the c, and res, of a tile to the next one's
	Prefetch     uintptr // address to bring into the second-level cache meanwhile, 64 bytes for each k of a tile unless slower; a hint, it may be invalid
	PrefetchStep int     // bytes from the ahead of a tile to the next one's
	CJump        int     // NN split: bytes from row m/2-1 of c, and res, to row m/2
	PrefetchK    int     // TN: bytes from the ahead of every other k to the next one's
	PrefetchSlow int     // NN: how much less than 64 bytes these are
}

// NoPrefetch sets the address to prefetch to one that is in cache already.
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

// SetCols sets how many columns of the last panel are in use.
func (g *Args) SetCols(n int) {
	g.cols, g.bits, g.mask = n, 1<<n-1, &isa.TailMasks[n]
}

// neonRows is the largest number of rows of a tile on NEON, of one panel.
const neonRows = 6

// PairOfPanels returns the number of panels of a call, two where there are so
// many and the micro-kernels take them, and the largest m with that.
func PairOfPanels(panels int) (nz, m int) {
	if panels >= 2 && MaxRows(2) > 0 {
		return 2, MaxRows(2)
	}
	return 1, MaxRows(1)
}

// MaxRows returns the largest m that the micro-kernels take with nz panels, 0
// if they do not take nz.
func MaxRows(nz int) int {
	switch {
	case isa.UseAVX512:
		return [isa.MaxPanels + 1]int{0, 28, 14, 9, 7}[nz]
	case isa.UseAVX2:
		return [isa.MaxPanels + 1]int{0, 6}[nz]
	case isa.UseNEON:
		return [isa.MaxPanels + 1]int{0, neonRows}[nz]
	}
	return [isa.MaxPanels + 1]int{0, 8}[nz]
}
