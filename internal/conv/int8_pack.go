package conv

import "github.com/resnet-go/resnet/internal/simd/isa"

// given returns the convolution before groups were merged.
func (q *int8Conv) given() Conv {
	c := q.conv
	c.Groups *= q.merge
	return c
}

// packing returns the layout of package gemm8's panels,
//
//	[group][panel][batch element][word][16 columns][4], or [2] of 16 bits each
//
// with zeros where a batch element or a panel ends early. It does not depend on
// how images of a size are read: a filter's taps follow each other, whether a
// batch element is one of them or a row.
func (q *int8Conv) packing() *Packing {
	tasks, given := q.conv.Groups*q.panels, q.given()
	return &Packing{
		Len: tasks * q.panelLen / 4, Tasks: tasks, Key: given.key(int8Name), OIHW: true, weights: given.WLen(),
		pack: func(task int, dst []float32, w Weights) {
			q.packPanel(task, bytesOf(dst[task*q.panelLen/4:], q.panelLen), w)
		},
	}
}

// packPanel packs one panel of weights, which are integers in -128..127.
func (q *int8Conv) packPanel(task int, dst []uint8, w Weights) {
	taps := q.conv.R * q.conv.S
	cg, kg := q.c/q.merge, q.k/q.merge
	channelStride, tapStride, outStride := q.conv.K, cg*q.conv.K, 1
	if w.Order == OIHW {
		channelStride, tapStride, outStride = taps, 1, taps*cg
	}
	clear(dst)
	_, k0, cols := q.conv.panel(task)
	elements := len(q.aoff)
	perElement := taps / elements
	perWord := 4 / q.size
	for col := range cols {
		from := w.Data[(k0+col)*outStride:]
		first := (k0 + col) / kg % q.merge * cg // input channel of its own group
		for b := range elements {
			to := dst[(b*q.words*isa.PanelWidth+col)*4:]
			for t := range perElement {
				i := t*q.c + first
				for c := range cg {
					v := int8(from[(b*perElement+t)*tapStride+c*channelStride])
					at := i/perWord*4*isa.PanelWidth + i%perWord*q.size
					to[at] = uint8(v)
					if q.size > 1 {
						to[at+1] = uint8(v >> 7) // the sign
					}
					i++
				}
			}
		}
	}
}

// int8Channels are the constants of each output channel.
type int8Channels struct {
	corr  []int32   // what the sums begin with
	scale []float32 // what the sums are multiplied by
	large bool      // a scale is 1 or more: a scaled sum may not fit in an int32
}

// channels returns the constants of k output channels: corr makes up for bytes that are
// not multiplied relative to the zero point of x.
func (l *Quant) channels(k int) int8Channels {
	isa.CheckLen(len(l.Bias), k, "biases")
	isa.CheckLen(len(l.WSum), k, "sums of weights")
	isa.CheckLen(len(l.WScale), k, "scales of weights")
	rounded := float32(1) // scale of what the scaled sums are rounded to
	switch {
	case l.Add != nil:
		rounded = l.Add.Y.Scale
	case !l.Real:
		rounded = l.Y.Scale
	}
	ch := int8Channels{corr: make([]int32, k), scale: make([]float32, k)}
	for i := range k {
		ch.corr[i] = l.Bias[i] - int32(l.X.Zero)*l.WSum[i]
		// Rounded as onnxruntime's QLinearConv does, to give its results.
		ch.scale[i] = float32(l.X.Scale*l.WScale[i]) / rounded
		ch.large = ch.large || !(ch.scale[i] < 1)
	}
	return ch
}

// inPanels pads the constants of each group to whole panels.
func (q *int8Conv) inPanels(ch int8Channels) int8Channels {
	padded := q.panels * isa.PanelWidth
	corr, scale := make([]int32, q.conv.Groups*padded), make([]float32, q.conv.Groups*padded)
	for g := range q.conv.Groups {
		copy(corr[g*padded:], ch.corr[g*q.k:][:q.k])
		copy(scale[g*padded:], ch.scale[g*q.k:][:q.k])
	}
	ch.corr, ch.scale = corr, scale
	return ch
}
