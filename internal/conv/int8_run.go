package conv

import (
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/gemm8"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Int8Args are the arrays of a task of an [Int8Conv].
type Int8Args struct {
	X       []uint8 // the input, or what [Int8Conv.Copy] made of it
	Zero    uint8   // zero point of the input
	W       []int8  // packed
	Scratch []uint8 // at least [Int8Conv.ScratchBytes]
}

// Run computes one task.
func (q *Int8Conv) Run(task int, args Int8Args, e *Int8Epilogue) {
	q.check(&args, e)
	t := q.task(task)
	src := q.source(&args, &t)
	var sums [gemm8.MaxTileSums]int32
	a := gemm8.Args{AOff: &q.aoff[0], Batch: len(q.aoff), K: q.words, AStride: q.stepW * q.c, BStride: q.panelLen, C: &sums[0]}
	a.SetEpilogue(e.epilogue(q.conv.K))

	rows, width := t.oy1-t.oy0, q.ow
	if q.oneRow {
		rows, width = 1, rows*q.ow
	}
	for p := t.p0; p < t.p1; p += q.nz {
		nz := min(q.nz, t.p1-p)
		b := args.W[(t.group*q.panels+p)*q.panelLen:]
		a.B = &b[0]
		next := q.following(b, &t, p, nz)
		channel := (t.group*q.panels + p) * isa.PanelWidth
		a.Corr, a.Scale = &e.corr[channel], &e.scale[channel]
		a.SetPanels(nz, q.k-p*isa.PanelWidth)
		for y := range rows {
			from := y * q.stepH * q.rowPitch
			at := (t.n*q.oh+t.oy0+y)*q.ow*q.conv.K + t.group*q.k + p*isa.PanelWidth
			left := width
			for _, tiles := range split(width, q.maxM) {
				m := tiles.rows
				for range tiles.n {
					left -= m
					a.A, a.PrefetchA = &src[from], &src[from]
					if q.oneRow && left > 0 {
						a.PrefetchA = &src[from+m*a.AStride]
					}
					a.PrefetchB = next.take(a.B)
					if e.Float != nil {
						a.Out = unsafe.Pointer(&e.Float[at])
					} else {
						a.Out = unsafe.Pointer(&e.Out[at])
					}
					if e.Res != nil {
						a.Res = &e.Res[at]
					}
					a.Tile(m)
					from += m * a.AStride
					at += m * q.conv.K
				}
			}
		}
	}
}

// check panics unless the arrays have the lengths of q: a wrong one is a bug of
// the caller, and the kernels do not look again.
func (q *Int8Conv) check(a *Int8Args, e *Int8Epilogue) {
	if q.copied == copyBefore {
		isa.CheckLen(len(a.X), q.CopyLen(), "copied input")
	} else {
		isa.CheckLen(len(a.X), q.conv.XLen(), "input")
	}
	isa.CheckMinBytes(len(a.Scratch), q.ScratchBytes())
	isa.CheckLen(len(a.W), q.PackedLen(), "packed weights")
	isa.CheckLen(len(e.corr), q.conv.Groups*q.panels*isa.PanelWidth, "corrections")
	isa.CheckLen(len(e.Out)+len(e.Float), q.conv.YLen(), "output")
	if e.Res != nil {
		isa.CheckLen(len(e.Res), q.conv.YLen(), "residual")
	}
}

// source returns the input as the kernels read it, from the first pixel of the
// task on. It copies the task's rows if need be.
func (q *Int8Conv) source(a *Int8Args, t *int8Task) []uint8 {
	from := t.oy0 * q.stepH
	switch q.copied {
	case copyBefore:
		image := q.planes * q.copyRows * q.copyCols * q.c
		return a.X[(t.group*q.conv.N+t.n)*image+from*q.rowPitch:]
	case copyByTask:
		w := q.window(0, from, q.taskRows(t.oy1-t.oy0))
		copyWindow(a.Scratch, q.image(a.X, t.n, t.group), &w, a.Zero)
		return a.Scratch
	}
	return a.X[(t.n*q.conv.H+from)*q.rowPitch:]
}

// weightPrefetch is weights to prefetch, a share by each tile. It is simpler than
// [prefetcher]: a tile of this kernel prefetches a cache line every other word,
// whatever there is, and the panels of two calls lie next to each other.
type weightPrefetch struct {
	left    []int8
	perTile int // bytes
}

// following returns the weights that are read after the panels p to p+nz, whose
// packed weights begin at b: those of the next call, or after the last call of a
// task, of the next task but one, since another worker does the next.
func (q *Int8Conv) following(b []int8, t *int8Task, p, nz int) weightPrefetch {
	skip := nz
	if p+nz >= t.p1 && q.n*q.rows.count == 1 {
		skip += q.pans.size
	}
	left := b[min(skip*q.panelLen, len(b)):]
	return weightPrefetch{left[:min(len(left), q.nz*q.panelLen)], len(q.aoff) * (q.words / 2) * 64}
}

// take returns what the next tile prefetches, or where nothing is left b, which
// is in cache.
func (w *weightPrefetch) take(b *int8) *int8 {
	if w.perTile == 0 || len(w.left) < w.perTile {
		return b
	}
	next := &w.left[0]
	w.left = w.left[w.perTile:]
	return next
}
