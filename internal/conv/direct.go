package conv

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// direct is a convolution that adds up its products one by one, by calls of the
// NN kernel: a forward convolution, or one parity class of an input gradient,
// which is a convolution of stride 1 of the output gradient that writes every
// StrideH-th row and StrideW-th pixel.
//
//	y[n][oy][ox][g*k+j] = act(bias[g*k+j] + residual[n][oy][ox][g*k+j] +
//	    Σ_{i,t,c} x[n][oy*sh+i*dh-padT][ox*sw+t*dw-padL][g*C+c] * w[g][i][t][c][j])
//
// and zero outside of x. Here the pads may be negative, and the last taps may
// lie beyond the end.
//
// With channels last, the pixels under a kernel row are contiguous, so one
// batch element of the GEMM is a kernel row of s*c inner products (a tap of c
// with dilation), and the rows of a tile are neighboring pixels of an output
// row, sw*c floats apart. A task copies its input rows with their borders to
// scratch unless it needs none; of strided 1x1 kernels, only the pixels in use.
type direct struct {
	directShape

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
	paired           bool // a tile is two whole rows: rows of 7 pixels alone would waste half of it
	weightsExceedL2  bool
	sweepRows        int // output rows of an image for which all panels are computed before the next; unless weightsExceedL2

	// A task is a block of images, rows, groups and panels.
	imageBlocks, rowBlocks, groupBlocks, panelBlocks blocks
}

// directShape is the geometry of a [direct].
type directShape struct {
	groups, n                        int
	ih, iw, ic                       int // input height, width, channels of a pixel in memory
	c                                int // input channels of a group; in words of the precision once planned
	sh, sw, r, s, dh, dw, padT, padL int
	oh, ow, k                        int // output height, width, channels of a group
	xOff, kOff                       int // channels of x and y before group 0
	yOff, yImg, yRow, yPix           int // floats: y pixel (n, oy, ox) of group g is at yOff + n*yImg + oy*yRow + ox*yPix + kOff + g*k
	wOff                             int // floats before the packed weights of group 0
	precision                        gemm.Precision
}

const (
	shortRow      = 8       // pixels below which rows of a strided 1x1 convolution are merged
	chunkK        = 512     // inner products of a chunk of the sum with weights that exceed L2
	crowdedPanels = 4       // from which on a copy of rows that crowd the cache pays
	sweepFloats   = 4 << 10 // input for which all panels are computed at a time, unless the weights exceed L2
)

// What a cut costs, in cycles. How these were fitted is not recorded:
// BenchmarkNetworkConvs shows whether others are better.
const (
	cyclesPerTask  = 2000
	cyclesPerCopy  = 0.7 // a float of input copied to scratch
	cyclesPerInput = 0.1 // a float of input read once more, for another group of panels
	cyclesPerLoad  = 0.5 // a float of weights that exceed L2
)

// directForward is the algorithm [Direct] of a forward convolution.
func directForward(c Conv, w Want) (candidate, error) {
	if w.Fast && !w.Stats && c.mergeable() > 1 { // which gain more by that than by bfloat16 products
		c.Precision = gemm.FP32
	}
	return candidate{name: Direct, cycles: c.directCycles(), plan: func() *Plan {
		q, packing := forwardParts(c), c.mergedPacking()
		if w.Stats && len(q.parts) > 1 {
			q, packing = &directParts{}, c.forwardPacking()
			q.add(newDirectForward(c)) // whose tasks have all channels
		}
		p := &Plan{Algorithm: c.directName(), Packed: packing}
		step := c.products(w, ArgX, ArgPacked)
		step.Tasks, step.Scratch = q.tasks, q.scratch
		step.Run = func(worker *Worker, task int, a Args) {
			c.check(&a, packing.Len)
			q.run(worker.previous(task), task, worker.Scratch, &a)
			if w.Stats {
				q.parts[0].stats(task, &a)
			}
		}
		p.Steps = []Step{step}
		if w.Stats {
			q := q.parts[0]
			p.statistics(c.K, q.imageBlocks.count*q.rowBlocks.count, q.statsRows)
		}
		return p
	}}, nil
}

// directName returns the algorithm that profiles show for a direct convolution.
func (c *Conv) directName() string {
	if c.Precision != gemm.FP32 {
		return Direct + " bf16"
	}
	return Direct
}

func newDirectForward(c Conv) *direct { return newDirect(forwardShape(c)) }

func forwardShape(c Conv) directShape {
	oh, ow := c.OutH(), c.OutW()
	return directShape{
		groups: c.Groups, n: c.N, ih: c.H, iw: c.W, ic: c.C, c: c.C / c.Groups,
		sh: c.StrideH, sw: c.StrideW, r: c.R, s: c.S, dh: c.DilH, dw: c.DilW, padT: c.PadTop, padL: c.PadLeft,
		oh: oh, ow: ow, k: c.K / c.Groups,
		yImg: oh * ow * c.K, yRow: ow * c.K, yPix: c.K, precision: c.Precision,
	}
}

// directParts are convolutions that together compute one: the parity classes of an input
// gradient, or the groups that are merged and those that are not.
type directParts struct {
	parts   []*direct
	tasks   int
	scratch int
}

func (p *directParts) add(q *direct) {
	p.parts = append(p.parts, q)
	p.tasks += q.tasks()
	p.scratch = max(p.scratch, q.scratchFloats())
}

// run computes one task; previous is the one that scratch was last used for, or
// -1.
func (p *directParts) run(previous, task int, scratch []float32, a *Args) {
	for _, q := range p.parts {
		n := q.tasks()
		if task < n {
			if previous >= n {
				previous = -1 // of another part
			}
			q.run(previous, task, scratch, a)
			return
		}
		task -= n
		previous -= n
	}
	panic("conv: no such task")
}

// newDirect chooses how a convolution is computed, and cuts it into tasks.
func newDirect(shape directShape) *direct {
	q := &direct{directShape: shape, floats: shape.c}
	q.c = q.precision.Words(q.c)
	q.panels = isa.CeilDiv(q.k, isa.PanelWidth)
	q.panelLen = q.r * q.s * q.c * isa.PanelWidth
	if q.r == 0 || q.s == 0 {
		// No tap reaches these outputs: tasks store zeros.
		q.imageBlocks, q.rowBlocks = newBlocks(q.n, 1), newBlocks(q.oh, q.oh)
		q.groupBlocks, q.panelBlocks = newBlocks(q.groups, q.groups), newBlocks(q.panels, q.panels)
		return q
	}
	q.layOut()
	q.choosePanels()
	q.weightsExceedL2 = q.panels*q.panelLen > weightsFloats
	q.chunks = []kChunk{{batch: len(q.aoff), k: q.kk}}
	if q.weightsExceedL2 {
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
	q.inRows = (q.rowBlocks.size-1)*q.stepH + (q.r-1)*q.dh + 1
	return q
}

// layOut chooses how the kernel sees the input: in place or copied, in rows or
// as one long row.
func (q *direct) layOut() {
	inside := q.padT <= 0 && q.padL <= 0 &&
		(q.oh-1)*q.sh+(q.r-1)*q.dh-q.padT < q.ih && (q.ow-1)*q.sw+(q.s-1)*q.dw-q.padL < q.iw
	oneTap := q.r == 1 && q.s == 1
	contiguous := q.ic == q.floats || q.s == 1 || q.dw > 1
	// Of 1x1 kernels with a stride, the pixels in use are copied together where
	// their rows are too short for good tiles.
	gathered := oneTap && (q.sh > 1 || q.sw > 1) && q.ow < shortRow
	inPlace := inside && contiguous && !gathered
	q.copied = !inPlace || q.precision != gemm.FP32 || q.panels >= crowdedPanels && q.crowds(q.sw*q.ic)
	dense := q.yRow == q.ow*q.yPix && q.yImg == q.oh*q.yRow // the output pixels of all images follow each other
	if inPlace && oneTap && q.ih == q.oh && q.iw == q.ow && dense {
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
		if q.r == 1 {
			q.stepH = 1
		}
		if q.s == 1 {
			q.stepW = 1
		}
		q.pixPitch = q.c
		if q.crowds(q.stepW * q.pixPitch) {
			q.pixPitch += isa.PanelWidth
		}
		q.inCols = (q.ow-1)*q.stepW + (q.s-1)*q.dw + 1
		inW = q.inCols
	}
	q.merged = oneTap && q.stepH == 1 && q.stepW == 1 && inW == q.ow && q.yRow == q.ow*q.yPix
	rowPitch := inW * q.pixPitch * 4
	q.kk = q.s * q.c
	taps := 1
	if q.dw > 1 || q.pixPitch > q.c && q.copied {
		q.kk, taps = q.c, q.s
	}
	for i := range q.r {
		for j := range taps {
			q.aoff = append(q.aoff, i*q.dh*rowPitch+j*q.dw*q.pixPitch*4)
		}
	}
}

// crowds is [crowds] of the pixels of a tile.
func (q *direct) crowds(pitch int) bool {
	_, rows := gemm.PairOfPanels(q.panels)
	return crowds(min(rows, q.n*q.oh*q.ow), pitch)
}

// kChunk is a part of the sum of each output: the inner products from k0 on, k
// of them, of some batch elements.
type kChunk struct{ b0, batch, k0, k int }

// chunkSum cuts the sum of a convolution whose weights exceed L2, so that while
// the tiles of a task work on one chunk, the next can be prefetched.
func (q *direct) chunkSum() (list []kChunk) {
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

// choosePanels chooses the number of panels of a call, and whether its tile is
// two rows.
func (q *direct) choosePanels() {
	q.nz, q.maxM = choosePanels(q.panels, gemm.MaxRows, func(nz, rows int) float64 {
		return min(q.rowCost(nz, rows), q.pairCost(nz, rows))
	})
	q.paired = q.pairCost(q.nz, q.maxM) < q.rowCost(q.nz, q.maxM)
}

// rowCost estimates the cycles of a row of tiles of at most rows rows, for all
// panels, nz at a time.
func (q *direct) rowCost(nz, rows int) (cost float64) {
	width := q.ow
	if q.merged {
		width = 1 << 20
	}
	for p := 0; p < q.panels; p += nz {
		cost += splitCost(width, rows, min(nz, q.panels-p))
	}
	return cost
}

// pairCost is rowCost of half a tile of two rows, infinite where there can be
// none.
func (q *direct) pairCost(nz, rows int) (cost float64) {
	if q.merged || 2*q.ow > rows || nz > gemm.MaxSplitPanels || q.n*q.oh < 2 {
		return math.Inf(1)
	}
	for p := 0; p < q.panels; p += nz {
		cost += tileCost(2*q.ow, min(nz, q.panels-p)) / 2
	}
	return cost
}

func (q *direct) tasks() int {
	return q.imageBlocks.count * q.rowBlocks.count * q.groupBlocks.count * q.panelBlocks.count
}

// scratchFloats returns what one task needs.
func (q *direct) scratchFloats() int {
	if !q.copied {
		return 0
	}
	return q.imageBlocks.size * q.inRows * q.inCols * q.pixPitch
}

// block is what one task computes: images, output rows, groups and panels.
type block struct{ n0, n1, oy0, oy1, g0, g1, p0, p1 int }

func (q *direct) block(task int) (b block) {
	b.p0, b.p1, task = q.panelBlocks.take(task)
	b.g0, b.g1, task = q.groupBlocks.take(task)
	b.oy0, b.oy1, task = q.rowBlocks.take(task)
	b.n0, b.n1 = q.imageBlocks.span(task)
	return b
}

// cut chooses the blocks of a task.
func (q *direct) cut() {
	best := 0.0
	for ib := 1; ; ib *= 2 {
		for pb := q.panels; ; pb = isa.CeilDiv(pb/2, q.nz) * q.nz {
			for gb := q.groups; ; gb = (gb + 1) / 2 {
				rb := q.oh
				for rb > 0 {
					if cost, ok := q.cost(ib, rb, gb, pb); ok && (best == 0 || cost < best) {
						best = cost
						q.imageBlocks, q.rowBlocks = newBlocks(q.n, ib), newBlocks(q.oh, rb)
						q.groupBlocks, q.panelBlocks = newBlocks(q.groups, gb), newBlocks(q.panels, pb)
					}
					if ib > 1 {
						break // several images only if whole
					}
					rb = q.nextRowBlock(rb)
				}
				if gb == 1 {
					break
				}
			}
			if pb <= q.nz || q.groups > 1 {
				break
			}
		}
		if ib >= q.n {
			break
		}
	}
}

// nextRowBlock returns the largest block of rows below rb that divides the rows
// more finely and evenly, of whole tiles where rows are single pixels; 0 if
// there is none.
func (q *direct) nextRowBlock(rb int) int {
	if q.merged && q.ow == 1 {
		return (rb - 1) / q.maxM * q.maxM
	}
	for rb--; rb > 0; rb-- {
		if even := isa.CeilDiv(q.oh, isa.CeilDiv(q.oh, rb)); even == rb {
			return rb
		}
	}
	return 0
}

// cost estimates the cycles of all tasks of ib images, rb rows, gb groups and pb
// panels, weighed by how evenly they spread; ok is false where the input of a
// task is too large.
func (q *direct) cost(ib, rb, gb, pb int) (cycles float64, ok bool) {
	input := ib * ((rb-1)*q.stepH + (q.r-1)*q.dh + 1)
	if q.copied {
		input *= q.inCols * q.pixPitch
	} else {
		input *= q.iw * q.ic
	}
	if input > inputFloats && (ib > 1 || rb > q.minRows()) {
		return 0, false
	}
	tasks := isa.CeilDiv(q.n, ib) * isa.CeilDiv(q.oh, rb) * isa.CeilDiv(q.groups, gb) * isa.CeilDiv(q.panels, pb)
	per := cyclesPerTask + cyclesPerInput*float64(input*gb*isa.CeilDiv(pb, q.nz))
	if q.weightsExceedL2 {
		per += cyclesPerLoad * float64(gb*pb*q.panelLen)
	}
	fma := float64(q.n*q.oh*q.ow*q.groups) * float64(q.panels*q.panelLen) / 32
	total := fma + per*float64(tasks)
	if q.copied {
		// Tasks that differ in panels alone share a copy, if the same worker has
		// both; most often only one is cut off from the others. Weights that stay in
		// L2 are better left whole, see prefetchRows.
		copies := tasks
		if gb == 1 && q.weightsExceedL2 {
			copies = min(tasks, isa.CeilDiv(q.n, ib)*isa.CeilDiv(q.oh, rb)*q.groups+1)
		}
		total += cyclesPerCopy * float64(input*gb*copies)
	}
	uneven := func(threads int) float64 {
		return float64(isa.CeilDiv(tasks, threads)*threads) / float64(tasks)
	}
	return total * (0.5 + 0.3*uneven(2) + 0.2*uneven(8)), true
}

// minRows is the smallest block of rows that makes a whole tile.
func (q *direct) minRows() int {
	if q.merged {
		return isa.CeilDiv(q.maxM, q.ow)
	}
	return 1
}
