package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// prefetcher spreads the prefetching into L2 of what will be read next, a few
// stretches of memory one after another, evenly over the tiles of NN calls.
// Bursts would stall the products: a core has few line-fill buffers, and what is
// asked for faster than it can come holds up all other reads.
type prefetcher struct {
	list  [isa.MaxPanels]stretch
	n     int // stretches
	cur   int // the one being prefetched
	bytes int // of the stretches not begun
	tiles int // left, including those of the current stretch

	// Of the current stretch.
	share int     // tiles left; 0: not begun
	next  uintptr // where the rest of it is
	slow  int     // how much less than 64 bytes a step of k prefetches
}

// stretch is memory to prefetch. It may lie beyond the end of an array.
type stretch struct {
	at   uintptr
	size int // bytes
}

// begin drops what is left; the stretches that are added next are spread over
// the given number of tiles.
func (f *prefetcher) begin(tiles int) {
	f.n, f.cur, f.bytes, f.share, f.tiles = 0, 0, 0, 0, tiles
}

// add adds a stretch that is not empty.
func (f *prefetcher) add(at uintptr, size int) {
	f.list[f.n] = stretch{at, size}
	f.n++
	f.bytes += size
}

// set makes the next call, of at most n tiles, prefetch, and returns its number
// of tiles.
func (f *prefetcher) set(g *gemm.Args, n int) int {
	if f.cur == f.n {
		g.NoPrefetch()
		return n
	}
	steps := g.Batch * g.K
	if f.share == 0 {
		s := &f.list[f.cur]
		f.share = max(1, min(isa.CeilDiv(f.tiles*s.size, f.bytes), f.tiles-(f.n-1-f.cur)))
		f.bytes -= s.size
		f.next = s.at
		f.slow = max(0, 64-isa.CeilDiv(s.size, f.share*steps))
	}
	n = min(n, f.share)
	g.Prefetch, g.PrefetchStep, g.PrefetchSlow = f.next, (64-f.slow)*steps, f.slow
	f.next += uintptr(n * g.PrefetchStep)
	f.tiles -= n
	f.share -= n
	if f.share == 0 {
		f.cur++
	}
	return n
}

// columnPrefetcher is a prefetcher for TN calls, which sum over pixels: it
// prefetches columns of cache lines, of x and of dy, in halves. A tile takes half
// a column, a line for every other of its pixels.
type columnPrefetcher struct {
	parts [4]struct {
		at    uintptr // first line of the next half column
		lines int     // half columns left
		pitch int     // bytes between lines of a column
	}
	part int
}

// add makes parts i and i+1 the upper and lower halves of the columns that hold
// some channels of 2*half pixels, which lie pitch bytes apart.
func (f *columnPrefetcher) add(i int, first *float32, half, channels, pitch int) {
	for j := range 2 {
		p := &f.parts[i+j]
		p.at, p.lines, p.pitch = isa.Address(first)+uintptr(j*half*pitch), isa.CeilDiv(channels, isa.PanelWidth), pitch
	}
}

// set makes the next call, of at most n tiles, prefetch half a column with each
// of its tiles, and returns its number of tiles.
func (f *columnPrefetcher) set(g *gemm.Args, n int) int {
	for f.part < len(f.parts) && f.parts[f.part].lines == 0 {
		f.part++
	}
	if f.part == len(f.parts) {
		g.NoPrefetch()
		return n
	}
	p := &f.parts[f.part]
	n = min(n, p.lines)
	g.Prefetch, g.PrefetchStep, g.PrefetchK = p.at, 64, p.pitch
	p.at += uintptr(64 * n)
	p.lines -= n
	return n
}
