package conv

import "github.com/resnet-go/resnet/internal/simd/isa"

// How a convolution is cut into tasks depends on its geometry alone, not on the
// number of threads. The cutting weighs, in cycles of a core with a 2 MB
// second-level cache, what a larger task saves against how evenly the tasks
// spread over 2 and over 8 threads.
const (
	targetTasks   = 16        // tasks that reductions aim at
	minTaskFLOPs  = 2 << 20   // tens of microseconds
	inputFloats   = 128 << 10 // input of a task, at most, unless one row has more
	weightsFloats = 192 << 10 // weights above this do not stay in the second-level cache

	shortRow    = 8       // pixels below which rows of a strided 1x1 convolution are merged
	chunkK      = 512     // inner products of a chunk of the sum with heavy weights
	sweepFloats = 4 << 10 // input that all panels of light weights are computed for at a time

	cyclesPerTask  = 2000
	cyclesPerCopy  = 0.7 // a float of input copied to scratch
	cyclesPerInput = 0.1 // a float of input read once more, for another group of panels
	cyclesPerLoad  = 0.5 // a float of heavy weights
)

// cut chooses the blocks of a task: the images, rows, groups and panels.
func (q *nnConv) cut() {
	best := 0.0
	for ib := 1; ; ib *= 2 {
		for pb := q.panels; ; pb = isa.CeilDiv(pb/2, q.nz) * q.nz {
			for gb := q.groups; ; gb = (gb + 1) / 2 {
				rb := q.oh
				for rb > 0 {
					if cost, ok := q.cost(ib, rb, gb, pb); ok && (best == 0 || cost < best) {
						best = cost
						q.imgBlock, q.rowBlock, q.groupBlock, q.panelBlock = ib, rb, gb, pb
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
	q.imgs, q.rows = isa.CeilDiv(q.n, q.imgBlock), isa.CeilDiv(q.oh, q.rowBlock)
	q.grps, q.pans = isa.CeilDiv(q.groups, q.groupBlock), isa.CeilDiv(q.panels, q.panelBlock)
}

// nextRowBlock returns the largest block of rows below rb that divides the rows
// more finely and evenly, of whole tiles where rows are single pixels; 0 if
// there is none.
func (q *nnConv) nextRowBlock(rb int) int {
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

// cost estimates the cycles of all tasks of a cutting, weighed by how evenly
// they spread; ok is false where the input of a task is too large.
func (q *nnConv) cost(ib, rb, gb, pb int) (cycles float64, ok bool) {
	input := ib * ((rb-1)*q.stepH + (q.r-1)*q.dh + 1)
	if q.copied {
		input *= q.inCols * q.c
	} else {
		input *= q.iw * q.ic
	}
	if input > inputFloats && (ib > 1 || rb > q.minRows()) {
		return 0, false
	}
	tasks := isa.CeilDiv(q.n, ib) * isa.CeilDiv(q.oh, rb) * isa.CeilDiv(q.groups, gb) * isa.CeilDiv(q.panels, pb)
	per := cyclesPerTask + cyclesPerInput*float64(input*gb*isa.CeilDiv(pb, q.nz))
	if q.heavy {
		per += cyclesPerLoad * float64(gb*pb*q.panelLen)
	}
	fma := float64(q.n*q.oh*q.ow*q.groups) * float64(q.panels*q.panelLen) / 32
	total := fma + per*float64(tasks)
	if q.copied {
		// Tasks that differ in panels alone share a copy, if the same worker has
		// both; most often only one is cut off from the others. Light weights
		// are better left whole, see fetchRows.
		copies := tasks
		if gb == 1 && q.heavy {
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
func (q *nnConv) minRows() int {
	if q.merged {
		return isa.CeilDiv(q.maxM, q.ow)
	}
	return 1
}
