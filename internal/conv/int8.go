package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm8"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// int8Conv is a convolution (or linear layer) of unsigned 8-bit activations by
// signed 8-bit weights with 32-bit sums. Padding stands for real zero.
//
// The micro-kernels of package gemm8 read, for each row of a tile, the bytes that
// the filter covers: a row of the filter at a time, or a tap where its pixels are
// dilated. Where these are not in the input as it is, it is copied to
//
//	[Groups][N][planes][rows][cols][C/Groups]
//
// with padding. There is one plane, but of narrow images: at 7 pixels, rows are
// half as long as a tile, and splitting them into tiles by themselves wastes half
// of its work. Planes make several output rows one long row instead. There is one
// for each column of the filter, shifted so that the pixels which the outputs of a
// row read follow those of the row above:
//
//	x x x x x x x        plane 0: · x x x x x x  (left of each output)
//	x x x x x x x   →    plane 1: x x x x x x x
//	  ⋮                  plane 2: x x x x x x ·  (right of each output)
//
// or, with a stride, where also rows between are left out, one for each tap.
type int8Conv struct {
	conv     Conv
	merge    int // groups that are one group of conv, whose weights are zero between them
	c, k     int // channels of a group of conv: in, out
	panels   int // of a group
	panelLen int // bytes of a panel
	words    int // of a batch element, see gemm8.Args
	size     int // bytes of an input value as the kernels read it, see gemm8.Size
	aoff     []int

	copied             inputCopy
	planes             int
	planeOf            planeKind
	copyRows, copyCols int // of a plane

	// The image as the micro-kernels see it, after the copy if there is one.
	n, oh, ow    int  // output; where nothing lies between the pixels of all images, they are one column
	stepH, stepW int  // input rows and pixels between neighboring outputs
	rowPitch     int  // bytes between rows
	oneRow       bool // the pixels of a task are one long row
	flat         bool // the input is copied for its size alone: all pixels follow each other

	nz, maxM int // panels and rows of a tile, at most
	rows     blocks
	pans     blocks
}

// inputCopy is when the input is copied.
type inputCopy uint8

const (
	copyNever  inputCopy = iota // the kernels read the input as it is
	copyByTask                  // each task copies the rows that it reads to its scratch
	copyBefore                  // a step of its own copies all, once for many tasks
)

// planeKind is what each plane of a copy is of.
type planeKind uint8

const (
	planeOfImage  planeKind = iota // a single plane
	planeOfColumn                  // of the filter
	planeOfTap
)

const (
	int8Name        = "int8"    // what profiles show
	int8InputBytes  = 256 << 10 // input of a task, unless one row has more
	int8WeightBytes = 512 << 10 // weights of a task, unless one call has more
	int8Slack       = 64        // bytes after a copy that the last load may touch
	int8Narrow      = 9         // largest width of images that are copied in planes
)

// int8Forward is the algorithm of a convolution of quantized values.
func int8Forward(c Conv, w Want) (candidate, error) {
	return candidate{name: int8Name, cycles: c.int8Cycles(), plan: func() *Plan { return newInt8(c).plan(w.Quant) }}, nil
}

// newInt8 chooses how the input is read, and cuts the work into tiles and tasks.
func newInt8(c Conv) *int8Conv {
	q := &int8Conv{merge: c.evenlyMerged(), planes: 1, size: gemm8.Size()}
	c.Groups /= q.merge
	q.conv, q.c, q.k = c, c.C/c.Groups, c.K/c.Groups
	q.panels = isa.CeilDiv(q.k, isa.PanelWidth)
	q.layOut()
	q.nz, q.maxM = choosePanels(q.panels, gemm8.MaxRows, q.tilesCost)
	q.cut()
	if q.copied == copyByTask && (q.pans.count > 1 || q.rows.count > 1 && q.copyLen() <= int8WeightBytes) {
		q.copied = copyBefore
	}
	return q
}

// layOut decides how the kernels read the input, and whether it must be copied
// for that.
func (q *int8Conv) layOut() {
	c := &q.conv
	q.n, q.oh, q.ow = c.N, c.OutH(), c.OutW()
	q.stepH, q.stepW = c.StrideH, c.StrideW
	oneTap := c.R == 1 && c.S == 1
	narrow := !oneTap && q.c%4 == 0 && q.ow <= int8Narrow && q.oh > 1
	length, taps := c.S*q.c, 1 // values of a batch element, and how many make a row of the filter
	if c.DilW > 1 || narrow {
		length, taps = q.c, c.S
	}
	q.words = isa.CeilDiv(length*q.size, 4)
	q.panelLen = c.R * taps * q.words * 4 * isa.PanelWidth
	padded := c.PadTop|c.PadLeft|c.PadBottom|c.PadRight != 0
	strided := oneTap && (c.StrideH > 1 || c.StrideW > 1)
	cols := c.W
	q.flat = q.size > 1 && oneTap && !padded && !strided && c.Groups == 1
	if padded || length*q.size%4 != 0 || c.Groups > 1 || strided || narrow || q.size > 1 {
		q.copied = copyByTask
		q.layOutCopy(narrow)
		cols = q.copyCols
	}
	plane := q.copyRows * q.copyCols
	for i := range c.R {
		for j := range taps {
			pixel := i*c.DilH*cols + j*c.DilW
			switch q.planeOf {
			case planeOfTap:
				pixel = (i*c.S + j) * plane
			case planeOfColumn:
				pixel = j*plane + i*c.DilH*cols
			}
			q.aoff = append(q.aoff, pixel*q.c*q.size)
		}
	}
	if oneTap && (q.copied == copyNever || strided || q.flat) {
		if strided {
			q.copied = copyBefore
		}
		q.oh, q.n, q.ow = q.n*q.oh*q.ow, 1, 1
		cols = 1
	}
	q.rowPitch = cols * q.c * q.size
	q.oneRow = narrow || oneTap && q.stepH == 1 && q.stepW == 1
}

// layOutCopy decides on the copy: the rows and pixels that taps read, without
// those that the stride of a filter of one row, or one column, leaves out.
func (q *int8Conv) layOutCopy(narrow bool) {
	c := &q.conv
	if c.R == 1 {
		q.stepH = 1
	}
	if c.S == 1 {
		q.stepW = 1
	}
	q.copyCols = (q.ow-1)*q.stepW + (c.S-1)*c.DilW + 1
	q.copyRows = (q.oh-1)*q.stepH + (c.R-1)*c.DilH + 1
	if !narrow {
		return
	}
	q.copied, q.planeOf, q.planes, q.copyCols = copyBefore, planeOfColumn, c.S, q.ow
	if q.stepH > 1 {
		q.planeOf, q.planes, q.copyRows, q.stepH = planeOfTap, c.R*c.S, q.oh, 1
	}
	q.stepW = 1
}

// tilesCost estimates the cycles of all tiles of nz panels and at most most rows.
func (q *int8Conv) tilesCost(nz, most int) (cost float64) {
	width := q.ow
	if q.oneRow {
		width *= q.oh
	}
	for p := 0; p < q.panels; p += nz {
		cost += splitCost(width, most, min(nz, q.panels-p))
	}
	return cost
}

// cut chooses the rows and panels of a task from the geometry alone.
func (q *int8Conv) cut() {
	rowBytes := q.stepH * q.rowPitch * q.planes
	unit := 1
	if q.oneRow && q.ow < q.maxM {
		unit = isa.CeilDiv(q.maxM, q.ow) // whole tiles, where rows are shorter than one
	}
	// Workers do not write to the same cache line.
	pansUnit := q.nz
	for pansUnit%4 != 0 {
		pansUnit += q.nz
	}
	groups := isa.CeilDiv(q.panels, pansUnit)
	weights := q.panels * q.panelLen
	rows := max(1, isa.CeilDiv(q.oh*rowBytes, int8InputBytes))
	pans := min(groups, isa.CeilDiv(weights, int8WeightBytes))
	set := func() {
		q.rows = newBlocks(q.oh, min(q.oh, isa.CeilDiv(isa.CeilDiv(q.oh, rows), unit)*unit))
		q.pans = newBlocks(q.panels, isa.CeilDiv(groups, pans)*pansUnit)
	}
	set()
	work := 2 * float64(q.n*q.oh*q.ow*q.conv.Groups) * float64(weights)
	want := min(targetTasks, int(work/(2*minTaskFLOPs))+1)
	// Every worker reads all of what is not cut: the larger is cut, but panels
	// stay in L1 for some tiles.
	for q.tasks() < want {
		tiles := q.rows.size * q.ow / q.maxM
		splitRows, splitPans := tiles >= 16 && q.rows.size > unit, q.pans.size > pansUnit
		if splitRows && splitPans {
			splitRows = q.oh*rowBytes >= weights
		}
		switch {
		case splitRows || !splitPans && tiles >= 2 && q.rows.size > unit && q.tasks() < 4:
			rows = 2 * q.rows.count
		case splitPans:
			pans = min(2*q.pans.count, groups)
		default:
			return
		}
		set()
	}
}

// int8Task is what one task computes: output rows and panels of a group, of an
// image.
type int8Task struct{ n, group, oy0, oy1, p0, p1 int }

// task returns a task by its number. Tasks of the same weights follow each other.
func (q *int8Conv) task(i int) (t int8Task) {
	t.oy0, t.oy1, i = q.rows.take(i)
	t.n = i % q.n
	t.p0, t.p1, t.group = q.pans.take(i / q.n)
	return t
}

// tasks is the number of tasks of run.
func (q *int8Conv) tasks() int { return q.n * q.rows.count * q.conv.Groups * q.pans.count }

// taskRows returns the input rows that a number of output rows reads.
func (q *int8Conv) taskRows(rows int) int {
	return (rows-1)*q.stepH + (q.conv.R-1)*q.conv.DilH + 1
}

// scratchBytes is the scratch memory that one task needs.
func (q *int8Conv) scratchBytes() int {
	if q.copied != copyByTask {
		return 0
	}
	return q.taskRows(q.rows.size)*q.rowPitch + int8Slack
}

// copyTasks is the number of tasks of copyInput. It is 0 if the input is not
// copied by a step of its own.
func (q *int8Conv) copyTasks() int {
	if q.copied != copyBefore {
		return 0
	}
	return q.conv.N * q.conv.Groups * q.planes * q.copyBlocks().count
}

// copyBlocks returns the rows of a plane that one task copies.
func (q *int8Conv) copyBlocks() blocks {
	return newBlocks(q.copyRows, max(1, int8InputBytes/4/(q.copyCols*q.c)))
}

// copyLen is the length of the copied input.
func (q *int8Conv) copyLen() int {
	return q.conv.N*q.conv.Groups*q.planes*q.copyRows*q.copyCols*q.c*q.size + int8Slack
}

// copyInput does one task of copying the input x to dst. Padding gets the byte
// zero, which stands for real zero.
func (q *int8Conv) copyInput(task int, dst, x []uint8, zero uint8) {
	r0, r1, i := q.copyBlocks().take(task) // i: [group][n][plane]
	w := q.window(i%q.planes, r0, r1-r0)
	q.copyWindow(dst[(i*q.copyRows+r0)*q.copyCols*q.c*q.size:], q.image(x, i/q.planes%q.conv.N, i/q.planes/q.conv.N), &w, zero)
}

// copyWindow fills dst with a window of src, in the size that the kernels read.
func (q *int8Conv) copyWindow(dst, src []uint8, w *window, zero uint8) {
	if q.size == 1 {
		copyWindow(dst, src, w, zero)
		return
	}
	left, right := w.inside()
	for i := range w.rows {
		d := dst[i*w.cols*w.pitch*2:][:w.cols*w.pitch*2]
		at, ok := w.row(i)
		if !ok || left == right {
			fillWide(d, zero)
			continue
		}
		fillWide(d[:left*w.pitch*2], zero)
		fillWide(d[right*w.pitch*2:], zero)
		d = d[left*w.pitch*2 : right*w.pitch*2]
		s := src[at+(w.x0+left*w.jumpW)*w.pixel:]
		if w.jumpW == 1 && w.channels == w.pixel {
			gemm8.Widen(d, s[:len(d)/2])
			continue
		}
		for p := range right - left {
			gemm8.Widen(d[p*w.channels*2:][:w.channels*2], s[p*w.jumpW*w.pixel:][:w.channels])
		}
	}
}

// fillWide sets all 16-bit values of d to v.
func fillWide(d []uint8, v uint8) {
	clear(d)
	for i := 0; v != 0 && i < len(d); i += 2 {
		d[i] = v
	}
}

// window returns rows of a plane of an image.
func (q *int8Conv) window(plane, r0, rows int) window {
	c := &q.conv
	w := window{
		h: c.H, w: c.W, pixel: c.C, y0: -c.PadTop, x0: -c.PadLeft,
		jumpH: c.StrideH / q.stepH, jumpW: c.StrideW / q.stepW,
		rows: rows, cols: q.copyCols, channels: q.c, pitch: q.c,
	}
	if q.planeOf != planeOfImage {
		w.x0 += plane % c.S * c.DilW
		w.y0 += plane / c.S * c.DilH
	}
	w.y0 += r0 * w.jumpH
	return w
}

// image returns what is left of x from the channels of a group of an image on.
func (q *int8Conv) image(x []uint8, n, group int) []uint8 {
	return x[n*q.conv.H*q.conv.W*q.conv.C+group*q.c:]
}
