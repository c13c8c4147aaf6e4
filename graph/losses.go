package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// This file has losses that are compositions of operators. Each adds its operators to
// g and returns a scalar, the weighted sum of the elements' losses: a mean is a sum
// with weights 1/n. weight may be nil for ones; else it broadcasts against the loss of
// the elements, so [R 1] weights whole rows of [R C]. A mistake in shapes is a panic
// with an [*Error], as of [Graph.Must]. Gradients flow to all inputs that need one.

// weightedSum is the sum of the elements of loss, each multiplied by its weight.
func (g *Graph) weightedSum(loss, weight *Value) *Value {
	if weight != nil {
		product := g.Must1(Binary{Fn: Mul}, loss, weight)
		if !product.Shape.Equal(loss.Shape) {
			panic(&Error{Path: g.path, Op: "loss", In: []Type{loss.Type, weight.Type},
				Err: fmt.Errorf("weights %v do not broadcast to the loss %v", weight.Shape, loss.Shape)})
		}
		loss = product
	}
	return g.Must1(Reduce{Fn: Sum}, loss)
}

// difference is |x-target| for two values of one shape.
func (g *Graph) difference(name string, x, target *Value) *Value {
	if !x.Shape.Equal(target.Shape) {
		panic(&Error{Path: g.path, Op: name, In: []Type{x.Type, target.Type}, Err: fmt.Errorf("the input and the target must have one shape")})
	}
	return g.Must1(Unary{Fn: Abs}, g.Must1(Binary{Fn: Sub}, x, target))
}

// L1Loss is Σ w*|x-target|, of two values of one shape.
func L1Loss(g *Graph, x, target, weight *Value) *Value {
	return g.weightedSum(g.difference("L1Loss", x, target), weight)
}

// SmoothL1Loss is Σ w*l with d = |x-target| and l = d²/(2*beta) where d < beta, else
// d - beta/2 (Girshick 2015, "Fast R-CNN", section 2.3, there with beta 1). beta 0 is
// [L1Loss].
func SmoothL1Loss(g *Graph, x, target, weight *Value, beta float32) *Value {
	if !(beta >= 0) {
		panic(&Error{Path: g.path, Op: "SmoothL1Loss", Err: fmt.Errorf("beta is %g, must not be negative", beta)})
	}
	d := g.difference("SmoothL1Loss", x, target)
	if beta == 0 {
		return g.weightedSum(d, weight)
	}
	// With m = min(d, beta), both cases are m*(d-m/2)/beta.
	m := g.Must1(Binary{Fn: Min}, d, g.Scalar(beta))
	l := g.Must1(Binary{Fn: Mul}, m, g.Must1(Binary{Fn: Sub}, d, g.Must1(Affine{Scale: 0.5}, m)))
	return g.weightedSum(g.Must1(Affine{Scale: 1 / beta}, l), weight)
}

// BCELoss is Σ w*-(t*log σ(x) + (1-t)*log(1-σ(x))), the binary cross entropy of
// sigmoid(x) against targets in [0, 1] of its shape. [BCEWithLogits] is its mean
// over [N C], faster.
func BCELoss(g *Graph, x, target, weight *Value) *Value {
	if !x.Shape.Equal(target.Shape) {
		panic(&Error{Path: g.path, Op: "BCELoss", In: []Type{x.Type, target.Type}, Err: fmt.Errorf("the logits and the target must have one shape")})
	}
	// -log σ(x) = softplus(x) - x and -log(1-σ(x)) = softplus(x).
	l := g.Must1(Binary{Fn: Sub}, g.Must1(Unary{Fn: Softplus}, x), g.Must1(Binary{Fn: Mul}, x, target))
	return g.weightedSum(l, weight)
}

// GIoULoss is Σ w*(1-GIoU) of boxes and targets [R 4], each row x1, y1, x2, y2
// (Rezatofighi et al. 2019, "Generalized Intersection over Union", algorithm 1). With
// the intersection I, the union U and the smallest box C around both,
//
//	GIoU = I/(U+eps) - (C-U)/(C+eps)
//
// as torchvision.ops.generalized_box_iou_loss, whose eps is 1e-7. weight is [R 1].
func GIoULoss(g *Graph, boxes, target, weight *Value, eps float32) *Value {
	for _, v := range []*Value{boxes, target} {
		if len(v.Shape) != 2 || v.Shape[1] != 4 || !v.Shape.Equal(boxes.Shape) {
			panic(&Error{Path: g.path, Op: "GIoULoss", In: []Type{boxes.Type, target.Type}, Err: fmt.Errorf("want boxes and targets [R 4] of x1, y1, x2, y2")})
		}
	}
	side := func(v *Value, i int) *Value { return g.Must1(Slice{Axis: 1, Start: i, Count: 1, Step: 1}, v) }
	do := func(fn BinaryFn, a, b *Value) *Value { return g.Must1(Binary{Fn: fn}, a, b) }
	var a, b [4]*Value
	for i := range a {
		a[i], b[i] = side(boxes, i), side(target, i)
	}
	area := func(x [4]*Value) *Value { return do(Mul, do(Sub, x[2], x[0]), do(Sub, x[3], x[1])) }
	positive := func(fn UnaryFn, x *Value) *Value { return g.Must1(Unary{Fn: fn}, x) }
	width := positive(Relu, do(Sub, do(Min, a[2], b[2]), do(Max, a[0], b[0])))
	height := positive(Relu, do(Sub, do(Min, a[3], b[3]), do(Max, a[1], b[1])))
	inter := do(Mul, width, height)
	union := do(Sub, do(Add, area(a), area(b)), inter)
	around := do(Mul, do(Sub, do(Max, a[2], b[2]), do(Min, a[0], b[0])), do(Sub, do(Max, a[3], b[3]), do(Min, a[1], b[1])))
	eased := func(x *Value) *Value { return g.Must1(Affine{Scale: 1, Shift: eps}, x) }
	iou := do(Div, inter, eased(union))
	rest := do(Div, do(Sub, around, union), eased(around))
	return g.weightedSum(g.Must1(Affine{Scale: -1, Shift: 1}, do(Sub, iou, rest)), weight)
}

// DiceLoss is the mean over the classes of
//
//	1 - (2*Σ p*t + smooth) / max(Σ p + Σ t + smooth, 1e-7)
//
// (Milletari et al. 2016, "V-Net", section 3, with plain sums below) with p =
// softmax(logits) and t the one-hot labels, summed over all pixels that do not have
// [IgnoreLabel]; a class without a pixel in the labels counts 0. It equals the DiceLoss
// of segmentation_models_pytorch 0.6 in multiclass mode, with half of its smooth. Inputs: logits [N C H W] and labels
// int64 [N H W], or [N C] and [N].
func DiceLoss(g *Graph, logits, labels *Value, smooth float32) *Value {
	rank := len(logits.Shape)
	if rank != 2 && rank != 4 || labels.DType != tensor.Int64 || !labels.Shape.Equal(append(logits.Shape[:1].Clone(), logits.Shape[2:]...)) {
		panic(&Error{Path: g.path, Op: "DiceLoss", In: []Type{logits.Type, labels.Type},
			Err: fmt.Errorf("want logits [N C H W] and labels int64[N H W], or [N C] and [N]")})
	}
	classes := logits.Shape[1]
	if rank == 4 {
		logits = g.Must1(Permute{[]int{0, 2, 3, 1}}, logits)
	}
	rows := logits.Shape.Numel() / classes
	p := g.Must1(Softmax{}, g.reshaped(logits, rows, classes))
	t := g.reshaped(g.Must1(OneHot{classes}, labels), rows, classes)
	sum := func(v *Value) *Value { return g.Must1(Reduce{Fn: Sum, Axes: []int{0}}, v) }
	counts := g.Must1(Reduce{Fn: Sum, Axes: []int{1}, Keep: true}, t) // 0 for ignored rows
	p = g.Must1(Binary{Fn: Mul}, p, counts)
	present := sum(t)
	eased := func(v *Value, scale float32) *Value { return g.Must1(Affine{Scale: scale, Shift: smooth}, v) }
	above := eased(sum(g.Must1(Binary{Fn: Mul}, p, t)), 2)
	below := g.Must1(Binary{Fn: Max}, eased(g.Must1(Binary{Fn: Add}, sum(p), present), 1), g.Scalar(1e-7))
	loss := g.Must1(Affine{Scale: -1, Shift: 1}, g.Must1(Binary{Fn: Div}, above, below))
	occurs := g.Must1(Binary{Fn: Min}, present, g.Scalar(1))
	return g.Must1(Reduce{Fn: Mean}, g.Must1(Binary{Fn: Mul}, loss, occurs))
}
