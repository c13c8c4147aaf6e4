package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

func attrI(name string, v int64) *attrProto   { return &attrProto{name: name, kind: attrInt, i: v} }
func attrF(name string, v float32) *attrProto { return &attrProto{name: name, kind: attrFloat, f: v} }
func attrS(name, v string) *attrProto         { return &attrProto{name: name, kind: attrString, s: []byte(v)} }
func attrIs(name string, v ...int) *attrProto {
	return &attrProto{name: name, kind: attrInts, ints: shape64(v)}
}

// node writes one operator.
func (x *exporter) node(n *graph.Node) error {
	in := make([]string, len(n.In))
	for i, v := range n.In {
		in[i] = x.names[v]
	}
	var y string
	var err error
	if x.detect != nil {
		if done, err := x.choose(n, in); done || err != nil {
			return err
		}
	}
	switch op := n.Op.(type) {
	case graph.Input:
		if x.names[n.Out[0]] == "" {
			return fmt.Errorf("the input %q is not the model's", op.Label)
		}
		return nil
	case graph.Variable:
		return x.variable(n, op)
	case graph.Const:
		name := x.unique(constName(n, "constant"))
		if op.Tensor.DType() == tensor.Int64 {
			y = x.init(name, shape64(op.Tensor.Shape()), nil, op.Tensor.Int64s())
			break
		}
		y = x.init(name, shape64(op.Tensor.Shape()), op.Tensor.Float32s(), nil)
	case graph.Conv2d:
		y, err = x.conv(n, op, in)
	case graph.Conv2dInputGrad:
		y, err = x.convTranspose(n, op, in)
	case graph.Linear:
		if in, err = x.foldedInputs(n, in); err != nil {
			return err
		}
		y = x.add(n, "Gemm", in, attrI("transB", 1))
	case graph.MatMul:
		y = x.matMul(n, op, in)
	case graph.BatchNorm:
		if x.folded[n] != nil {
			y = in[0] // already in the layer before
			break
		}
		y = x.add(n, "BatchNormalization", in, attrF("epsilon", op.Eps), attrF("momentum", 0.9))
	case graph.Unary:
		y, err = x.unary(n, op, in[0])
	case graph.Binary:
		y = x.add(n, op.Fn.String(), in)
	case graph.Affine:
		y = in[0]
		if op.Scale != 1 {
			y = x.add(n, "Mul", []string{y, x.number(n, op.Scale)})
		}
		if op.Shift != 0 || op.Scale == 1 {
			y = x.add(n, "Add", []string{y, x.number(n, op.Shift)})
		}
	case graph.QuantizeLinear:
		elem := elemUint8
		if op.Signed {
			elem = elemInt8
		}
		y = x.quantizer(n, "QuantizeLinear", in[0], op.Scale, op.Zero, op.Axis, elem)
	case graph.DequantizeLinear:
		y, err = x.dequantize(n, op, in[0])
	case graph.MaxPool2d:
		if x.used[n.Out[1]] > 0 {
			return errors.New("the positions of the maxima have no form in ONNX")
		}
		y = x.add(n, "MaxPool", in, windowAttrs(op.Window)...)
	case graph.AvgPool2d:
		count := attrI("count_include_pad", int64(bit(op.CountPad)))
		y = x.add(n, "AveragePool", in, append(windowAttrs(op.Window), count)...)
	case graph.Resize:
		y, err = x.resize(n, op, in[0])
	case graph.Reduce:
		y = x.reduce(n, op, in[0])
	case graph.BroadcastTo:
		y, err = x.broadcastTo(n, in[0])
	case graph.Softmax:
		y = x.add(n, "Softmax", in, attrI("axis", -1))
	case graph.LogSoftmax:
		y = x.add(n, "LogSoftmax", in, attrI("axis", -1))
	case graph.Reshape:
		y, err = x.reshape(n, in[0])
	case graph.Permute:
		y = x.add(n, "Transpose", in, attrIs("perm", op.Perm...))
	case graph.Concat:
		y = x.add(n, "Concat", in, attrI("axis", int64(op.Axis)))
	case graph.Slice:
		end := op.Start + (op.Count-1)*op.Step + 1
		if x.dims(n.Out[0])[op.Axis] < 0 {
			end = math.MaxInt64 // it follows the size of the input
		}
		y = x.add(n, "Slice", []string{in[0], x.integers(n, "starts", []int64{int64(op.Start)}), x.integers(n, "ends", []int64{int64(end)}),
			x.integers(n, "axes", []int64{int64(op.Axis)}), x.integers(n, "steps", []int64{int64(op.Step)})})
	case graph.Pad:
		if op.Between != 0 {
			return errors.New("padding between elements has no form in ONNX")
		}
		pads := make([]int64, 2*len(n.In[0].Shape))
		pads[op.Axis], pads[len(n.In[0].Shape)+op.Axis] = int64(op.Before), int64(op.After)
		y = x.add(n, "Pad", []string{in[0], x.integers(n, "pads", pads), x.number(n, op.Value)}, attrS("mode", "constant"))
	case graph.Detach:
		y = in[0]
	case graph.RoIAlign:
		y = x.roiAlign(n, op, in)
	case graph.GroupNorm:
		y, err = x.groupNorm(n, op, in)
	case graph.Compare:
		y = x.compare(n, op, in)
	case graph.Where:
		y = x.add(n, "Where", []string{x.cast(n, in[0], elemBool), in[1], in[2]})
	case graph.ToFloat:
		y = x.cast(n, in[0], elemFloat)
	case graph.ToInt:
		y = x.cast(n, in[0], elemInt64)
	case graph.OneHot:
		y = x.oneHot(n, op, in[0])
	case graph.Gather:
		y = x.add(n, "Gather", in, attrI("axis", int64(op.Axis)))
	case graph.GatherElements:
		y = x.add(n, "GatherElements", in, attrI("axis", int64(op.Axis)))
	case graph.TopK:
		y = x.topK(n, op, in[0])
	case graph.ArgMax:
		y = x.add(n, "ArgMax", in, attrI("axis", int64(op.Axis)), attrI("keepdims", int64(bit(op.Keep))))
	default:
		return errors.New("the operator has no form in ONNX")
	}
	x.names[n.Out[0]] = y
	return err
}

// variable writes a parameter, unless a fold has its own form of it.
func (x *exporter) variable(n *graph.Node, op graph.Variable) error {
	x.names[n.Out[0]] = op.Label
	if x.folds(n.Out[0]) {
		return nil
	}
	if x.opt.shapes {
		x.init(op.Label, shape64(op.Type.Shape), nil, nil)
		return nil
	}
	t, err := x.value(op)
	if err != nil {
		return err
	}
	x.init(op.Label, shape64(t.Shape()), t.Float32s(), nil)
	return nil
}

func (x *exporter) value(op graph.Variable) (*tensor.Tensor, error) {
	t := x.values[op.Label]
	switch {
	case t == nil:
		return nil, fmt.Errorf("the parameter %q has no value: initialize or load the model first", op.Label)
	case t.DType() != tensor.Float32 || !t.Shape().Equal(op.Type.Shape):
		return nil, fmt.Errorf("the parameter %q is %v, the model wants %v", op.Label, t, op.Type)
	}
	return t, nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func convAttrs(op graph.Conv2d, kernel tensor.Shape) []*attrProto {
	return []*attrProto{
		attrIs("dilations", op.DilationH, op.DilationW), attrI("group", int64(op.Groups)), attrIs("kernel_shape", kernel...),
		attrIs("pads", op.PadTop, op.PadLeft, op.PadBottom, op.PadRight), attrIs("strides", op.StrideH, op.StrideW),
	}
}

func (x *exporter) conv(n *graph.Node, op graph.Conv2d, in []string) (string, error) {
	in, err := x.foldedInputs(n, in)
	if err != nil {
		return "", err
	}
	return x.add(n, "Conv", in, convAttrs(op, n.In[1].Shape[2:])...), nil
}

// convTranspose writes the gradient of a convolution to its input, whose size
// is output_padding longer than the windows reach.
func (x *exporter) convTranspose(n *graph.Node, op graph.Conv2dInputGrad, in []string) (string, error) {
	c, w, dy := op.Conv, n.In[1].Shape, n.In[0].Shape
	extra := [2]int{
		op.X[2] - ((dy[2]-1)*c.StrideH + (w[2]-1)*c.DilationH + 1 - c.PadTop - c.PadBottom),
		op.X[3] - ((dy[3]-1)*c.StrideW + (w[3]-1)*c.DilationW + 1 - c.PadLeft - c.PadRight),
	}
	if extra[0] < 0 || extra[1] < 0 {
		return "", errors.New("the transposed convolution has no form in ONNX")
	}
	return x.add(n, "ConvTranspose", in, append(convAttrs(c, w[2:]), attrIs("output_padding", extra[:]...))...), nil
}

func (x *exporter) matMul(n *graph.Node, op graph.MatMul, in []string) string {
	perm := []int{1, 0}
	if len(n.In[0].Shape) == 3 {
		perm = []int{0, 2, 1}
	}
	for i, t := range []bool{op.TransA, op.TransB} {
		if t {
			in[i] = x.add(n, "Transpose", []string{in[i]}, attrIs("perm", perm...))
		}
	}
	return x.add(n, "MatMul", in)
}

func windowAttrs(w graph.Window) []*attrProto {
	return []*attrProto{
		attrI("ceil_mode", int64(bit(w.Ceil))), attrIs("kernel_shape", w.KernelH, w.KernelW),
		attrIs("pads", w.PadTop, w.PadLeft, w.PadBottom, w.PadRight), attrIs("strides", w.StrideH, w.StrideW),
	}
}

func (x *exporter) unary(n *graph.Node, op graph.Unary, in string) (string, error) {
	one := []string{in}
	switch op.Fn {
	case graph.Clip:
		return x.add(n, "Clip", []string{in, x.number(n, op.A), x.number(n, op.B)}), nil
	case graph.LeakyRelu:
		return x.add(n, "LeakyRelu", one, attrF("alpha", op.A)), nil
	case graph.Silu:
		return x.add(n, "Mul", []string{in, x.add(n, "Sigmoid", one)}), nil
	case graph.Gelu: // x/2 * (1 + erf(x/√2))
		e := x.add(n, "Erf", []string{x.add(n, "Mul", []string{in, x.number(n, float32(math.Sqrt2/2))})})
		e = x.add(n, "Add", []string{e, x.number(n, 1)})
		return x.add(n, "Mul", []string{x.add(n, "Mul", []string{in, e}), x.number(n, 0.5)}), nil
	case graph.HardSigmoid:
		return x.add(n, "HardSigmoid", one, attrF("alpha", 1.0/6), attrF("beta", 0.5)), nil
	case graph.Rsqrt:
		return x.add(n, "Reciprocal", []string{x.add(n, "Sqrt", one)}), nil
	case graph.Square:
		return x.add(n, "Mul", []string{in, in}), nil
	case graph.Relu, graph.Sigmoid, graph.Tanh, graph.HardSwish, graph.Exp, graph.Log, graph.Sqrt, graph.Abs, graph.Softplus:
		return x.add(n, op.Fn.String(), one), nil
	}
	return "", errors.New("the function has no form in ONNX")
}

// resize gives the size of the image, after the extents of batch and channels
// as they are when the file is run.
func (x *exporter) resize(n *graph.Node, op graph.Resize, in string) (string, error) {
	attrs := []*attrProto{attrS("coordinate_transformation_mode", "asymmetric"), attrS("mode", "nearest"), attrS("nearest_mode", "floor")}
	if op.Bilinear {
		attrs = []*attrProto{attrS("coordinate_transformation_mode", "half_pixel"), attrS("mode", "linear")}
	}
	if op.ScaleH != 0 || op.ScaleW != 0 {
		scales, err := x.scales(n, op)
		return x.add(n, "Resize", []string{in, "", scales}, attrs...), err
	}
	lead := x.add(n, "Shape", []string{in}, attrI("start", 0), attrI("end", 2))
	size, err := x.sizeOf(n, op)
	if err != nil {
		return "", err
	}
	sizes := x.add(n, "Concat", []string{lead, size}, attrI("axis", 0))
	return x.add(n, "Resize", []string{in, "", "", sizes}, attrs...), nil
}

// sizeOf returns the height and width that a Resize gives: numbers or, where they
// follow the size of the input, those of a value that has the same in both traces.
func (x *exporter) sizeOf(n *graph.Node, op graph.Resize) (string, error) {
	y := n.Out[0]
	if d := x.dims(y); d[2] >= 0 && d[3] >= 0 {
		return x.integers(n, "size", []int64{int64(op.OH), int64(op.OW)}), nil
	}
	for _, v := range slices.Backward(x.sized) {
		if o := x.other[v]; o != nil && v.Shape[2] == op.OH && v.Shape[3] == op.OW && o.Shape[2] == x.other[y].Shape[2] && o.Shape[3] == x.other[y].Shape[3] {
			return x.add(n, "Shape", []string{x.names[v]}, attrI("start", 2), attrI("end", 4)), nil
		}
	}
	return "", errors.New("its size follows that of the picture in a way that has no form in ONNX: choose a size (SaveOptions.FreeSize)")
}

func (x *exporter) reduce(n *graph.Node, op graph.Reduce, in string) string {
	keep := attrI("keepdims", int64(bit(op.Keep)))
	if len(n.In[0].Shape) == 4 && slices.Equal(op.Axes, []int{2, 3}) && op.Fn != graph.Sum {
		name := "GlobalAveragePool"
		if op.Fn == graph.MaxOf {
			name = "GlobalMaxPool"
		}
		y := x.add(n, name, []string{in})
		if !op.Keep {
			y = x.add(n, "Flatten", []string{y}, attrI("axis", 1))
		}
		return y
	}
	axes := op.Axes
	if len(axes) == 0 {
		for a := range n.In[0].Shape {
			axes = append(axes, a)
		}
	}
	if op.Fn == graph.Sum { // its axes are an input since opset 13
		return x.add(n, "ReduceSum", []string{in, x.integers(n, "axes", shape64(axes))}, keep)
	}
	return x.add(n, op.Fn.String(), []string{in}, attrIs("axes", axes...), keep)
}

func (x *exporter) broadcastTo(n *graph.Node, in string) (string, error) {
	to := x.dims(n.Out[0])
	from := x.dims(n.In[0])
	for i := range to {
		if to[i] >= 0 {
			continue
		}
		if j := i - len(to) + len(from); j < 0 || from[j] >= 0 {
			return "", errors.New("stretching to the batch size needs a fixed one (SaveOptions.Batch)")
		}
		to[i] = 1 // keeps the extent
	}
	return x.add(n, "Expand", []string{in, x.integers(n, "shape", to)}), nil
}

func (x *exporter) reshape(n *graph.Node, in string) (string, error) {
	from, to := x.dims(n.In[0]), x.dims(n.Out[0])
	// Both may follow the batch size, yet one be a multiple of it.
	if len(to) == 2 && len(from) > 1 && from[0] == to[0] && n.In[0].Shape[0] == n.Out[0].Shape[0] {
		return x.add(n, "Flatten", []string{in}, attrI("axis", 1)), nil
	}
	open := 0
	for _, d := range to {
		if d < 0 {
			open++
		}
	}
	if open > 1 {
		return "", errors.New("two extents follow the batch size: choose one (SaveOptions.Batch)")
	}
	return x.add(n, "Reshape", []string{in, x.integers(n, "shape", to)}), nil
}
