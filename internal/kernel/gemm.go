package kernel

// gemmArgs are the arguments of one call of a micro-kernel: a tile of m rows
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
type gemmArgs struct {
	a     *float32   // first element of A
	a2    *float32   // NN split: A of row m/2
	aoff  *int       // byte offset into A of each batch element
	batch int        // batch elements, at least 1
	k     int        // inner products per batch element, at least 1
	as    int        // NN: bytes between rows of the tile. TN: bytes between k
	b     *float32   // first element of B
	bs    int        // NN: bytes between panels. TN: bytes between k
	c     *float32   // first element of the tile
	ldc   int        // bytes between rows of c and of res
	res   *float32   // or nil
	bias  *float32   // or nil
	cols  int        // columns in use of the last panel, 1..16
	bits  uint64     // the lowest cols bits set
	mask  *[16]int32 // the first cols elements all ones
	clamp int        // 0: no bound is applied, 1: only lo, 2: lo and hi
	lo    float32
	hi    float32

	// One call does several tiles with the same b.
	tiles     int     // at least 1; 0 after the call
	astep     int     // bytes from the a of a tile to the next one's
	cstep     int     // bytes from the c, and res, of a tile to the next one's
	ahead     uintptr // address to bring into the second-level cache meanwhile, 64 bytes for each k of a tile unless slower; a hint, it may be invalid
	aheadStep int     // bytes from the ahead of a tile to the next one's
	cjump     int     // NN split: bytes from row m/2-1 of c, and res, to row m/2
	aheadK    int     // TN: bytes from the ahead of every other k to the next one's
	aheadSlow int     // NN: how much less than 64 bytes these are
}

// noAhead sets the address to prefetch to one that is in cache already.
func (g *gemmArgs) noAhead() { g.ahead, g.aheadStep, g.aheadK, g.aheadSlow = address(g.b), 0, 0, 0 }

// maxSplitPanels is the largest number of panels of the split NN kernels.
const maxSplitPanels = 3

// setAct sets the bounds that the epilogue clamps to.
func (g *gemmArgs) setAct(act Act) {
	switch act {
	case ActNone:
		g.clamp = 0
	case ActReLU:
		g.clamp, g.lo = 1, 0
	case ActReLU6:
		g.clamp, g.lo, g.hi = 2, 0, 6
	default:
		panic("kernel: unknown activation")
	}
}

// setCols sets how many columns of the last panel are in use.
func (g *gemmArgs) setCols(n int) {
	g.cols, g.bits, g.mask = n, 1<<n-1, &tailMasks[n]
}

// tailMasks[n] has its first n elements all ones.
var tailMasks = func() (t [panelWidth + 1][panelWidth]int32) {
	for n := range t {
		for i := range n {
			t[n][i] = -1
		}
	}
	return
}()

// maxPanels is the largest number of panels of one call.
const maxPanels = 4

// neonRows is the largest number of rows of a tile on NEON, of one panel.
const neonRows = 6

// pairOfPanels returns the number of panels of a call, two where there are so
// many and the micro-kernels take them, and the largest m with that.
func pairOfPanels(panels int) (nz, m int) {
	if panels >= 2 && maxRows(2) > 0 {
		return 2, maxRows(2)
	}
	return 1, maxRows(1)
}

// maxRows returns the largest m that the micro-kernels take with nz panels, 0
// if they do not take nz.
func maxRows(nz int) int {
	switch {
	case useAVX512:
		return [maxPanels + 1]int{0, 28, 14, 9, 7}[nz]
	case useAVX2:
		return [maxPanels + 1]int{0, 6}[nz]
	case useNEON:
		return [maxPanels + 1]int{0, neonRows}[nz]
	}
	return [maxPanels + 1]int{0, 8}[nz]
}
