package conv

import (
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// ConvForward is a convolution compiled for one geometry and this machine. It
// is immutable; its tasks may run at the same time in any order.
type ConvForward struct {
	conv   Conv
	nn     nnConv
	packed int
}

// PlanConvForward compiles a convolution. The error is that of [Conv.Check].
func PlanConvForward(c Conv) (*ConvForward, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	oh, ow := c.OutH(), c.OutW()
	f := &ConvForward{conv: c, packed: c.ForwardPacking().Len()}
	f.nn = nnConv{
		groups: c.Groups, n: c.N, ih: c.H, iw: c.W, ic: c.C, c: c.C / c.Groups,
		sh: c.StrideH, sw: c.StrideW, r: c.R, s: c.S, dh: c.DilH, dw: c.DilW, padT: c.PadTop, padL: c.PadLeft,
		oh: oh, ow: ow, k: c.K / c.Groups,
		yImg: oh * ow * c.K, yRow: ow * c.K, yPix: c.K, products: c.Precision,
	}
	f.nn.plan()
	return f, nil
}

// Tasks returns the number of independent tasks; it does not depend on the
// number of threads.
func (f *ConvForward) Tasks() int { return f.nn.tasks() }

// ScratchFloats returns the length of the scratch memory that each worker
// hands to Run. It may be 0.
func (f *ConvForward) ScratchFloats() int { return f.nn.scratchFloats() }

// Run computes one task of
//
//	y = act(conv(x, w) + bias + residual)
//
// with x [N][H][W][C], the weights packed by [Conv.ForwardPacking], bias [K]
// or nil, residual [N][OutH][OutW][K] or nil. residual may be y itself; no
// other argument may overlap y. The order of the sums is fixed, so the result
// does not depend on who runs which task. It allocates nothing.
func (f *ConvForward) Run(task int, scratch, x, packed, bias, residual, y []float32, act isa.Act) {
	f.RunAfter(-1, task, scratch, x, packed, bias, residual, y, act)
}

// RunAfter is Run for a worker whose scratch task prev has left: what both
// read of x is not copied again. -1 is no task. Nothing else may have changed
// scratch or x since.
func (f *ConvForward) RunAfter(prev, task int, scratch, x, packed, bias, residual, y []float32, act isa.Act) {
	f.check(scratch, x, packed, bias, residual, y)
	f.nn.run(prev, task, scratch, x, packed, bias, residual, y, act)
}

func (f *ConvForward) check(scratch, x, packed, bias, residual, y []float32) {
	isa.CheckMin("scratch", scratch, f.ScratchFloats())
	isa.CheckFloats("x", x, f.conv.XLen())
	isa.CheckFloats("packed weights", packed, f.packed)
	isa.CheckFloats("y", y, f.conv.YLen())
	if bias != nil {
		isa.CheckFloats("bias", bias, f.conv.K)
	}
	if residual != nil {
		isa.CheckFloats("residual", residual, f.conv.YLen())
	}
}

// StatsFloats returns the length of the stats that RunStats fills.
func (f *ConvForward) StatsFloats() int { return f.nn.imgs * f.nn.rows * 2 * f.conv.K }

// RunStats is Run, and right after the task has written its part of y, while
// that is in cache, it leaves the mean of that part and the sum of squared
// differences from it in stats, for each channel. Only [ConvForward.ReduceStats]
// knows the layout of stats.
func (f *ConvForward) RunStats(task int, scratch, x, packed, bias, residual, y []float32, act isa.Act, stats []float32) {
	f.Run(task, scratch, x, packed, bias, residual, y, act)
	isa.CheckFloats("stats", stats, f.StatsFloats())
	q := &f.nn
	b := q.block(task)
	at := task / (q.grps * q.pans) * 2 * f.conv.K
	k0, k1 := b.g0*q.k+b.p0*isa.PanelWidth, (b.g1-1)*q.k+min(q.k, b.p1*isa.PanelWidth)
	mean, m2 := stats[at:][:f.conv.K], stats[at+f.conv.K:][:f.conv.K]
	rows := (b.oy1 - b.oy0) * q.ow
	for k := k0; k < k1; k += vec.StatsColumns {
		end := min(k+vec.StatsColumns, k1)
		vec.ColumnStats(mean[k:end], m2[k:end], y[b.n0*q.yImg+b.oy0*q.yRow+k:], b.n1-b.n0, q.yImg, rows, q.yPix)
	}
}

// ReduceStatsTasks returns the number of independent tasks of ReduceStats.
func (f *ConvForward) ReduceStatsTasks() int { return reduceStatsTasks(f.conv.K) }

// ReduceStats combines, for some channels of y, the partial statistics of all
// tasks of RunStats, in the order of the tasks, into the mean [K] and the biased
// variance [K] of each channel.
func (f *ConvForward) ReduceStats(task int, stats, mean, variance []float32) {
	isa.CheckFloats("stats", stats, f.StatsFloats())
	isa.CheckFloats("mean", mean, f.conv.K)
	isa.CheckFloats("variance", variance, f.conv.K)
	q := &f.nn
	k0, k1 := reduceStatsRange(task, f.conv.K)
	combineStats(stats, q.imgs*q.rows, func(t int) int {
		b := q.block(t * q.grps * q.pans)
		return (b.n1 - b.n0) * (b.oy1 - b.oy0) * q.ow
	}, mean, variance, k0, k1)
}
