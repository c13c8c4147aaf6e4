package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// directTask is the state of one task of a [direct].
type directTask struct {
	*direct
	g                  gemm.Args
	b                  block
	grp                int
	w                  []float32 // the group's panels
	bias               []float32 // the group's, or nil
	src                []float32 // input as the kernel sees it, from the task's first pixel on
	imgPitch, rowPitch int
	y, residual        []float32
	act                isa.Act
	all                []float32 // the panels of all groups
	following          block     // of the next task; p1 is 0 after the last one
	tileCount          int       // of the rows being computed, for each panel

	// The current chunk of the sum.
	k0  int       // floats into the k of each batch element
	sum []float32 // what the chunk adds to, like y, or nil

	prefetch prefetcher
}

// run computes one task. previous is the task that scratch was last used for,
// with the same x, or -1.
func (q *direct) run(previous, task int, scratch []float32, a *Args) {
	c := directTask{direct: q, b: q.block(task), y: a.Y, residual: a.Residual, act: a.Act}
	b := &c.b
	if q.r == 0 || q.s == 0 {
		if c.residual == nil {
			q.zero(b, c.y)
		}
		return
	}
	isa.CheckMin("scratch", scratch, q.scratchFloats())
	c.all = a.Packed[q.wOff:]
	if task+1 < q.tasks() {
		c.following = q.block(task + 1)
	}
	c.g.AStride = q.stepW * q.pixPitch * 4
	c.g.BStride = q.panelLen * 4
	c.g.LDC = q.yPix * 4
	for c.grp = b.g0; c.grp < b.g1; c.grp++ {
		c.w = c.all[c.grp*q.panels*q.panelLen:]
		if a.Bias != nil {
			c.bias = a.Bias[q.kOff+c.grp*q.k:]
		}
		if q.copied {
			if previous < 0 || !q.sameInput(previous, b) {
				q.copyInput(scratch, a.X, b, c.grp)
			}
			c.src, c.imgPitch, c.rowPitch = scratch, q.inRows*q.inCols*q.pixPitch, q.inCols*q.pixPitch*q.stepH
		} else {
			c.imgPitch, c.rowPitch = q.ih*q.iw*q.ic, q.iw*q.ic*q.sh
			c.src = a.X[b.n0*c.imgPitch+(b.oy0*q.sh-q.padT)*q.iw*q.ic-q.padL*q.ic+q.xOff+c.grp*q.floats:]
		}
		if q.weightsExceedL2 {
			c.multiply(b.n0, b.n1, b.oy0, b.oy1)
			continue
		}
		for n := b.n0; n < b.n1; n++ {
			for oy := b.oy0; oy < b.oy1; oy += q.sweepRows {
				c.multiply(n, n+1, oy, min(b.oy1, oy+q.sweepRows))
			}
		}
	}
}

// sameInput reports whether a task has left in scratch what block b needs.
func (q *direct) sameInput(task int, b *block) bool {
	a := q.block(task)
	a.p0, a.p1 = b.p0, b.p1
	return a == *b && b.g1 == b.g0+1
}

// copyInput fills scratch with the input of a block: the rows and pixels that
// the taps reach, of one group's channels, with zeros for those outside.
func (q *direct) copyInput(scratch, x []float32, b *block, grp int) {
	w := window{
		h: q.ih, w: q.iw, pixel: q.ic, y0: b.oy0*q.sh - q.padT, x0: -q.padL, jumpH: q.sh / q.stepH, jumpW: q.sw / q.stepW,
		rows: (b.oy1-b.oy0-1)*q.stepH + (q.r-1)*q.dh + 1, cols: q.inCols, channels: q.floats, pitch: q.pixPitch,
	}
	if q.flat {
		if x := x[b.oy0*q.ic+q.xOff+grp*q.floats:]; q.precision != gemm.FP32 {
			q.precision.Narrow(scratch, x, w.rows, q.floats, q.ic, q.pixPitch)
		} else {
			copyPixels(scratch, x, w.rows, q.floats, q.pixPitch, q.ic, 0)
		}
		return
	}
	for n := b.n0; n < b.n1; n++ {
		dst, src := scratch[(n-b.n0)*q.inRows*q.inCols*q.pixPitch:], x[n*q.ih*q.iw*q.ic+q.xOff+grp*q.floats:]
		if q.precision != gemm.FP32 {
			narrowWindow(q.precision, dst, src, &w)
			continue
		}
		copyWindow(dst, src, &w, 0)
	}
}

// zero stores zeros in a block that no tap reaches.
func (q *direct) zero(b *block, y []float32) {
	for n := b.n0; n < b.n1; n++ {
		for oy := b.oy0; oy < b.oy1; oy++ {
			for ox := range q.ow {
				at := q.yOff + n*q.yImg + oy*q.yRow + ox*q.yPix
				clear(y[at+q.kOff+b.g0*q.k : at+q.kOff+b.g1*q.k])
			}
		}
	}
}

// multiply computes all panels of the task for some images and rows.
func (c *directTask) multiply(n0, n1, oy0, oy1 int) {
	q := c.direct
	c.tileCount = (n1 - n0) * q.tilesOf(oy1-oy0)
	if !q.weightsExceedL2 {
		c.prefetchRows(n0, oy0, oy1)
	}
	for p := c.b.p0; p < c.b.p1; p += q.nz {
		nz := min(q.nz, c.b.p1-p)
		c.g.SetCols(min(isa.PanelWidth, q.k-(p+nz-1)*isa.PanelWidth))
		at := q.yOff + q.kOff + c.grp*q.k + p*isa.PanelWidth
		for i := range q.chunks {
			c.chunk(i, p, nz)
			if q.paired {
				c.pairs(nz, n0, n1, oy0, oy1, at)
				continue
			}
			for n := n0; n < n1; n++ {
				from := (n - c.b.n0) * c.imgPitch
				if q.merged {
					c.row(nz, from+(oy0-c.b.oy0)*c.rowPitch, (oy1-oy0)*q.ow, at+n*q.yImg+oy0*q.yRow)
					continue
				}
				for oy := oy0; oy < oy1; oy++ {
					c.row(nz, from+(oy-c.b.oy0)*c.rowPitch, q.ow, at+n*q.yImg+oy*q.yRow)
				}
			}
		}
	}
}

// tilesOf returns the number of tiles of some rows of an image; where rows are
// paired, at most.
func (q *direct) tilesOf(rows int) int {
	switch {
	case q.merged:
		return isa.CeilDiv(rows*q.ow, q.maxM)
	case q.paired:
		return isa.CeilDiv(rows, 2)
	}
	return rows * isa.CeilDiv(q.ow, q.maxM)
}

// chunk sets what differs between the chunks of the sum for nz panels from p
// on: the first adds to bias and residual, the others to y, and the last
// applies the activation.
func (c *directTask) chunk(i, p, nz int) {
	q, g := c.direct, &c.g
	k := &q.chunks[i]
	g.AOff, g.Batch, g.K, c.k0 = &q.aoff[k.b0], k.batch, k.k, k.k0
	g.B = &c.w[p*q.panelLen+(k.b0*q.kk+k.k0)*isa.PanelWidth]
	g.Bias, c.sum = nil, c.y
	if i == 0 {
		c.sum = c.residual
		if c.bias != nil {
			g.Bias = &c.bias[p*isa.PanelWidth]
		}
	}
	g.SetAct(isa.ActNone)
	if i == len(q.chunks)-1 {
		g.SetAct(c.act)
	}
	if q.weightsExceedL2 {
		c.prefetchWeights(i, p, nz)
	}
}

// row computes nz panels of width neighboring pixels, from src[from] to y[at].
func (c *directTask) row(nz, from, width, at int) {
	g := &c.g
	g.A2 = nil
	for _, t := range split(width, c.maxM) {
		g.AStep, g.CStep = t.rows*c.stepW*c.pixPitch*4, t.rows*c.yPix*4
		for n := t.n; n > 0; {
			g.A, g.C, g.Res = &c.src[from+c.k0], &c.y[at], nil
			if c.sum != nil {
				g.Res = &c.sum[at]
			}
			g.Tiles = c.prefetch.set(g, n)
			n -= g.Tiles
			from += g.Tiles * g.AStep / 4
			at += g.Tiles * g.CStep / 4
			c.precision.NN(t.rows, nz, g)
		}
	}
}

// pairs computes rows two by two, a tile each pair. y[at] is pixel 0 of image 0.
func (c *directTask) pairs(nz, n0, n1, oy0, oy1, at int) {
	g := &c.g
	height := oy1 - oy0
	rows := (n1 - n0) * height
	for i := 0; i < rows; i += 2 {
		from, to := c.rowAt(i, height, n0, oy0, at)
		if i+1 == rows {
			c.row(nz, from, c.ow, to)
			return
		}
		from2, to2 := c.rowAt(i+1, height, n0, oy0, at)
		g.A, g.A2, g.C, g.Res = &c.src[from+c.k0], &c.src[from2+c.k0], &c.y[to], nil
		g.CJump = (to2 - to - (c.ow-1)*c.yPix) * 4
		if c.sum != nil {
			g.Res = &c.sum[to]
		}
		g.Tiles = c.prefetch.set(g, 1)
		c.precision.NNSplit(2*c.ow, nz, g)
	}
}

// rowAt returns where row i of the rows from oy0 on of the images from n0 on
// begins in src and in y.
func (c *directTask) rowAt(i, height, n0, oy0, at int) (from, to int) {
	n, oy := n0+i/height, oy0+i%height
	return (n-c.b.n0)*c.imgPitch + (oy-c.b.oy0)*c.rowPitch, at + n*c.yImg + oy*c.yRow
}

// prefetchRows makes the tiles of a sweep, all panels of some rows, prefetch the
// input and the output of the rows that follow. The output is prefetched for the
// residual that is added to it, and because to write to a line that is not in
// cache is to read it first.
func (c *directTask) prefetchRows(n, oy0, oy1 int) {
	q := c.direct
	c.prefetch.begin(c.tileCount * isa.CeilDiv(c.b.p1-c.b.p0, q.nz))
	if q.groups > 1 {
		return
	}
	if !q.copied {
		size := (oy1 - oy0) * c.rowPitch * 4
		c.prefetch.add(isa.Address(&c.src[(n-c.b.n0)*c.imgPitch+(oy0-c.b.oy0)*c.rowPitch])+uintptr(size), size)
	}
	if q.panelBlocks.count > 1 || q.yPix != q.k || q.yRow != q.ow*q.k {
		return
	}
	size := (oy1 - oy0) * q.yRow * 4
	at := q.yOff + n*q.yImg + oy0*q.yRow
	c.prefetch.add(isa.Address(&c.y[at])+uintptr(size), size)
	if c.residual != nil && &c.residual[0] != &c.y[0] {
		c.prefetch.add(isa.Address(&c.residual[at])+uintptr(size), size)
	}
}

// prefetchWeights makes the tiles of chunk i of nz panels from p on prefetch the
// weights that come next, here or in the task that most likely follows.
func (c *directTask) prefetchWeights(i, p, nz int) {
	q := c.direct
	w := c.w[p*q.panelLen:]
	i++
	if i == len(q.chunks) {
		i = 0
		switch {
		case p+nz < c.b.p1:
			w, nz = c.w[(p+nz)*q.panelLen:], min(q.nz, c.b.p1-p-nz)
		case c.following.p1 > 0:
			w, nz = c.all[(c.following.g0*q.panels+c.following.p0)*q.panelLen:], min(q.nz, c.following.p1-c.following.p0)
		default:
			nz = 0
		}
	}
	k := &q.chunks[i]
	c.prefetch.begin(c.tileCount)
	for j := range nz {
		c.prefetch.add(isa.Address(&w[j*q.panelLen+(k.b0*q.kk+k.k0)*isa.PanelWidth]), k.batch*k.k*isa.PanelWidth*4)
	}
}
