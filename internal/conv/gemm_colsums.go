package conv

import (
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// ColumnSums sums the rows of a [rows][cols] matrix: the gradient of a bias,
// of an output gradient taken as [N*OutH*OutW][K]. It is immutable; its tasks
// may run at the same time in any order.
type ColumnSums struct {
	rows, cols    int
	block, chunks int
}

// columnSumRows is how many rows are summed before they go to the sum of a block.
const columnSumRows = 64

// PlanColumnSums compiles the sums of a matrix of rows x cols, both at least 1.
func PlanColumnSums(rows, cols int) *ColumnSums {
	s := &ColumnSums{rows: rows, cols: cols}
	s.block = max(isa.CeilDiv(rows, targetTasks), isa.CeilDiv(inputFloats, cols))
	s.chunks = isa.CeilDiv(rows, s.block)
	return s
}

// Tasks returns the number of independent tasks; it does not depend on the
// number of threads.
func (s *ColumnSums) Tasks() int { return s.chunks }

// PartialFloats returns the length of the memory that all tasks share.
func (s *ColumnSums) PartialFloats() int { return s.chunks * 2 * s.cols }

// Run sums one block of rows of x, [rows][cols], into partial.
func (s *ColumnSums) Run(task int, partial, x []float32) {
	isa.CheckMin("partial sums", partial, s.PartialFloats())
	isa.CheckFloats("x", x, s.rows*s.cols)
	d, part := partial[task*2*s.cols:][:s.cols], partial[(task*2+1)*s.cols:][:s.cols]
	lo, hi := isa.Span(task, s.block, s.rows)
	clear(d)
	// Sums of sums of a few rows lose less to rounding than one long sum.
	for lo < hi {
		n := min(hi, lo+columnSumRows)
		copy(part, x[lo*s.cols:])
		for r := lo + 1; r < n; r++ {
			vec.AddTo(part, x[r*s.cols:][:s.cols])
		}
		vec.AddTo(d, part)
		lo = n
	}
}

// Reduce writes the sums of all blocks, in their order, to dst [cols], or, with
// accumulate, adds them to it. It follows all tasks of Run.
func (s *ColumnSums) Reduce(partial, dst []float32, accumulate bool) {
	isa.CheckMin("partial sums", partial, s.PartialFloats())
	isa.CheckFloats("dst", dst, s.cols)
	if !accumulate {
		clear(dst)
	}
	for t := range s.chunks {
		vec.AddTo(dst, partial[t*2*s.cols:][:s.cols])
	}
}
