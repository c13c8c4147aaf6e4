package onnx

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// gemm is alpha*op(A)*op(B) + beta*C.
func gemm(n *node) {
	a, b := n.x(0), n.x(1)
	if len(a.Shape) != 2 || len(b.Shape) != 2 {
		n.failf("matrices %v and %v", a.Shape, b.Shape)
	}
	ta, tb := n.attrInt("transA", 0) != 0, n.attrInt("transB", 0) != 0
	alpha, beta := n.attrFloat("alpha", 1), n.attrFloat("beta", 1)
	var c *graph.Value
	if n.has(2) {
		if c = n.x(2); beta != 1 {
			c = n.affine(c, beta, 0)
		}
	}
	if !ta && tb && alpha == 1 && c != nil && c.Shape.Equal(b.Shape[:1]) {
		n.set(n.do(graph.Linear{}, a, b, c))
		return
	}
	var y *graph.Value
	if !ta && tb {
		y = n.do(graph.Linear{}, a, b)
	} else {
		y = n.do(graph.MatMul{TransA: ta, TransB: tb}, a, b)
	}
	if alpha != 1 {
		y = n.affine(y, alpha, 0)
	}
	if c != nil {
		shape := y.Shape
		if y = n.binary(graph.Add, y, c); !y.Shape.Equal(shape) {
			n.failf("C %v does not stretch to %v", c.Shape, shape)
		}
	}
	n.set(y)
}

// matMul multiplies stacks of matrices that broadcast, as NumPy's matmul.
func matMul(n *node) {
	a, b := n.x(0), n.x(1)
	if len(a.Shape) == 0 || len(b.Shape) == 0 {
		n.failf("a scalar operand: %v and %v", a.Shape, b.Shape)
	}
	lone, lone2 := len(a.Shape) == 1, len(b.Shape) == 1
	if lone {
		a = n.reshape(a, 1, a.Shape[0])
	}
	if lone2 {
		b = n.reshape(b, b.Shape[0], 1)
	}
	ra, rb := len(a.Shape), len(b.Shape)
	m, k, cols := a.Shape[ra-2], a.Shape[ra-1], b.Shape[rb-1]
	var y *graph.Value
	if rb == 2 {
		rows := a.Shape[:ra-1].Numel()
		y = n.do(graph.MatMul{}, n.reshape(a, rows, k), b)
		y = n.reshape(y, append(a.Shape[:ra-1].Clone(), cols)...)
	} else {
		lead := n.broadcast(a.Shape[:ra-2], b.Shape[:rb-2])
		stack := func(v *graph.Value) *graph.Value {
			r := len(v.Shape)
			want := append(lead.Clone(), v.Shape[r-2:]...)
			if !v.Shape.Equal(want) {
				v = n.do(graph.BroadcastTo{Shape: want}, v)
			}
			return n.reshape(v, lead.Numel(), want[len(lead)], want[len(lead)+1])
		}
		y = n.do(graph.MatMul{}, stack(a), stack(b))
		y = n.reshape(y, append(lead.Clone(), m, cols)...)
	}
	shape := y.Shape.Clone()
	if lone2 {
		shape = shape[:len(shape)-1]
	}
	if lone {
		at := len(shape) - 1
		if !lone2 {
			at--
		}
		if lone2 {
			at = len(shape) - 1
		}
		shape = append(shape[:at:at], shape[at+1:]...)
	}
	n.set(n.reshape(y, shape...))
}

// batchNormalization keeps its parameters and statistics, so that it can be
// trained.
func batchNormalization(n *node) {
	trained := n.attrInt("training_mode", 0) != 0
	if trained && !n.training && !n.varies(0) {
		n.normalizeConstant() // standardized weights: the batch is known
		return
	}
	n.only("statistics of a batch are not computed: export the model in evaluation mode")
	if trained && !n.training {
		n.failf("the file normalizes by the batch's statistics (training_mode is 1): export the model in evaluation mode")
	}
	if s := n.shape(1); n.version() < 9 && n.attrInt("spatial", 1) == 0 && len(s) != 1 {
		n.normalizePixels(s)
		return
	}
	x := n.x(0)
	eps, momentum := n.attrFloat("epsilon", 1e-5), n.attrFloat("momentum", 0.9)
	shape := x.Shape
	switch {
	case len(shape) == 3:
		x = n.wide(x)
	case len(shape) > 4:
		x = n.reshape(x, shape[0], shape[1], shape[2], shape[3:].Numel())
	}
	in := []*graph.Value{x}
	for i := 1; i < 5; i++ {
		in = append(in, n.x(i))
	}
	mean, variance := n.names[in[3]], n.names[in[4]]
	if mean != nil && variance != nil { // as earlier uses of the same layer left them
		in[3], in[4] = n.running(mean), n.running(variance)
	}
	var y *graph.Value
	if n.training && mean != nil && variance != nil && !(mean.Frozen && variance.Frozen) {
		out := n.g.Must(graph.BatchNormTrain{Eps: eps, Momentum: 1 - momentum}, in...)
		n.c.SetRunning(mean, out[3])
		n.c.SetRunning(variance, out[4])
		y = out[0]
	} else {
		y = n.do(graph.BatchNorm{Eps: eps}, in...)
	}
	n.set(n.reshape(y, shape...))
}

// varies reports whether input i depends on the pictures.
func (n *node) varies(i int) bool {
	v := n.must(i)
	if v.dyn == nil {
		return false
	}
	walk := &batchWalk{n: 1, seen: map[*graph.Node]bool{}, known: map[*graph.Node]bool{}}
	return walk.depends(v.dyn.Node)
}

// normalizeConstant is batch norm by the statistics of its own input, over all axes
// but the second.
func (n *node) normalizeConstant() {
	x, scale, shift := n.x(0), n.x(1), n.x(2)
	if len(x.Shape) < 2 {
		n.failf("an input %v", x.Shape)
	}
	var axes []int
	wide := make(tensor.Shape, len(x.Shape))
	for a := range x.Shape {
		if wide[a] = 1; a != 1 {
			axes = append(axes, a)
		}
	}
	wide[1] = x.Shape[1]
	y, _, _ := n.normalize(x, axes, n.attrFloat("epsilon", 1e-5))
	y = n.binary(graph.Mul, y, n.reshape(scale, wide...))
	n.set(n.binary(graph.Add, y, n.reshape(shift, wide...)))
	if len(n.out) > 1 && (n.used[n.out[1]] || len(n.out) > 2 && n.used[n.out[2]]) {
		n.failf("its running statistics are outputs that something takes: export the model in evaluation mode")
	}
}

// normalizePixels is batch norm with statistics for each element of a picture, of
// the given shape, as opset 7 has it by spatial=0.
func (n *node) normalizePixels(shape tensor.Shape) {
	x := n.x(0)
	in := make([]*graph.Value, 5)
	for i := 1; i < 5; i++ {
		if in[i] = n.x(i); !in[i].Shape.Equal(shape) || !shape.Equal(x.Shape[1:]) {
			n.failf("statistics %v for each pixel (spatial is 0) of an input %v", in[i].Shape, x.Shape)
		}
	}
	scale := n.binary(graph.Mul, in[1], n.unary(graph.Rsqrt, n.affine(in[4], 1, n.attrFloat("epsilon", 1e-5))))
	y := n.binary(graph.Mul, n.binary(graph.Sub, x, in[3]), scale)
	n.set(n.binary(graph.Add, y, in[2]))
}

// normalize computes (x - mean) / sqrt(var + eps) with the statistics over axes.
func (n *node) normalize(x *graph.Value, axes []int, eps float32) (y, mean, invstd *graph.Value) {
	average := graph.Reduce{Fn: graph.Mean, Axes: axes, Keep: true}
	mean = n.do(average, x)
	centered := n.binary(graph.Sub, x, mean)
	variance := n.do(average, n.unary(graph.Square, centered))
	invstd = n.unary(graph.Rsqrt, n.affine(variance, 1, eps))
	return n.binary(graph.Mul, centered, invstd), mean, invstd
}

func instanceNormalization(n *node) {
	x, scale, shift := n.x(0), n.x(1), n.x(2)
	if len(x.Shape) < 3 || len(scale.Shape) != 1 || len(shift.Shape) != 1 {
		n.failf("an input %v, scale %v, shift %v", x.Shape, scale.Shape, shift.Shape)
	}
	var axes []int
	wide := tensor.Shape{1, x.Shape[1]}
	for a := 2; a < len(x.Shape); a++ {
		axes, wide = append(axes, a), append(wide, 1)
	}
	y, _, _ := n.normalize(x, axes, n.attrFloat("epsilon", 1e-5))
	y = n.binary(graph.Mul, y, n.reshape(scale, wide...))
	n.set(n.binary(graph.Add, y, n.reshape(shift, wide...)))
}

func layerNormalization(n *node) {
	x := n.x(0)
	var axes []int
	first := n.axis(n.attrInt("axis", -1), len(x.Shape))
	for a := first; a < len(x.Shape); a++ {
		axes = append(axes, a)
	}
	eps := n.attrFloat("epsilon", 1e-5)
	of := x.Shape[first:]
	if n.x(1).Shape.Equal(of) && (!n.has(2) || n.x(2).Shape.Equal(of)) {
		n.layerNorm(x, first, eps)
		return
	}
	y, mean, invstd := n.normalize(x, axes, eps)
	n.put(1, value{dyn: mean, elem: elemFloat})
	n.put(2, value{dyn: invstd, elem: elemFloat})
	y = n.binary(graph.Mul, y, n.x(1))
	if n.has(2) {
		y = n.binary(graph.Add, y, n.x(2))
	}
	n.set(y)
}

// layerNorm is layer normalization with a factor and an addend for each element: group
// norm of one group of features.
func (n *node) layerNorm(x *graph.Value, first int, eps float32) {
	features := x.Shape[first:].Numel()
	var beta *graph.Value
	if n.has(2) {
		beta = n.reshape(n.x(2), features)
	} else {
		beta = n.g.Const(tensor.New(features))
	}
	y := n.g.Must(graph.GroupNorm{Groups: 1, Eps: eps}, n.reshape(x, x.Shape[:first].Numel(), features), n.reshape(n.x(1), features), beta)
	of := x.Shape[:first].Clone()
	for range x.Shape[first:] {
		of = append(of, 1)
	}
	n.put(1, value{dyn: n.reshape(y[1], of...), elem: elemFloat})
	n.put(2, value{dyn: n.reshape(y[2], of...), elem: elemFloat})
	n.set(n.reshape(y[0], x.Shape...))
}

// reduce combines elements along axes, given as an attribute or, from opset 18
// (ReduceSum 13), as an input.
func reduce(n *node) {
	since := int64(18)
	if n.op == "ReduceSum" {
		since = 13
	}
	v := n.must(0)
	shape := n.shape(0)
	axes := n.axesOf(since, 1, len(shape))
	keep := n.attrInt("keepdims", 1) != 0
	if len(axes) == 0 {
		if n.version() >= since && n.attrInt("noop_with_empty_axes", 0) != 0 {
			n.put(0, v)
			return
		}
		for a := range shape {
			axes = append(axes, a)
		}
	}
	basic := n.op == "ReduceSum" || n.op == "ReduceMean" || n.op == "ReduceMax" || n.op == "ReduceMin" || n.op == "ReduceProd"
	if n.allStatic() && basic {
		n.fold(n.foldReduce(v.st, axes, keep))
		return
	}
	x := n.x(0)
	do := func(fn graph.ReduceFn, x *graph.Value) *graph.Value {
		if len(axes) == 0 { // a scalar
			return x
		}
		return n.do(graph.Reduce{Fn: fn, Axes: axes, Keep: keep}, x)
	}
	switch n.op {
	case "ReduceSum":
		n.set(do(graph.Sum, x))
	case "ReduceMean":
		n.set(do(graph.Mean, x))
	case "ReduceMax":
		n.set(do(graph.MaxOf, x))
	case "ReduceMin":
		n.set(n.affine(do(graph.MaxOf, n.affine(x, -1, 0)), -1, 0))
	case "ReduceL1":
		n.set(do(graph.Sum, n.unary(graph.Abs, x)))
	case "ReduceL2":
		n.set(n.unary(graph.Sqrt, do(graph.Sum, n.unary(graph.Square, x))))
	case "ReduceSumSquare":
		n.set(do(graph.Sum, n.unary(graph.Square, x)))
	case "ReduceLogSum":
		n.set(n.unary(graph.Log, do(graph.Sum, x)))
	case "ReduceLogSumExp":
		if len(axes) == 0 {
			n.set(x)
			return
		}
		// The maximum is taken out first, so that nothing overflows.
		most := n.do(graph.Reduce{Fn: graph.MaxOf, Axes: axes, Keep: true}, x)
		y := n.unary(graph.Log, do(graph.Sum, n.unary(graph.Exp, n.binary(graph.Sub, x, most))))
		n.set(n.binary(graph.Add, y, n.reshape(most, y.Shape...)))
	default:
		n.constantsOnly()
	}
}

// softmax works along one axis; before opset 13 along all axes from it on.
func softmax(n *node) {
	x := n.x(0)
	rank := len(x.Shape)
	along := func(x *graph.Value) *graph.Value {
		if n.op == "LogSoftmax" {
			return n.do(graph.LogSoftmax{}, x)
		}
		return n.do(graph.Softmax{}, x)
	}
	if n.version() < 13 {
		axis := n.axis(n.attrInt("axis", 1), rank)
		y := along(n.reshape(x, x.Shape[:axis].Numel(), x.Shape[axis:].Numel()))
		n.set(n.reshape(y, x.Shape...))
		return
	}
	axis := n.axis(n.attrInt("axis", -1), rank)
	if axis == rank-1 && (rank < 3 || x.Shape[1:axis].Numel() > 1) {
		n.set(along(x))
		return
	}
	if x.Shape[axis+1:].Numel() == 1 { // such as [N C 1 1]: no element moves
		y := along(n.reshape(x, x.Shape[:axis].Numel(), x.Shape[axis]))
		n.set(n.reshape(y, x.Shape...))
		return
	}
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = i
	}
	perm[axis], perm[rank-1] = rank-1, axis // its own inverse
	n.set(n.do(graph.Permute{Perm: perm}, along(n.do(graph.Permute{Perm: perm}, x))))
}
