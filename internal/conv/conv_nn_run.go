package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// nnCall is the state of one task of an nnConv.
type nnCall struct {
	*nnConv
	g                  gemm.Args
	b                  block
	grp                int
	w                  []float32 // the group's panels
	bias               []float32 // the group's, or nil
	src                []float32 // input as the kernel sees it, from the task's first pixel on
	imgPitch, rowPitch int
	y, res             []float32
	act                isa.Act
	all                []float32 // the panels of all groups
	follow             block     // of the next task; p1 is 0 after the last one
	tileCount          int       // of the rows being computed, for each panel

	// The current chunk of the sum.
	k0  int       // floats into the k of each batch element
	sum []float32 // what the chunk adds to, like y, or nil

	fetch fetch
}

// run computes one task. res has the layout of y, or is nil. prev is the task
// that scratch was last used for, with the same x, or -1.
func (q *nnConv) run(prev, task int, scratch, x, w, bias, res, y []float32, act isa.Act) {
	c := nnCall{nnConv: q, b: q.block(task), y: y, res: res, act: act}
	b := &c.b
	if q.r == 0 || q.s == 0 {
		if res == nil {
			q.zero(b, y)
		}
		return
	}
	c.all = w[q.wOff:]
	if task+1 < q.tasks() {
		c.follow = q.block(task + 1)
	}
	c.g.AStride = q.stepW * q.pixPitch * 4
	c.g.BStride = q.panelLen * 4
	c.g.LDC = q.yPix * 4
	for c.grp = b.g0; c.grp < b.g1; c.grp++ {
		c.w = c.all[c.grp*q.panels*q.panelLen:]
		if bias != nil {
			c.bias = bias[c.grp*q.k:]
		}
		if q.copied {
			if prev < 0 || !q.sameInput(prev, b) {
				q.copyInput(scratch, x, b, c.grp)
			}
			c.src, c.imgPitch, c.rowPitch = scratch, q.inRows*q.inCols*q.c, q.inCols*q.c*q.stepH
		} else {
			c.imgPitch, c.rowPitch = q.ih*q.iw*q.ic, q.iw*q.ic*q.sh
			c.src = x[b.n0*c.imgPitch+(b.oy0*q.sh-q.padT)*q.iw*q.ic-q.padL*q.ic+c.grp*q.floats:]
		}
		if q.heavy {
			c.panels(b.n0, b.n1, b.oy0, b.oy1)
			continue
		}
		for n := b.n0; n < b.n1; n++ {
			for oy := b.oy0; oy < b.oy1; oy += q.sweepRows {
				c.panels(n, n+1, oy, min(b.oy1, oy+q.sweepRows))
			}
		}
	}
}

// sameInput says that a task has left in scratch what block b needs.
func (q *nnConv) sameInput(task int, b *block) bool {
	a := q.block(task)
	a.p0, a.p1 = b.p0, b.p1
	return a == *b && b.g1 == b.g0+1
}

// panels computes all panels of the task for some images and rows.
func (c *nnCall) panels(n0, n1, oy0, oy1 int) {
	q := c.nnConv
	c.tileCount = (n1 - n0) * q.tilesOf(oy1-oy0)
	if !q.heavy {
		c.fetchRows(n0, oy0, oy1)
	}
	for p := c.b.p0; p < c.b.p1; p += q.nz {
		nz := min(q.nz, c.b.p1-p)
		c.g.SetCols(min(isa.PanelWidth, q.k-(p+nz-1)*isa.PanelWidth))
		at := q.yOff + c.grp*q.k + p*isa.PanelWidth
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

// tilesOf returns how many tiles some rows of an image are, or are at most.
func (q *nnConv) tilesOf(rows int) int {
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
func (c *nnCall) chunk(i, p, nz int) {
	q, g := c.nnConv, &c.g
	k := &q.chunks[i]
	g.AOff, g.Batch, g.K, c.k0 = &q.aoff[k.b0], k.batch, k.k, k.k0
	g.B = &c.w[p*q.panelLen+(k.b0*q.kk+k.k0)*isa.PanelWidth]
	g.Bias, c.sum = nil, c.y
	if i == 0 {
		c.sum = c.res
		if c.bias != nil {
			g.Bias = &c.bias[p*isa.PanelWidth]
		}
	}
	g.SetAct(isa.ActNone)
	if i == len(q.chunks)-1 {
		g.SetAct(c.act)
	}
	if q.heavy {
		c.fetchWeights(i, p, nz)
	}
}

// row computes width neighbouring pixels of nz panels, from src[from] to y[at].
func (c *nnCall) row(nz, from, width, at int) {
	tiles := isa.CeilDiv(width, c.maxM)
	m, larger := width/tiles, width%tiles
	if larger > 0 {
		c.tiles(larger, m+1, nz, from, at)
		from += larger * (m + 1) * c.stepW * c.pixPitch
		at += larger * (m + 1) * c.yPix
	}
	c.tiles(tiles-larger, m, nz, from, at)
}

// tiles computes n neighbouring tiles of m pixels.
func (c *nnCall) tiles(n, m, nz, from, at int) {
	g := &c.g
	g.A2 = nil
	g.AStep, g.CStep = m*c.stepW*c.pixPitch*4, m*c.yPix*4
	for n > 0 {
		g.A, g.C, g.Res = &c.src[from+c.k0], &c.y[at], nil
		if c.sum != nil {
			g.Res = &c.sum[at]
		}
		g.Tiles = c.fetch.set(g, n)
		n -= g.Tiles
		from += g.Tiles * g.AStep / 4
		at += g.Tiles * g.CStep / 4
		c.products.NN(m, nz, g)
	}
}

// pairs computes rows two by two, a tile each pair. y[at] is pixel 0 of image 0.
func (c *nnCall) pairs(nz, n0, n1, oy0, oy1, at int) {
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
		g.Tiles = c.fetch.set(g, 1)
		c.products.NNSplit(2*c.ow, nz, g)
	}
}

// rowAt returns where row i of a block of images n0 and on, rows oy0 and on,
// begins in src and in y.
func (c *nnCall) rowAt(i, height, n0, oy0, at int) (from, to int) {
	n, oy := n0+i/height, oy0+i%height
	return (n-c.b.n0)*c.imgPitch + (oy-c.b.oy0)*c.rowPitch, at + n*c.yImg + oy*c.yRow
}
