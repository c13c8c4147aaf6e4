package engine

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// batchNorm is normalizing with fixed statistics where no convolution before
// it could take them in.
func (c *compiler) batchNorm(n *graph.Node, op graph.BatchNorm) error {
	rows, ch, err := pixels(n.In[0].Shape)
	if err != nil {
		return err
	}
	x := c.in(n.In[0], activation)
	gamma, beta := c.in(n.In[1], rowMajor), c.in(n.In[2], rowMajor)
	mean, variance := c.in(n.In[3], rowMajor), c.in(n.In[4], rowMajor)
	y := c.out(n.Out[0], activation)
	coef := c.newBuf(4 * ch) // scale, shift and two that are not needed
	c.step("coefficients", 1, func(r *run, _, _ int) {
		t := r.b[coef.id]
		bn := vec.BatchNorm{
			Gamma: r.b[gamma.id], Beta: r.b[beta.id], RunningMean: r.b[mean.id], RunningVar: r.b[variance.id], Eps: op.Eps,
			Scale: t[:ch], Shift: t[ch : 2*ch], Mean: t[2*ch : 3*ch], InvStd: t[3*ch:],
		}
		bn.Fixed()
	}, reads(gamma, beta, mean, variance), writes(coef))
	s := c.rows("", rows, ch, func(r *run, lo, hi int) {
		t := r.b[coef.id]
		vec.ScaleShift(r.b[y.id][lo*ch:hi*ch], r.b[x.id][lo*ch:hi*ch], t[:ch], t[ch:2*ch], false)
	}, reads(x, coef), writes(y))
	s.inPlace.out, s.inPlace.in = y, x
	return nil
}

func (c *compiler) batchNormTrain(n *graph.Node, op fusedBatchNormTrain) error {
	rows, ch, err := pixels(n.In[0].Shape)
	if err != nil {
		return err
	}
	x := c.in(n.In[0], activation)
	gamma, beta := c.in(n.In[1], rowMajor), c.in(n.In[2], rowMajor)
	rest := n.In[5:]
	var residual *buf
	if op.residual {
		residual, rest = c.in(rest[0], activation), rest[1:]
	}
	y := c.out(n.Out[0], activation)
	var coef *buf
	if op.fixedStats {
		coef = c.scaleAndShift(gamma, beta, c.in(n.In[3], rowMajor), c.in(n.In[4], rowMajor), ch)
	} else {
		coef = c.statistics(n, op, x, gamma, beta, rest, rows, ch)
	}
	s := c.rows("", rows, ch, func(r *run, lo, hi int) {
		t := r.b[coef.id]
		yp, xp := r.b[y.id][lo*ch:hi*ch], r.b[x.id][lo*ch:hi*ch]
		if residual != nil {
			vec.ScaleShiftAdd(yp, xp, t[:ch], t[ch:], r.b[residual.id][lo*ch:hi*ch], op.relu)
		} else {
			vec.ScaleShift(yp, xp, t[:ch], t[ch:], op.relu)
		}
	}, reads(x, residual, coef), writes(y))
	if residual != nil {
		s.inPlace.out, s.inPlace.in = y, residual
	} else {
		s.inPlace.out, s.inPlace.in = y, x
	}
	return nil
}

// statistics emits what a batch norm in training does besides normalizing: its
// statistics, given by rest or taken from x, and the running ones. It returns
// the coefficients of y = x*scale + shift.
func (c *compiler) statistics(n *graph.Node, op fusedBatchNormTrain, x, gamma, beta *buf, rest []*graph.Value, rows, ch int) (coef *buf) {
	mean, invstd := c.out(n.Out[1], rowMajor), c.out(n.Out[2], rowMajor)
	runMean, runVar := c.inPlace(n.Out[3], n.In[3], rowMajor), c.inPlace(n.Out[4], n.In[4], rowMajor)

	// One part a piece: the means, then the sums of squared differences.
	pieceRows := vec.PieceRows(rows, ch)
	if op.statsFromConv {
		pieceRows = rows
	}
	parts := c.newBuf(2 * ch * vec.Pieces(rows, pieceRows))
	if op.statsFromConv {
		m, v := c.in(rest[0], rowMajor), c.in(rest[1], rowMajor)
		c.step("parts", 1, func(r *run, _, _ int) {
			p := r.b[parts.id]
			copy(p, r.b[m.id])
			for i, variance := range r.b[v.id] {
				p[ch+i] = variance * float32(rows)
			}
		}, reads(m, v), writes(parts))
	} else {
		c.step("statistics", vec.Pieces(rows, pieceRows), func(r *run, task, _ int) {
			lo, hi := vec.PieceBounds(task, pieceRows, rows)
			vec.BatchNormStats(r.b[parts.id][2*ch*task:2*ch*(task+1)], r.b[x.id][lo*ch:hi*ch], ch)
		}, reads(x), writes(parts))
	}
	coef = c.newBuf(2 * ch)
	c.step("coefficients", 1, func(r *run, _, _ int) {
		t := r.b[coef.id]
		bn := vec.BatchNorm{
			Gamma: r.b[gamma.id], Beta: r.b[beta.id], RunningMean: r.b[runMean.id], RunningVar: r.b[runVar.id],
			Eps: op.Eps, Momentum: op.Momentum,
			Mean: r.b[mean.id], InvStd: r.b[invstd.id], Scale: t[:ch], Shift: t[ch:],
		}
		bn.Finalize(r.b[parts.id], rows, pieceRows)
	}, reads(gamma, beta, parts, runMean, runVar), writes(mean, invstd, coef, runMean, runVar))
	return coef
}

// batchNormGrad is the gradient of batch norm, with the mask of the ReLU that
// followed where last is given: see fusedBatchNormGrad.
func (c *compiler) batchNormGrad(n *graph.Node, op fusedBatchNormGrad, last *graph.Value) error {
	rows, ch, err := pixels(n.In[1].Shape)
	if err != nil {
		return err
	}
	dy, x := c.in(n.In[0], activation), c.in(n.In[1], activation)
	gamma, mean, invstd := c.in(n.In[2], rowMajor), c.in(n.In[3], rowMajor), c.in(n.In[4], rowMajor)
	var y, again, masked *buf
	switch {
	case op.recomputeMask:
		again = c.scaleAndShift(gamma, c.in(last, rowMajor), mean, invstd, ch)
	case last != nil:
		y = c.in(last, activation)
	}
	if op.keepMasked {
		masked = c.out(n.Out[3], activation)
	}
	pieceRows := vec.PieceRows(rows, ch)
	pieces := vec.Pieces(rows, pieceRows)
	parts, coef := c.newBuf(2*ch*pieces), c.newBuf(3*ch)
	s := c.step("sums", pieces, func(r *run, task, _ int) {
		lo, hi := vec.PieceBounds(task, pieceRows, rows)
		lo, hi = lo*ch, hi*ch
		part, dyp, xp := r.b[parts.id][2*ch*task:2*ch*(task+1)], r.b[dy.id][lo:hi], r.b[x.id][lo:hi]
		if again != nil {
			t := r.b[again.id]
			vec.BatchNormGradReduceRecomputed(part, dyp, xp, r.b[mean.id], t[:ch], t[ch:])
		} else {
			vec.BatchNormGradReduce(part, r.part(masked, lo, hi), dyp, r.part(y, lo, hi), xp, r.b[mean.id])
		}
	}, reads(dy, x, mean, y, again), writes(parts, masked))
	if masked != nil {
		s.inPlace.out, s.inPlace.in = masked, dy
	}

	dx, dgamma, dbeta := c.out(n.Out[0], activation), c.out(n.Out[1], rowMajor), c.out(n.Out[2], rowMajor)
	c.step("coefficients", 1, func(r *run, _, _ int) {
		t := r.b[coef.id]
		g := vec.BatchNormGrad{
			Gamma: r.b[gamma.id], Mean: r.b[mean.id], InvStd: r.b[invstd.id],
			DGamma: r.b[dgamma.id], DBeta: r.b[dbeta.id], A: t[:ch], B: t[ch : 2*ch], C: t[2*ch:],
		}
		g.Finalize(r.b[parts.id], rows, pieceRows)
	}, reads(gamma, mean, invstd, parts), writes(dgamma, dbeta, coef))
	from, mask := dy, y
	if masked != nil {
		from, mask = masked, nil
	}
	s = c.rows("", rows, ch, func(r *run, lo, hi int) {
		lo, hi = lo*ch, hi*ch
		t := r.b[coef.id]
		dxp, dyp, xp := r.b[dx.id][lo:hi], r.b[from.id][lo:hi], r.b[x.id][lo:hi]
		k := vec.NormGradCoefs{Mean: r.b[mean.id], A: t[:ch], B: t[ch : 2*ch], C: t[2*ch:]}
		if again != nil {
			u := r.b[again.id]
			k.Scale, k.Shift = u[:ch], u[ch:]
			vec.BatchNormGradApplyRecomputed(dxp, dyp, xp, k, false)
		} else {
			vec.BatchNormGradApply(dxp, dyp, r.part(mask, lo, hi), xp, k, false)
		}
	}, reads(from, mask, again, x, mean, coef), writes(dx))
	s.inPlace.out, s.inPlace.in = dx, from
	return nil
}

// scaleAndShift restores the coefficients of the forward pass, y = x*scale +
// shift, from the statistics that it left.
func (c *compiler) scaleAndShift(gamma, beta, mean, invstd *buf, ch int) *buf {
	coef := c.newBuf(2 * ch)
	c.step("forward coefficients", 1, func(r *run, _, _ int) {
		t := r.b[coef.id]
		bn := vec.BatchNorm{Gamma: r.b[gamma.id], Beta: r.b[beta.id], Mean: r.b[mean.id], InvStd: r.b[invstd.id], Scale: t[:ch], Shift: t[ch:]}
		bn.Coefs()
	}, reads(gamma, beta, mean, invstd), writes(coef))
	return coef
}

// part returns a part of the buffer's memory, or nil for no buffer.
func (r *run) part(b *buf, lo, hi int) []float32 {
	if b == nil {
		return nil
	}
	return r.b[b.id][lo:hi]
}
