package ssl

import (
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// mean is the mean of all elements, a scalar.
func mean(c *nn.Context, x *graph.Value) *graph.Value { return c.Op1(graph.Reduce{Fn: graph.Mean}, x) }

// sum is the sum of all elements, a scalar.
func sum(c *nn.Context, x *graph.Value) *graph.Value { return c.Op1(graph.Reduce{Fn: graph.Sum}, x) }

func detach(c *nn.Context, x *graph.Value) *graph.Value { return c.Op1(graph.Detach{}, x) }

// normalize divides each row of x [N D] by its length, as PyTorch's normalize, whose
// smallest length is 1e-12: a root is taken of its square so that the gradient of a row
// of zeros is finite.
func normalize(c *nn.Context, x *graph.Value) *graph.Value {
	square := c.Max(c.Sum(c.Square(x), 1), c.Scalar(1e-24))
	return c.Div(x, c.Sqrt(square))
}

// cosine is the mean over the rows of the cosine of the angle between a and b [N D].
func cosine(c *nn.Context, a, b *graph.Value) *graph.Value {
	n := float32(a.Shape[0])
	return c.Affine(sum(c, c.Mul(normalize(c, a), normalize(c, b))), 1/n, 0)
}

// centered subtracts the mean over the rows.
func centered(c *nn.Context, x *graph.Value) *graph.Value { return c.Sub(x, c.Mean(x, 0)) }

// variance is the unbiased variance of each column of a centered x [N D]: [1 D].
func variance(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Affine(c.Sum(c.Square(x), 0), 1/float32(x.Shape[0]-1), 0)
}

// gauge adds the outputs that show whether projections z [N D] collapse.
func gauge(c *nn.Context, z *graph.Value) {
	z = centered(c, normalize(c, c.AllRows(detach(c, z))))
	v := variance(c, z)
	c.Output(SpreadOutput, c.Affine(mean(c, c.Sqrt(v)), float32(math.Sqrt(float64(z.Shape[1]))), 0))
	// tr(C²) is the sum of the squares of the products of all rows, of which there are
	// fewer than there are columns.
	products := c.Op1(graph.MatMul{TransB: true}, z, z)
	trace := c.Affine(sum(c, v), float32(z.Shape[0]-1), 0)
	squares := c.Max(sum(c, c.Square(products)), c.Scalar(1e-30))
	c.Output(DimensionsOutput, c.Div(c.Square(trace), squares))
}

// simsiam is -(cos(p1, z2) + cos(p2, z1))/2 with z behind a stopped gradient.
func (n *Network) simsiam(c *nn.Context, z [2]*graph.Value) *graph.Value {
	p := [2]*graph.Value{c.Call(n.Predictor, z[0]), c.Call(n.Predictor, z[1])}
	if !n.pretext.NoStopGradient {
		z[0], z[1] = detach(c, z[0]), detach(c, z[1])
	}
	return c.Affine(c.Add(cosine(c, p[0], z[1]), cosine(c, p[1], z[0])), -0.5, 0)
}

// byol is 4 - 2 cos(p1, t2) - 2 cos(p2, t1), with t of the target.
func (n *Network) byol(c *nn.Context, views, z [2]*graph.Value) *graph.Value {
	decay, err := c.Graph().Input(MomentumInput, graph.F32())
	if err != nil {
		c.Failf("%v", err)
	}
	// The target takes in the last update before its pass instead of after the update:
	// the same sequence, in one graph with the pass.
	for _, t := range n.targets() {
		c.SetRunning(t.target, c.Op1(graph.EMA{}, c.Param(t.target), c.Param(t.online), decay))
	}
	p := [2]*graph.Value{c.Call(n.Predictor, z[0]), c.Call(n.Predictor, z[1])}
	var t [2]*graph.Value
	for i := range t {
		t[i] = detach(c, c.Call(n.TargetProj, c.Call(n.Target, views[i])))
	}
	return c.Affine(c.Add(cosine(c, p[0], t[1]), cosine(c, p[1], t[0])), -2, 4)
}

// allRows gives both views the rows of all processes that share the batch, which the loss
// compares.
func allRows(c *nn.Context, z [2]*graph.Value) [2]*graph.Value {
	return [2]*graph.Value{c.AllRows(z[0]), c.AllRows(z[1])}
}

// simclr is the mean over all 2N views of the cross entropy of their similarities to the
// other 2N-1, in which the other view of the picture is the right one.
func (n *Network) simclr(c *nn.Context, z [2]*graph.Value) *graph.Value {
	z = allRows(c, z)
	all := normalize(c, c.Concat(0, z[0], z[1]))
	rows := all.Shape[0]
	self, other := tensor.New(rows, rows), tensor.NewInt64(rows)
	for i := range rows {
		self.Float32s()[i*rows+i] = -1e9 // a view is not compared with itself
		other.Int64s()[i] = int64((i + rows/2) % rows)
	}
	s := c.Affine(c.Op1(graph.MatMul{TransB: true}, all, all), 1/float32(n.pretext.Temperature), 0)
	return c.Op1(graph.CrossEntropy{}, c.Add(s, c.Const(self)), c.Const(other))
}

// barlow is Σ (1-C_ii)² + lambda Σ_{i≠j} C_ij² of the correlations C of the two views'
// features, times the scale.
func (n *Network) barlow(c *nn.Context, z [2]*graph.Value) *graph.Value {
	z = allRows(c, [2]*graph.Value{c.Call(n.Norm, z[0]), c.Call(n.Norm, z[1])})
	a, b := z[0], z[1]
	share := 1 / float32(a.Shape[0])
	correlations := c.Affine(c.Op1(graph.MatMul{TransA: true}, a, b), share, 0)
	same := c.Affine(c.Sum(c.Mul(a, b), 0), share, 0) // the diagonal
	off := c.Sub(sum(c, c.Square(correlations)), sum(c, c.Square(same)))
	loss := c.Add(sum(c, c.Square(c.Affine(same, -1, 1))), c.Affine(off, float32(n.pretext.Lambda), 0))
	return c.Affine(loss, float32(n.pretext.Scale), 0)
}

// vicreg is the weighted sum of the mean square distance of the views, of the shortfall
// of each feature's deviation from 1, and of the squared covariances of features.
func (n *Network) vicreg(c *nn.Context, z [2]*graph.Value) *graph.Value {
	z = allRows(c, z)
	rows, dim := float32(z[0].Shape[0]), float32(z[0].Shape[1])
	loss := c.Affine(mean(c, c.Square(c.Sub(z[0], z[1]))), float32(n.pretext.Similarity), 0)
	for _, x := range z {
		x = centered(c, x)
		v := variance(c, x)
		short := c.ReLU(c.Affine(c.Sqrt(c.Affine(v, 1, 1e-4)), -1, 1))
		loss = c.Add(loss, c.Affine(mean(c, short), float32(n.pretext.Variance)/2, 0))
		cov := c.Affine(c.Op1(graph.MatMul{TransA: true}, x, x), 1/(rows-1), 0)
		off := c.Sub(sum(c, c.Square(cov)), sum(c, c.Square(v)))
		loss = c.Add(loss, c.Affine(off, float32(n.pretext.Covariance)/dim, 0))
	}
	return loss
}

// rotation is the cross entropy of the four rotations.
func (n *Network) rotation(c *nn.Context, x *graph.Value, pictures int) *graph.Value {
	angle := tensor.NewInt64(4 * pictures)
	for i := range angle.Int64s() {
		angle.Int64s()[i] = int64(i / pictures)
	}
	f := c.Call(n.Model, x)
	gauge(c, c.Slice(f, 0, 0, pictures, 1))
	return c.Op1(graph.CrossEntropy{}, c.Call(n.Turned, f), c.Const(angle))
}
