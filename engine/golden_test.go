package engine

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/tensor"
)

// attrs are the attributes of all golden operators.
type attrs struct {
	Kernel, Stride, Padding, Dilation []int
	Groups                            int
	CountIncludePad                   bool `json:"count_include_pad"`
	CeilMode                          bool `json:"ceil_mode"`
	Training                          bool
	Momentum, Eps                     float32
	Min, Max                          float32
	Axis                              int
	LabelSmoothing                    float32 `json:"label_smoothing"`
	NegativeSlope                     float32 `json:"negative_slope"`
	TransA                            bool    `json:"trans_a"`
	TransB                            bool    `json:"trans_b"`
	Pads                              []int
	Value                             float32
	Perm, Axes, Shape, Size           []int
	Keepdims                          bool
	Starts, Ends, Steps               []int
	Beta1, Beta2, Decay, Trust        float32
	WeightDecay                       float32 `json:"weight_decay"`
	Nesterov                          bool
	LR                                []float32 `json:"lr"`
}

func window(a attrs) graph.Window {
	return graph.Window{
		KernelH: a.Kernel[0], KernelW: a.Kernel[1], StrideH: a.Stride[0], StrideW: a.Stride[1],
		PadTop: a.Padding[0], PadBottom: a.Padding[0], PadLeft: a.Padding[1], PadRight: a.Padding[1], Ceil: a.CeilMode,
	}
}

var goldenUnary = map[string]graph.UnaryFn{
	"abs": graph.Abs, "exp": graph.Exp, "gelu": graph.Gelu, "hard_sigmoid": graph.HardSigmoid, "hard_swish": graph.HardSwish,
	"log": graph.Log, "relu": graph.Relu, "rsqrt": graph.Rsqrt, "sigmoid": graph.Sigmoid, "silu": graph.Silu,
	"softplus": graph.Softplus, "sqrt": graph.Sqrt, "square": graph.Square, "tanh": graph.Tanh,
}

var goldenBinary = map[string]graph.BinaryFn{
	"add": graph.Add, "sub": graph.Sub, "mul": graph.Mul, "div": graph.Div, "maximum": graph.Max, "minimum": graph.Min,
}

var goldenReduce = map[string]graph.ReduceFn{"reduce_sum": graph.Sum, "reduce_mean": graph.Mean, "reduce_max": graph.MaxOf}

// buildGolden adds the operator to g and returns its outputs.
func buildGolden(g *graph.Graph, op string, a attrs, in []*graph.Value) ([]*graph.Value, error) {
	one := func(o graph.Op) ([]*graph.Value, error) { return g.Must(o, in...)[:1], nil }
	if fn, ok := goldenUnary[op]; ok {
		return one(graph.Unary{Fn: fn})
	}
	if fn, ok := goldenBinary[op]; ok {
		return one(graph.Binary{Fn: fn})
	}
	if fn, ok := goldenReduce[op]; ok {
		return one(graph.Reduce{Fn: fn, Axes: a.Axes, Keep: a.Keepdims})
	}
	last := a.Axis == -1 || a.Axis == len(in[0].Shape)-1
	switch op {
	case "clip":
		return one(graph.Unary{Fn: graph.Clip, A: a.Min, B: a.Max})
	case "relu6":
		return one(graph.Unary{Fn: graph.Clip, A: 0, B: 6})
	case "leaky_relu":
		return one(graph.Unary{Fn: graph.LeakyRelu, A: a.NegativeSlope})
	case "conv2d":
		p := a.Padding
		if len(p) == 2 {
			p = []int{p[0], p[0], p[1], p[1]}
		}
		return one(graph.Conv2d{StrideH: a.Stride[0], StrideW: a.Stride[1], PadTop: p[0], PadBottom: p[1], PadLeft: p[2], PadRight: p[3],
			DilationH: a.Dilation[0], DilationW: a.Dilation[1], Groups: a.Groups})
	case "linear":
		return one(graph.Linear{})
	case "matmul":
		return one(graph.MatMul{TransA: a.TransA, TransB: a.TransB})
	case "batch_norm":
		if !a.Training {
			return one(graph.BatchNorm{Eps: a.Eps})
		}
		out := g.Must(graph.BatchNormTrain{Eps: a.Eps, Momentum: a.Momentum}, in...)
		return []*graph.Value{out[0], out[3], out[4]}, nil
	case "max_pool2d":
		return one(graph.MaxPool2d{Window: window(a)})
	case "avg_pool2d":
		return one(graph.AvgPool2d{Window: window(a), CountPad: a.CountIncludePad})
	case "global_avg_pool":
		return one(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}, Keep: true})
	case "concat":
		return one(graph.Concat{Axis: a.Axis})
	case "permute":
		return one(graph.Permute{Perm: a.Perm})
	case "reshape":
		return one(graph.Reshape{Shape: a.Shape})
	case "slice":
		v := in[0]
		for i, axis := range a.Axes {
			count := (a.Ends[i] - a.Starts[i] + a.Steps[i] - 1) / a.Steps[i]
			v = g.Must1(graph.Slice{Axis: axis, Start: a.Starts[i], Count: count, Step: a.Steps[i]}, v)
		}
		return []*graph.Value{v}, nil
	case "pad":
		v := in[0]
		n := len(a.Pads) / 2
		for axis := range n {
			v = g.Must1(graph.Pad{Axis: axis, Before: a.Pads[axis], After: a.Pads[n+axis], Value: a.Value}, v)
		}
		return []*graph.Value{v}, nil
	case "softmax":
		if last {
			return one(graph.Softmax{})
		}
	case "log_softmax":
		if last {
			return one(graph.LogSoftmax{})
		}
	case "cross_entropy", "cross_entropy_soft":
		return one(graph.CrossEntropy{LabelSmoothing: a.LabelSmoothing})
	case "bce_with_logits":
		return one(graph.BCEWithLogits{})
	case "l2_normalize":
		sum := g.Must1(graph.Reduce{Fn: graph.Sum, Axes: []int{a.Axis}, Keep: true}, g.Must1(graph.Unary{Fn: graph.Square}, in[0]))
		return g.Must(graph.Binary{Fn: graph.Div}, in[0], g.Must1(graph.Unary{Fn: graph.Sqrt}, sum)), nil
	case "upsample_nearest", "upsample_bilinear":
		return one(graph.Resize{OH: a.Size[0], OW: a.Size[1], Bilinear: op == "upsample_bilinear"})
	}
	return nil, fmt.Errorf("no operator for %s", op)
}

// noOperator lists the goldens that are wider than our operators: softmax
// along another axis than the last, and GELU's tanh approximation.
var noOperator = map[string]bool{"softmax_4d": true, "log_softmax_4d": true, "gelu_tanh": true}

// TestAgainstPyTorch compares each operator and its gradient with PyTorch's
// float64 values.
func TestAgainstPyTorch(t *testing.T) {
	files, err := filepath.Glob("../graph/testdata/ops/*.safetensors")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d golden files, error %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".safetensors")
		t.Run(name, func(t *testing.T) {
			if noOperator[name] {
				t.Skip("no such operator")
			}
			tensors, meta := golden.Load(t, file)
			var a attrs
			meta.Decode(t, "attrs", &a)
			if a.LR != nil {
				checkOptimiser(t, meta["op"], a, tensors)
				return
			}
			checkOperator(t, meta["op"], a, tensors)
		})
	}
}

func checkOperator(t *testing.T, op string, a attrs, tensors map[string]*tensor.Tensor) {
	g, vars := &graph.Graph{}, NewVars()
	var in, floats []*graph.Value
	var want []string
	for i := 0; tensors[fmt.Sprintf("in.%d", i)] != nil; i++ {
		x := tensors[fmt.Sprintf("in.%d", i)]
		typ := graph.Type{DType: x.DType(), Shape: x.Shape()}
		var v *graph.Value
		var err error
		name := fmt.Sprintf("in.%d", i)
		// Parameters come from Vars, as in a network.
		if i > 0 && x.DType() == tensor.Float32 && (op == "conv2d" || op == "linear" || op == "batch_norm") {
			v, err = g.Variable(name, typ)
			if err == nil {
				err = vars.Set(name, x)
			}
		} else {
			v, err = g.Input(name, typ)
		}
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, v)
		if tensors[fmt.Sprintf("din.%d", i)] != nil {
			floats = append(floats, v)
			want = append(want, fmt.Sprintf("din.%d", i))
		}
	}
	out, err := buildGolden(g, op, a, in)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range out {
		g.Output(fmt.Sprintf("out.%d", i), v)
	}
	dout := tensors["dout.0"]
	up, err := g.Input("dout.0", graph.F32(dout.Shape()...))
	if err != nil {
		t.Fatal(err)
	}
	loss := g.Must1(graph.Reduce{Fn: graph.Sum}, g.Must1(graph.Binary{Fn: graph.Mul}, out[0], up))
	grads, err := g.Gradients(loss, floats)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range grads {
		g.Output(want[i], d)
	}
	p, err := Compile(g, vars, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var feed, got []*tensor.Tensor
	for _, port := range p.Inputs() {
		feed = append(feed, tensors[port.Name])
	}
	for _, port := range p.Outputs() {
		got = append(got, tensor.New(port.Shape...))
	}
	if err := p.Run(feed, got); err != nil {
		t.Fatal(err)
	}
	for i, port := range p.Outputs() {
		golden.Close(t, port.Name, got[i], tensors[port.Name], 2e-5, 2e-5)
	}
}

// checkOptimiser takes three steps, keeping the slots in Vars.
func checkOptimiser(t *testing.T, op string, a attrs, tensors map[string]*tensor.Tensor) {
	g, vars := &graph.Graph{}, NewVars()
	typ := graph.F32(tensors["in.0"].Shape()...)
	variable := func(name string, x *tensor.Tensor) *graph.Value {
		v, err := g.Variable(name, typ)
		if err == nil {
			err = vars.Set(name, x)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	input := func(name string, typ graph.Type) *graph.Value {
		v, err := g.Input(name, typ)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	p := variable("p", tensors["in.0"])
	grad := input("grad", typ)
	lr := input("lr", graph.F32())
	feeds := func(step int) []*tensor.Tensor {
		rate := tensor.New()
		rate.Float32s()[0] = a.LR[step]
		return []*tensor.Tensor{tensors[fmt.Sprintf("in.%d", step+1)], rate}
	}
	slot := func(i int) *graph.Value { return variable(fmt.Sprintf("slot%d", i), tensor.New(typ.Shape...)) }
	in := []*graph.Value{p, grad}
	var opt graph.Op
	switch op {
	case "sgd":
		in = append(in, slot(0), lr)
		opt = graph.SGD{Momentum: a.Momentum, WeightDecay: a.WeightDecay, Nesterov: a.Nesterov}
	case "lars":
		in = append(in, slot(0), lr)
		opt = graph.LARS{Momentum: a.Momentum, WeightDecay: a.WeightDecay, Trust: a.Trust, Eps: a.Eps}
	case "adamw":
		in = append(in, slot(0), slot(1), lr, input("t", graph.F32()))
		opt = graph.AdamW{Beta1: a.Beta1, Beta2: a.Beta2, Eps: a.Eps, WeightDecay: a.WeightDecay}
	case "ema":
		in = append(in, lr)
		opt = graph.EMA{}
	default:
		t.Fatalf("no optimiser for %s", op)
	}
	out := g.Must(opt, in...)
	for i, v := range out {
		of := in[0]
		if i > 0 {
			of = in[i+1]
		}
		if err := g.Assign(of, v); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := Compile(g, vars, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for step := range 3 {
		feed := feeds(step)
		switch op {
		case "adamw":
			count := tensor.New()
			count.Float32s()[0] = float32(step + 1)
			feed = append(feed, count)
		case "ema":
			feed[1].Float32s()[0] = a.Decay
		}
		if err := plan.Run(feed, nil); err != nil {
			t.Fatal(err)
		}
		got, err := vars.Get("p")
		if err != nil {
			t.Fatal(err)
		}
		golden.Close(t, fmt.Sprintf("step %d", step), got, tensors[fmt.Sprintf("out.%d", step)], 1e-5, 1e-6)
	}
}
