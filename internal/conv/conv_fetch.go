package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// fetch is what tiles bring into the second-level cache while they multiply:
// stretches of memory, one after the other, at an even rate. An even rate
// matters: a core waits for few lines at a time, and what is asked for faster
// than it can come holds up everything else.
type fetch struct {
	list  [isa.MaxPanels]stretch
	n     int // stretches
	cur   int // the one being fetched
	bytes int // of the stretches not begun
	tiles int // left, with those of the current stretch

	// Of the current stretch.
	share int     // tiles left; 0: not begun
	next  uintptr // where the rest of it is
	step  int     // bytes a tile
	slow  int     // how much less than 64 bytes a step of k
}

// stretch is memory that will be wanted soon; a hint, it may lie beyond the
// end of an array.
type stretch struct {
	at   uintptr
	size int // bytes
}

// begin forgets what was left; the stretches that are added next are fetched by
// so many tiles.
func (f *fetch) begin(tiles int) { f.n, f.cur, f.bytes, f.share, f.tiles = 0, 0, 0, 0, tiles }

// add adds a stretch that is not empty.
func (f *fetch) add(at uintptr, size int) {
	f.list[f.n] = stretch{at, size}
	f.n++
	f.bytes += size
}

// set makes the next of at most n tiles fetch, and returns how many these are.
func (f *fetch) set(g *gemm.Args, n int) int {
	if f.cur == f.n {
		g.NoPrefetch()
		return n
	}
	if f.share == 0 {
		s := &f.list[f.cur]
		steps := g.Batch * g.K
		f.share = max(1, min(isa.CeilDiv(f.tiles*s.size, f.bytes), f.tiles-(f.n-1-f.cur)))
		f.bytes -= s.size
		f.next = s.at
		f.slow = max(0, 64-isa.CeilDiv(s.size, f.share*steps))
		f.step = (64 - f.slow) * steps
	}
	n = min(n, f.share)
	g.Prefetch, g.PrefetchStep, g.PrefetchSlow = f.next, f.step, f.slow
	f.next += uintptr(n * f.step)
	f.tiles -= n
	f.share -= n
	if f.share == 0 {
		f.cur++
	}
	return n
}

// fetchRows has the tiles of a sweep, all panels of some rows of light weights,
// fetch the input and the output of the rows that follow. The output is fetched
// for the residual that is added to it, and since to write to a line that is not
// in cache is to read it first.
func (c *nnCall) fetchRows(n, oy0, oy1 int) {
	q := c.nnConv
	c.fetch.begin(c.tileCount * isa.CeilDiv(c.b.p1-c.b.p0, q.nz))
	if q.groups > 1 {
		return
	}
	if !q.copied {
		size := (oy1 - oy0) * c.rowPitch * 4
		c.fetch.add(isa.Address(&c.src[(n-c.b.n0)*c.imgPitch+(oy0-c.b.oy0)*c.rowPitch])+uintptr(size), size)
	}
	if q.pans > 1 || q.yPix != q.k || q.yRow != q.ow*q.k {
		return
	}
	size := (oy1 - oy0) * q.yRow * 4
	at := q.yOff + n*q.yImg + oy0*q.yRow
	c.fetch.add(isa.Address(&c.y[at])+uintptr(size), size)
	if c.res != nil && &c.res[0] != &c.y[0] {
		c.fetch.add(isa.Address(&c.res[at])+uintptr(size), size)
	}
}

// fetchWeights has the tiles of chunk i of nz panels from p on fetch the heavy
// weights that come next, here or in the task that most likely follows.
func (c *nnCall) fetchWeights(i, p, nz int) {
	q := c.nnConv
	w := c.w[p*q.panelLen:]
	i++
	if i == len(q.chunks) {
		i = 0
		switch {
		case p+nz < c.b.p1:
			w, nz = c.w[(p+nz)*q.panelLen:], min(q.nz, c.b.p1-p-nz)
		case c.follow.p1 > 0:
			w, nz = c.all[(c.follow.g0*q.panels+c.follow.p0)*q.panelLen:], min(q.nz, c.follow.p1-c.follow.p0)
		default:
			nz = 0
		}
	}
	k := &q.chunks[i]
	c.fetch.begin(c.tileCount)
	for j := range nz {
		c.fetch.add(isa.Address(&w[j*q.panelLen+(k.b0*q.kk+k.k0)*isa.PanelWidth]), k.batch*k.k*isa.PanelWidth*4)
	}
}
