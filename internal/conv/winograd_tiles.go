package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// winogradShape is what Winograd's algorithms of stride 1 and 2 share: outputs
// are cut into tiles, and the transforms of their inputs have positions, each of
// which is multiplied by a matrix of transformed weights,
//
//	products[position][tile][k] = Σ_c v[position][tile][c] * u[matrix(position)][c][k]
//
// A task has a block of tiles and a block of panels.
type winogradShape struct {
	conv   Conv
	depth  int // floats of the channels of a tile, or words of two numbers of bfloat16
	t      int // edge of a tile of inputs
	oh, ow int
	// An image has len(rows) x len(cols) tiles. With dilation, outputs that are a
	// dilation apart are neighbors in a tile: they depend on the same inputs.
	rows, cols []outputSpan
	tiles      int // of all images
	panels     int
	edge       int // of the square of positions
	positions  int
	matrices   int     // of transformed weights
	served     [][]int // the positions that each matrix is multiplied with
	packedLen  int

	tileBlocks, panelBlocks blocks
	nz, maxM                int
	pitch                   int // floats between tiles of the transformed inputs
	vPos, mPos              int // floats between positions of the transformed inputs and of the products
	weightsExceedL2         bool
	zero                    [1]int
	zeros                   []float32
}

// newWinogradShape cuts the outputs of c into tiles of m x m, of t x t inputs and
// edge x edge positions, for matrices x matrices matrices of weights.
func newWinogradShape(c Conv, m, t, edge, matrices int) winogradShape {
	f := winogradShape{conv: c, depth: c.Precision.Words(c.C), t: t, oh: c.OutH(), ow: c.OutW(), panels: isa.CeilDiv(c.K, isa.PanelWidth), edge: edge, positions: edge * edge, matrices: matrices * matrices}
	f.served = f.servedBy(matrices)
	f.rows, f.cols = outputSpans(f.oh, m, c.DilH), outputSpans(f.ow, m, c.DilW)
	f.tiles = c.N * len(f.rows) * len(f.cols)
	f.packedLen = f.panels * f.panelFloats()
	f.zeros = make([]float32, ((t-1)*c.DilW+1)*max(c.C, f.panels*isa.PanelWidth)) // a row of inputs, or of outputs
	return f
}

// outputSpan is the rows or the columns of outputs of a tile: count of them from
// first on, a dilation apart.
type outputSpan struct{ first, count int }

// outputSpans cuts n rows or columns into spans of up to m.
func outputSpans(n, m, dilation int) []outputSpan {
	var spans []outputSpan
	for phase := range min(dilation, n) {
		for first := phase; first < n; first += m * dilation {
			spans = append(spans, outputSpan{first, min(m, isa.CeilDiv(n-first, dilation))})
		}
	}
	return spans
}

// tileCount returns the number of tiles of m x m outputs of all pictures.
func (c *Conv) tileCount(m int) int {
	return c.N * len(outputSpans(c.OutH(), m, c.DilH)) * len(outputSpans(c.OutW(), m, c.DilW))
}

// blockTiles returns the number of tiles of a task with transformed weights, and
// blockPanels that of its panels, if it has so many tiles. See [newWinograd].
func (f *winogradShape) blockTiles() (tiles int) {
	if f.tiles <= fewTiles {
		return isa.CeilDiv(f.tiles, max(1, f.tiles/fewBlock))
	}
	tiles = max(1, winogradBlock/(f.positions*(f.depth+f.nz*isa.PanelWidth)))
	if f.weightsExceedL2 {
		tiles = max(tiles, 2*f.maxM)
	}
	tiles = min(tiles, max(f.maxM, f.tiles/minTasks))
	return isa.CeilDiv(f.tiles, isa.CeilDiv(f.tiles, tiles))
}

func (f *winogradShape) blockPanels(tiles int) int {
	if f.tiles > fewTiles {
		return f.panels
	}
	return min(f.panels, isa.CeilDiv(isa.CeilDiv(f.panels*isa.CeilDiv(f.tiles, tiles), minTasks), f.nz)*f.nz)
}

// setBlocks gives each task the given numbers of tiles and panels.
func (f *winogradShape) setBlocks(tiles, panels int) {
	f.tileBlocks, f.panelBlocks = newBlocks(f.tiles, tiles), newBlocks(f.panels, panels)
	f.pitch = apart(min(tiles, f.maxM), f.depth)
	f.vPos, f.mPos = padded(tiles*f.pitch), padded(tiles*f.nz*isa.PanelWidth)
}

// padded returns a stride of at least n floats that does not put the positions
// of a tile into the same few sets of a cache.
func padded(n int) int { return isa.CeilDiv(n, 32)*32 + 16 }

func (f *winogradShape) tasks() int { return f.tileBlocks.count * f.panelBlocks.count }

// blockFloats returns the length of the transformed inputs of a block of tiles.
func (f *winogradShape) blockFloats() int { return f.positions * f.vPos }

// tilePlace is the image, row and column of a tile.
type tilePlace struct{ n, ty, tx int }

func (f *winogradShape) place(tile int) tilePlace {
	row := tile / len(f.cols)
	return tilePlace{row / len(f.rows), row % len(f.rows), tile % len(f.cols)}
}

// next moves p on by a tile, without the divisions of place.
func (f *winogradShape) next(p *tilePlace) {
	if p.tx++; p.tx < len(f.cols) {
		return
	}
	p.tx = 0
	if p.ty++; p.ty == len(f.rows) {
		p.n, p.ty = p.n+1, 0
	}
}

// transformedPacking returns the packing of transformed weights,
// [panel][matrix][C][16], in words that pair channels if the products are of
// bfloat16. transform makes a panel of the first cols columns of w,
// [3][3][C][stride].
func (f *winogradShape) transformedPacking(layout string, transform func(dst, w []float32, cols, stride int)) *Packing {
	c := &f.conv
	return &Packing{
		Len: f.packedLen, Tasks: f.panels, Key: c.key(layout), OIHW: true, weights: c.WLen(),
		pack: func(task int, dst []float32, w Weights) {
			f.narrowed(dst[task*f.panelFloats():][:f.panelFloats()], make([]float32, f.widePanel()), func(u []float32) {
				if w.Order == HWIO {
					_, k0, cols := c.panel(task)
					transform(u, w.Data[k0:], cols, c.K)
					return
				}
				panel := make([]float32, 9*c.C*isa.PanelWidth)
				c.packPanelOIHW(task, panel, w)
				transform(u, panel, isa.PanelWidth, isa.PanelWidth)
			})
		},
	}
}

// wideChannels are how many channels are transformed in float32 before they are rounded
// to words of two: the positions of a tile fit into the first-level cache.
const wideChannels = 128

// wideFloats is the length of a tile's transform before it is rounded, 0 if it is not.
func (f *winogradShape) wideFloats() int {
	if f.conv.Precision == gemm.FP32 {
		return 0
	}
	return f.positions * wideChannels
}

// panelFloats is the length of a panel of transformed weights, widePanel that of one that
// is yet to be rounded to words, 0 if it is not.
func (f *winogradShape) panelFloats() int { return f.matrices * f.depth * isa.PanelWidth }

func (f *winogradShape) widePanel() int {
	if f.conv.Precision == gemm.FP32 {
		return 0
	}
	return f.matrices * f.conv.C * isa.PanelWidth
}

// narrowed lets transform write a panel to dst, by way of wide if it is rounded to words.
func (f *winogradShape) narrowed(dst, wide []float32, transform func(u []float32)) {
	if f.conv.Precision == gemm.FP32 {
		transform(dst)
		return
	}
	transform(wide)
	for i := range f.matrices {
		f.conv.Precision.PairRows(dst[i*f.depth*isa.PanelWidth:], wide[i*f.conv.C*isa.PanelWidth:], f.conv.C, isa.PanelWidth, isa.PanelWidth, isa.PanelWidth)
	}
}

// multiply computes the products of all positions of some tiles with nz panels
// of transformed weights, from p on.
func (f *winogradShape) multiply(block, packed, products []float32, tiles, p, nz int) {
	var g gemm.Args
	g.SetAct(isa.ActNone)
	g.SetCols(isa.PanelWidth)
	g.AOff, g.Batch, g.K = &f.zero[0], 1, f.depth
	g.AStride, g.BStride, g.LDC = f.pitch*4, f.matrices*f.depth*isa.PanelWidth*4, f.nz*isa.PanelWidth*4
	count, tilesOf := isa.CeilDiv(tiles, f.maxM), split(tiles, f.maxM)
	var ahead prefetcher
	for matrix, positions := range f.served {
		from := (p*f.matrices + matrix) * f.depth * isa.PanelWidth
		g.B = &packed[from]
		g.NoPrefetch()
		if f.weightsExceedL2 {
			ahead.begin(count * len(positions))
			f.prefetchMatrix(&ahead, packed, matrix, from, nz)
		}
		for _, pos := range positions {
			from, to := pos*f.vPos, pos*f.mPos
			for i := range tilesOf {
				t := &tilesOf[i]
				g.AStep, g.CStep = t.rows*g.AStride, t.rows*g.LDC
				for n := t.n; n > 0; {
					g.Tiles = n
					if f.weightsExceedL2 {
						g.Tiles = ahead.set(&g, n)
					}
					n -= g.Tiles
					g.A, g.C, g.Res = &block[from], &products[to], nil
					from += g.Tiles * t.rows * f.pitch
					to += g.Tiles * t.rows * f.nz * isa.PanelWidth
					f.conv.Precision.NN(t.rows, nz, &g)
				}
			}
		}
	}
}

// servedBy returns the positions by the matrix that they are multiplied by. In
// each direction a position has a matrix of its own, but the last of the matrices
// serves all positions that are left: one with stride 1, two with stride 2.
func (f *winogradShape) servedBy(matrices int) [][]int {
	served := make([][]int, f.matrices)
	for i := range f.edge {
		for j := range f.edge {
			matrix := min(i, matrices-1)*matrices + min(j, matrices-1)
			served[matrix] = append(served[matrix], i*f.edge+j)
		}
	}
	return served
}

// prefetchMatrix adds the matrix that follows the one at packed[from], of nz
// panels: the next, or the first of the panels after these.
func (f *winogradShape) prefetchMatrix(ahead *prefetcher, packed []float32, matrix, from, nz int) {
	size := f.depth * isa.PanelWidth
	next := from + size
	if matrix == f.matrices-1 {
		next += (nz - 1) * f.matrices * size
	}
	for j := range nz {
		if at := next + j*f.matrices*size; at < len(packed) {
			ahead.add(isa.Address(&packed[at]), size*4)
		}
	}
}

// winogradOutput is where the products of a task go.
type winogradOutput struct {
	tile        wino.OutputTile
	bias        []float32 // all channels
	residual, y []float32
	tmp         []float32
	k, cols     int // first channel, number of channels
}

func (f *winogradShape) output(a *Args) (o winogradOutput) {
	o.bias, o.residual, o.y = a.Bias, a.Residual, a.Y
	if o.bias == nil {
		o.bias = f.zeros
	}
	o.tile = wino.OutputTile{Row: f.conv.DilH * f.ow * f.conv.K * 4, Pixel: f.conv.DilW * f.conv.K * 4}
	o.tile.Lo, o.tile.Hi = a.Act.Bounds()
	return o
}

// setPanels makes nz panels from p on what is stored next.
func (f *winogradShape) setPanels(o *winogradOutput, p, nz int) {
	o.k = p * isa.PanelWidth
	o.cols = min(f.conv.K-o.k, nz*isa.PanelWidth)
	o.tile.Bias = &o.bias[o.k]
}

// setTile makes o.tile the place of a tile.
func (f *winogradShape) setTile(o *winogradOutput, p *tilePlace) {
	row, col := f.rows[p.ty], f.cols[p.tx]
	at := ((p.n*f.oh+row.first)*f.ow+col.first)*f.conv.K + o.k
	o.tile.Y, o.tile.Height, o.tile.Width = &o.y[at], row.count, col.count
	if o.residual != nil {
		o.tile.Res = &o.residual[at]
	}
}

// stats leaves the statistics of cols channels from channel k on, of tiles
// t0..t1-1, in part tb of the partial statistics.
func (f *winogradShape) stats(tb int, a *Args, t0, t1, k, cols int) {
	kk := f.conv.K
	part := a.Partial[tb*2*kk:]
	for end := k + cols; k < end; k += vec.StatsColumns {
		cols := min(vec.StatsColumns, end-k)
		var s vec.StatsSums
		rows := 0
		f.spans(t0, t1, func(pixel, pixels int) {
			y := a.Y[pixel*kk+k:]
			if rows == 0 {
				s.Start(y, cols)
			}
			s.Add(y, cols, pixels, f.conv.DilW*kk)
			rows += pixels
		})
		s.Finish(part[k:k+cols], part[kk+k:][:cols], rows)
	}
}

// statsRows returns the number of pixels of a part.
func (f *winogradShape) statsRows(part int) (rows int) {
	t0, t1 := f.tileBlocks.span(part)
	f.spans(t0, t1, func(_, pixels int) { rows += pixels })
	return rows
}

// spans calls do with the rows of output pixels, a dilation apart, that make up tiles
// t0..t1-1: the first and their number.
func (f *winogradShape) spans(t0, t1 int, do func(pixel, pixels int)) {
	for t0 < t1 {
		p := f.place(t0)
		row, col := f.rows[p.ty], f.cols[p.tx]
		pixels := col.count
		// Tiles follow each other where the last pixel of one is a dilation before the
		// first of the next.
		for t0++; t0 < t1 && p.tx+1 < len(f.cols) && f.cols[p.tx+1].first == col.first+pixels*f.conv.DilW; t0++ {
			p.tx++
			pixels += f.cols[p.tx].count
		}
		for i := range row.count {
			do((p.n*f.oh+row.first+i*f.conv.DilH)*f.ow+col.first, pixels)
		}
	}
}
