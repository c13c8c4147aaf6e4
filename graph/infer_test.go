package graph_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

var f32 = graph.F32

func i64(shape ...int) graph.Type { return graph.Type{DType: tensor.Int64, Shape: shape} }

var (
	plain  = graph.Conv2d{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1}
	same   = graph.Conv2d{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 1}
	halve  = graph.Conv2d{StrideH: 2, StrideW: 2, PadTop: 3, PadLeft: 3, PadBottom: 3, PadRight: 3, DilationH: 1, DilationW: 1, Groups: 1}
	pool3  = graph.Window{KernelH: 3, KernelW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1}
	halves = graph.Window{KernelH: 2, KernelW: 2, StrideH: 2, StrideW: 2}
)

func grouped(o graph.Conv2d, groups int) graph.Conv2d { o.Groups = groups; return o }

func ceiled(w graph.Window) graph.Window { w.Ceil = true; return w }

func TestShapeRules(t *testing.T) {
	c := f32(5)
	for _, q := range []struct {
		op   graph.Op
		in   []graph.Type
		want string // the outputs
	}{
		{same, []graph.Type{f32(2, 3, 32, 30), f32(16, 3, 3, 3)}, "float32[2 16 32 30]"},
		{halve, []graph.Type{f32(1, 3, 224, 224), f32(64, 3, 7, 7), f32(64)}, "float32[1 64 112 112]"},
		{halve, []graph.Type{f32(1, 3, 225, 223), f32(64, 3, 7, 7)}, "float32[1 64 113 112]"},
		{grouped(plain, 4), []graph.Type{f32(2, 8, 5, 4), f32(12, 2, 5, 4)}, "float32[2 12 1 1]"},
		{graph.Conv2d{StrideH: 2, StrideW: 1, PadBottom: 1, PadLeft: 2, DilationH: 2, DilationW: 3, Groups: 1}, []graph.Type{f32(1, 1, 8, 8), f32(1, 1, 3, 2)}, "float32[1 1 3 7]"},
		{graph.Conv2dInputGrad{Conv: halve, X: tensor.Shape{1, 3, 224, 224}}, []graph.Type{f32(1, 64, 112, 112), f32(64, 3, 7, 7)}, "float32[1 3 224 224]"},
		{graph.Conv2dWeightGrad{Conv: halve, W: tensor.Shape{64, 3, 7, 7}}, []graph.Type{f32(1, 3, 224, 224), f32(1, 64, 112, 112)}, "float32[64 3 7 7]"},
		{graph.Linear{}, []graph.Type{f32(4, 512), f32(1000, 512), f32(1000)}, "float32[4 1000]"},
		{graph.LinearInputGrad{}, []graph.Type{f32(4, 1000), f32(1000, 512)}, "float32[4 512]"},
		{graph.LinearWeightGrad{}, []graph.Type{f32(4, 512), f32(4, 1000)}, "float32[1000 512]"},
		{graph.MatMul{TransA: true}, []graph.Type{f32(7, 5, 2), f32(7, 5, 3)}, "float32[7 2 3]"},
		{graph.MatMul{TransB: true}, []graph.Type{f32(5, 2), f32(3, 2)}, "float32[5 3]"},
		{graph.BatchNorm{}, []graph.Type{f32(2, 5, 3, 3), c, c, c, c}, "float32[2 5 3 3]"},
		{graph.BatchNormTrain{}, []graph.Type{f32(2, 5), c, c, c, c}, "float32[2 5] float32[5] float32[5] float32[5] float32[5]"},
		{graph.BatchNormGrad{}, []graph.Type{f32(2, 5), f32(2, 5), c, c, c}, "float32[2 5] float32[5] float32[5]"},
		{graph.Unary{Fn: graph.Gelu}, []graph.Type{f32()}, "float32[]"},
		{graph.Binary{Fn: graph.Mul}, []graph.Type{f32(2, 1, 3, 1), f32(4, 1, 5)}, "float32[2 4 3 5]"},
		{graph.SelectGrad{Fn: graph.Max}, []graph.Type{f32(3, 1), f32(4), f32(3, 4)}, "float32[3 4]"},
		{graph.Affine{}, []graph.Type{f32(2, 3)}, "float32[2 3]"},
		{graph.MaxPool2d{Window: pool3}, []graph.Type{f32(1, 64, 112, 112)}, "float32[1 64 56 56] float32[1 64 56 56]"},
		{graph.MaxPool2dGrad{Window: pool3, X: tensor.Shape{1, 2, 8, 8}}, []graph.Type{f32(1, 2, 4, 4), f32(1, 2, 4, 4)}, "float32[1 2 8 8]"},
		{graph.AvgPool2d{Window: halves}, []graph.Type{f32(1, 2, 7, 7)}, "float32[1 2 3 3]"},
		{graph.AvgPool2d{Window: ceiled(halves)}, []graph.Type{f32(1, 2, 7, 7)}, "float32[1 2 4 4]"},
		{graph.AvgPool2dGrad{Pool: graph.AvgPool2d{Window: halves}, X: tensor.Shape{1, 2, 7, 7}}, []graph.Type{f32(1, 2, 3, 3)}, "float32[1 2 7 7]"},
		{graph.Resize{OH: 7, OW: 1}, []graph.Type{f32(1, 2, 3, 4)}, "float32[1 2 7 1]"},
		{graph.ResizeGrad{Resize: graph.Resize{OH: 7, OW: 1}, X: tensor.Shape{1, 2, 3, 4}}, []graph.Type{f32(1, 2, 7, 1)}, "float32[1 2 3 4]"},
		{graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, []graph.Type{f32(2, 5, 7, 7)}, "float32[2 5]"},
		{graph.Reduce{Fn: graph.MaxOf, Axes: []int{1}, Keep: true}, []graph.Type{f32(2, 5, 7)}, "float32[2 1 7]"},
		{graph.Reduce{}, []graph.Type{f32(2, 5)}, "float32[]"},
		{graph.Reduce{Keep: true}, []graph.Type{f32(2, 5)}, "float32[1 1]"},
		{graph.ReduceMaxGrad{Of: graph.Reduce{Fn: graph.MaxOf, Axes: []int{1}}}, []graph.Type{f32(2, 5), f32(2), f32(2)}, "float32[2 5]"},
		{graph.BroadcastTo{Shape: tensor.Shape{2, 3, 4}}, []graph.Type{f32(3, 1)}, "float32[2 3 4]"},
		{graph.Softmax{}, []graph.Type{f32(2, 5)}, "float32[2 5]"},
		{graph.Reshape{Shape: tensor.Shape{4, 15}}, []graph.Type{f32(2, 5, 6)}, "float32[4 15]"},
		{graph.Permute{Perm: []int{0, 2, 3, 1}}, []graph.Type{f32(2, 3, 4, 5)}, "float32[2 4 5 3]"},
		{graph.Concat{Axis: 1}, []graph.Type{f32(2, 3), f32(2, 4), f32(2, 1)}, "float32[2 8]"},
		{graph.Slice{Axis: 1, Start: 1, Count: 2, Step: 3}, []graph.Type{f32(2, 5)}, "float32[2 2]"},
		{graph.Pad{Axis: 1, Before: 1, After: 2, Between: 3}, []graph.Type{f32(2, 5)}, "float32[2 20]"},
		{graph.CrossEntropy{}, []graph.Type{f32(8, 10), i64(8), f32(10)}, "float32[]"},
		{graph.CrossEntropy{}, []graph.Type{f32(8, 10), f32(8, 10)}, "float32[]"},
		{graph.CrossEntropyGrad{}, []graph.Type{f32(), f32(8, 10), i64(8)}, "float32[8 10]"},
		{graph.BCEWithLogits{}, []graph.Type{f32(8, 10), f32(8, 10), f32(10)}, "float32[]"},
		{graph.BCEWithLogitsGrad{}, []graph.Type{f32(), f32(8, 10), f32(8, 10)}, "float32[8 10]"},
		{graph.Dropout{P: 0.5}, []graph.Type{f32(8, 10), i64(2)}, "float32[8 10]"},
		{graph.SGD{}, []graph.Type{c, c, c, f32()}, "float32[5] float32[5]"},
		{graph.AdamW{}, []graph.Type{c, c, c, c, f32(), f32()}, "float32[5] float32[5] float32[5]"},
		{graph.LARS{}, []graph.Type{c, c, c, f32()}, "float32[5] float32[5]"},
		{graph.Adam{}, []graph.Type{c, c, c, c, f32(), f32()}, "float32[5] float32[5] float32[5]"},
		{graph.LAMB{}, []graph.Type{c, c, c, c, f32(), f32()}, "float32[5] float32[5] float32[5]"},
		{graph.RMSprop{}, []graph.Type{c, c, c, c, f32()}, "float32[5] float32[5] float32[5]"},
		{graph.EMA{}, []graph.Type{c, c, f32()}, "float32[5]"},
		{graph.GlobalNorm{}, []graph.Type{c, f32(2, 3)}, "float32[]"},
	} {
		out, err := q.op.Infer(q.in)
		if got := strings.Trim(fmt.Sprint(out), "[]"); err != nil || got != strings.Trim(q.want, "[]") {
			t.Errorf("%s %+v of %v gives %v (%v), want %s", q.op.Name(), q.op, q.in, out, err, q.want)
		}
	}
}

// TestShapeMistakes applies operators to what does not fit. The message must
// name the module, the operator, the shapes and what is wrong.
func TestShapeMistakes(t *testing.T) {
	c := f32(5)
	for _, q := range []struct {
		op   graph.Op
		in   []graph.Type
		want string
	}{
		{same, []graph.Type{f32(2, 3, 32, 32), f32(16, 4, 3, 3)}, "the weight takes 4 channels per group, the input has 3"},
		{same, []graph.Type{f32(2, 3, 32), f32(16, 3, 3, 3)}, "[N C H W]"},
		{same, []graph.Type{f32(2, 3, 8, 8), f32(16, 3, 3, 3), f32(15)}, "the bias must be [16], got [15]"},
		{same, []graph.Type{f32(2, 3, 8, 8), i64(16, 3, 3, 3)}, "input 1 must be float32, is int64"},
		{same, []graph.Type{f32(2, 3, 8, 8)}, "want 2 to 3 inputs, got 1"},
		{plain, []graph.Type{f32(2, 3, 2, 8), f32(16, 3, 3, 3)}, "a 3x3 kernel (dilation 1x1) does not fit into the padded 2x8 input"},
		{grouped(plain, 2), []graph.Type{f32(2, 3, 8, 8), f32(16, 3, 3, 3)}, "3 input and 16 output channels do not divide into 2 groups"},
		{graph.Conv2d{}, []graph.Type{f32(2, 3, 8, 8), f32(16, 3, 3, 3)}, "must be at least 1"},
		{graph.Conv2d{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1, PadLeft: -1}, []graph.Type{f32(2, 3, 8, 8), f32(16, 3, 3, 3)}, "the padding 0 above, -1 left"},
		{graph.Conv2d{StrideH: 1, StrideW: math.MaxInt, DilationH: 1, DilationW: 1, Groups: 1}, []graph.Type{f32(2, 3, 8, 8), f32(16, 3, 3, 3)}, "above 2147483647"},
		{graph.Conv2dInputGrad{Conv: same, X: tensor.Shape{1, 3, 8, 8}}, []graph.Type{f32(1, 16, 8, 7), f32(16, 3, 3, 3)}, "want a gradient [1 16 8 8] of the output, got [1 16 8 7]"},
		{graph.Conv2dWeightGrad{Conv: same, W: tensor.Shape{16, 3, 3, 3}}, []graph.Type{f32(1, 3, 8, 8), f32(1, 16, 8, 7)}, "want a gradient [1 16 8 8] of the output, got [1 16 8 7]"},
		{graph.Linear{}, []graph.Type{f32(4, 512, 1, 1), f32(10, 512)}, "flatten the input first"},
		{graph.Linear{}, []graph.Type{f32(4, 512), f32(10, 256)}, "the weight takes 256 features, the input has 512"},
		{graph.LinearInputGrad{}, []graph.Type{f32(2, 4, 10), f32(2, 10, 5)}, "want two matrices, got [2 4 10] and [2 10 5]"},
		{graph.LinearWeightGrad{}, []graph.Type{f32(4, 5), f32(3, 10)}, "inner extents 3 and 4 differ"},
		{graph.MatMul{}, []graph.Type{f32(2, 3), f32(2, 3)}, "inner extents 3 and 2 differ"},
		{graph.MatMul{}, []graph.Type{f32(2, 3, 4), f32(3, 4, 5)}, "the stacks have 2 and 3 matrices"},
		{graph.MatMul{}, []graph.Type{f32(1<<30, 1), f32(1, 1<<30)}, "more than 2^40 elements"},
		{graph.BatchNorm{}, []graph.Type{f32(2, 5, 3), c, c, c, c}, "want an input [N C] or [N C H W], got [2 5 3]"},
		{graph.BatchNorm{}, []graph.Type{f32(2, 6, 3, 3), c, c, c, c}, "input 1 must be [6], one value per channel, got [5]"},
		{graph.BatchNorm{Eps: -1}, []graph.Type{f32(2, 5), c, c, c, c}, "eps is -1, must not be negative"},
		{graph.BatchNormTrain{}, []graph.Type{f32(1, 5, 1, 1), c, c, c, c}, "one value per channel has no variance"},
		{graph.BatchNormTrain{Momentum: 2}, []graph.Type{f32(2, 5), c, c, c, c}, "momentum 2 must be in [0, 1]"},
		{graph.BatchNormGrad{}, []graph.Type{f32(2, 4), f32(2, 5), c, c, c}, "the shape [2 4] of the gradient differs from the input's [2 5]"},
		{graph.Unary{Fn: 99}, []graph.Type{c}, "is unknown"},
		{graph.Unary{Fn: graph.Clip, A: 1, B: 1}, []graph.Type{c}, "the lower bound 1 is not below the upper 1"},
		{graph.Unary{Fn: graph.LeakyRelu, A: float32(math.NaN())}, []graph.Type{c}, "the slope is NaN"},
		{graph.UnaryGrad{Of: graph.Unary{Fn: graph.Relu}}, []graph.Type{c, f32(4)}, "the shapes [5] and [4] differ"},
		{graph.Binary{Fn: graph.Add}, []graph.Type{f32(2, 3), f32(2, 4)}, "shapes [2 3] and [2 4] do not broadcast: 3 against 4 at axis 1 from the end"},
		{graph.Binary{Fn: 99}, []graph.Type{c, c}, "is unknown"},
		{graph.SelectGrad{Fn: graph.Min}, []graph.Type{f32(3, 1), f32(4), f32(3, 5)}, "want a gradient [3 4], got [3 5]"},
		{graph.MaxPool2d{Window: graph.Window{KernelH: 2, KernelW: 2, StrideH: 2, StrideW: 2, PadTop: 2}}, []graph.Type{f32(1, 1, 8, 8)}, "padding 2 must be from 0 to below the kernel's 2"},
		{graph.MaxPool2d{Window: halves}, []graph.Type{f32(1, 1, 1, 8)}, "a 2x2 window does not fit into the padded 1x8 input"},
		{graph.MaxPool2d{}, []graph.Type{f32(1, 1, 1, 8)}, "kernel and stride must be at least 1"},
		{graph.AvgPool2d{Window: halves}, []graph.Type{f32(1, 8)}, "want an input [N C H W], got [1 8]"},
		{graph.MaxPool2dGrad{Window: halves, X: tensor.Shape{1, 1, 8, 8}}, []graph.Type{f32(1, 1, 4, 4), f32(1, 1, 4, 5)}, "want gradients and winners [1 1 4 4], got [1 1 4 4] and [1 1 4 5]"},
		{graph.AvgPool2dGrad{Pool: graph.AvgPool2d{Window: halves}, X: tensor.Shape{1, 1, 8, 0}}, []graph.Type{f32(1, 1, 4, 4)}, "extent below 1"},
		{graph.Resize{OH: 0, OW: 1}, []graph.Type{f32(1, 2, 3, 4)}, "the size is 0x1, must be positive"},
		{graph.ResizeGrad{Resize: graph.Resize{OH: 7, OW: 1}, X: tensor.Shape{1, 2, 3, 4}}, []graph.Type{f32(1, 2, 7, 2)}, "want a gradient [1 2 7 1], got [1 2 7 2]"},
		{graph.Reduce{Axes: []int{1, 0}}, []graph.Type{f32(2, 5)}, "axes [1 0] are not increasing axes of [2 5]"},
		{graph.Reduce{Axes: []int{2}}, []graph.Type{f32(2, 5)}, "axes [2] are not increasing axes of [2 5]"},
		{graph.ReduceMaxGrad{}, []graph.Type{f32(2, 5), f32(), f32()}, "the function is ReduceSum, want ReduceMax"},
		{graph.BroadcastTo{Shape: tensor.Shape{2, 3}}, []graph.Type{f32(2, 3, 4)}, "do not broadcast"},
		{graph.BroadcastTo{Shape: tensor.Shape{3}}, []graph.Type{f32(1, 3)}, "[1 3] does not stretch to [3]"},
		{graph.Softmax{}, []graph.Type{f32()}, "a scalar has no last axis"},
		{graph.Reshape{Shape: tensor.Shape{4, 16}}, []graph.Type{f32(2, 5, 6)}, "[2 5 6] has 60 elements, the new shape [4 16] has 64"},
		{graph.Reshape{Shape: tensor.Shape{-1, 4}}, []graph.Type{f32(2, 2)}, "shape [-1 4] has an extent below 1"},
		{graph.Permute{Perm: []int{0, 0}}, []graph.Type{f32(2, 5)}, "[0 0] is no permutation of the 2 axes of [2 5]"},
		{graph.Permute{Perm: []int{0}}, []graph.Type{f32(2, 5)}, "[0] is no permutation of the 2 axes of [2 5]"},
		{graph.Concat{Axis: 1}, []graph.Type{f32(2, 3), f32(3, 4)}, "[2 3] and [3 4] differ at axis 0, joining along 1"},
		{graph.Concat{Axis: 2}, []graph.Type{f32(2, 3)}, "[2 3] has no axis 2"},
		{graph.Concat{}, nil, "there are no inputs to join"},
		{graph.Slice{Axis: 1, Start: 1, Count: 3, Step: 2}, []graph.Type{f32(2, 5)}, "3 elements from 1 by 2 do not lie in axis 1 of [2 5]"},
		{graph.Slice{Axis: 1, Start: 0, Count: 3, Step: math.MaxInt}, []graph.Type{f32(2, 5)}, "do not lie in axis 1 of [2 5]"},
		{graph.Pad{Axis: 1, Before: -1}, []graph.Type{f32(2, 5)}, "the padding -1 before"},
		{graph.Pad{Axis: -1}, []graph.Type{f32(2, 5)}, "[2 5] has no axis -1"},
		{graph.CrossEntropy{}, []graph.Type{f32(8, 10), i64(7)}, "want targets int64[8] or float32[8 10], got int64[7]"},
		{graph.CrossEntropy{}, []graph.Type{f32(8, 10), i64(8), f32(9)}, "want class weights float32[10], got float32[9]"},
		{graph.CrossEntropy{LabelSmoothing: 1}, []graph.Type{f32(8, 10), i64(8)}, "label smoothing 1 is not in [0, 1)"},
		{graph.CrossEntropyGrad{}, []graph.Type{f32(1), f32(8, 10), i64(8)}, "must be the gradient of the loss, a scalar"},
		{graph.BCEWithLogits{}, []graph.Type{f32(8, 10), f32(8, 9)}, "[8 10] and [8 9]"},
		{graph.Dropout{P: 1}, []graph.Type{f32(8, 10), i64(2)}, "probability 1 is not in [0, 1)"},
		{graph.Dropout{}, []graph.Type{f32(8, 10), i64(1)}, "seed and step as int64[2], got int64[1]"},
		{graph.Dropout{PerSample: true}, []graph.Type{f32(), i64(2)}, "a scalar has no samples"},
		{graph.SGD{}, []graph.Type{c, c, f32(4), f32()}, "input 2 must have shape [5], has [4]"},
		{graph.AdamW{}, []graph.Type{c, c, c, c, f32(1), f32()}, "input 4 must have shape [], has [1]"},
		{graph.EMA{}, []graph.Type{c, c}, "want 3 inputs, got 2"},
		{graph.GlobalNorm{}, nil, "no inputs"},
	} {
		g := &graph.Graph{}
		var in []*graph.Value
		for i, typ := range q.in {
			v, err := g.Input(fmt.Sprint("in", i), typ)
			if err != nil {
				t.Fatal(err)
			}
			in = append(in, v)
		}
		nodes := len(g.Nodes)
		previous := g.SetPath("layer2.0.conv1")
		if previous != "" {
			t.Errorf("the path was %q", previous)
		}
		_, err := g.Apply(q.op, in...)
		var e *graph.Error
		if !errors.As(err, &e) {
			t.Errorf("%s %+v of %v: got %v, want an *Error", q.op.Name(), q.op, q.in, err)
			continue
		}
		want := []string{"layer2.0.conv1: " + q.op.Name(), q.want}
		for _, typ := range q.in {
			want = append(want, typ.String())
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s %+v: message %q lacks %q", q.op.Name(), q.op, err, part)
			}
		}
		if len(g.Nodes) != nodes {
			t.Errorf("%s: a refused node is in the graph", q.op.Name())
		}
	}
}

// must returns the value of an input and fails the test if it is refused.
func must(t *testing.T) func(v *graph.Value, err error) *graph.Value {
	return func(v *graph.Value, err error) *graph.Value {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestGraphMistakes(t *testing.T) {
	ok := must(t)
	g, other := &graph.Graph{}, &graph.Graph{}
	x := ok(g.Input("x", f32(2, 3)))
	v := ok(g.Variable("v", f32(2, 3)))
	labels := ok(g.Input("labels", i64(2)))
	if again := ok(g.Input("x", f32(2, 3))); again != x {
		t.Error("asking for an input again makes another")
	}
	apply := func(op graph.Op, in ...*graph.Value) error { _, err := g.Apply(op, in...); return err }
	source := func(_ *graph.Value, err error) error { return err }
	gradients := func(loss *graph.Value, wrt ...*graph.Value) error { _, err := g.Gradients(loss, wrt); return err }
	sum := g.Must1(graph.Reduce{Fn: graph.Sum}, x)
	weights := ok(g.Variable("weights", f32(3)))
	norm := g.Must(graph.BatchNormTrain{}, x, weights, weights, weights, weights)
	foreign := ok(other.Input("y", f32(2, 3)))
	if err := g.Assign(v, x); err != nil {
		t.Fatal(err)
	}
	for what, q := range map[string]struct {
		err  error
		want string
	}{
		"nil input":           {apply(graph.Affine{}, nil), "Affine: input 0 is nil"},
		"another graph":       {apply(graph.Affine{}, foreign), "another graph"},
		"input of other type": {source(g.Input("x", f32(2, 4))), `"x" was float32[2 3] before, now float32[2 4]`},
		"variable, other":     {source(g.Variable("v", i64(2, 3))), `"v" was float32[2 3] before, now int64[2 3]`},
		"empty input":         {source(g.Input("e", f32(0, 3))), "shape [0 3] has an extent below 1"},
		"huge variable":       {source(g.Variable("h", f32(1<<30, 1<<30))), "more than 2^40 elements"},
		"unknown type":        {source(g.Input("u", graph.Type{DType: 9})), "the type dtype(9) is unknown"},
		"assign to input":     {g.Assign(x, v), "is not a variable"},
		"assign other type":   {g.Assign(weights, x), "must have one type"},
		"assign twice":        {g.Assign(v, x), `"v" is assigned twice`},
		"assign nil":          {g.Assign(v, nil), "nil"},
		"assign from abroad":  {g.Assign(weights, ok(other.Input("z", f32(3)))), "another graph"},
		"empty constant":      {graph.Try(func() { g.Const(tensor.New(0)) }), "extent below 1"},
		"no constant":         {graph.Try(func() { g.Const(nil) }), "no tensor"},
		"foreign loss":        {gradients(foreign, x), "the loss belongs to another graph"},
		"foreign value":       {gradients(sum, foreign), "another graph"},
		"no loss":             {gradients(nil, x), "the loss is nil"},
		"loss of many":        {gradients(x, x), "Gradients of float32[2 3]: the loss is no float32 scalar"},
		"gradient to labels":  {gradients(sum, labels), "not float32"},
		"gradient to nil":     {gradients(sum, nil), "nil"},
		"no gradient":         {gradients(g.Must1(graph.GlobalNorm{}, x), x), "GlobalNorm: the operator has no gradient"},
		"through statistics":  {gradients(g.Must1(graph.Reduce{}, norm[1]), x), "through the statistics"},
		"to fixed statistics": {gradients(g.Must1(graph.Reduce{}, g.Must1(graph.BatchNorm{}, x, weights, weights, weights, weights)), weights), "fixed statistics"},
		"to soft targets":     {gradients(g.Must1(graph.CrossEntropy{}, x, v), v), "only the logits have a gradient"},
		"to class weights":    {gradients(g.Must1(graph.BCEWithLogits{}, x, v, weights), weights), "only the logits have a gradient"},
		"second derivative": {gradients(func() *graph.Value {
			d, err := g.Gradients(g.Must1(graph.Reduce{}, g.Must1(graph.Unary{Fn: graph.Tanh}, x)), []*graph.Value{x})
			if err != nil {
				t.Fatal(err)
			}
			return g.Must1(graph.Reduce{}, d[0])
		}(), x), "TanhGrad: the operator has no second derivative"},
	} {
		var e *graph.Error
		if !errors.As(q.err, &e) || !strings.Contains(q.err.Error(), q.want) {
			t.Errorf("%s: got %v, want an *Error with %q", what, q.err, q.want)
		}
	}
}

// Panics other than those of Must are bugs and must not be taken for mistakes.
func TestTryLetsOtherPanicsPass(t *testing.T) {
	defer func() {
		if r := recover(); r != "bug" {
			t.Errorf("recovered %v", r)
		}
	}()
	err := graph.Try(func() { panic("bug") })
	t.Errorf("Try returned %v", err)
}

func TestGradientNodesKeepTheirModule(t *testing.T) {
	ok := must(t)
	g := &graph.Graph{}
	x, w := ok(g.Input("x", f32(2, 3))), ok(g.Variable("w", f32(4, 3)))
	g.SetPath("fc")
	y := g.Must1(graph.Linear{}, x, w)
	g.SetPath("loss")
	loss := g.Must1(graph.Reduce{Fn: graph.Sum}, y)
	forward := len(g.Nodes)
	grads, err := g.Gradients(loss, []*graph.Value{w})
	if err != nil {
		t.Fatal(err)
	}
	if got := grads[0].Node.String(); got != "fc (LinearWeightGrad)" {
		t.Errorf("the gradient is made by %s", got)
	}
	for _, n := range g.Nodes[forward:] {
		if _, ok := n.Op.(graph.LinearInputGrad); ok {
			t.Error("a gradient that nobody wants is computed")
		}
	}
	if path := g.SetPath(""); path != "loss" {
		t.Errorf("Gradients left the path %q", path)
	}
}
