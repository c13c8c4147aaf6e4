package keras

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// operation is a function of Keras or TensorFlow that was called on a tensor in the
// middle of a functional model, as preprocess_input does: x / 127.5 - 1, or the
// channels in another order. Keras 3 writes it as an object of keras.src.ops, Keras 2
// as TFOpLambda or SlicingOpLambda.
type operation struct {
	plain
	name     string
	operands []operand
	named    map[string]operand
}

// operand is an argument of an operation: one of its tensors, or a value.
type operand struct {
	tensor int // place among the tensors, or -1
	value  any // of JSON
}

// lambdas are the functions of TensorFlow by the names of Keras 3's operations.
var lambdas = map[string]string{
	"math.add": "Add", "__operators__.add": "Add", "math.subtract": "Subtract", "math.multiply": "Multiply", "math.divide": "Divide",
	"math.truediv": "Divide", "nn.bias_add": "Add", "nn.relu": "Relu", "nn.relu6": "Relu6", "nn.sigmoid": "Sigmoid", "math.sigmoid": "Sigmoid",
	"nn.tanh": "Tanh", "math.tanh": "Tanh", "nn.softmax": "Softmax", "nn.silu": "Silu", "nn.swish": "Silu", "nn.gelu": "Gelu", "nn.elu": "Elu",
	"math.reduce_mean": "Mean", "math.reduce_sum": "Sum", "math.reduce_max": "Max", "math.reduce_min": "Min", "reshape": "Reshape", "transpose": "Transpose",
	"concat": "Concatenate", "cast": "Cast", "identity": "Identity", "math.maximum": "Maximum", "math.minimum": "Minimum", "clip_by_value": "Clip",
	"math.pow": "Power", "math.sqrt": "Sqrt", "math.square": "Square", "math.exp": "Exp", "math.log": "Log", "math.abs": "Absolute", "math.negative": "Negative",
	"reverse": "Flip", "expand_dims": "ExpandDims", "squeeze": "Squeeze", "math.rsqrt": "Rsqrt", "stop_gradient": "Identity", "math.softplus": "Softplus",
	"convert_to_tensor": "Identity", "nn.log_softmax": "LogSoftmax", "nn.leaky_relu": "LeakyRelu", "nn.softplus": "Softplus",
}

// Kind names the operation in summaries.
func (o *operation) Kind() string { return o.name }

// build computes the output's shape by writing the operation into a graph of its
// own.
func (o *operation) build(in [][]int) ([]int, error) {
	g := &graph.Graph{}
	var out *graph.Value
	err := graph.Try(func() {
		xs := make([]*graph.Value, len(in))
		for i, s := range in {
			shape := append([]int{2}, s...)
			if len(s) == 3 {
				shape = []int{2, s[2], s[0], s[1]}
			}
			x, err := g.Input(fmt.Sprint(i), graph.F32(shape...))
			if err != nil {
				panic(err)
			}
			xs[i] = x
		}
		out = o.compute(g, xs)
	})
	if err != nil {
		return nil, err
	}
	s := out.Shape
	if len(s) < 2 || s[0] != 2 {
		return nil, fmt.Errorf("its result %v has lost the batch", s)
	}
	if len(s) == 4 {
		return []int{s[2], s[3], s[1]}, nil
	}
	return s[1:].Clone(), nil
}

// Forward implements [nn.Module].
func (o *operation) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return o.merge(c, []*graph.Value{x})
}

func (o *operation) merge(c *nn.Context, xs []*graph.Value) *graph.Value {
	return o.compute(c.Graph(), xs)
}

// failf stops with an error; see graph.Try.
func (o *operation) failf(format string, args ...any) {
	panic(&graph.Error{Op: o.name, Err: fmt.Errorf(format, args...)})
}

// argument returns an argument by its place behind the tensor or its name.
func (o *operation) argument(i int, names ...string) (operand, bool) {
	for _, n := range names {
		if a, ok := o.named[n]; ok && (a.tensor >= 0 || a.value != nil) {
			return a, true
		}
	}
	if i < len(o.operands) && (o.operands[i].tensor >= 0 || o.operands[i].value != nil) {
		return o.operands[i], true
	}
	return operand{}, false
}

var operationUnary = map[string]graph.UnaryFn{"Relu": graph.Relu, "Sigmoid": graph.Sigmoid, "Tanh": graph.Tanh, "Silu": graph.Silu, "Gelu": graph.Gelu,
	"Exp": graph.Exp, "Log": graph.Log, "Sqrt": graph.Sqrt, "Rsqrt": graph.Rsqrt, "Square": graph.Square, "Absolute": graph.Abs, "Abs": graph.Abs, "Softplus": graph.Softplus,
	"HardSigmoid": graph.HardSigmoid, "HardSilu": graph.HardSwish}

var operationBinary = map[string]graph.BinaryFn{"Add": graph.Add, "Subtract": graph.Sub, "Multiply": graph.Mul, "Divide": graph.Div, "TrueDivide": graph.Div,
	"Maximum": graph.Max, "Minimum": graph.Min}

// compute writes the operation. Images are [N C H W], other tensors as in Keras.
func (o *operation) compute(g *graph.Graph, xs []*graph.Value) *graph.Value {
	if fn, ok := operationBinary[o.name]; ok {
		a, ok1 := o.argument(0, "x", "x1")
		b, ok2 := o.argument(1, "y", "x2", "bias", "b")
		if !ok1 || !ok2 {
			o.failf("it needs two operands")
		}
		rank := 0
		for _, p := range []operand{a, b} {
			if p.tensor >= 0 {
				rank = max(rank, len(xs[p.tensor].Shape))
			}
		}
		return g.Must1(graph.Binary{Fn: fn}, o.value(g, a, xs, rank), o.value(g, b, xs, rank))
	}
	x := xs[0]
	if fn, ok := operationUnary[o.name]; ok {
		return g.Must1(graph.Unary{Fn: fn}, x)
	}
	switch o.name {
	case "Relu6":
		return g.Must1(graph.Unary{Fn: graph.Clip, A: 0, B: 6}, x)
	case "Negative":
		return g.Must1(graph.Affine{Scale: -1}, x)
	case "Cast", "Identity", "Copy", "StopGradient", "ConvertToTensor":
		return x
	case "Power":
		p := o.number(1, math.NaN(), "x2", "y")
		switch p {
		case 2:
			return g.Must1(graph.Unary{Fn: graph.Square}, x)
		case 0.5:
			return g.Must1(graph.Unary{Fn: graph.Sqrt}, x)
		case 1:
			return x
		}
		o.failf("the exponent %g is not supported", p)
	case "Clip":
		lo, hi := o.number(1, math.Inf(-1), "x_min", "clip_value_min"), o.number(2, math.Inf(1), "x_max", "clip_value_max")
		if !(lo < hi) {
			o.failf("the bounds are %g and %g", lo, hi)
		}
		x = g.Must1(graph.Binary{Fn: graph.Max}, x, g.Scalar(float32(lo)))
		return g.Must1(graph.Binary{Fn: graph.Min}, x, g.Scalar(float32(hi)))
	}
	return o.onAxes(g, xs)
}

// onAxes writes an operation whose arguments name axes, in Keras's order of these.
func (o *operation) onAxes(g *graph.Graph, xs []*graph.Value) *graph.Value {
	keras := make([]*graph.Value, len(xs))
	for i, x := range xs {
		if keras[i] = x; len(x.Shape) == 4 {
			keras[i] = g.Must1(graph.Permute{Perm: []int{0, 2, 3, 1}}, x)
		}
	}
	x := keras[0]
	rank := len(x.Shape)
	axisOf := func(a int) int {
		if a < 0 {
			a += rank
		}
		if a < 0 || a >= rank {
			o.failf("axis %d of a tensor of rank %d", a, rank)
		}
		return a
	}
	var y *graph.Value
	switch o.name {
	case "GetItem":
		y = o.slice(g, x)
	case "Mean", "Sum", "Max", "Min", "Amax", "Amin":
		axes := o.integers(1, "axis")
		if axes == nil {
			o.failf("it reduces the batch")
		}
		var as []int
		for _, a := range axes {
			if as = append(as, axisOf(a)); as[len(as)-1] == 0 {
				o.failf("it reduces the batch")
			}
		}
		slices.Sort(as)
		keep, _ := o.argument(2, "keepdims")
		fn := map[string]graph.ReduceFn{"Mean": graph.Mean, "Sum": graph.Sum}[o.name]
		if o.name[0] == 'M' && o.name != "Mean" || o.name[0] == 'A' {
			fn = graph.MaxOf
		}
		negative := o.name == "Min" || o.name == "Amin"
		if negative {
			x = g.Must1(graph.Affine{Scale: -1}, x)
		}
		y = g.Must1(graph.Reduce{Fn: fn, Axes: slices.Compact(as), Keep: keep.value == true}, x)
		if negative {
			y = g.Must1(graph.Affine{Scale: -1}, y)
		}
	case "Softmax", "LogSoftmax":
		if a := o.integers(1, "axis"); a != nil && (len(a) != 1 || axisOf(a[0]) != rank-1) {
			o.failf("axis %v is not supported, only the last", a)
		}
		if y = g.Must1(graph.Softmax{}, x); o.name == "LogSoftmax" {
			y = g.Must1(graph.LogSoftmax{}, x)
		}
	case "Reshape":
		y = g.Must1(graph.Reshape{Shape: o.shape(x.Shape, o.integers(1, "newshape", "shape"))}, x)
	case "ExpandDims":
		for _, a := range o.integers(1, "axis") {
			if a < 0 {
				a += rank + 1
			}
			if a < 1 || a > rank {
				o.failf("a new axis %d of a tensor of rank %d", a, rank)
			}
			y = g.Must1(graph.Reshape{Shape: slices.Insert(x.Shape.Clone(), a, 1)}, x)
		}
	case "Squeeze":
		shape := tensor.Shape{}
		as := o.integers(1, "axis")
		for a, d := range x.Shape {
			gone := a > 0 && d == 1 && (as == nil || slices.Contains(as, a) || slices.Contains(as, a-rank))
			if !gone {
				shape = append(shape, d)
			}
		}
		y = g.Must1(graph.Reshape{Shape: shape}, x)
	case "Transpose":
		perm := o.integers(1, "axes", "perm")
		if len(perm) != rank || perm[0] != 0 {
			o.failf("axes %v of a tensor of rank %d", perm, rank)
		}
		y = g.Must1(graph.Permute{Perm: perm}, x)
	case "Flip":
		y = x
		for _, a := range o.integers(1, "axis") {
			y = reversed(g, y, axisOf(a))
		}
	case "Concatenate":
		a := o.integers(len(xs), "axis")
		if len(a) != 1 {
			a = []int{0}
			if _, ok := o.argument(len(xs), "axis"); !ok {
				o.failf("it has no axis")
			}
		}
		y = g.Must1(graph.Concat{Axis: axisOf(a[0])}, keras...)
	default:
		o.failf("the operation inside the model is not supported: save the model without it, and give pictures to it as it wants them")
	}
	if y == nil {
		o.failf("its axes are missing")
	}
	if len(y.Shape) == 4 {
		y = g.Must1(graph.Permute{Perm: []int{0, 3, 1, 2}}, y)
	}
	return y
}

// maxReversed bounds the parts of which a reversed axis is put together.
const maxReversed = 4096

func reversed(g *graph.Graph, x *graph.Value, axis int) *graph.Value {
	n := x.Shape[axis]
	if n > maxReversed {
		panic(&graph.Error{Op: "Flip", Err: fmt.Errorf("an axis of %d is too long to be reversed", n)})
	}
	parts := make([]*graph.Value, n)
	for i := range parts {
		parts[i] = g.Must1(graph.Slice{Axis: axis, Start: n - 1 - i, Count: 1, Step: 1}, x)
	}
	if n == 1 {
		return x
	}
	return g.Must1(graph.Concat{Axis: axis}, parts...)
}

// shape resolves a new shape, whose first extent is the batch.
func (o *operation) shape(from tensor.Shape, to []int) tensor.Shape {
	out := slices.Clone(to)
	known, open := 1, -1
	for i, d := range out {
		switch {
		case i == 0:
			out[i] = from[0]
		case d == -1 && open < 0:
			open = i
			continue
		case d < 1 || d > maxExtent:
			o.failf("the new shape %v", to)
		}
		known *= out[i]
	}
	if open >= 0 && known > 0 {
		out[open] = from.Numel() / known
	}
	if len(out) < 2 {
		o.failf("the new shape %v", to)
	}
	return out
}

// number returns an argument that is a number.
func (o *operation) number(i int, fallback float64, names ...string) float64 {
	a, ok := o.argument(i, names...)
	if !ok {
		return fallback
	}
	n, err := number(a.value)
	if err != nil || a.tensor >= 0 {
		o.failf("an argument %v is no number", a.value)
	}
	return n
}

// integers returns an argument that is a whole number or a list of them, nil if it
// is missing.
func (o *operation) integers(i int, names ...string) []int {
	a, ok := o.argument(i, names...)
	if !ok {
		return nil
	}
	list, isList := a.value.([]any)
	if m, ok := a.value.(map[string]any); ok { // a tuple
		config, _ := m["config"].(map[string]any)
		if list, isList = m["items"].([]any); !isList {
			list, isList = config["value"].([]any)
		}
	}
	if !isList {
		list = []any{a.value}
	}
	var out []int
	for _, v := range list {
		f, ok := v.(float64)
		if v == nil { // the batch
			f, ok = -1, true
		}
		if !ok || f != math.Trunc(f) || math.Abs(f) > maxExtent {
			o.failf("an argument %v is no list of whole numbers", a.value)
		}
		out = append(out, int(f))
	}
	return out
}

// value returns an operand as a value of the graph, which broadcasts with a tensor
// of the given rank.
func (o *operation) value(g *graph.Graph, a operand, xs []*graph.Value, rank int) *graph.Value {
	if a.tensor >= 0 {
		return xs[a.tensor]
	}
	v := a.value
	if m, ok := v.(map[string]any); ok {
		if config, ok := m["config"].(map[string]any); ok {
			v = config["value"]
		} else {
			v = m["value"]
		}
	}
	var data []float32
	var shape []int
	if err := flattenNumbers(v, 0, &shape, &data); err != nil {
		o.failf("%w", err)
	}
	if len(shape) > rank {
		o.failf("a constant of rank %d with a tensor of rank %d", len(shape), rank)
	}
	t, err := tensor.FromFloat32(data, append(ones(rank-len(shape)), shape...)...)
	if err != nil {
		o.failf("%w", err)
	}
	c := g.Const(t)
	if rank == 4 && len(shape) > 0 {
		c = g.Must1(graph.Permute{Perm: []int{0, 3, 1, 2}}, c)
	}
	return c
}

func ones(n int) []int { return slices.Repeat([]int{1}, max(n, 0)) }

// flattenNumbers reads nested lists of numbers.
func flattenNumbers(v any, depth int, shape *[]int, data *[]float32) error {
	list, ok := v.([]any)
	if !ok {
		n, isNumber := v.(float64)
		if !isNumber || depth != len(*shape) {
			return fmt.Errorf("a constant %v is no array of numbers", v)
		}
		*data = append(*data, float32(n))
		return nil
	}
	if depth == len(*shape) {
		if len(*data) > 0 || depth > 4 {
			return errors.New("a constant is no array of numbers")
		}
		*shape = append(*shape, len(list))
	}
	if len(list) != (*shape)[depth] || len(list) == 0 {
		return errors.New("a constant's rows have different lengths")
	}
	for _, e := range list {
		if err := flattenNumbers(e, depth+1, shape, data); err != nil {
			return err
		}
	}
	return nil
}

// slice is x[key] with a key of slices, whole numbers and an ellipsis.
func (o *operation) slice(g *graph.Graph, x *graph.Value) *graph.Value {
	a, ok := o.argument(1, "key", "slice_spec")
	if !ok {
		o.failf("it has no key")
	}
	key, isList := a.value.([]any)
	if !isList {
		key = []any{a.value}
	}
	fields := func(v any) (map[string]any, string) {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, ""
		}
		class, _ := m["class_name"].(string)
		if config, ok := m["config"].(map[string]any); ok && class == "__slice__" {
			return config, class
		}
		return m, class
	}
	rank, axis, gone := len(x.Shape), 0, []int{}
	for i, k := range key {
		m, class := fields(k)
		if class == "__ellipsis__" {
			axis = rank - (len(key) - 1 - i)
			continue
		}
		if axis >= rank {
			o.failf("a key of %d parts for %v", len(key), x.Shape)
		}
		d := x.Shape[axis]
		if n, ok := k.(float64); ok {
			at := int(n)
			if at < 0 {
				at += d
			}
			if axis == 0 || at < 0 || at >= d {
				o.failf("position %v of an axis of %d", n, d)
			}
			x = g.Must1(graph.Slice{Axis: axis, Start: at, Count: 1, Step: 1}, x)
			gone = append(gone, axis)
			axis++
			continue
		}
		if m == nil {
			o.failf("a key %v", k)
		}
		part := func(name string, fallback int) int {
			f, ok := m[name].(float64)
			if !ok || math.Abs(f) > maxExtent {
				return fallback
			}
			if f < 0 && name != "step" {
				f += float64(d)
			}
			return int(f)
		}
		step := part("step", 1)
		whole := m["start"] == nil && m["stop"] == nil
		switch {
		case whole && step == 1:
		case whole && step == -1 && axis > 0:
			x = reversed(g, x, axis)
		case step > 0 && axis > 0:
			start, stop := min(max(part("start", 0), 0), d), min(max(part("stop", d), 0), d)
			count := (stop - start + step - 1) / step
			if count < 1 {
				o.failf("nothing is left of axis %d of %v", axis, x.Shape)
			}
			x = g.Must1(graph.Slice{Axis: axis, Start: start, Count: count, Step: step}, x)
		default:
			o.failf("a key %v is not supported", k)
		}
		axis++
	}
	if len(gone) > 0 {
		shape := tensor.Shape{}
		for a, d := range x.Shape {
			if !slices.Contains(gone, a) {
				shape = append(shape, d)
			}
		}
		x = g.Must1(graph.Reshape{Shape: shape}, x)
	}
	return x
}
