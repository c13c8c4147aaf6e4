package conv

import (
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// The statistics of a convolution's output, for batch normalization: right after
// a task has written its part of y, while that is in cache, it leaves in
// Args.Partial the mean of that part and the sum of squared differences from it
// for each channel, [part][2][K]. A further step combines the parts.

// stats leaves the statistics of a task's part of y.
func (q *direct) stats(task int, a *Args) {
	b := q.block(task)
	channels := q.groups * q.k
	at := task / (q.groupBlocks.count * q.panelBlocks.count) * 2 * channels
	k0, k1 := b.g0*q.k+b.p0*isa.PanelWidth, (b.g1-1)*q.k+min(q.k, b.p1*isa.PanelWidth)
	mean, m2 := a.Partial[at:][:channels], a.Partial[at+channels:][:channels]
	rows := (b.oy1 - b.oy0) * q.ow
	for k := k0; k < k1; k += vec.StatsColumns {
		end := min(k+vec.StatsColumns, k1)
		vec.ColumnStats(mean[k:end], m2[k:end], a.Y[b.n0*q.yImg+b.oy0*q.yRow+k:], b.n1-b.n0, q.yImg, rows, q.yPix)
	}
}

// statsRows returns the number of pixels of a part.
func (q *direct) statsRows(part int) int {
	b := q.block(part * q.groupBlocks.count * q.panelBlocks.count)
	return (b.n1 - b.n0) * (b.oy1 - b.oy0) * q.ow
}

// statistics appends the step that combines the statistics of some parts of y,
// of k channels, into the mean and the variance of each channel. rows returns
// the number of pixels of a part.
func (p *Plan) statistics(k, parts int, rows func(part int) int) {
	partial := parts * 2 * k
	p.Floats[ArgPartial] = partial
	p.Steps = append(p.Steps, Step{
		Name: "statistics", Tasks: isa.CeilDiv(k, vec.StatsColumns),
		Reads: []Arg{ArgPartial}, Writes: []Arg{ArgMean, ArgVariance},
		Run: func(_ *Worker, task int, a Args) {
			isa.CheckFloats("stats", a.Partial, partial)
			isa.CheckFloats("mean", a.Mean, k)
			isa.CheckFloats("variance", a.Variance, k)
			k0, k1 := isa.Span(task, vec.StatsColumns, k)
			combineStats(&a, parts, rows, k0, k1)
		},
	})
}

// combineStats combines the statistics of the parts in their order and in
// float64, for channels k0..k1-1 (Chan, Golub and LeVeque, "Updating Formulae and
// a Pairwise Algorithm for Computing Sample Variances", 1979).
func combineStats(a *Args, parts int, rows func(part int) int, k0, k1 int) {
	var mu, m2 [vec.StatsColumns]float64
	n := 0.0
	kk := len(a.Mean)
	for t := range parts {
		cnt := float64(rows(t))
		n += cnt
		step, spread := cnt/n, cnt*(n-cnt)/n
		part := a.Partial[2*t*kk:]
		means, squares := part[k0:k1], part[kk+k0:kk+k1]
		for j, m := range means {
			d := float64(m) - mu[j]
			mu[j] += d * step
			m2[j] += float64(squares[j]) + d*d*spread
		}
	}
	for j := range k1 - k0 {
		a.Mean[k0+j] = float32(mu[j])
		a.Variance[k0+j] = float32(m2[j] / n)
	}
}

// columnSumRows is the number of rows that are summed before they go to the sum
// of a block: sums of sums of a few rows lose less to rounding than one long sum.
const columnSumRows = 64

// PlanColumnSums compiles the sums over the rows of Args.X, [rows][cols], both at
// least 1, into Args.Y, [cols]: the gradient of a bias, of an output gradient
// taken as [N*OutH*OutW][K]. The sums are added to Args.Residual if that is not
// nil.
func PlanColumnSums(rows, cols int) *Plan {
	b := newBlocks(rows, max(isa.CeilDiv(rows, targetTasks), isa.CeilDiv(inputFloats, cols)))
	p := &Plan{}
	p.Floats[ArgPartial] = b.count * 2 * cols // of each block: its sum, and the sum of a few rows
	partial := p.Floats[ArgPartial]
	p.Steps = []Step{{
		Name: "parts", Tasks: b.count, Reads: []Arg{ArgX}, Writes: []Arg{ArgPartial},
		Run: func(_ *Worker, task int, a Args) {
			isa.CheckFloats("partial sums", a.Partial, partial)
			isa.CheckFloats("x", a.X, rows*cols)
			sum, few := a.Partial[task*2*cols:][:cols], a.Partial[(task*2+1)*cols:][:cols]
			lo, hi := b.span(task)
			clear(sum)
			for lo < hi {
				n := min(hi, lo+columnSumRows)
				copy(few, a.X[lo*cols:])
				for r := lo + 1; r < n; r++ {
					vec.AddTo(few, a.X[r*cols:][:cols])
				}
				vec.AddTo(sum, few)
				lo = n
			}
		},
	}, {
		Tasks: 1, Reads: []Arg{ArgPartial}, Writes: []Arg{ArgY},
		Run: func(_ *Worker, _ int, a Args) {
			isa.CheckFloats("y", a.Y, cols)
			if a.Residual == nil {
				clear(a.Y)
			} else {
				copy(a.Y, a.Residual)
			}
			for t := range b.count {
				vec.AddTo(a.Y, a.Partial[t*2*cols:][:cols])
			}
		},
	}}
	return p
}
