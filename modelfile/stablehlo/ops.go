package stablehlo

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// node writes a node.
func (w *writer) node(n *graph.Node) error {
	if _, ok := n.Op.(graph.MaxPool2dGrad); ok && pooled(n) == nil {
		return &Unsupported{n}
	}
	ins := inputsOf(n)
	in := make([]value, len(ins))
	for i, v := range ins {
		if in[i] = w.values[v]; in[i].name == "" { // the winners of a max pooling
			return &Unsupported{v.Node}
		}
	}
	out := w.operator(n, in)
	if out == nil {
		return &Unsupported{n}
	}
	for i, v := range out {
		w.values[n.Out[i]] = v
	}
	return nil
}

// operator returns the outputs of a node, nil if it is not supported. Outputs that
// nothing reads may be missing at the end.
func (w *writer) operator(n *graph.Node, in []value) []value {
	one := func(v value) []value { return []value{v} }
	shape := n.Out[0].Shape
	switch o := n.Op.(type) {
	case graph.Const:
		return one(w.constant(o.Tensor))
	case graph.Detach:
		return one(in[0])
	case graph.Conv2d:
		return one(w.biased(w.conv2d(o, in[0], in[1], shape), in))
	case graph.Conv2dInputGrad:
		return one(w.conv2dInputGrad(o.Conv, in[0], in[1], shape))
	case graph.Conv2dWeightGrad:
		return one(w.conv2dWeightGrad(o.Conv, in[0], in[1], shape))
	case graph.Linear:
		return one(w.biased(w.matmul(in[0], in[1], false, true), in))
	case graph.LinearInputGrad:
		return one(w.matmul(in[0], in[1], false, false))
	case graph.LinearWeightGrad:
		return one(w.matmul(in[1], in[0], true, false))
	case graph.MatMul: // of losses: it is not rounded
		defer func(bf16 bool) { w.bf16 = bf16 }(w.bf16)
		w.bf16 = false
		return one(w.matmul(in[0], in[1], o.TransA, o.TransB))
	case graph.MaxPool2d:
		return one(w.maxPool(o, in[0], shape))
	case graph.MaxPool2dGrad:
		return one(w.maxPoolGrad(o, in[1], in[0]))
	case graph.AvgPool2d:
		return one(w.avgPool(o, in[0], shape))
	case graph.AvgPool2dGrad:
		return one(w.avgPoolGrad(o, in[0]))
	case graph.Unary:
		return w.optional(w.unary(o, in[0]))
	case graph.UnaryGrad:
		return w.optional(w.unaryGrad(o.Of, in[0], in[1]))
	case graph.Affine:
		return one(w.affine(in[0], o.Scale, o.Shift))
	case graph.Compare:
		s, err := graph.Broadcast(in[0].shape, in[1].shape)
		if err != nil {
			return nil
		}
		return one(w.convert(w.compare([...]string{"LT", "LE", "GT", "GE", "EQ", "NE"}[o.Fn], w.stretch(in[0], s), w.stretch(in[1], s)), "f32"))
	case graph.Where:
		condition := w.stretch(in[0], shape)
		return one(w.choose(w.compare("NE", condition, w.like(condition, 0)), w.stretch(in[1], shape), w.stretch(in[2], shape)))
	case graph.ToFloat:
		return one(w.convert(in[0], "f32"))
	case graph.ToInt:
		return one(w.convert(in[0], "i64"))
	case graph.Binary:
		return one(w.same([...]string{"add", "subtract", "multiply", "divide", "maximum", "minimum"}[o.Fn], w.stretch(in[0], shape), w.stretch(in[1], shape)))
	case graph.SelectGrad:
		return one(w.selectGrad(o, w.stretch(in[0], shape), w.stretch(in[1], shape), in[2]))
	default:
		if out := w.moves(n, in, shape); out != nil {
			return out
		}
		if out := w.norms(n, in); out != nil {
			return out
		}
		return w.updates(n, in)
	}
}

// moves writes the operators that only change shapes, and reductions.
func (w *writer) moves(n *graph.Node, in []value, shape tensor.Shape) []value {
	one := func(v value) []value { return []value{v} }
	switch o := n.Op.(type) {
	case graph.Reshape:
		return one(w.reshape(in[0], shape))
	case graph.Permute:
		return one(w.transpose(in[0], o.Perm...))
	case graph.BroadcastTo:
		return one(w.stretch(in[0], shape))
	case graph.Concat:
		names := in[0].name
		for _, v := range in[1:] {
			names += ", " + v.name
		}
		return one(w.emit("f32", shape, in, "stablehlo.concatenate %s, dim = %d", names, o.Axis))
	case graph.Slice:
		return one(w.slice(in[0], o))
	case graph.Pad:
		low, high, between := make([]int, len(shape)), make([]int, len(shape)), make([]int, len(shape))
		low[o.Axis], high[o.Axis], between[o.Axis] = o.Before, o.After, o.Between
		return one(w.pad(in[0], w.scalar(o.Value), low, high, between))
	case graph.Reduce:
		return one(w.reshape(w.reduceBy(o, in[0]), shape))
	case graph.ReduceMaxGrad:
		kept := in[0].shape.Clone()
		for _, a := range axesOf(o.Of, kept) {
			kept[a] = 1
		}
		widen := func(v value) value { return w.stretch(w.reshape(v, kept), in[0].shape) }
		equal := w.convert(w.compare("EQ", in[0], widen(in[1])), "f32")
		number := w.reduce("add", equal, axesOf(o.Of, kept)...)
		return one(w.mul(equal, widen(w.div(in[2], w.reshape(number, in[2].shape)))))
	case graph.Dropout:
		return one(w.dropout(o, in[0], in[1]))
	case graph.Resize:
		return one(w.resize(o, in[0].shape, in[0], false))
	case graph.ResizeGrad:
		return one(w.resize(o.Resize, o.X, in[0], true))
	case graph.Gather:
		return one(w.gather(o.Axis, in[0], in[1], shape))
	case graph.GatherGrad:
		return one(w.gatherGrad(o.Axis, o.X, in[0], in[1]))
	case graph.GatherElements:
		return one(w.gatherElements(o.Axis, in[0], in[1]))
	case graph.GatherElementsGrad:
		return one(w.gatherElementsGrad(o.Axis, o.X, in[0], in[1]))
	case graph.Softmax:
		return one(w.exp(w.logSoftmax(in[0], len(shape)-1)))
	case graph.LogSoftmax:
		return one(w.logSoftmax(in[0], len(shape)-1))
	case graph.OneHot:
		classes := w.emit("i64", append(in[0].shape.Clone(), o.Classes), nil, "stablehlo.iota dim = %d", len(in[0].shape))
		wide := w.broadcast(in[0], classes.shape, others(classes.shape, len(in[0].shape))...)
		return one(w.convert(w.compare("EQ", wide, classes), "f32"))
	}
	return nil
}

func (w *writer) optional(v value, ok bool) []value {
	if !ok {
		return nil
	}
	return []value{v}
}

// biased adds the bias, the third input, if there is one.
func (w *writer) biased(y value, in []value) value {
	if len(in) < 3 {
		return y
	}
	return w.add(y, w.channels(in[2], y.shape))
}

// matmul multiplies matrices, or stacks of them.
func (w *writer) matmul(a, b value, transA, transB bool) value {
	r := len(a.shape)
	rows, innerA := r-2, r-1
	if transA {
		rows, innerA = innerA, rows
	}
	innerB, columns := r-2, r-1
	if transB {
		innerB, columns = columns, innerB
	}
	shape := append(a.shape[:r-2].Clone(), a.shape[rows], b.shape[columns])
	batch := ""
	if r == 3 {
		batch = "batching_dims = [0] x [0], "
	}
	a, b, precision := w.operands(a, b, ", precision = [HIGHEST, HIGHEST]")
	return w.emit("f32", shape, []value{a, b}, "stablehlo.dot_general %s, %s, %scontracting_dims = [%d] x [%d]%s", a.name, b.name, batch, innerA, innerB, precision)
}

func (w *writer) slice(a value, o graph.Slice) value {
	text, shape := "", a.shape.Clone()
	for i, d := range a.shape {
		start, end, step := 0, d, 1
		if i == o.Axis {
			start, end, step = o.Start, o.Start+(o.Count-1)*o.Step+1, o.Step
			shape[i] = o.Count
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%d:%d:%d", start, end, step)
	}
	return w.emit(a.element, shape, []value{a}, "stablehlo.slice %s [%s]", a.name, text)
}

func axesOf(o graph.Reduce, x tensor.Shape) []int {
	if len(o.Axes) > 0 {
		return o.Axes
	}
	return others(x, -1)
}

func (w *writer) reduceBy(o graph.Reduce, x value) value {
	axes := axesOf(o, x.shape)
	switch o.Fn {
	case graph.MaxOf:
		return w.reduce("maximum", x, axes...)
	case graph.Mean:
		n := 1
		for _, a := range axes {
			n *= x.shape[a]
		}
		return w.scaled(w.reduce("add", x, axes...), 1/float32(n))
	}
	return w.reduce("add", x, axes...)
}

func (w *writer) affine(x value, scale, shift float32) value {
	if scale != 1 {
		x = w.scaled(x, scale)
	}
	if shift != 0 {
		x = w.add(x, w.like(x, shift))
	}
	return x
}

func (w *writer) exp(x value) value     { return w.same("exponential", x) }
func (w *writer) sigmoid(x value) value { return w.same("logistic", x) }
func (w *writer) relu(x value) value    { return w.same("maximum", x, w.like(x, 0)) }

// clamp is x between two numbers.
func (w *writer) clamp(x value, low, high float32) value {
	return w.same("minimum", w.same("maximum", x, w.like(x, low)), w.like(x, high))
}

// softplus is ln(1+e^x) without its overflow.
func (w *writer) softplus(x value) value {
	small := w.same("log_plus_one", w.exp(w.same("negate", w.same("abs", x))))
	return w.add(w.relu(x), small)
}

func (w *writer) unary(o graph.Unary, x value) (value, bool) {
	switch o.Fn {
	case graph.Relu:
		return w.relu(x), true
	case graph.Clip:
		return w.clamp(x, o.A, o.B), true
	case graph.LeakyRelu:
		return w.choose(w.compare("GT", x, w.like(x, 0)), x, w.scaled(x, o.A)), true
	case graph.Sigmoid:
		return w.sigmoid(x), true
	case graph.Tanh:
		return w.same("tanh", x), true
	case graph.Silu:
		return w.mul(x, w.sigmoid(x)), true
	case graph.HardSigmoid:
		return w.clamp(w.affine(x, 1.0/6, 0.5), 0, 1), true
	case graph.HardSwish:
		return w.mul(x, w.clamp(w.affine(x, 1.0/6, 0.5), 0, 1)), true
	case graph.Exp:
		return w.exp(x), true
	case graph.Log:
		return w.same("log", x), true
	case graph.Sqrt:
		return w.same("sqrt", x), true
	case graph.Rsqrt:
		return w.same("rsqrt", x), true
	case graph.Square:
		return w.mul(x, x), true
	case graph.Abs:
		return w.same("abs", x), true
	case graph.Softplus:
		return w.softplus(x), true
	case graph.Gelu:
		return w.gelu(x), true
	}
	return value{}, false
}

// unaryGrad is dy times the derivative. of is the function's output for those that
// graph.UnaryFn.FromOutput names, else its input.
func (w *writer) unaryGrad(o graph.Unary, of, dy value) (value, bool) {
	zero := w.like(dy, 0)
	within := func(low, high float32, then value) value {
		inside := w.choose(w.compare("LT", of, w.like(of, high)), then, zero)
		return w.choose(w.compare("GT", of, w.like(of, low)), inside, zero)
	}
	switch o.Fn {
	case graph.Relu:
		return w.choose(w.compare("GT", of, zero), dy, zero), true
	case graph.Clip:
		return within(o.A, o.B, dy), true
	case graph.LeakyRelu:
		return w.choose(w.compare("GT", of, zero), dy, w.scaled(dy, o.A)), true
	case graph.Sigmoid:
		return w.mul(dy, w.mul(of, w.affine(of, -1, 1))), true
	case graph.Tanh:
		return w.mul(dy, w.affine(w.mul(of, of), -1, 1)), true
	case graph.Silu:
		s := w.sigmoid(of)
		return w.mul(dy, w.add(s, w.mul(w.mul(of, s), w.affine(s, -1, 1)))), true
	case graph.HardSigmoid:
		return within(-3, 3, w.scaled(dy, 1.0/6)), true
	case graph.HardSwish:
		middle := w.choose(w.compare("LT", of, w.like(of, 3)), w.mul(dy, w.affine(of, 1.0/3, 0.5)), dy)
		return w.choose(w.compare("GT", of, w.like(of, -3)), middle, zero), true
	case graph.Exp:
		return w.mul(dy, of), true
	case graph.Log:
		return w.div(dy, of), true
	case graph.Sqrt:
		return w.div(w.scaled(dy, 0.5), of), true
	case graph.Rsqrt:
		return w.mul(w.scaled(dy, -0.5), w.mul(of, w.mul(of, of))), true
	case graph.Square:
		return w.mul(w.scaled(dy, 2), of), true
	case graph.Abs:
		return w.mul(dy, w.same("sign", of)), true
	case graph.Softplus:
		return w.mul(dy, w.sigmoid(of)), true
	case graph.Gelu:
		return w.geluGrad(of, dy), true
	}
	return value{}, false
}

// selectGrad is dy where x was chosen, half of it where both are equal.
func (w *writer) selectGrad(o graph.SelectGrad, x, other, dy value) value {
	direction := "GT"
	if o.Fn == graph.Min {
		direction = "LT"
	}
	chosen := w.choose(w.compare(direction, x, other), dy, w.like(dy, 0))
	return w.choose(w.compare("EQ", x, other), w.scaled(dy, 0.5), chosen)
}

// logSoftmax is the logarithm of softmax along an axis.
func (w *writer) logSoftmax(x value, axis int) value {
	rest := others(x.shape, axis)
	largest := w.reduce("maximum", x, axis)
	shifted := w.sub(x, w.broadcast(largest, x.shape, rest...))
	sum := w.same("log", w.reduce("add", w.exp(shifted), axis))
	return w.sub(shifted, w.broadcast(sum, x.shape, rest...))
}
