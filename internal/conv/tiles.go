package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// How a convolution is cut into tasks depends on its geometry and the
// instruction set, never on the number of threads: that is why a result has the
// same bits on any number of threads. Reductions, whose partial sums cost
// memory, aim at targetTasks; other algorithms weigh, in cycles of a core with a
// 2 MB L2, what a larger task saves against how evenly tasks spread over 2 and
// over 8 threads.
const (
	targetTasks   = 16        // tasks that reductions aim at
	minTaskFLOPs  = 2 << 20   // below this, tens of microseconds, handing out a task costs too much
	inputFloats   = 128 << 10 // upper bound of a task's input, unless one row has more
	weightsFloats = 192 << 10 // packed weights above this do not stay in L2
)

// tiles is a number of equal tiles.
type tiles struct {
	rows int // of each
	n    int
}

// split cuts n rows into the fewest tiles of at most most rows, as even as
// possible: first the tiles with one row more, of which there may be none.
// Even tiles matter since a micro-kernel's time hardly falls below that of 4 to
// 8 rows: 15 rows are faster as 8 and 7 than as 14 and 1.
func split(n, most int) [2]tiles {
	count := isa.CeilDiv(n, most)
	return [2]tiles{{n/count + 1, n % count}, {n / count, count - n%count}}
}

// blocks is a range cut into blocks of one size, of which the last may be
// shorter. The zero value has no blocks.
type blocks struct{ n, size, count int }

func newBlocks(n, size int) blocks { return blocks{n, size, isa.CeilDiv(n, size)} }

// evenBlocks cuts n into blocks of at most most, a multiple of step, as even as
// that allows.
func evenBlocks(n, most, step int) blocks {
	return newBlocks(n, min(n, isa.CeilDiv(isa.CeilDiv(n, isa.CeilDiv(n, most)), step)*step))
}

// span returns the bounds of block i.
func (b blocks) span(i int) (lo, hi int) { return isa.Span(i, b.size, b.n) }

// take returns the bounds of block i%count, and i/count, the index of what
// changes less often than these blocks.
func (b blocks) take(i int) (lo, hi, rest int) {
	lo, hi = b.span(i % b.count)
	return lo, hi, i / b.count
}

// tileCost estimates the cycles that one step of k takes for a tile of m rows
// and nz panels.
func tileCost(m, nz int) float64 {
	// Two FMAs per cycle, their latency of four cycles, and two loads per cycle;
	// some for B, which comes from L2.
	return max(float64(m*nz)/2, 4, float64(m+nz)/2) + 0.3 + 0.2*float64(nz)
}

// crowds reports whether rows of a tile that lie pitch floats apart crowd a few sets
// of the first-level cache: a column of them is read for each inner product, and from
// the second level unless all stay in the first.
func crowds(rows, pitch int) bool { return isa.Planned().Core.Crowds(rows, 4*pitch) }

// apart returns the pitch, of at least the given one, for a copy of rows that does not
// crowd the cache.
func apart(rows, pitch int) int {
	if crowds(rows, pitch) {
		return pitch + isa.PanelWidth
	}
	return pitch
}

// splitCost is tileCost of n rows in tiles of at most most.
func splitCost(n, most, nz int) (cost float64) {
	for _, t := range split(n, most) {
		cost += float64(t.n) * tileCost(t.rows, nz)
	}
	return cost
}

// choosePanels returns the number of panels of a call, and the largest number
// of rows of its tiles, for which cost is the least.
func choosePanels(panels int, maxRows func(nz int) int, cost func(nz, rows int) float64) (nz, rows int) {
	best := 0.0
	for z := 1; z <= min(isa.MaxPanels, panels) && maxRows(z) > 0; z++ {
		if c := cost(z, maxRows(z)); nz == 0 || c < best {
			nz, rows, best = z, maxRows(z), c
		}
	}
	return nz, rows
}

// pairOfPanels is [gemm.PairOfPanels] of a number of columns.
func pairOfPanels(columns int) (nz, rows int) {
	return gemm.PairOfPanels(isa.CeilDiv(columns, isa.PanelWidth))
}
