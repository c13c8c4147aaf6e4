package conv

import "github.com/resnet-go/resnet/internal/simd/isa"

// How a convolution of bfloat16 products brings its operands into words of two
// numbers, which the micro-kernels multiply and add in pairs. Everything else is
// as in float32: weights and input gradients pair neighbouring channels, so that
// to the kernels a pixel has half the channels; weight gradients pair
// neighbouring output pixels.

// narrowPixels copies n pixels, jump apart in s, to d as words.
func (q *nnConv) narrowPixels(d, s []float32, n, jump int) {
	if jump == 1 && q.ic == q.floats && q.floats%2 == 0 {
		q.products.Narrow(d, s, 1, n*q.floats, 0, 0)
		return
	}
	q.products.Narrow(d, s, n, q.floats, jump*q.ic, q.c)
}

// narrowPanel is [Packing.Run] of a panel of a forward packing; w begins with its
// first column.
func (c *Conv) narrowPanel(panel int, dst, w []float32, cols int) {
	cg := c.C / c.Groups
	size := c.Precision.Words(cg) * isa.PanelWidth
	for tap := range c.R * c.S {
		c.Precision.PairPanel(dst[(panel*c.R*c.S+tap)*size:][:size], w[tap*cg*c.K:], cg, cols, c.K)
	}
}

// narrowPanelOIHW is [Packing.RunOIHW]. It allocates.
func (c *Conv) narrowPanelOIHW(task int, dst, w []float32, scale []float64) {
	cg, kg, taps := c.C/c.Groups, c.K/c.Groups, c.R*c.S
	panels := isa.CeilDiv(kg, isa.PanelWidth)
	size := c.Precision.Words(cg) * isa.PanelWidth
	k0 := task/panels*kg + task%panels*isa.PanelWidth
	cols := min(isa.PanelWidth, kg-task%panels*isa.PanelWidth)
	step := max(2, 64/taps/2*2) // channels at a time, an even number
	block := make([]float32, step*taps*isa.PanelWidth)
	for ch := 0; ch < cg; ch += step {
		n := min(step, cg-ch)
		b := block[:n*taps*isa.PanelWidth]
		packTransposed(b, w[k0*taps*cg+ch*taps:], n*taps, cols, taps*cg)
		if scale != nil {
			scaleColumns(b, scale[k0:k0+cols])
		}
		for tap := range taps {
			at := (task*taps+tap)*size + ch/2*isa.PanelWidth
			c.Precision.PairPanel(dst[at:][:c.Precision.Words(n)*isa.PanelWidth], b[tap*isa.PanelWidth:], n, isa.PanelWidth, taps*isa.PanelWidth)
		}
	}
}

// narrowTransposed packs the rows inputs of one tap of an input gradient: src
// holds cols rows of them, one a column of the panel.
func (c *Conv) narrowTransposed(dst, src []float32, rows, cols int) {
	var block [64 * isa.PanelWidth]float32
	for i := 0; i < rows; i += 64 {
		n := min(64, rows-i)
		b := block[:n*isa.PanelWidth]
		packTransposed(b, src[i:], n, cols, c.K)
		c.Precision.PairPanel(dst[i/2*isa.PanelWidth:][:c.Precision.Words(n)*isa.PanelWidth], b, n, isa.PanelWidth, isa.PanelWidth)
	}
}

// pairing sets up a weight gradient of bfloat16 products, which sums over pairs
// of output pixels. The second pixel of a pair that a tap reads lies stepW pixels
// after the first, and different taps of a row begin at any pixel: so each word
// of the input in scratch holds a pixel and the one stepW further on, and a step
// of the sum goes on by two. Merged pixels are read by one tap, and a word holds
// two of them. Where the last pair of a row has one pixel, the word of dy is half
// zero; a pixel that x has there must be finite, as must be all of x and dy for a
// gradient of use.
func (g *ConvWeightGrad) pairing() {
	g.kStep = 2 * g.stepW * g.xPitch
	if g.merged {
		g.kStep = g.xPitch
	}
}

// yWords returns how many steps the sum over rows of output pixels has.
func (g *ConvWeightGrad) yWords(rows int) int {
	if g.merged {
		return g.conv.Precision.Words(rows * g.ow)
	}
	return rows * g.conv.Precision.Words(g.ow)
}

// pairPixels fills a row of scratch with pairs of pixels of cn channels of the
// row x. In scratch, pixels before left and from right on lie outside of x.
func (g *ConvWeightGrad) pairPixels(d, x []float32, cn, left, right int) {
	c := &g.conv
	jump := g.sw / g.stepW
	valid := func(p int) bool { return p >= left && p < right }
	for p := 0; p < g.inCols; {
		low, high := valid(p), valid(p+g.stepW)
		end := p + 1
		for end < g.inCols && valid(end) == low && valid(end+g.stepW) == high {
			end++
		}
		switch first := p; {
		case !low && !high:
			clear(d[p*g.xPitch : end*g.xPitch])
		default:
			hi := g.stepW * jump * c.C
			if !low {
				first, hi = p+g.stepW, 0
			}
			c.Precision.Pairs(d[p*g.xPitch:end*g.xPitch], x[(first*jump-g.padL)*c.C:], end-p, cn, g.xPitch, jump*c.C, g.xPitch, hi, low, high)
		}
		p = end
	}
}

// pairRow packs n merged pixels of cn channels.
func (g *ConvWeightGrad) pairRow(d, x []float32, n, cn int) {
	c := &g.conv
	c.Precision.Pairs(d, x, n/2, cn, g.xPitch, 2*c.C, g.xPitch, c.C, true, true)
	if n%2 == 1 {
		c.Precision.Pairs(d[n/2*g.xPitch:], x[(n-1)*c.C:], 1, cn, g.xPitch, 0, g.xPitch, 0, true, false)
	}
}

// pairDY is packDY for pairs of pixels.
func (g *ConvWeightGrad) pairDY(dst, src []float32, px, kn int) {
	p, width := g.conv.Precision, g.ow
	if g.merged {
		width = px
	}
	for k := 0; k < kn; k += g.yPitch {
		d, s, cn := dst[k/g.yPitch*g.groupPitch:], src[k:], min(g.yPitch, kn-k)
		for at := 0; ; at += width {
			p.Pairs(d, s, width/2, cn, g.yPitch, 2*g.conv.K, g.yPitch, g.conv.K, true, true)
			if width%2 == 1 {
				p.Pairs(d[width/2*g.yPitch:], s[(width-1)*g.conv.K:], 1, cn, g.yPitch, 0, g.yPitch, 0, true, false)
			}
			if at+width == px {
				break
			}
			d, s = d[p.Words(width)*g.yPitch:], s[width*g.conv.K:]
		}
	}
}
