package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// ConvTranspose2d is the transposed convolution, also called deconvolution, as PyTorch's
// ConvTranspose2d (Zeiler et al. 2010; Dumoulin and Visin 2016, chapter 4):
//
//	y[n, k, i*StrideH - PadH + r*DilationH, j*StrideW - PadW + s*DilationW] += x[n,c,i,j] * w[c,k,r,s]
//
// plus a bias. OutputPadH and OutputPadW make the output larger at the bottom and right:
// several inputs of a convolution have outputs of one size, and these choose among them.
// It is no operator but [ConvTranspose2d.Apply] builds it of [Conv2dInputGrad].
type ConvTranspose2d struct {
	StrideH, StrideW       int
	PadH, PadW             int
	OutputPadH, OutputPadW int
	DilationH, DilationW   int
	Groups                 int
}

// Apply adds the transposed convolution of x [N C H W] by w [C K/Groups R S] with the
// bias b [K], which may be nil. The output is [N K OH OW] with OH = (H-1)*StrideH -
// 2*PadH + DilationH*(R-1) + OutputPadH + 1. A mistake in shapes is a panic with an
// [*Error], as of [Graph.Must].
func (o ConvTranspose2d) Apply(g *Graph, x, w, b *Value) *Value {
	if err := o.check(x.Type, w.Type); err != nil {
		panic(&Error{Path: g.path, Op: "ConvTranspose2d", In: []Type{x.Type, w.Type}, Err: err})
	}
	h := transposedAxis(x.Shape[2], w.Shape[2], o.StrideH, o.PadH, o.OutputPadH, o.DilationH)
	v := transposedAxis(x.Shape[3], w.Shape[3], o.StrideW, o.PadW, o.OutputPadW, o.DilationW)
	channels := w.Shape[1] * o.Groups
	y := g.Must1(Conv2dInputGrad{
		Conv: Conv2d{
			StrideH: o.StrideH, StrideW: o.StrideW, DilationH: o.DilationH, DilationW: o.DilationW, Groups: o.Groups,
			PadTop: o.PadH, PadLeft: o.PadW, PadBottom: h.padding, PadRight: v.padding,
		},
		X: tensor.Shape{x.Shape[0], channels, h.size, v.size},
	}, x, w)
	for i, a := range [2]transposed{h, v} {
		if a.beyond > 0 {
			y = g.Must1(Pad{Axis: 2 + i, After: a.beyond}, y)
		}
	}
	if b == nil {
		return y
	}
	if !b.Shape.Equal(tensor.Shape{channels}) {
		panic(&Error{Path: g.path, Op: "ConvTranspose2d", In: []Type{x.Type, w.Type, b.Type}, Err: fmt.Errorf("the bias must be [%d], got %v", channels, b.Shape)})
	}
	return g.Must1(Binary{Fn: Add}, y, g.Must1(Reshape{tensor.Shape{1, channels, 1, 1}}, b))
}

func (o ConvTranspose2d) check(x, w Type) error {
	if err := floats([]Type{x, w}); err != nil {
		return err
	}
	if len(x.Shape) != 4 || len(w.Shape) != 4 {
		return fmt.Errorf("want an input [N C H W] and a weight [C K/groups R S]")
	}
	if min(o.StrideH, o.StrideW, o.DilationH, o.DilationW, o.Groups) < 1 || min(o.PadH, o.PadW, o.OutputPadH, o.OutputPadW) < 0 ||
		max(o.StrideH, o.StrideW, o.DilationH, o.DilationW, o.Groups, o.PadH, o.PadW) > maxExtent {
		return fmt.Errorf("stride, dilation and groups must be from 1, paddings from 0, and none above %d: they are %+v", maxExtent, o)
	}
	for _, q := range [][3]int{{o.OutputPadH, o.StrideH, o.DilationH}, {o.OutputPadW, o.StrideW, o.DilationW}} {
		if q[0] >= max(q[1], q[2]) {
			return fmt.Errorf("the output padding %d must be below the stride %d or the dilation %d", q[0], q[1], q[2])
		}
	}
	if x.Shape[1] != w.Shape[0] {
		return fmt.Errorf("the weight takes %d channels, the input has %d", w.Shape[0], x.Shape[1])
	}
	if w.Shape[0]%o.Groups != 0 || w.Shape[1] > maxExtent/o.Groups {
		return fmt.Errorf("%d channels and %d outputs of each group do not fit %d groups", w.Shape[0], w.Shape[1], o.Groups)
	}
	for a, size := range [2]int{
		transposedAxis(x.Shape[2], w.Shape[2], o.StrideH, o.PadH, o.OutputPadH, o.DilationH).size,
		transposedAxis(x.Shape[3], w.Shape[3], o.StrideW, o.PadW, o.OutputPadW, o.DilationW).size,
	} {
		if size < 1 || size > maxExtent {
			return fmt.Errorf("the output would have %d elements along axis %d", size, a+2)
		}
	}
	return nil
}

// transposed is one axis of the convolution whose gradient is taken.
type transposed struct {
	size, padding int // of its input, and of that after the end
	beyond        int // what output padding adds where no weight reaches
}

// transposedAxis takes output padding from the padding after the end, so that there are
// as many windows as elements; what is more than that padding is zeros.
func transposedAxis(in, kernel, stride, pad, extra, dilation int) transposed {
	beyond := max(extra-pad, 0)
	extra -= beyond
	return transposed{(in-1)*stride - 2*pad + dilation*(kernel-1) + extra + 1, pad - extra, beyond}
}
