package nn

import "github.com/resnet-go/resnet/graph"

// Synchronized is how a network gets what it needs of a batch whose equal parts are
// computed by several processes: the statistics of batch norms (PyTorch's SyncBatchNorm),
// and the rows that a loss compares. The loss of the batch is the mean of the parts'.
type Synchronized struct {
	// Mean is an operator of a vector that gives the mean of the vectors of all parts. Its
	// gradient is the mean of their gradients.
	Mean graph.Op
	// Rows is an operator of a matrix [N D] that gives the rows of all parts, one part
	// after the other [Parts*N D]. Its gradient is the sum of their gradients, as far as
	// they are of this part's rows.
	Rows  graph.Op
	Parts int
}

// AllRows returns x [N D] with the rows of all parts of the batch in their order, where
// several processes compute it (see [Synchronized]); else x.
func (c *Context) AllRows(x *graph.Value) *graph.Value {
	if c.synchronized == nil {
		return x
	}
	return c.Op1(c.synchronized.Rows, x)
}

// acrossParts is the training form of Forward with statistics of all parts of the batch:
// their mean, and then the mean square of the distances from it.
func (m *BatchNorm) acrossParts(c *Context, x, gamma, beta, runningMean, runningVariance *graph.Value) *graph.Value {
	channels := x.Shape[1]
	axes, wide := []int{0}, []int{1, channels}
	for axis := 2; axis < len(x.Shape); axis++ {
		axes, wide = append(axes, axis), append(wide, 1)
	}
	over := func(v *graph.Value) *graph.Value { return c.Op1(graph.Reshape{Shape: wide}, v) }
	mean := func(v *graph.Value) *graph.Value {
		return c.Op1(c.synchronized.Mean, c.Op1(graph.Reduce{Fn: graph.Mean, Axes: axes}, v))
	}
	binary := func(fn graph.BinaryFn, a, b *graph.Value) *graph.Value { return c.Op1(graph.Binary{Fn: fn}, a, b) }
	affine := func(v *graph.Value, scale, shift float32) *graph.Value {
		return c.Op1(graph.Affine{Scale: scale, Shift: shift}, v)
	}
	center := mean(x)
	centered := binary(graph.Sub, x, over(center))
	variance := mean(c.Op1(graph.Unary{Fn: graph.Square}, centered))
	invstd := c.Op1(graph.Unary{Fn: graph.Rsqrt}, affine(variance, 1, m.Eps))
	y := binary(graph.Add, binary(graph.Mul, centered, over(binary(graph.Mul, invstd, gamma))), over(beta))

	count := float32(x.Shape.Numel() / channels * c.synchronized.Parts)
	update := func(p *Param, old, now *graph.Value, scale float32) {
		now = c.Op1(graph.Detach{}, now)
		c.SetRunning(p, binary(graph.Add, affine(old, 1-m.Momentum, 0), affine(now, m.Momentum*scale, 0)))
	}
	update(m.RunningMean, runningMean, center, 1)
	update(m.RunningVar, runningVariance, variance, count/(count-1))
	c.count(m.NumBatchesTracked)
	return y
}
