package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// Packing lays convolution weights out as the micro-kernels read them: panels
// of 16 output columns, zero-padded at the end of each group,
//
//	panel 0: [taps][inputs][16]   panel 1: [taps][inputs][16]   …
//
// one after another, group by group. The layout is the same on every
// instruction set. A Packing does not depend on the number of images nor on
// the input's size, so plans for several of them can share packed weights.
type Packing struct {
	conv Conv
	grad bool
	subs []subConv // grad only: the parity classes
	size int
}

// ForwardPacking returns the packing that [ConvForward] reads: the columns are
// the output channels, the taps are (r, s) and the inputs are the channels of
// the group.
func (c Conv) ForwardPacking() *Packing {
	p := &Packing{conv: c}
	p.size = c.Groups * isa.CeilDiv(c.K/c.Groups, isa.PanelWidth) * isa.PanelWidth * c.R * c.S * c.Precision.Words(c.C/c.Groups)
	return p
}

// InputGradPacking returns the packing that [ConvInputGrad] reads: the columns
// are the input channels and the inputs are the output channels of the group;
// the taps are flipped and, for strides above 1, sorted by the parity of the
// input pixel that they reach.
func (c Conv) InputGradPacking() *Packing {
	p := &Packing{conv: c, grad: true, subs: gradSubConvs(c)}
	per := isa.CeilDiv(c.C/c.Groups, isa.PanelWidth) * isa.PanelWidth * c.Precision.Words(c.K/c.Groups)
	taps := 0
	for _, s := range p.subs {
		taps += len(s.rows) * len(s.cols)
	}
	p.size = c.Groups * per * taps
	return p
}

// Len returns the number of floats of the packed weights.
func (p *Packing) Len() int { return p.size }

// Tasks returns the number of independent pieces of [Packing.Run].
func (p *Packing) Tasks() int {
	if p.grad {
		return p.conv.Groups * len(p.subs) * isa.CeilDiv(p.conv.C/p.conv.Groups, isa.PanelWidth)
	}
	return p.conv.Groups * isa.CeilDiv(p.conv.K/p.conv.Groups, isa.PanelWidth)
}

// Run packs piece task of w, [R][S][C/Groups][K], into dst, which has Len
// floats. It allocates nothing.
func (p *Packing) Run(task int, dst, w []float32) {
	isa.CheckFloats("packed weights", dst, p.size)
	isa.CheckFloats("weights", w, p.conv.WLen())
	if p.grad {
		p.runGrad(task, dst, w)
		return
	}
	c := &p.conv
	cg, kg := c.C/c.Groups, c.K/c.Groups
	panels := isa.CeilDiv(kg, isa.PanelWidth)
	rows := c.R * c.S * cg
	g, panel := task/panels, task%panels
	k0 := panel * isa.PanelWidth
	if c.Precision != gemm.FP32 {
		c.narrowPanel(task, dst, w[g*kg+k0:], min(isa.PanelWidth, kg-k0))
		return
	}
	dst = dst[task*rows*isa.PanelWidth:][:rows*isa.PanelWidth]
	packRows(dst, w[g*kg+k0:], rows, min(isa.PanelWidth, kg-k0), c.K)
}

// RunOIHW is Run for weights in PyTorch's order, [K][C/Groups][R][S], each filter
// multiplied by its scale, in float64 and rounded once, unless scale is nil. The
// packing must be a forward one.
func (p *Packing) RunOIHW(task int, dst, w []float32, scale []float64) {
	isa.CheckFloats("packed weights", dst, p.size)
	isa.CheckFloats("weights", w, p.conv.WLen())
	if p.grad || scale != nil && len(scale) != p.conv.K {
		panic("conv: not a forward packing, or scales of the wrong length")
	}
	c := &p.conv
	rows := c.R * c.S * (c.C / c.Groups)
	if c.Precision != gemm.FP32 {
		c.narrowPanelOIHW(task, dst, w, scale)
		return
	}
	c.packPanel(task, dst[task*rows*isa.PanelWidth:][:rows*isa.PanelWidth], w, scale)
}

// packPanel packs one panel of weights in PyTorch's order into dst.
func (c *Conv) packPanel(task int, dst, w []float32, scale []float64) {
	cg, kg, taps := c.C/c.Groups, c.K/c.Groups, c.R*c.S
	panels := isa.CeilDiv(kg, isa.PanelWidth)
	rows := taps * cg
	g, panel := task/panels, task%panels
	k0 := g*kg + panel*isa.PanelWidth
	cols := min(isa.PanelWidth, kg-panel*isa.PanelWidth)
	w = w[k0*rows:]
	var block [64 * isa.PanelWidth]float32
	for i := 0; i < rows; i += 64 {
		n := min(64, rows-i)
		b := block[:n*isa.PanelWidth]
		packTransposed(b, w[i:], n, cols, rows)
		if scale != nil {
			scaleColumns(b, scale[k0:k0+cols])
		}
		if taps == 1 {
			copy(dst[i*isa.PanelWidth:], b)
			continue
		}
		for j := range n {
			ch, tap := (i+j)/taps, (i+j)%taps
			*(*[isa.PanelWidth]float32)(dst[(tap*cg+ch)*isa.PanelWidth:]) = *(*[isa.PanelWidth]float32)(b[j*isa.PanelWidth:])
		}
	}
}

// scaleColumns multiplies columns of rows of 16.
func scaleColumns(b []float32, scale []float64) {
	for ; len(b) > 0; b = b[isa.PanelWidth:] {
		row := b[:len(scale)]
		for j, s := range scale {
			row[j] = float32(float64(row[j]) * s)
		}
	}
}

// packRows copies rows of cols floats that lie stride apart in src into rows
// of 16 floats in dst, the rest of them zero.
func packRows(dst, src []float32, rows, cols, stride int) {
	if cols == isa.PanelWidth {
		for i := range rows {
			*(*[isa.PanelWidth]float32)(dst[i*isa.PanelWidth:]) = *(*[isa.PanelWidth]float32)(src[i*stride:])
		}
		return
	}
	for i := range rows {
		d := dst[i*isa.PanelWidth:][:isa.PanelWidth]
		copy(d, src[i*stride:][:cols])
		clear(d[cols:])
	}
}

func (p *Packing) runGrad(task int, dst, w []float32) {
	c := &p.conv
	cg, kg := c.C/c.Groups, c.K/c.Groups
	panels := isa.CeilDiv(cg, isa.PanelWidth)
	panel := task % panels
	g := task / panels % c.Groups
	sub := task / panels / c.Groups
	off := 0
	for _, s := range p.subs[:sub] {
		off += c.Groups * panels * isa.PanelWidth * c.Precision.Words(kg) * len(s.rows) * len(s.cols)
	}
	s := &p.subs[sub]
	length := len(s.rows) * len(s.cols) * c.Precision.Words(kg) * isa.PanelWidth
	dst = dst[off+(g*panels+panel)*length:][:length]
	c0 := panel * isa.PanelWidth
	cols := min(isa.PanelWidth, cg-c0)
	for _, r := range s.rows {
		for _, q := range s.cols {
			// 16 rows of kg weights become kg rows of 16.
			src := w[((r*c.S+q)*cg+c0)*c.K+g*kg:]
			if c.Precision != gemm.FP32 {
				c.narrowTransposed(dst, src, kg, cols)
				dst = dst[c.Precision.Words(kg)*isa.PanelWidth:]
				continue
			}
			packTransposed(dst[:kg*isa.PanelWidth], src, kg, cols, c.K)
			dst = dst[kg*isa.PanelWidth:]
		}
	}
}

// packTransposed writes dst[i*16+j] = src[j*stride+i] for i < rows, j < cols,
// and zero for the other j below 16.
func packTransposed(dst, src []float32, rows, cols, stride int) {
	if cols < isa.PanelWidth {
		clear(dst)
	}
	vec.TransposeStrided(dst, isa.PanelWidth, src, stride, cols, rows)
}
