package onnx

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// This file has the operators of integer arithmetic. They are written as their
// definition: dequantize, compute with floating-point numbers, quantize again.

// whole returns input i, of whole numbers, which the graph holds as float32.
func (n *node) whole(i int) *graph.Value { return n.dynamic(n.must(i)) }

// zeros returns the zero points of input i as whole numbers, count of them.
func (n *node) zeros(i, count int) []int32 {
	out := make([]int32, count)
	if !n.has(i) {
		return out
	}
	z := n.ints(i, "the zero point")
	if len(z) != 1 && len(z) != count {
		n.failf("%d zero points for %d scales", len(z), count)
	}
	for k := range out {
		out[k] = int32(z[k%len(z)])
	}
	return out
}

// dequantized returns input x with the scale and zero point of the inputs after it,
// which count along axis if there are several.
func (n *node) dequantized(x, scale, zero, axis int) *graph.Value {
	s := n.static(scale, "the scale").floats()
	if len(s) == 0 {
		n.failf("it has no scale")
	}
	v := n.dynamic(n.must(x))
	if axis < 0 {
		axis += len(v.Shape)
	}
	return n.do(graph.DequantizeLinear{Scale: s, Zero: n.zeros(zero, len(s)), Axis: axis}, v)
}

// quantize makes y the first output, in whole numbers by a scale and zero point.
func (n *node) quantize(y *graph.Value, scale, zero int) {
	s := n.static(scale, "the scale of the output").floats()
	elem := elemUint8
	if n.has(zero) {
		elem = n.static(zero, "the zero point of the output").elem
	}
	if elem != elemInt8 && elem != elemUint8 || len(s) != 1 {
		n.failf("an output of type %v with %d scales: only int8 and uint8 with one are supported", elem, len(s))
	}
	op := graph.QuantizeLinear{Scale: s, Zero: n.zeros(zero, 1), Signed: elem == elemInt8}
	n.put(0, value{dyn: n.do(op, y), elem: elem})
}

// with runs a function of floating-point operators on other inputs, and returns
// what it makes.
func (n *node) with(fn func(*node), in ...*graph.Value) *graph.Value {
	ins, names := n.ins, n.in
	defer func() { n.ins, n.nodeProto.in = ins, names }()
	n.ins = nil
	for _, x := range in {
		n.ins = append(n.ins, value{dyn: x, elem: elemFloat})
	}
	fn(n)
	return n.vals[n.out[0]].dyn
}

// scaledBias returns a bias of int32, which has the product of two scales.
func (n *node) scaledBias(i, a, b int, alpha float32) *graph.Value {
	s, sa, sb := n.static(i, "the bias"), n.static(a, "the scale").floats(), n.static(b, "the scale").floats()
	f := s.floats()
	out := make([]float32, len(f))
	for k := range f {
		out[k] = f[k] * alpha * sa[0] * sb[k%len(sb)]
	}
	t, err := tensor.FromFloat32(out, s.shape...)
	if err != nil {
		n.failf("%w", err)
	}
	return n.g.Const(t)
}

func qLinearConv(n *node) { // x, scale, zero, w, scale, zero, scale, zero, bias
	in := []*graph.Value{n.dequantized(0, 1, 2, 1), n.dequantized(3, 4, 5, 0)}
	if n.has(8) {
		in = append(in, n.scaledBias(8, 1, 4, 1))
	}
	n.quantize(n.with(conv, in...), 6, 7)
}

func qLinearMatMul(n *node) {
	n.quantize(n.with(matMul, n.dequantized(0, 1, 2, 1), n.dequantized(3, 4, 5, -1)), 6, 7)
}

// qGemm is onnxruntime's Gemm of whole numbers; without a scale of the output, the
// result is of floating-point numbers.
func qGemm(n *node) {
	bAxis := 1
	if n.attrInt("transB", 0) != 0 {
		bAxis = 0
	}
	in := []*graph.Value{n.dequantized(0, 1, 2, 1), n.dequantized(3, 4, 5, bAxis)}
	if n.has(6) { // it has alpha already
		in = append(in, n.scaledBias(6, 1, 4, n.attrFloat("alpha", 1)))
	}
	y := n.with(gemm, in...)
	if n.has(7) {
		n.quantize(y, 7, 8)
		return
	}
	n.put(0, value{dyn: y, elem: elemFloat})
}

// integerProduct is ConvInteger and MatMulInteger: products of whole numbers less
// their zero points, which may be known only when it runs.
func integerProduct(n *node) {
	sub := func(i, zero int) *graph.Value {
		x := n.whole(i)
		if !n.has(zero) {
			return x
		}
		z := n.whole(zero)
		if i == 1 && len(z.Shape) == 1 && z.Shape[0] > 1 && n.op == "ConvInteger" { // for each channel of the output
			z = n.reshape(z, append([]int{z.Shape[0]}, ones(len(x.Shape)-1)...)...)
		}
		return n.binary(graph.Sub, x, z)
	}
	fn := matMul
	if n.op == "ConvInteger" {
		fn = conv
	}
	n.put(0, value{dyn: n.with(fn, sub(0, 2), sub(1, 3)), elem: elemInt32})
}

func ones(k int) []int {
	out := make([]int, k)
	for i := range out {
		out[i] = 1
	}
	return out
}

// dynamicQuantize rounds to 0 to 255 by the smallest and largest element.
func dynamicQuantize(n *node) {
	q, scale, zero := n.rounded(n.x(0))
	n.put(0, value{dyn: q, elem: elemUint8})
	n.put(1, value{dyn: scale, elem: elemFloat})
	n.put(2, value{dyn: zero, elem: elemUint8})
}

// rounded returns x in whole numbers from 0 to 255, as float32, with their scale and
// zero point.
func (n *node) rounded(x *graph.Value) (q, scale, zero *graph.Value) {
	axes := make([]int, len(x.Shape))
	for a := range axes {
		axes[a] = a
	}
	most := func(x *graph.Value) *graph.Value { // and at least 0
		y := x
		if len(axes) > 0 {
			y = n.do(graph.Reduce{Fn: graph.MaxOf, Axes: axes}, x)
		}
		return n.unary(graph.Relu, y)
	}
	hi, lo := most(x), most(n.affine(x, -1, 0)) // lo is the smallest, with the other sign
	scale = n.affine(n.binary(graph.Add, hi, lo), 1.0/255, 0)
	safe := n.binary(graph.Max, scale, n.g.Scalar(1e-37))
	whole := func(x *graph.Value) *graph.Value {
		return n.do(graph.QuantizeLinear{Scale: []float32{1}, Zero: []int32{0}}, x)
	}
	zero = whole(n.binary(graph.Div, lo, safe))
	// Both signs are rounded on their own, so that ties go to even numbers before the
	// zero point is added, as the definition has it.
	y := n.binary(graph.Div, x, safe)
	y = n.binary(graph.Sub, whole(n.unary(graph.Relu, y)), whole(n.unary(graph.Relu, n.affine(y, -1, 0))))
	q = n.clip(n.binary(graph.Add, y, zero), 0, 255)
	return q, scale, zero
}

// dynamicMatMul is onnxruntime's product with a matrix of whole numbers, whose
// other factor is rounded by its own range.
func dynamicMatMul(n *node) { // a, b, scale, zero, bias
	q, scale, zero := n.rounded(n.x(0))
	a := n.binary(graph.Mul, n.binary(graph.Sub, q, zero), scale)
	y := n.with(matMul, a, n.dequantized(1, 2, 3, -1))
	if n.has(4) {
		y = n.binary(graph.Add, y, n.x(4))
	}
	n.put(0, value{dyn: y, elem: elemFloat})
}

// matMulToFloat is onnxruntime's product of whole numbers with a scaled result.
func matMulToFloat(n *node) { // a, b, scale, scale, zero, zero, bias
	sub := func(i, zero int) *graph.Value {
		if x := n.whole(i); n.has(zero) {
			return n.binary(graph.Sub, x, n.whole(zero))
		}
		return n.whole(i)
	}
	y := n.with(matMul, sub(0, 4), sub(1, 5))
	y = n.binary(graph.Mul, y, n.binary(graph.Mul, n.x(2), n.x(3)))
	if n.has(6) {
		y = n.binary(graph.Add, y, n.x(6))
	}
	n.put(0, value{dyn: y, elem: elemFloat})
}

func qLinearBinary(n *node) {
	fn := graph.Add
	if n.op == "QLinearMul" {
		fn = graph.Mul
	}
	n.quantize(n.binary(fn, n.dequantized(0, 1, 2, 1), n.dequantized(3, 4, 5, 1)), 6, 7)
}

func qLinearUnary(n *node) {
	x := n.dequantized(0, 1, 2, 1)
	last := n.attrInt("channels_last", 0) != 0 && len(x.Shape) == 4
	if last {
		x = n.do(graph.Permute{Perm: []int{0, 3, 1, 2}}, x)
	}
	var y *graph.Value
	switch n.op {
	case "QLinearSigmoid":
		y = n.unary(graph.Sigmoid, x)
	case "QLinearLeakyRelu":
		y = n.activate(x, "LeakyRelu", []float32{n.attrFloat("alpha", 0.01)})
	case "QLinearSoftmax":
		y = n.with(softmax, x)
	case "QLinearAveragePool":
		y = n.with(averagePool, x)
	default:
		y = n.with(globalPool, x)
	}
	if last {
		y = n.do(graph.Permute{Perm: []int{0, 2, 3, 1}}, y)
	}
	n.quantize(y, 3, 4)
}

func qLinearConcat(n *node) { // scale, zero, then x, scale, zero of each part
	var parts []*graph.Value
	for i := 2; i+1 < len(n.ins); i += 3 {
		parts = append(parts, n.dequantized(i, i+1, i+2, 1))
	}
	if len(parts) == 0 {
		n.failf("it has no parts")
	}
	axis := n.axis(n.attrInt("axis", 0), len(parts[0].Shape))
	n.quantize(n.do(graph.Concat{Axis: axis}, parts...), 0, 1)
}
