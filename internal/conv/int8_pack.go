package conv

import (
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// PackedLen returns the length of the packed weights. Like what they hold, it
// does not depend on the number and size of images.
func (q *Int8Conv) PackedLen() int { return q.conv.Groups * q.panels * q.panelLen }

// Pack packs w [R][S][C/Groups][K] as package gemm8 draws it:
//
//	[group][panel][batch element][word][16 columns][4]
//
// with zeros where a batch element or a panel ends early.
func (q *Int8Conv) Pack(dst, w []int8) {
	q.pack(dst, w, int8Strides{channel: q.conv.K, tap: q.c * q.conv.K, out: 1})
}

// PackOIHW is Pack of w [K][C/Groups][R][S]. It also returns the sum of the
// weights of each output channel, [K], for [Int8Layer].
func (q *Int8Conv) PackOIHW(dst, w []int8) (sums []int32) {
	taps := q.conv.R * q.conv.S
	q.pack(dst, w, int8Strides{channel: taps, tap: 1, out: taps * q.c})
	sums = make([]int32, q.conv.K)
	for k := range sums {
		for _, v := range w[k*taps*q.c:][:taps*q.c] {
			sums[k] += int32(v)
		}
	}
	return sums
}

// int8Strides are the elements between neighbors of unpacked weights along each
// axis.
type int8Strides struct{ channel, tap, out int }

func (q *Int8Conv) pack(dst, w []int8, s int8Strides) {
	isa.CheckLen(len(dst), q.PackedLen(), "packed weights")
	isa.CheckLen(len(w), q.conv.WLen(), "weights")
	clear(dst)
	// A batch element is a row of the filter or a tap.
	elements := len(q.aoff)
	taps := q.conv.R * q.conv.S / elements
	for k := range q.conv.K {
		group, col := k/q.k, k%q.k
		panel := dst[(group*q.panels+col/isa.PanelWidth)*q.panelLen:]
		from := w[k*s.out:]
		for b := range elements {
			element := panel[b*q.words*4*isa.PanelWidth+col%isa.PanelWidth*4:]
			i := 0
			for t := range taps {
				for c := range q.c {
					element[i/4*4*isa.PanelWidth+i%4] = from[(b*taps+t)*s.tap+c*s.channel]
					i++
				}
			}
		}
	}
}

// Int8Layer has the constants of a quantized layer's output channels, [K] each,
// as files of quantized networks have them.
type Int8Layer struct {
	X      vec.Quant // of the input
	WScale []float32 // of the weights, whose zero points are 0
	Bias   []int32   // in units of X.Scale*WScale
	Sums   []int32   // of the weights, see PackOIHW
}

// SetLayer sets the channels for a layer. What the epilogue adds, and to what it
// quantizes, must be set before.
func (e *Int8Epilogue) SetLayer(q *Int8Conv, l Int8Layer) {
	to := float32(1) // scale of what the scaled sums are rounded to
	switch {
	case e.Add != nil:
		to = e.Add.Y.Scale
	case e.OutQuant.Scale != 0:
		to = e.OutQuant.Scale
	}
	corr, scale := make([]int32, q.conv.K), make([]float32, q.conv.K)
	for k := range corr {
		corr[k] = l.Bias[k] - int32(l.X.Zero)*l.Sums[k]
		// Rounded as onnxruntime's QLinearConv does, whose results these are then.
		scale[k] = float32(l.X.Scale*l.WScale[k]) / to
	}
	e.SetChannels(q, corr, scale)
}

// SetChannels sets what each output channel's sums begin with, and what they are
// multiplied by, [K] each: corr is the bias in units of the sums, minus the input's
// zero point times the sum of the channel's weights, which makes up for bytes that
// are not multiplied relative to the zero point; scale is the input's scale times
// the channel's, divided by the scale of the bytes that the result is rounded to.
func (e *Int8Epilogue) SetChannels(q *Int8Conv, corr []int32, scale []float32) {
	isa.CheckLen(len(corr), q.conv.K, "corrections")
	isa.CheckLen(len(scale), q.conv.K, "scales")
	// Padded to whole panels, group by group.
	padded := q.conv.Groups * q.panels * isa.PanelWidth
	e.corr, e.scale, e.large = make([]int32, padded), make([]float32, padded), false
	for g := range q.conv.Groups {
		copy(e.corr[g*q.panels*isa.PanelWidth:], corr[g*q.k:(g+1)*q.k])
		copy(e.scale[g*q.panels*isa.PanelWidth:], scale[g*q.k:(g+1)*q.k])
	}
	for _, s := range scale {
		e.large = e.large || !(s < 1)
	}
}
