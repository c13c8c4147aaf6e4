package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// nnConv is a convolution that is computed by NN calls: the forward
// convolution, or one parity class of an input gradient, which is a stride-1
// convolution of the output gradient that writes every StrideH-th row and
// StrideW-th pixel. Output pixel (oy, ox) with taps (i, j) reads input pixel
// (oy*sh + i*dh - padT, ox*sw + j*dw - padL), zero outside; here the pads may
// be negative and the last taps may lie beyond the end.
//
// With channels last, the pixels under a kernel row are contiguous, so one
// batch element of the GEMM is a kernel row of s*c inner products (a tap of c
// with dilation), and the rows of a tile are neighbouring pixels of an output
// row, sw*c floats apart. A task copies its input rows with their borders to
// scratch unless it needs none; of strided 1x1 kernels that is the pixels in use.
type nnConv struct {
	groups, n                        int
	ih, iw, ic                       int // input height, width, channels of a pixel in memory
	c                                int // words of the input channels of a group, after plan; floats before
	sh, sw, r, s, dh, dw, padT, padL int
	oh, ow, k                        int // output height, width, channels of a group
	yOff, yImg, yRow, yPix           int // floats: y pixel (n, oy, ox) of group g is at yOff + n*yImg + oy*yRow + ox*yPix + g*k
	wOff                             int // floats before the packed weights of group 0
	products                         gemm.Precision

	// Derived by plan.
	panels, panelLen int
	floats           int  // input channels of a group in memory
	flat             bool // all pixels of all images are one each row
	copied           bool // the input goes through scratch
	merged           bool // the pixels of a task's rows are one long row
	stepH, stepW     int  // input rows and pixels between outputs, as the kernel sees them
	inRows, inCols   int  // scratch: rows per image and pixels per row, of a full task
	pixPitch         int  // floats between pixels, as the kernel sees them
	aoff             []int
	kk               int // inner products per batch element
	chunks           []kChunk
	nz, maxM         int
	paired           bool // a tile is two whole rows
	heavy            bool // the weights do not stay in the second-level cache
	sweepRows        int  // output rows of an image that all panels are computed for before the next; light weights

	// A task is a block of images, rows, groups and panels.
	imgBlock, rowBlock, groupBlock, panelBlock int
	imgs, rows, grps, pans                     int // number of blocks
}

// plan fills the derived fields.
func (q *nnConv) plan() {
	q.floats, q.c = q.c, q.products.Words(q.c)
	q.panels = isa.CeilDiv(q.k, isa.PanelWidth)
	q.panelLen = q.r * q.s * q.c * isa.PanelWidth
	if q.r == 0 || q.s == 0 {
		// No tap reaches these outputs: tasks store zeros.
		q.imgBlock, q.rowBlock, q.groupBlock, q.panelBlock = 1, q.oh, q.groups, q.panels
		q.imgs, q.rows, q.grps, q.pans = q.n, 1, 1, 1
		return
	}
	inside := q.padT <= 0 && q.padL <= 0 &&
		(q.oh-1)*q.sh+(q.r-1)*q.dh-q.padT < q.ih && (q.ow-1)*q.sw+(q.s-1)*q.dw-q.padL < q.iw
	oneTap := q.r == 1 && q.s == 1
	contiguous := q.ic == q.floats || q.s == 1 || q.dw > 1
	// Of 1x1 kernels with a stride, the pixels in use are copied together where
	// their rows are too short for good tiles.
	gathered := oneTap && (q.sh > 1 || q.sw > 1) && q.ow < shortRow
	inPlace := inside && contiguous && !gathered
	q.copied = !inPlace || q.products != gemm.FP32
	if inPlace && oneTap && q.ih == q.oh && q.iw == q.ow && q.dense() {
		q.flat = true // merged below
		q.oh, q.ih = q.n*q.oh*q.ow, q.n*q.ih*q.iw
		q.n, q.ow, q.iw = 1, 1, 1
		q.yRow = q.yPix
		q.yImg = q.oh * q.yRow
	}
	q.stepH, q.stepW = q.sh, q.sw
	inW := q.iw
	q.pixPitch = q.ic
	if q.copied {
		q.pixPitch = q.c
		if q.r == 1 {
			q.stepH = 1
		}
		if q.s == 1 {
			q.stepW = 1
		}
		q.inCols = (q.ow-1)*q.stepW + (q.s-1)*q.dw + 1
		inW = q.inCols
	}
	q.merged = oneTap && q.stepH == 1 && q.stepW == 1 && inW == q.ow && q.yRow == q.ow*q.yPix
	rowPitch := inW * q.pixPitch * 4
	q.kk = q.s * q.c
	taps := 1
	if q.dw > 1 {
		q.kk, taps = q.c, q.s
	}
	for i := range q.r {
		for j := range taps {
			q.aoff = append(q.aoff, i*q.dh*rowPitch+j*q.dw*q.pixPitch*4)
		}
	}
	q.chooseTile()
	q.heavy = q.panels*q.panelLen > weightsFloats
	q.chunks = []kChunk{{batch: len(q.aoff), k: q.kk}}
	if q.heavy {
		q.chunks = q.chunkSum()
	}
	q.cut()
	q.sweepRows = max(1, sweepFloats/(q.ow*q.stepW*q.stepH*q.pixPitch))
	switch {
	case q.merged:
		q.sweepRows = max(1, isa.CeilDiv(q.sweepRows*q.ow, q.maxM)*q.maxM/q.ow)
	case q.paired:
		q.sweepRows = isa.CeilDiv(q.sweepRows, 2) * 2
	}
	q.inRows = (q.rowBlock-1)*q.stepH + (q.r-1)*q.dh + 1
}

// kChunk is a part of the sum of each output: the inner products from k0 on, k
// of them, of some batch elements.
type kChunk struct{ b0, batch, k0, k int }

// chunkSum cuts the sum of a convolution with heavy weights, so that while the
// tiles of a task work on one chunk the next can come from afar.
func (q *nnConv) chunkSum() (list []kChunk) {
	if q.kk <= chunkK {
		step := max(1, chunkK/q.kk)
		for b := 0; b < len(q.aoff); b += step {
			list = append(list, kChunk{b0: b, batch: min(step, len(q.aoff)-b), k: q.kk})
		}
		return list
	}
	size := isa.CeilDiv(q.kk, isa.CeilDiv(q.kk, chunkK))
	for b := range q.aoff {
		for k := 0; k < q.kk; k += size {
			list = append(list, kChunk{b0: b, batch: 1, k0: k, k: min(size, q.kk-k)})
		}
	}
	return list
}

// dense says that the output pixels of all images follow each other.
func (q *nnConv) dense() bool {
	return q.yRow == q.ow*q.yPix && q.yImg == q.oh*q.yRow
}

// chooseTile picks the number of panels of a call.
func (q *nnConv) chooseTile() {
	width := q.ow
	if q.merged {
		width = 1 << 20
	}
	best := 0.0
	for nz := 1; nz <= min(isa.MaxPanels, q.panels); nz++ {
		mm := gemm.MaxRows(nz)
		if mm == 0 {
			break
		}
		for _, paired := range []bool{false, true} {
			if paired && (q.merged || 2*q.ow > mm || nz > gemm.MaxSplitPanels || q.n*q.oh < 2) {
				continue
			}
			cost := 0.0
			for p := 0; p < q.panels; p += nz {
				z := min(nz, q.panels-p)
				tiles := isa.CeilDiv(width, mm)
				larger := width % tiles
				if paired {
					cost += tileCost(2*q.ow, z) / 2
				} else {
					cost += float64(larger)*tileCost(width/tiles+1, z) + float64(tiles-larger)*tileCost(width/tiles, z)
				}
			}
			if q.nz == 0 || cost < best {
				q.nz, q.maxM, q.paired, best = nz, mm, paired, cost
			}
		}
	}
}

// tileCost estimates the cycles that one step of k takes for a tile.
func tileCost(m, nz int) float64 {
	// Two FMAs a cycle, their latency of four cycles, and two loads a cycle;
	// some for B, which comes from the second-level cache.
	return max(float64(m*nz)/2, 4, float64(m+nz)/2) + 0.3 + 0.2*float64(nz)
}

func (q *nnConv) tasks() int { return q.imgs * q.rows * q.grps * q.pans }

// scratchFloats returns what one task needs.
func (q *nnConv) scratchFloats() int {
	if !q.copied {
		return 0
	}
	return q.imgBlock * q.inRows * q.inCols * q.c
}

// block is what one task computes.
type block struct{ n0, n1, oy0, oy1, g0, g1, p0, p1 int }

func (q *nnConv) block(task int) (b block) {
	p := task % q.pans
	task /= q.pans
	g := task % q.grps
	task /= q.grps
	y := task % q.rows
	n := task / q.rows
	b.p0, b.p1 = isa.Span(p, q.panelBlock, q.panels)
	b.g0, b.g1 = isa.Span(g, q.groupBlock, q.groups)
	b.oy0, b.oy1 = isa.Span(y, q.rowBlock, q.oh)
	b.n0, b.n1 = isa.Span(n, q.imgBlock, q.n)
	return b
}

// copyInput fills scratch with the input of a block: the rows and pixels that
// the taps reach, of one group's channels, with zeros for those outside.
func (q *nnConv) copyInput(scratch, x []float32, b *block, grp int) {
	rows := (b.oy1-b.oy0-1)*q.stepH + (q.r-1)*q.dh + 1
	rowLen := q.inCols * q.c
	// Rows and pixels that are kept are jump apart in the input.
	jumpH, jumpW := q.sh/q.stepH, q.sw/q.stepW
	ix0 := -q.padL
	left := 0 // pixels of zeros
	if ix0 < 0 {
		left = min(isa.CeilDiv(-ix0, jumpW), q.inCols)
	}
	right := left
	if first := ix0 + left*jumpW; first < q.iw {
		right = min(q.inCols, left+isa.CeilDiv(q.iw-first, jumpW))
	}
	if q.flat && q.copied {
		q.products.Narrow(scratch, x[(b.oy0*q.ic)+grp*q.floats:], rows, q.floats, q.ic, q.c)
		return
	}
	for n := b.n0; n < b.n1; n++ {
		dst := scratch[(n-b.n0)*q.inRows*rowLen:][:rows*rowLen]
		for i := range rows {
			d := dst[i*rowLen:][:rowLen]
			iy := b.oy0*q.sh - q.padT + i*jumpH
			if iy < 0 || iy >= q.ih || left == right {
				clear(d)
				continue
			}
			clear(d[:left*q.c])
			clear(d[right*q.c:])
			s := x[((n*q.ih+iy)*q.iw+ix0+left*jumpW)*q.ic+grp*q.floats:]
			d = d[left*q.c : right*q.c]
			if q.products != gemm.FP32 {
				q.narrowPixels(d, s, right-left, jumpW)
				continue
			}
			if jumpW == 1 && q.ic == q.c {
				copy(d, s)
				continue
			}
			for len(d) > 0 {
				copy(d[:q.c], s)
				d = d[q.c:]
				if len(d) > 0 {
					s = s[jumpW*q.ic:]
				}
			}
		}
	}
}

// zero stores zeros in a block that no tap reaches.
func (q *nnConv) zero(b *block, y []float32) {
	for n := b.n0; n < b.n1; n++ {
		for oy := b.oy0; oy < b.oy1; oy++ {
			for ox := range q.ow {
				at := q.yOff + n*q.yImg + oy*q.yRow + ox*q.yPix
				clear(y[at+b.g0*q.k : at+b.g1*q.k])
			}
		}
	}
}
