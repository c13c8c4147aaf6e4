package onnx

import (
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// geometry is what convolutions and poolings have in common, for two spatial
// axes. One-dimensional ones are images of height 1.
type geometry struct {
	one                     bool // the file's operator has one spatial axis
	kernel, stride, dilated [2]int
	before, after           [2]int // padding
	auto                    string
}

// spatial reads a window's attributes. kernel is given by the weight's shape or,
// if nil, by the attribute kernel_shape.
func (n *node) spatial(x *graph.Value, kernel []int) (g geometry) {
	axes := len(x.Shape) - 2
	if axes != 1 && axes != 2 {
		n.failf("an input of %d axes: [N C W] and [N C H W] are supported", len(x.Shape))
	}
	g.one = axes == 1
	pair := func(name string, x []int64, def int, lo int64) (out [2]int) {
		v := n.small(name, x, lo, 1<<16)
		switch {
		case x == nil:
			return [2]int{def, def}
		case len(v) != axes:
			n.failf("%s %v for %d spatial axes", name, x, axes)
		case axes == 1:
			return [2]int{1, v[0]}
		}
		return [2]int{v[0], v[1]}
	}
	declared := n.attrInts("kernel_shape")
	if kernel == nil {
		if declared == nil {
			n.failf("it has no kernel_shape")
		}
		g.kernel = pair("kernel_shape", declared, 1, 1)
	} else {
		copy(g.kernel[2-len(kernel):], kernel)
		if g.one {
			g.kernel[0] = 1
		}
		if declared != nil && pair("kernel_shape", declared, 1, 1) != g.kernel {
			n.failf("kernel_shape %v differs from the weight's %v", declared, kernel)
		}
	}
	g.stride = pair("strides", n.attrInts("strides"), 1, 1)
	g.dilated = pair("dilations", n.attrInts("dilations"), 1, 1)
	if g.one {
		g.stride[0], g.dilated[0] = 1, 1
	}
	g.auto = n.attrString("auto_pad", "NOTSET")
	switch g.auto {
	case "NOTSET", "":
		g.auto = "NOTSET"
		if p := n.attrInts("pads"); p != nil {
			v := n.small("pads", p, 0, 1<<16)
			if len(v) != 2*axes {
				n.failf("pads %v for %d spatial axes", p, axes)
			}
			copy(g.before[2-axes:], v[:axes])
			copy(g.after[2-axes:], v[axes:])
		}
	case "VALID", "SAME_UPPER", "SAME_LOWER":
	default:
		n.failf("auto_pad %q is not known", g.auto)
	}
	return g
}

// same sets the padding that makes the output ceil(size/stride) large.
func (g *geometry) same(size [2]int) {
	if g.auto != "SAME_UPPER" && g.auto != "SAME_LOWER" {
		return
	}
	for a := range 2 {
		out := (size[a] + g.stride[a] - 1) / g.stride[a]
		g.share(a, max(0, (out-1)*g.stride[a]+(g.kernel[a]-1)*g.dilated[a]+1-size[a]))
	}
}

// share divides the padding of an axis between its two ends.
func (g *geometry) share(a, total int) {
	g.before[a], g.after[a] = total/2, total-total/2
	if g.auto == "SAME_LOWER" {
		g.before[a], g.after[a] = g.after[a], g.before[a]
	}
}

// wide makes [N C W] an image [N C 1 W].
func (n *node) wide(x *graph.Value) *graph.Value {
	if len(x.Shape) == 3 {
		return n.reshape(x, x.Shape[0], x.Shape[1], 1, x.Shape[2])
	}
	return x
}

// narrow undoes wide.
func (n *node) narrow(y *graph.Value, g geometry) *graph.Value {
	if g.one {
		return n.reshape(y, y.Shape[0], y.Shape[1], y.Shape[3])
	}
	return y
}

func size(x *graph.Value) [2]int { return [2]int{x.Shape[2], x.Shape[3]} }

func (n *node) conv2d(g geometry) graph.Conv2d {
	groups := n.small("group", []int64{n.attrInt("group", 1)}, 1, 1<<20)[0]
	return graph.Conv2d{
		StrideH: g.stride[0], StrideW: g.stride[1], PadTop: g.before[0], PadLeft: g.before[1],
		PadBottom: g.after[0], PadRight: g.after[1], DilationH: g.dilated[0], DilationW: g.dilated[1], Groups: groups,
	}
}

func (n *node) weight(x *graph.Value) *graph.Value {
	w := n.x(1)
	if len(w.Shape) != len(x.Shape) {
		n.failf("a weight %v for an input %v", w.Shape, x.Shape)
	}
	return w
}

func conv(n *node) {
	x := n.x(0)
	w := n.weight(x)
	g := n.spatial(x, w.Shape[2:])
	x, w = n.wide(x), n.wide(w)
	g.same(size(x))
	x, w = n.cropTaps(x, w, &g)
	in := []*graph.Value{x, w}
	if n.has(2) {
		in = append(in, n.x(2))
	}
	n.set(n.narrow(n.do(n.conv2d(g), in...), g))
}

// cropTaps leaves out the rows and columns of a dilated kernel that meet padding
// alone, with their padding: by dilation, a small file could ask for pictures of any
// size that are nearly all padding.
func (n *node) cropTaps(x, w *graph.Value, g *geometry) (*graph.Value, *graph.Value) {
	for a := range 2 {
		extent, k, d := x.Shape[2+a], g.kernel[a], g.dilated[a]
		if d == 1 || g.before[a]+g.after[a] <= extent {
			continue
		}
		room := extent + g.before[a] + g.after[a] - (k-1)*d - 1
		if room < 0 {
			continue // the operator reports it
		}
		last := room / g.stride[a] * g.stride[a] // where the last window begins
		lo, hi := k, -1
		for r := range k { // tap r reads r*d-before to last+r*d-before
			if r*d-g.before[a] < extent && last+r*d-g.before[a] >= 0 {
				lo, hi = min(lo, r), max(hi, r)
			}
		}
		if hi < 0 { // all is padding; one tap is as good as any
			lo, hi = 0, 0
		}
		if lo == 0 && hi == k-1 {
			continue
		}
		w = n.do(graph.Slice{Axis: 2 + a, Start: lo, Count: hi - lo + 1, Step: 1}, w)
		count := last/g.stride[a] + 1
		g.kernel[a] = hi - lo + 1
		g.before[a] -= lo * d
		g.after[a] = (count-1)*g.stride[a] + (g.kernel[a]-1)*d + 1 - extent - g.before[a]
		if g.kernel[a] == 1 {
			g.dilated[a] = 1
		}
		if cut := -g.before[a]; cut > 0 && cut < x.Shape[2+a] {
			x = n.do(graph.Slice{Axis: 2 + a, Start: cut, Count: x.Shape[2+a] - cut, Step: 1}, x)
			g.before[a] = 0
		}
		if cut := -g.after[a]; cut > 0 && cut < x.Shape[2+a] {
			x = n.do(graph.Slice{Axis: 2 + a, Start: 0, Count: x.Shape[2+a] - cut, Step: 1}, x)
			g.after[a] = 0
		}
	}
	return x, w
}

// convTranspose is the gradient of a convolution to its input.
func convTranspose(n *node) {
	dy := n.x(0)
	w := n.weight(dy)
	g := n.spatial(dy, w.Shape[2:])
	axes := len(dy.Shape) - 2
	extra, out := make([]int, 2), []int(nil)
	if p := n.attrInts("output_padding"); p != nil {
		if len(p) != axes {
			n.failf("output_padding %v", p)
		}
		copy(extra[2-axes:], n.small("output_padding", p, 0, 1<<16))
	}
	if s := n.attrInts("output_shape"); s != nil {
		if len(s) > axes {
			s = s[len(s)-axes:]
		}
		if len(s) != axes {
			n.failf("output_shape %v", s)
		}
		out = append(make([]int, 2-axes), n.small("output_shape", s, 1, 1<<16)...)
		if g.one {
			out[0] = 1
		}
	}
	dy, w = n.wide(dy), n.wide(w)
	var full [2]int
	for a, s := range size(dy) {
		whole := g.stride[a]*(s-1) + extra[a] + (g.kernel[a]-1)*g.dilated[a] + 1
		full[a] = whole - g.before[a] - g.after[a]
		switch {
		case out != nil:
			full[a] = out[a]
		case g.auto == "SAME_UPPER" || g.auto == "SAME_LOWER":
			full[a] = s * g.stride[a]
		default:
			continue
		}
		if whole < full[a] { // more at the end, as by output_padding
			if full[a]-whole >= g.stride[a] {
				n.failf("the output cannot be %d long, less than %d", full[a], whole+g.stride[a])
			}
			whole = full[a]
		}
		g.share(a, whole-full[a])
		if g.auto == "NOTSET" { // the rule differs when the shape is given
			g.before[a], g.after[a] = g.after[a], g.before[a]
		}
	}
	op := n.conv2d(g)
	if full[0] < 1 || full[1] < 1 || w.Shape[1] > maxElements/op.Groups {
		n.failf("the output would be %dx%d", full[0], full[1])
	}
	shape := tensor.Shape{dy.Shape[0], w.Shape[1] * op.Groups, full[0], full[1]}
	// What output_padding adds at the end no window of the convolution reaches.
	y := n.do(graph.Conv2dInputGrad{Conv: op, X: shape}, dy, w)
	if n.has(2) {
		b := n.x(2)
		if len(b.Shape) != 1 {
			n.failf("a bias %v", b.Shape)
		}
		y = n.binary(graph.Add, y, n.reshape(b, 1, b.Shape[0], 1, 1))
	}
	n.set(n.narrow(y, g))
}

func (n *node) window(x *graph.Value, g *geometry) graph.Window {
	ceil := n.attrInt("ceil_mode", 0) != 0
	g.same(size(x))
	return graph.Window{
		KernelH: g.kernel[0], KernelW: g.kernel[1], StrideH: g.stride[0], StrideW: g.stride[1],
		PadTop: g.before[0], PadLeft: g.before[1], PadBottom: g.after[0], PadRight: g.after[1], Ceil: ceil,
	}
}

func maxPool(n *node) {
	n.only("the indices of the maxima are not computed")
	x := n.moved(0)
	g := n.spatial(x, nil)
	x = n.wide(x)
	w := n.window(x, &g)
	if g.dilated == [2]int{1, 1} {
		n.same(n.narrow(n.g.Must(graph.MaxPool2d{Window: w}, x)[0], g))
		return
	}
	n.same(n.narrow(n.dilatedMax(x, g, w), g))
}

// dilatedMax is the maximum over the taps of the window, each a slice of the
// padded image.
func (n *node) dilatedMax(x *graph.Value, g geometry, w graph.Window) *graph.Value {
	if w.KernelH*w.KernelW > 256 {
		n.failf("a dilated %dx%d window is too large", w.KernelH, w.KernelW)
	}
	var out [2]int
	for a, s := range size(x) {
		room := s + g.before[a] + g.after[a] - (g.kernel[a]-1)*g.dilated[a] - 1
		if room < 0 {
			n.failf("the window does not fit into the padded input %v", x.Shape)
		}
		out[a] = room/g.stride[a] + 1
		if w.Ceil && room%g.stride[a] != 0 && out[a]*g.stride[a] < s+g.before[a] {
			out[a]++
			g.after[a] += g.stride[a] - room%g.stride[a]
		}
		if g.before[a]+g.after[a] > 0 {
			x = n.do(graph.Pad{Axis: 2 + a, Before: g.before[a], After: g.after[a], Value: float32(math.Inf(-1))}, x)
		}
	}
	var y *graph.Value
	for r := range g.kernel[0] {
		row := n.do(graph.Slice{Axis: 2, Start: r * g.dilated[0], Count: out[0], Step: g.stride[0]}, x)
		for s := range g.kernel[1] {
			tap := n.do(graph.Slice{Axis: 3, Start: s * g.dilated[1], Count: out[1], Step: g.stride[1]}, row)
			if y == nil {
				y = tap
			} else {
				y = n.binary(graph.Max, y, tap)
			}
		}
	}
	return y
}

func averagePool(n *node) {
	x := n.x(0)
	g := n.spatial(x, nil)
	if g.dilated != [2]int{1, 1} {
		n.failf("dilated average pooling is not supported")
	}
	x = n.wide(x)
	w := n.window(x, &g)
	n.set(n.narrow(n.do(graph.AvgPool2d{Window: w, CountPad: n.attrInt("count_include_pad", 0) != 0}, x), g))
}

func globalPool(n *node) {
	x := n.x(0)
	if len(x.Shape) < 3 {
		n.failf("an input %v has no image", x.Shape)
	}
	op := graph.Reduce{Fn: graph.Mean, Keep: true}
	if n.op == "GlobalMaxPool" {
		op.Fn = graph.MaxOf
	}
	for a := 2; a < len(x.Shape); a++ {
		op.Axes = append(op.Axes, a)
	}
	n.set(n.do(op, x))
}
