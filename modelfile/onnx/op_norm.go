package onnx

import (
	"math"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// This file has the normalizations beside batch, instance and layer norm.

// groupNormalization has a scale and shift for each channel from opset 21 on, for
// each group before.
func groupNormalization(n *node) {
	x, scale, shift := n.x(0), n.x(1), n.x(2)
	s := x.Shape
	if len(s) < 2 || len(scale.Shape) != 1 || !shift.Shape.Equal(scale.Shape) {
		n.failf("an input %v, scale %v, shift %v", s, scale.Shape, shift.Shape)
	}
	groups := n.small("num_groups", []int64{n.attrInt("num_groups", 1)}, 1, int64(s[1]))[0]
	if s[1]%groups != 0 {
		n.failf("%d channels do not divide into %d groups", s[1], groups)
	}
	eps := n.attrFloat("epsilon", 1e-5)
	if scale.Shape[0] == s[1] && (n.version() >= 21 || groups == s[1]) && (len(s) == 2 || len(s) == 4) {
		n.set(n.g.Must(graph.GroupNorm{Groups: groups, Eps: eps}, x, scale, shift)[0])
		return
	}
	per := s[1] / groups
	y, _, _ := n.normalize(n.reshape(x, s[0], groups, per*s[2:].Numel()), []int{2}, eps)
	wide := tensor.Shape{1, groups, per, 1}
	if scale.Shape[0] == groups && n.version() < 21 {
		wide = tensor.Shape{1, groups, 1, 1}
	} else if scale.Shape[0] != s[1] {
		n.failf("a scale %v for %d channels in %d groups", scale.Shape, s[1], groups)
	}
	y = n.reshape(y, s[0], groups, per, s[2:].Numel())
	y = n.binary(graph.Mul, y, n.reshape(scale, wide...))
	y = n.binary(graph.Add, y, n.reshape(shift, wide...))
	n.set(n.reshape(y, s...))
}

// rmsNormalization is x / sqrt(mean(x²) + eps) * scale.
func rmsNormalization(n *node) {
	x := n.x(0)
	var axes []int
	for a := n.axis(n.attrInt("axis", -1), len(x.Shape)); a < len(x.Shape); a++ {
		axes = append(axes, a)
	}
	square := n.do(graph.Reduce{Fn: graph.Mean, Axes: axes, Keep: true}, n.unary(graph.Square, x))
	y := n.binary(graph.Mul, x, n.unary(graph.Rsqrt, n.affine(square, 1, n.attrFloat("epsilon", 1e-5))))
	n.set(n.binary(graph.Mul, y, n.x(1)))
}

// meanVariance is (x - mean) / sqrt(variance), over the batch and pixels unless axes
// are given.
func meanVariance(n *node) {
	x := n.x(0)
	axes := []int64{0, 2, 3}
	if as := n.attrInts("axes"); as != nil {
		axes = as
	}
	average := graph.Reduce{Fn: graph.Mean, Axes: n.axes(axes, len(x.Shape)), Keep: true}
	centered := n.binary(graph.Sub, x, n.do(average, x))
	deviation := n.unary(graph.Sqrt, n.do(average, n.unary(graph.Square, centered)))
	n.set(n.binary(graph.Div, centered, n.affine(deviation, 1, 1e-9)))
}

// lpNormalization divides by the sum of magnitudes along an axis, or by the root of
// the sum of squares. A norm of 0 leaves 0.
func lpNormalization(n *node) {
	x := n.x(0)
	axis := n.axis(n.attrInt("axis", -1), len(x.Shape))
	n.set(n.binary(graph.Div, x, n.norm(x, n.attrInt("p", 2), []int{axis}, true)))
}

// norm is the p-norm over axes, never 0.
func (n *node) norm(x *graph.Value, p int64, axes []int, positive bool) *graph.Value {
	sum := func(v *graph.Value) *graph.Value {
		return n.do(graph.Reduce{Fn: graph.Sum, Axes: axes, Keep: true}, v)
	}
	var y *graph.Value
	switch p {
	case 1:
		y = sum(n.unary(graph.Abs, x))
	case 2:
		y = n.unary(graph.Sqrt, sum(n.unary(graph.Square, x)))
	default:
		n.failf("the norm p = %d: only 1 and 2 are supported", p)
	}
	if positive {
		y = n.binary(graph.Max, y, n.g.Scalar(math.SmallestNonzeroFloat32*(1<<23)))
	}
	return y
}

// lpPool is the p-norm of each window.
func lpPool(n *node) {
	x := n.x(0)
	g := n.spatial(x, nil)
	if g.dilated != [2]int{1, 1} {
		n.failf("dilated pooling by norms is not supported")
	}
	p := n.attrInt("p", 2)
	x = n.wide(x)
	w := n.window(x, &g)
	f := graph.Abs
	if p == 2 {
		f = graph.Square
	} else if p != 1 {
		n.failf("the norm p = %d: only 1 and 2 are supported", p)
	}
	y := n.do(graph.AvgPool2d{Window: w, CountPad: true}, n.unary(f, x))
	if w.Ceil {
		n.failf("pooling by norms with ceil_mode is not supported")
	}
	if y = n.affine(y, float32(w.KernelH*w.KernelW), 0); p == 2 {
		y = n.unary(graph.Sqrt, y)
	}
	n.set(n.narrow(y, g))
}

func globalLpPool(n *node) {
	x := n.x(0)
	if len(x.Shape) < 3 {
		n.failf("an input %v has no image", x.Shape)
	}
	var axes []int
	for a := 2; a < len(x.Shape); a++ {
		axes = append(axes, a)
	}
	n.set(n.norm(x, n.attrInt("p", 2), axes, false))
}

// localResponse divides by (bias + alpha/size * the sum of squares of the
// neighboring channels)^beta (Krizhevsky et al. 2012, section 3.3).
func localResponse(n *node) {
	x := n.x(0)
	if len(x.Shape) < 3 {
		n.failf("an input %v has no image", x.Shape)
	}
	size := n.small("size", []int64{n.attrInt("size", 0)}, 1, 1<<10)[0]
	alpha, beta, bias := n.attrFloat("alpha", 1e-4), n.attrFloat("beta", 0.75), n.attrFloat("bias", 1)
	before := (size - 1) / 2
	square := n.unary(graph.Square, x)
	padded := square
	if size > 1 {
		padded = n.do(graph.Pad{Axis: 1, Before: before, After: size - 1 - before}, square)
	}
	var sum *graph.Value
	for k := range size {
		part := padded
		if size > 1 {
			part = n.do(graph.Slice{Axis: 1, Start: k, Count: x.Shape[1], Step: 1}, padded)
		}
		if sum == nil {
			sum = part
		} else {
			sum = n.binary(graph.Add, sum, part)
		}
	}
	base := n.affine(sum, alpha/float32(size), bias)
	if beta == 0.75 { // the usual one, by roots, which are more precise
		root := n.unary(graph.Rsqrt, base)
		n.set(n.binary(graph.Mul, x, n.binary(graph.Mul, root, n.unary(graph.Sqrt, root))))
		return
	}
	n.set(n.binary(graph.Mul, x, n.unary(graph.Exp, n.affine(n.unary(graph.Log, base), -beta, 0))))
}

// scaler is ai.onnx.ml's (x - offset) * scale, with a number for all or for each
// feature.
func scaler(n *node) {
	x := n.x(0)
	part := func(name string) *graph.Value {
		a := n.attr(name)
		if a == nil || len(a.floats) == 0 {
			n.failf("it has no %s", name)
		}
		t, err := tensor.FromFloat32(slices.Clone(a.floats), len(a.floats))
		if err != nil {
			n.failf("%w", err)
		}
		return n.g.Const(t)
	}
	n.set(n.binary(graph.Mul, n.binary(graph.Sub, x, part("offset")), part("scale")))
}

// normalizer is ai.onnx.ml's division of each row by its norm.
func normalizer(n *node) {
	x := n.x(0)
	axes := []int{len(x.Shape) - 1}
	switch kind := n.attrString("norm", "MAX"); kind {
	case "MAX":
		n.set(n.binary(graph.Div, x, n.do(graph.Reduce{Fn: graph.MaxOf, Axes: axes, Keep: true}, x)))
	case "L1":
		n.set(n.binary(graph.Div, x, n.norm(x, 1, axes, true)))
	case "L2":
		n.set(n.binary(graph.Div, x, n.norm(x, 2, axes, true)))
	default:
		n.failf("the norm %q is not known", kind)
	}
}
