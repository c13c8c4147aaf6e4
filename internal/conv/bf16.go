package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// How a convolution of bfloat16 products brings its operands into words of two
// numbers, which the micro-kernels multiply and add in pairs. Everything else is
// as in float32: weights and input gradients pair neighboring channels, so that
// to the kernels a pixel has half the channels; weight gradients pair
// neighboring output pixels.

// narrowWindow is [copyWindow] with the channels of each pixel rounded to words.
func narrowWindow(p gemm.Precision, dst, src []float32, w *window) {
	left, right := w.inside()
	rowLen := w.cols * w.pitch
	for i := range w.rows {
		d := dst[i*rowLen:][:rowLen]
		at, ok := w.row(i)
		if !ok || left == right {
			clear(d)
			continue
		}
		clear(d[:left*w.pitch])
		clear(d[right*w.pitch:])
		d = d[left*w.pitch : right*w.pitch]
		s := src[at+(w.x0+left*w.jumpW)*w.pixel:]
		if w.jumpW == 1 && w.pixel == w.channels && w.pitch*2 == w.channels {
			p.Narrow(d, s, 1, (right-left)*w.channels, 0, 0)
			continue
		}
		p.Narrow(d, s, right-left, w.channels, w.jumpW*w.pixel, w.pitch)
	}
}

// narrowPanelOIHW packs one panel of weights in the order OIHW. It allocates.
func (c *Conv) narrowPanelOIHW(task int, dst []float32, w Weights) {
	cg, taps := c.C/c.Groups, c.R*c.S
	size := c.Precision.Words(cg) * isa.PanelWidth
	_, k0, cols := c.panel(task)
	step := max(2, 64/taps/2*2) // channels at a time, an even number
	block := make([]float32, step*taps*isa.PanelWidth)
	for ch := 0; ch < cg; ch += step {
		n := min(step, cg-ch)
		b := block[:n*taps*isa.PanelWidth]
		packTransposed(b, w.Data[k0*taps*cg+ch*taps:], n*taps, cols, taps*cg)
		if w.Scale != nil {
			scaleColumns(b, w.Scale[k0:k0+cols])
		}
		for tap := range taps {
			at := tap*size + ch/2*isa.PanelWidth
			c.Precision.PairRows(dst[at:][:c.Precision.Words(n)*isa.PanelWidth], b[tap*isa.PanelWidth:], n, isa.PanelWidth, isa.PanelWidth, taps*isa.PanelWidth)
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
		c.Precision.PairRows(dst[i/2*isa.PanelWidth:][:c.Precision.Words(n)*isa.PanelWidth], b, n, isa.PanelWidth, isa.PanelWidth, isa.PanelWidth)
	}
}

// pairStep returns the floats of x between steps of the sum of a weight gradient
// of bfloat16 products, which sums over pairs of output pixels. The second pixel
// of a pair that a tap reads lies stepW pixels after the first, and different
// taps of a row begin at any pixel: so each word of the input in scratch holds a
// pixel and the one stepW further on, and a step of the sum goes on by two.
// Merged pixels are read by one tap, and a word holds two of them. Where the last
// pair of a row has one pixel, the word of dy is half zero; a pixel that x has
// there must be finite, as must be all of x and dy for a gradient of use.
func (g *weightGrad) pairStep() int {
	if g.merged {
		return g.xPitch
	}
	return 2 * g.stepW * g.xPitch
}

// yWords returns the number of steps of the sum over rows of output pixels.
func (g *weightGrad) yWords(rows int) int {
	if g.merged {
		return g.conv.Precision.Words(rows * g.ow)
	}
	return rows * g.conv.Precision.Words(g.ow)
}

// pairWindow is [copyWindow] with each pixel paired with the one step pixels of
// the window further on.
func pairWindow(p gemm.Precision, dst, src []float32, w *window, step int) {
	left, right := w.inside()
	rowLen := w.cols * w.pitch
	for i := range w.rows {
		d := dst[i*rowLen:][:rowLen]
		at, ok := w.row(i)
		if !ok || left == right {
			clear(d)
			continue
		}
		s := src[at:]
		valid := func(j int) bool { return j >= left && j < right }
		for j := 0; j < w.cols; {
			low, high := valid(j), valid(j+step)
			end := j + 1
			for end < w.cols && valid(end) == low && valid(end+step) == high {
				end++
			}
			pairs := d[j*w.pitch : end*w.pitch]
			switch first, hi := j, step*w.jumpW*w.pixel; {
			case !low && !high:
				clear(pairs)
			default:
				if !low {
					first, hi = j+step, 0
				}
				p.Pairs(pairs, s[(w.x0+first*w.jumpW)*w.pixel:], gemm.Pairing{Rows: end - j, Cols: w.channels, Width: w.pitch,
					Step: w.jumpW * w.pixel, DStep: w.pitch, Hi: hi, NoLow: !low, NoHigh: !high})
			}
			j = end
		}
	}
}

// pairRow packs n merged pixels of cn channels.
func (g *weightGrad) pairRow(d, x []float32, n, cn int) {
	c := &g.conv
	c.Precision.PairRows(d, x, n, cn, g.xPitch, c.C)
}

// pairDY is packDY for pairs of pixels.
func (g *weightGrad) pairDY(dst, src []float32, px, kn int) {
	p, width := g.conv.Precision, g.ow
	if g.merged {
		width = px
	}
	for k := 0; k < kn; k += g.yPitch {
		d, s, cn := dst[k/g.yPitch*g.groupPitch:], src[k:], min(g.yPitch, kn-k)
		for at := 0; ; at += width {
			p.PairRows(d, s, width, cn, g.yPitch, g.conv.K)
			if at+width == px {
				break
			}
			d, s = d[p.Words(width)*g.yPitch:], s[width*g.conv.K:]
		}
	}
}
