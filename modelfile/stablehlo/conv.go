package stablehlo

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// window is the geometry of a convolution of StableHLO.
type window struct {
	dims               string // what the axes of the operands and the result are
	stride             [2]int
	low, high          [2]int // padding, also negative
	dilateX, dilateW   [2]int
	groups, batchGroup int
}

func (w *writer) convolution(x, k value, shape tensor.Shape, o window) value {
	pair := func(p [2]int) string { return numbers(p[0], p[1]) }
	x, k, precision := w.operands(x, k, ", precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]")
	return w.emit("f32", shape, []value{x, k},
		"stablehlo.convolution(%s, %s) dim_numbers = %s, window = {stride = %s, pad = [%s, %s], lhs_dilate = %s, rhs_dilate = %s} {batch_group_count = %d : i64, feature_group_count = %d : i64%s}",
		x.name, k.name, o.dims, pair(o.stride), numbers(o.low[0], o.high[0]), numbers(o.low[1], o.high[1]), pair(o.dilateX), pair(o.dilateW), o.batchGroup, o.groups, precision)
}

var ones = [2]int{1, 1}

func (w *writer) conv2d(o graph.Conv2d, x, k value, shape tensor.Shape) value {
	return w.convolution(x, k, shape, window{
		dims: "[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]", stride: [2]int{o.StrideH, o.StrideW},
		low: [2]int{o.PadTop, o.PadLeft}, high: [2]int{o.PadBottom, o.PadRight},
		dilateX: ones, dilateW: [2]int{o.DilationH, o.DilationW}, groups: o.Groups, batchGroup: 1,
	})
}

// conv2dInputGrad is the convolution of the gradient, with its elements apart by the
// stride, and the mirrored weights.
func (w *writer) conv2dInputGrad(o graph.Conv2d, dy, k value, shape tensor.Shape) value {
	dilation, stride := [2]int{o.DilationH, o.DilationW}, [2]int{o.StrideH, o.StrideW}
	g := window{dims: "[b, f, 0, 1]x[i, o, 0, 1]->[b, f, 0, 1]", stride: ones, dilateX: stride, dilateW: dilation, groups: o.Groups, batchGroup: 1}
	for i, before := range [2]int{o.PadTop, o.PadLeft} {
		reach := dilation[i] * (k.shape[2+i] - 1)
		g.low[i] = reach - before
		g.high[i] = shape[2+i] - 1 - (dy.shape[2+i]-1)*stride[i] + before
	}
	if o.Groups > 1 { // [K C/g R S] to [K/g C R S]
		perGroup := k.shape[0] / o.Groups
		r, s := k.shape[2], k.shape[3]
		k = w.reshape(k, tensor.Shape{o.Groups, perGroup, k.shape[1], r, s})
		k = w.transpose(k, 1, 0, 2, 3, 4)
		k = w.reshape(k, tensor.Shape{perGroup, shape[1], r, s})
	}
	mirrored := w.emit(k.element, k.shape, []value{k}, "stablehlo.reverse %s, dims = [2, 3]", k.name)
	return w.convolution(dy, mirrored, shape, g)
}

// conv2dWeightGrad is the convolution of the input by the gradient, over the pictures
// as channels.
func (w *writer) conv2dWeightGrad(o graph.Conv2d, x, dy value, shape tensor.Shape) value {
	dilation, stride := [2]int{o.DilationH, o.DilationW}, [2]int{o.StrideH, o.StrideW}
	g := window{dims: "[f, b, 0, 1]x[i, o, 0, 1]->[f, b, 0, 1]", stride: dilation, dilateX: ones, dilateW: stride, groups: 1, batchGroup: o.Groups}
	for i, before := range [2]int{o.PadTop, o.PadLeft} {
		g.low[i] = before
		g.high[i] = dilation[i]*(shape[2+i]-1) + (dy.shape[2+i]-1)*stride[i] + 1 - x.shape[2+i] - before
	}
	return w.convolution(x, dy, shape, g)
}

// ends returns the padding after both axes with which a pooling has its output's size.
func ends(p graph.Window, x, y tensor.Shape) (h, w int) {
	return max(p.PadBottom, (y[2]-1)*p.StrideH+p.KernelH-x[2]-p.PadTop), max(p.PadRight, (y[3]-1)*p.StrideW+p.KernelW-x[3]-p.PadLeft)
}

// poolWindow writes the attributes of a window over [N C H W].
func poolWindow(kernelH, kernelW, strideH, strideW, top, bottom, left, right int) string {
	return fmt.Sprintf("padding = dense<[[0, 0], [0, 0], [%d, %d], [%d, %d]]> : tensor<4x2xi64>, window_dimensions = array<i64: 1, 1, %d, %d>, window_strides = array<i64: 1, 1, %d, %d>",
		top, bottom, left, right, kernelH, kernelW, strideH, strideW)
}

// pool combines windows by add or maximum.
func (w *writer) pool(op string, x value, shape tensor.Shape, attributes string) value {
	start := w.scalar(0)
	if op == "maximum" {
		start = w.scalar(float32(math.Inf(-1)))
	}
	return w.emit("f32", shape, []value{x, start},
		"\"stablehlo.reduce_window\"(%s, %s) ({\n    ^bb0(%%a: tensor<f32>, %%b: tensor<f32>):\n      %%c = stablehlo.%s %%a, %%b : tensor<f32>\n      stablehlo.return %%c : tensor<f32>\n    }) {%s}",
		x.name, start.name, op, attributes)
}

func (w *writer) maxPool(o graph.MaxPool2d, x value, shape tensor.Shape) value {
	bottom, right := ends(o.Window, x.shape, shape)
	return w.pool("maximum", x, shape, poolWindow(o.KernelH, o.KernelW, o.StrideH, o.StrideW, o.PadTop, bottom, o.PadLeft, right))
}

// pooled returns the input of the max pooling that a gradient is of; nil for other
// nodes.
func pooled(n *graph.Node) *graph.Value {
	o, ok := n.Op.(graph.MaxPool2dGrad)
	if !ok {
		return nil
	}
	of := n.In[1].Node
	if p, ok := of.Op.(graph.MaxPool2d); ok && p.Window == o.Window && n.In[1].Index == 1 {
		return of.In[0]
	}
	return nil
}

// maxPoolGrad gives the gradient to the first largest element of each window, by
// looking for it again.
func (w *writer) maxPoolGrad(o graph.MaxPool2dGrad, x, dy value) value {
	bottom, right := ends(o.Window, o.X, dy.shape)
	p := o.Window
	zero := w.scalar(0)
	return w.emit("f32", o.X, []value{x, dy, zero},
		"\"stablehlo.select_and_scatter\"(%s, %s, %s) ({\n    ^bb0(%%a: tensor<f32>, %%b: tensor<f32>):\n      %%c = stablehlo.compare GE, %%a, %%b, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>\n      stablehlo.return %%c : tensor<i1>\n    }, {\n    ^bb0(%%a: tensor<f32>, %%b: tensor<f32>):\n      %%c = stablehlo.add %%a, %%b : tensor<f32>\n      stablehlo.return %%c : tensor<f32>\n    }) {%s}",
		x.name, dy.name, zero.name, poolWindow(p.KernelH, p.KernelW, p.StrideH, p.StrideW, p.PadTop, bottom, p.PadLeft, right))
}

// divisors is a constant [OH OW] of what the sums of an average pooling are divided by.
func (w *writer) divisors(o graph.AvgPool2d, x, y tensor.Shape) value {
	t := tensor.New(y[2], y[3])
	for i := range y[2] {
		for j := range y[3] {
			t.Float32s()[i*y[3]+j] = float32(divisor(o, x[2], i*o.StrideH-o.PadTop, o.KernelH, o.PadBottom) * divisor(o, x[3], j*o.StrideW-o.PadLeft, o.KernelW, o.PadRight))
		}
	}
	return w.constant(t)
}

// divisor counts the elements of a window along one axis, those in the padding too with
// CountPad.
func divisor(o graph.AvgPool2d, size, start, kernel, after int) int {
	first, end := max(start, 0), min(start+kernel, size)
	if o.CountPad {
		first, end = start, min(start+kernel, size+after)
	}
	return end - first
}

func (w *writer) avgPool(o graph.AvgPool2d, x value, shape tensor.Shape) value {
	bottom, right := ends(o.Window, x.shape, shape)
	sums := w.pool("add", x, shape, poolWindow(o.KernelH, o.KernelW, o.StrideH, o.StrideW, o.PadTop, bottom, o.PadLeft, right))
	return w.div(sums, w.stretch(w.divisors(o, x.shape, shape), shape))
}

// avgPoolGrad adds up, for each element, the shares of the windows that it is in.
func (w *writer) avgPoolGrad(o graph.AvgPool2dGrad, dy value) value {
	p := o.Pool.Window
	shares := w.div(dy, w.stretch(w.divisors(o.Pool, o.X, dy.shape), dy.shape))
	// Element h is in the windows whose first element lies in h-kernel+1 … h.
	low := []int{0, 0, p.KernelH - 1 - p.PadTop, p.KernelW - 1 - p.PadLeft}
	high := []int{0, 0, 0, 0}
	for i, s := range [2]struct{ stride, pad int }{{p.StrideH, p.PadTop}, {p.StrideW, p.PadLeft}} {
		high[2+i] = o.X[2+i] + s.pad - (dy.shape[2+i]-1)*s.stride - 1
	}
	apart := w.pad(shares, w.scalar(0), low, high, []int{0, 0, p.StrideH - 1, p.StrideW - 1})
	return w.pool("add", apart, o.X, poolWindow(p.KernelH, p.KernelW, 1, 1, 0, 0, 0, 0))
}
