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
			tensors, meta := golden.Load(t, file)
			var a golden.Attrs
			meta.Decode(t, "attrs", &a)
			if a.LR != nil {
				checkOptimizer(t, meta["op"], a, tensors)
				return
			}
			checkOperator(t, meta["op"], a, tensors)
		})
	}
}

func checkOperator(t *testing.T, op string, a golden.Attrs, tensors map[string]*tensor.Tensor) {
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
	out := a.Apply(g, op, in)
	if out == nil {
		t.Fatalf("no operator for %s", op)
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
		got = append(got, port.NewTensor())
	}
	if err := p.Run(feed, got); err != nil {
		t.Fatal(err)
	}
	for i, port := range p.Outputs() {
		golden.Close(t, port.Name, got[i], tensors[port.Name], 2e-5, 2e-5)
	}
}

// checkOptimizer takes three steps, keeping the slots in Vars.
func checkOptimizer(t *testing.T, op string, a golden.Attrs, tensors map[string]*tensor.Tensor) {
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
	case "adam":
		in = append(in, slot(0), slot(1), lr, input("t", graph.F32()))
		opt = graph.Adam{Beta1: a.Beta1, Beta2: a.Beta2, Eps: a.Eps, WeightDecay: a.WeightDecay}
	case "lamb":
		in = append(in, slot(0), slot(1), lr, input("t", graph.F32()))
		opt = graph.LAMB{Beta1: a.Beta1, Beta2: a.Beta2, Eps: a.Eps, WeightDecay: a.WeightDecay}
	case "rmsprop":
		in = append(in, slot(0), slot(1), lr)
		opt = graph.RMSprop{Alpha: a.Decay, Eps: a.Eps, Momentum: a.Momentum, WeightDecay: a.WeightDecay}
	case "ema":
		in = append(in, lr)
		opt = graph.EMA{}
	default:
		t.Fatalf("no optimizer for %s", op)
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
		case "adam", "adamw", "lamb":
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
