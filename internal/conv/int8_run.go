package conv

import (
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/gemm8"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// bytesOf views the memory of f as n bytes.
func bytesOf(f []float32, n int) []uint8 {
	return unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))[:n]
}

// FloatsOf returns the length of an array of floats that holds n bytes.
func FloatsOf(n int) int { return isa.CeilDiv(n, 4) }

// plan returns the steps for the quantized values l describes: a copy of the
// input where many tasks read the same of it, and the products.
func (q *int8Conv) plan(l *Quant) *Plan {
	ch := q.inPanels(l.channels(q.conv.K))
	p, given := &Plan{Algorithm: int8Name, Packed: q.packing()}, q.given()
	input, zero := ArgX, l.X.Zero
	if q.copied == copyBefore {
		p.Floats[ArgInputs] = FloatsOf(q.copyLen())
		input = ArgInputs
		p.Steps = append(p.Steps, Step{
			Name: "copy", Tasks: q.copyTasks(), Reads: []Arg{ArgX}, Writes: []Arg{ArgInputs},
			Run: func(_ *Worker, task int, a Args) {
				isa.CheckFloats("x", a.X, FloatsOf(q.conv.XLen()))
				isa.CheckFloats("copied input", a.Inputs, FloatsOf(q.copyLen()))
				q.copyInput(task, bytesOf(a.Inputs, q.copyLen()), bytesOf(a.X, q.conv.XLen()), zero)
			},
		})
	}
	packed := p.Packed.Len
	p.Steps = append(p.Steps, Step{
		Tasks: q.tasks(), Scratch: FloatsOf(q.scratchBytes()), FLOPs: given.FLOPs(),
		Reads: []Arg{input, ArgPacked, ArgResidual}, Writes: []Arg{ArgY},
		Run: func(worker *Worker, task int, a Args) {
			q.check(&a, packed, l.Real)
			q.run(task, worker.Scratch, &a, l, &ch)
		},
	})
	return p
}

// check panics unless the arrays have the lengths of q: a wrong one is a bug of
// the caller, and the kernels do not look again.
func (q *int8Conv) check(a *Args, packed int, realY bool) {
	if q.copied == copyBefore {
		isa.CheckFloats("copied input", a.Inputs, FloatsOf(q.copyLen()))
	} else {
		isa.CheckFloats("x", a.X, FloatsOf(q.conv.XLen()))
	}
	q.conv.checkBytes(a, packed, realY)
}

// checkBytes is check of all but the input.
func (c *Conv) checkBytes(a *Args, packed int, realY bool) {
	isa.CheckFloats("packed weights", a.Packed, packed)
	size := FloatsOf(c.YLen())
	if a.Residual != nil {
		isa.CheckFloats("residual", a.Residual, size)
	}
	if realY {
		size = c.YLen()
	}
	isa.CheckFloats("y", a.Y, size)
}

// run computes one task.
func (q *int8Conv) run(task int, scratch []float32, args *Args, l *Quant, ch *int8Channels) {
	t := q.task(task)
	src := q.source(args, scratch, &t, l.X.Zero)
	weights := bytesOf(args.Packed, 4*len(args.Packed))
	var residual, bytes []uint8 // of y, bytes only if it is quantized
	if args.Residual != nil {
		residual = bytesOf(args.Residual, q.conv.YLen())
	}
	if !l.Real {
		bytes = bytesOf(args.Y, q.conv.YLen())
	}
	var sums [gemm8.MaxTileSums]int32
	a := gemm8.Args{AOff: &q.aoff[0], Batch: len(q.aoff), K: q.words, AStride: q.stepW * q.c * q.size, BStride: q.panelLen, C: &sums[0]}
	e := l.epilogue(q.conv.K, args.Act, ch.large)
	e.Res = unsafe.SliceData(residual)
	a.SetEpilogue(e)

	rows, width := t.oy1-t.oy0, q.ow
	if q.oneRow {
		rows, width = 1, rows*q.ow
	}
	for p := t.p0; p < t.p1; p += q.nz {
		nz := min(q.nz, t.p1-p)
		b := weights[(t.group*q.panels+p)*q.panelLen:]
		a.B = (*int8)(unsafe.Pointer(&b[0]))
		next := q.following(b, &t, p, nz)
		channel := (t.group*q.panels + p) * isa.PanelWidth
		a.Corr, a.Scale = &ch.corr[channel], &ch.scale[channel]
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
					if l.Real {
						a.Out = unsafe.Pointer(&args.Y[at])
					} else {
						a.Out = unsafe.Pointer(&bytes[at])
					}
					if residual != nil {
						a.Res = &residual[at]
					}
					a.Tile(m)
					from += m * a.AStride
					at += m * q.conv.K
				}
			}
		}
	}
}

// source returns the input as the kernels read it, from the first pixel of the
// task on. It copies the task's rows if need be.
func (q *int8Conv) source(a *Args, scratch []float32, t *int8Task, zero uint8) []uint8 {
	from := t.oy0 * q.stepH
	switch q.copied {
	case copyBefore:
		image := q.planes * q.copyRows * q.copyCols * q.c * q.size
		return bytesOf(a.Inputs, q.copyLen())[(t.group*q.conv.N+t.n)*image+from*q.rowPitch:]
	case copyByTask:
		if q.flat { // one image, of rows of one pixel
			dst := bytesOf(scratch, q.scratchBytes())
			n := (t.oy1 - t.oy0) * q.c
			gemm8.Widen(dst[:n*q.size], bytesOf(a.X, q.conv.XLen())[t.oy0*q.c:][:n])
			return dst
		}
		w := q.window(0, from, q.taskRows(t.oy1-t.oy0))
		dst := bytesOf(scratch, q.scratchBytes())
		q.copyWindow(dst, q.image(bytesOf(a.X, q.conv.XLen()), t.n, t.group), &w, zero)
		return dst
	}
	return bytesOf(a.X, q.conv.XLen())[(t.n*q.conv.H+from)*q.rowPitch:]
}

// weightPrefetch is weights to prefetch, a share by each tile. It is simpler than
// [prefetcher]: a tile of this kernel prefetches a cache line every other word,
// whatever there is, and the panels of two calls lie next to each other.
type weightPrefetch struct {
	left    []uint8
	perTile int // bytes
}

// following returns the weights that are read after the panels p to p+nz, whose
// packed weights begin at b: those of the next call, or after the last call of a
// task, of the next task but one, since another worker does the next.
func (q *int8Conv) following(b []uint8, t *int8Task, p, nz int) weightPrefetch {
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
	next := (*int8)(unsafe.Pointer(&w.left[0]))
	w.left = w.left[w.perTile:]
	return next
}
