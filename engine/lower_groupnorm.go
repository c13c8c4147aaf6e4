package engine

import (
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

// imagePieces cuts the pixels of each image into pieces of whole rows of channels.
type imagePieces struct {
	images, pixels, ch int // an image's pixels
	rows, each         int // pixels of a piece, pieces of an image
}

func newImagePieces(s tensor.Shape) imagePieces {
	p := imagePieces{images: s[0], pixels: s[2:].Numel(), ch: s[1]}
	p.rows = vec.PieceRows(p.pixels, p.ch)
	p.each = vec.Pieces(p.pixels, p.rows)
	return p
}

// piece returns the image and the floats of a piece.
func (p imagePieces) piece(task int) (image, lo, hi int) {
	image = task / p.each
	from, to := vec.PieceBounds(task%p.each, p.rows, p.pixels)
	return image, (image*p.pixels + from) * p.ch, (image*p.pixels + to) * p.ch
}

// images emits a step over whole images, several a task if they are small.
func (c *compiler) images(phase string, p imagePieces, floats int, do func(r *run, image int), reads, writes []*buf) {
	c.rows(phase, p.images, floats, func(r *run, lo, hi int) {
		for i := lo; i < hi; i++ {
			do(r, i)
		}
	}, reads, writes)
}

// pixelSteps emits a step over the pieces of pixels of all images; small images are taken
// many a task.
func (c *compiler) pixelSteps(phase string, p imagePieces, do func(r *run, image, lo, hi int), reads, writes []*buf) *step {
	if p.each == 1 {
		return c.rows(phase, p.images, p.pixels*p.ch, func(r *run, lo, hi int) {
			for i := lo; i < hi; i++ {
				do(r, i, i*p.pixels*p.ch, (i+1)*p.pixels*p.ch)
			}
		}, reads, writes)
	}
	return c.step(phase, p.images*p.each, func(r *run, task, _ int) {
		image, lo, hi := p.piece(task)
		do(r, image, lo, hi)
	}, reads, writes)
}

// groupNorm finds the mean and the squared differences of each channel of each piece
// by the kernels of batch norm, joins them to those of the groups in float64, and
// applies a scale and a shift for each image and channel.
func (c *compiler) groupNorm(n *graph.Node, o graph.GroupNorm) {
	p := newImagePieces(n.In[0].Shape)
	ch, groups := p.ch, o.Groups
	x := c.in(n.In[0], activation)
	gamma, beta := c.in(n.In[1], rowMajor), c.in(n.In[2], rowMajor)
	y := c.out(n.Out[0], activation)
	mean, invstd := c.out(n.Out[1], rowMajor), c.out(n.Out[2], rowMajor)
	if p.pixels == 1 {
		c.rowNorm(p, o, normBufs{x: x, gamma: gamma, mean: mean, invstd: invstd}, beta, y)
		return
	}
	coef := c.newBuf(2 * ch * p.images)
	parts := c.newBuf(2 * ch * p.images * p.each)
	c.step("statistics", p.images*p.each, func(r *run, task, _ int) {
		_, lo, hi := p.piece(task)
		vec.BatchNormStats(r.b[parts.id][2*ch*task:2*ch*(task+1)], r.b[x.id][lo:hi], ch)
	}, reads(x), writes(parts))
	c.images("coefficients", p, 2*ch*p.each, func(r *run, i int) {
		m, inv := r.b[mean.id][i*groups:(i+1)*groups], r.b[invstd.id][i*groups:(i+1)*groups]
		groupStats(m, inv, r.b[parts.id][2*ch*p.each*i:2*ch*p.each*(i+1)], p, o.Eps)
		scale, shift := r.b[coef.id][2*ch*i:][:ch], r.b[coef.id][2*ch*i+ch:][:ch]
		for k := range scale {
			g := k / (ch / groups)
			s := float64(inv[g]) * float64(r.b[gamma.id][k])
			scale[k] = float32(s)
			shift[k] = float32(float64(r.b[beta.id][k]) - float64(float64(m[g])*s))
		}
	}, reads(parts, gamma, beta), writes(mean, invstd, coef))
	s := c.pixelSteps("", p, func(r *run, i, lo, hi int) {
		scale, shift := r.b[coef.id][2*ch*i:][:ch], r.b[coef.id][2*ch*i+ch:][:ch]
		vec.ScaleShift(r.b[y.id][lo:hi], r.b[x.id][lo:hi], scale, shift, false)
	}, reads(x, coef), writes(y))
	s.inPlace.out, s.inPlace.in = y, x
}

// groupStats joins the means and squared differences of an image's pieces and
// channels to those of its groups, by the formula of Chan, Golub and LeVeque (1979).
func groupStats(mean, invstd, parts []float32, p imagePieces, eps float32) {
	per := p.ch / len(mean)
	for g := range mean {
		var count, m, m2 float64
		for piece := range p.each {
			from, to := vec.PieceBounds(piece, p.rows, p.pixels)
			rows := float64(to - from)
			part := parts[2*p.ch*piece:]
			for k := g * per; k < (g+1)*per; k++ {
				d := float64(part[k]) - m
				m += d * (rows / (count + rows))
				m2 += float64(part[p.ch+k]) + float64(d*d)*(count*rows/(count+rows))
				count += rows
			}
		}
		mean[g] = float32(m)
		invstd[g] = float32(1 / math.Sqrt(m2/count+float64(eps)))
	}
}

// normBufs are the buffers that a group norm and its gradient share: the input,
// the factors, and the mean and the inverse deviation of each group.
type normBufs struct{ x, gamma, mean, invstd *buf }

// rowBlock is how many floats rowNorm takes at a time: they stay in the first-level
// cache between its kernels.
const rowBlock = 4096

// rowNorm is groupNorm for images of one pixel, rows of features as layer norm has them.
// Each row is computed alone, the variance from the differences to the mean.
func (c *compiler) rowNorm(p imagePieces, o graph.GroupNorm, b normBufs, beta, y *buf) {
	x, gamma, mean, invstd := b.x, b.gamma, b.mean, b.invstd
	groups, per := o.Groups, p.ch/o.Groups
	s := c.rows("", p.images, p.ch, func(r *run, lo, hi int) {
		for step := max(1, rowBlock/p.ch); lo < hi; lo += step {
			to := min(lo+step, hi)
			in, out := r.b[x.id][lo*p.ch:to*p.ch], r.b[y.id][lo*p.ch:to*p.ch]
			m, inv := r.b[mean.id][lo*groups:to*groups], r.b[invstd.id][lo*groups:to*groups]
			vec.SumCols(m, in, per, 1/float32(per))
			vec.BinaryCol(vec.OpSub, out, in, m, per)
			vec.SumMulCols(inv, out, out, per, 1/float32(per))
			for i, v := range inv {
				inv[i] = float32(1 / math.Sqrt(float64(v)+float64(o.Eps)))
			}
			vec.BinaryCol(vec.OpMul, out, out, inv, per)
			vec.ScaleShift(out, out, r.b[gamma.id], r.b[beta.id], false)
		}
	}, reads(x, gamma, beta), writes(y, mean, invstd))
	s.inPlace.out, s.inPlace.in = y, x
}

// rowNormGrad is groupNormGrad for images of one pixel.
func (c *compiler) rowNormGrad(p imagePieces, groups int, b normBufs, dy, dx, dgamma, dbeta *buf) {
	x, gamma, mean, invstd := b.x, b.gamma, b.mean, b.invstd
	per := p.ch / groups
	c.rows("parameters", p.ch, 2*p.images, func(r *run, lo, hi int) {
		sum, dot := make([]float64, hi-lo), make([]float64, hi-lo)
		for i := range p.images {
			d, row := r.b[dy.id][i*p.ch+lo:i*p.ch+hi], r.b[x.id][i*p.ch+lo:i*p.ch+hi]
			for k, v := range d {
				g := i*groups + (lo+k)/per
				sum[k] += float64(v)
				dot[k] += float64(v * ((row[k] - r.b[mean.id][g]) * r.b[invstd.id][g]))
			}
		}
		for k := range sum {
			r.b[dbeta.id][lo+k], r.b[dgamma.id][lo+k] = float32(sum[k]), float32(dot[k])
		}
	}, reads(dy, x, mean, invstd), writes(dgamma, dbeta))
	s := c.rows("", p.images, p.ch, func(r *run, lo, hi int) {
		for i := lo * groups; i < hi*groups; i++ {
			row, d, out := r.b[x.id][i*per:(i+1)*per], r.b[dy.id][i*per:(i+1)*per], r.b[dx.id][i*per:(i+1)*per]
			first := i % groups * per
			scale := r.b[gamma.id][first : first+per]
			m, inv := r.b[mean.id][i], r.b[invstd.id][i]
			var sum, dot float64
			for k, v := range d {
				u := v * scale[k]
				sum += float64(u)
				dot += float64(u * ((row[k] - m) * inv))
			}
			a, b := float32(sum/float64(per)), float32(dot/float64(per))
			for k, v := range d {
				out[k] = inv * (v*scale[k] - a - (row[k]-m)*inv*b)
			}
		}
	}, reads(dy, x, gamma, mean, invstd), writes(dx))
	s.inPlace.out, s.inPlace.in = dx, dy
}

// groupNormGrad has the sums of each channel of each piece by the kernel of batch
// norm's gradient: Σ dy and Σ dy*(x-mean).
func (c *compiler) groupNormGrad(n *graph.Node, o graph.GroupNormGrad) {
	p := newImagePieces(n.In[1].Shape)
	ch, groups := p.ch, o.Groups
	per := ch / groups
	dy, x := c.in(n.In[0], activation), c.in(n.In[1], activation)
	gamma, mean, invstd := c.in(n.In[2], rowMajor), c.in(n.In[3], rowMajor), c.in(n.In[4], rowMajor)
	dx, dgamma, dbeta := c.out(n.Out[0], activation), c.out(n.Out[1], rowMajor), c.out(n.Out[2], rowMajor)
	if p.pixels == 1 {
		c.rowNormGrad(p, groups, normBufs{x: x, gamma: gamma, mean: mean, invstd: invstd}, dy, dx, dgamma, dbeta)
		return
	}
	// For each image: the mean of each channel's group, and the A, B and C of
	// vec.BatchNormGradApply.
	coef := c.newBuf(4 * ch * p.images)
	part := func(r *run, i, k int) []float32 { return r.b[coef.id][(4*i+k)*ch:][:ch] }
	c.images("means", p, ch, func(r *run, i int) {
		for k, m := 0, part(r, i, 0); k < ch; k++ {
			m[k] = r.b[mean.id][i*groups+k/per]
		}
	}, reads(mean), writes(coef))
	parts := c.newBuf(2 * ch * p.images * p.each)
	c.pixelSums(p, func(r *run, i, task, lo, hi int) {
		vec.BatchNormGradReduce(r.b[parts.id][2*ch*task:2*ch*(task+1)], nil, r.b[dy.id][lo:hi], nil, r.b[x.id][lo:hi], part(r, i, 0))
	}, reads(dy, x, coef), writes(parts))
	c.images("coefficients", p, 2*ch*p.each, func(r *run, i int) {
		a, b, shift := part(r, i, 1), part(r, i, 2), part(r, i, 3)
		count := float64(per * p.pixels)
		for g := range groups {
			inv := float64(r.b[invstd.id][i*groups+g])
			var sum, dot float64
			for k := g * per; k < (g+1)*per; k++ {
				s, d := sumsOf(r.b[parts.id], i, k, p)
				scale := float64(r.b[gamma.id][k])
				sum += float64(s * scale)
				dot += float64(d * scale)
			}
			for k := g * per; k < (g+1)*per; k++ {
				a[k] = float32(inv * float64(r.b[gamma.id][k]))
				b[k] = float32(-inv * inv * inv * dot / count)
				shift[k] = float32(-inv * sum / count)
			}
		}
	}, reads(gamma, invstd, parts), writes(coef))
	c.rows("parameters", ch, 2*p.images*p.each, func(r *run, lo, hi int) {
		for k := lo; k < hi; k++ {
			var sum, dot float64
			for i := range p.images {
				s, d := sumsOf(r.b[parts.id], i, k, p)
				sum += s
				dot += float64(d * float64(r.b[invstd.id][i*groups+k/per]))
			}
			r.b[dbeta.id][k], r.b[dgamma.id][k] = float32(sum), float32(dot)
		}
	}, reads(invstd, parts), writes(dgamma, dbeta))
	s := c.pixelSteps("", p, func(r *run, i, lo, hi int) {
		k := vec.NormGradCoefs{Mean: part(r, i, 0), A: part(r, i, 1), B: part(r, i, 2), C: part(r, i, 3)}
		vec.BatchNormGradApply(r.b[dx.id][lo:hi], r.b[dy.id][lo:hi], nil, r.b[x.id][lo:hi], k, false)
	}, reads(dy, x, coef), writes(dx))
	s.inPlace.out, s.inPlace.in = dx, dy
}

// pixelSums is pixelSteps for a step that also needs the number of the piece.
func (c *compiler) pixelSums(p imagePieces, do func(r *run, image, piece, lo, hi int), reads, writes []*buf) {
	if p.each > 1 {
		c.step("sums", p.images*p.each, func(r *run, task, _ int) {
			image, lo, hi := p.piece(task)
			do(r, image, task, lo, hi)
		}, reads, writes)
		return
	}
	c.pixelSteps("sums", p, func(r *run, image, lo, hi int) { do(r, image, image, lo, hi) }, reads, writes)
}

// sumsOf adds up the two sums of channel k over the pieces of image i.
func sumsOf(parts []float32, i, k int, p imagePieces) (sum, dot float64) {
	for piece := range p.each {
		part := parts[2*p.ch*(i*p.each+piece):]
		sum += float64(part[k])
		dot += float64(part[p.ch+k])
	}
	return sum, dot
}
