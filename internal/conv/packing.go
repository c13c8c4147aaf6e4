package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// Order is how weights are stored.
type Order uint8

// The values of Order.
const (
	HWIO Order = iota // [R][S][C/Groups][K], which the engine trains
	OIHW              // [K][C/Groups][R][S], PyTorch's
)

// Weights are the weights of a convolution before they are packed.
type Weights struct {
	Data  []float32 // of a [QuantForward], integers in -128..127
	Order Order
	// Scale multiplies each filter of weights in the order OIHW, in float64 and
	// rounded once; nil is 1. A folded batch norm has one, quantized weights have
	// none.
	Scale []float64
}

// Packing lays convolution weights out as the kernels of an algorithm read them.
// Most are panels of 16 output columns, zero-padded at the end of each group,
//
//	panel 0: [taps][inputs][16]   panel 1: [taps][inputs][16]   …
//
// one after another, group by group. The layout does not depend on the images, so
// plans for several sizes and numbers of images can share packed weights. It is the
// same on every instruction set but for quantized weights, see [gemm8.Wide].
type Packing struct {
	Len   int        // floats of the packed weights
	Tasks int        // independent pieces of Pack
	Key   PackingKey // of equal keys the layouts are equal
	OIHW  bool       // Pack takes the order OIHW, too

	weights int // floats
	pack    func(task int, dst []float32, w Weights)
}

// PackingKey identifies a layout.
type PackingKey struct {
	conv   Conv
	layout string
}

// Pack packs one piece of w into dst, which has Len floats. Of the order HWIO it
// allocates nothing.
func (p *Packing) Pack(task int, dst []float32, w Weights) {
	isa.CheckFloats("packed weights", dst, p.Len)
	isa.CheckFloats("weights", w.Data, p.weights)
	if w.Order == OIHW && !p.OIHW || w.Order == HWIO && w.Scale != nil {
		panic("conv: a packing does not take this order of weights, or no scale with it")
	}
	p.pack(task, dst, w)
}

// key returns the key of a layout that does not depend on the image.
func (c Conv) key(layout string) PackingKey {
	c.N, c.H, c.W = 1, 1, 1
	return PackingKey{c, layout}
}

// forwardPacking returns the panels of a direct forward convolution: the columns
// are the output channels, the taps are (r, s) and the inputs are the channels
// of the group.
func (c Conv) forwardPacking() *Packing {
	tasks := c.Groups * isa.CeilDiv(c.K/c.Groups, isa.PanelWidth)
	size := isa.PanelWidth * c.R * c.S * c.Precision.Words(c.C/c.Groups) // of a panel
	return &Packing{
		Len: tasks * size, Tasks: tasks, Key: c.key("panels"), OIHW: true, weights: c.WLen(),
		pack: func(task int, dst []float32, w Weights) {
			dst = dst[task*size:][:size]
			switch {
			case w.Order == OIHW && c.Precision != gemm.FP32:
				c.narrowPanelOIHW(task, dst, w)
			case w.Order == OIHW:
				c.packPanelOIHW(task, dst, w)
			default:
				c.packPanel(task, dst, w.Data)
			}
		},
	}
}

// panel returns the group of panel task of a forward packing, its first output
// channel and the number of its channels.
func (c *Conv) panel(task int) (group, k0, cols int) {
	kg := c.K / c.Groups
	panels := isa.CeilDiv(kg, isa.PanelWidth)
	first := task % panels * isa.PanelWidth
	return task / panels, task/panels*kg + first, min(isa.PanelWidth, kg-first)
}

// packPanel packs one panel of weights in the order HWIO.
func (c *Conv) packPanel(task int, dst, w []float32) {
	_, k0, cols := c.panel(task)
	cg := c.C / c.Groups
	if c.Precision == gemm.FP32 {
		packRows(dst, w[k0:], c.R*c.S*cg, cols, c.K)
		return
	}
	size := c.Precision.Words(cg) * isa.PanelWidth
	for tap := range c.R * c.S {
		c.Precision.PairRows(dst[tap*size:][:size], w[tap*cg*c.K+k0:], cg, cols, isa.PanelWidth, c.K)
	}
}

// packPanelOIHW packs one panel of float32 weights in the order OIHW.
func (c *Conv) packPanelOIHW(task int, dst []float32, weights Weights) {
	cg, taps := c.C/c.Groups, c.R*c.S
	rows := taps * cg
	_, k0, cols := c.panel(task)
	w, scale := weights.Data[k0*rows:], weights.Scale
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

// inputGradPacking returns the panels of a direct input gradient: the columns are
// the input channels and the inputs are the output channels of the group; the
// taps are flipped and, for strides above 1, sorted by the parity of the input
// pixel that they reach.
func (c Conv) inputGradPacking() *Packing {
	subs := gradSubConvs(c)
	panels := isa.CeilDiv(c.C/c.Groups, isa.PanelWidth)
	per := panels * isa.PanelWidth * c.Precision.Words(c.K/c.Groups)
	taps := 0
	for _, s := range subs {
		taps += len(s.rows) * len(s.cols)
	}
	images := c
	images.N = 1
	return &Packing{
		Len: c.Groups * per * taps, Tasks: c.Groups * len(subs) * panels,
		Key: PackingKey{images, "input gradient"}, weights: c.WLen(),
		pack: func(task int, dst []float32, w Weights) { c.packInputGrad(subs, task, dst, w.Data) },
	}
}

// packInputGrad packs one panel of one of the parity classes.
func (c *Conv) packInputGrad(subs []subConv, task int, dst, w []float32) {
	cg, kg := c.C/c.Groups, c.K/c.Groups
	panels := isa.CeilDiv(cg, isa.PanelWidth)
	panel := task % panels
	g := task / panels % c.Groups
	sub := task / panels / c.Groups
	off := 0
	for _, s := range subs[:sub] {
		off += c.Groups * panels * isa.PanelWidth * c.Precision.Words(kg) * len(s.rows) * len(s.cols)
	}
	s := &subs[sub]
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
