package models

import (
	"math"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// bf16Net is a network of testdata/gen/bf16.py with its input.
func bf16Net(t *testing.T, name string, classes int, input ...int) *whole {
	t.Helper()
	w := &whole{t: t}
	m, err := New(name, Classes(classes))
	if err != nil {
		t.Fatal(err)
	}
	w.model, w.attrs.Input, w.input = m, input, tensor.New(input...)
	namefill.Fill("input", w.input, namefill.Input)
	return w
}

// away returns the largest difference over the largest wanted magnitude.
func away(got, want *tensor.Tensor) float64 {
	worst, scale := 0.0, 0.0
	for i, v := range want.Float32s() {
		d := math.Abs(float64(got.Float32s()[i]) - float64(v))
		if math.IsNaN(d) {
			return d
		}
		worst, scale = max(worst, d), max(scale, math.Abs(float64(v)))
	}
	return worst / scale
}

// Logits of bfloat16 products are as far from the exact ones as PyTorch's with
// the same roundings, and nearer than PyTorch's autocast, which rounds activations
// between the layers, too. PyTorch with float32 sums is up to 3e-3 away from
// itself with float64 sums: testdata/gen/bf16.py explains why. Winograd's roundings are
// others, and larger; with them the logits are about as far away as autocast's.
func TestBF16AgainstPyTorch(t *testing.T) {
	want, _ := golden.Load(t, "testdata/bf16.safetensors")
	for name, w := range map[string]*whole{
		"r20": bf16Net(t, "resnet20-cifar", 10, 8, 3, 32, 32),
		"r18": bf16Net(t, "resnet18", 1000, 2, 3, 64, 64),
	} {
		w.opt.BF16 = engine.BF16Emulated
		autocast := away(want[name+".autocast"], want[name+".exact"])
		for _, fast := range []bool{false, true} {
			w.opt.Fast = fast
			y := w.run(w.trace(false).Graph, w.vars(), 1, nil)[0]["logits"]
			rounded, exact := away(y, want[name+".rounded"]), away(y, want[name+".exact"])
			between := away(y, want[name+".autocast"])
			t.Logf("%s, fast %v: away from rounded %.2g, exact %.2g, autocast %.2g; autocast from exact %.2g", name, fast, rounded, exact, between, autocast)
			if !fast && !(rounded < 5e-3) {
				t.Errorf("%s: logits are %.2g of the largest away from PyTorch's with the same roundings", name, rounded)
			}
			limit := autocast
			if fast {
				limit *= 1.25
			}
			if !(exact < limit) || !(between < 2*autocast) {
				t.Errorf("%s, fast %v: logits are %.2g away from the exact ones and %.2g from autocast's, which are %.2g away", name, fast, exact, between, autocast)
			}
			if exact < 1e-4 {
				t.Errorf("%s: logits are only %.2g away from the exact ones: was nothing rounded?", name, exact)
			}
		}
	}
}

// Single layers and their gradients are PyTorch's.
func TestBF16LayersAgainstPyTorch(t *testing.T) {
	want, _ := golden.Load(t, "testdata/bf16.safetensors")
	square := func(stride, pad, dil, groups int) graph.Conv2d {
		return graph.Conv2d{StrideH: stride, StrideW: stride, PadTop: pad, PadLeft: pad, PadBottom: pad, PadRight: pad,
			DilationH: dil, DilationW: dil, Groups: groups}
	}
	for _, l := range []struct {
		name string
		x, w tensor.Shape
		op   graph.Conv2d
	}{
		{"plain", tensor.Shape{2, 16, 9, 7}, tensor.Shape{24, 16, 3, 3}, square(1, 1, 1, 1)},
		{"odd", tensor.Shape{1, 7, 8, 9}, tensor.Shape{5, 7, 3, 3}, square(2, 1, 1, 1)},
		{"point", tensor.Shape{2, 33, 5, 5}, tensor.Shape{18, 33, 1, 1}, square(1, 0, 1, 1)},
		{"grouped", tensor.Shape{2, 12, 8, 8}, tensor.Shape{10, 6, 3, 3}, square(1, 2, 2, 2)},
	} {
		key := "layer." + l.name
		g := &graph.Graph{}
		var in []*tensor.Tensor
		input := func(name string, shape tensor.Shape) *graph.Value {
			v, err := g.Input(name, graph.F32(shape...))
			if err != nil {
				t.Fatal(err)
			}
			x := tensor.New(shape...)
			namefill.Fill(key+"."+name, x, namefill.Input)
			in = append(in, x)
			return v
		}
		x, w, dy := input("x", l.x), input("w", l.w), input("y.grad", want[key+".y"].Shape())
		g.Output("y", g.Must1(l.op, x, w))
		g.Output("x.grad", g.Must1(graph.Conv2dInputGrad{Conv: l.op, X: l.x}, dy, w))
		g.Output("w.grad", g.Must1(graph.Conv2dWeightGrad{Conv: l.op, W: l.w}, x, dy))
		plan, err := engine.Compile(g, engine.NewVars(), engine.Options{BF16: engine.BF16Emulated})
		if err != nil {
			t.Fatal(err)
		}
		var out []*tensor.Tensor
		for _, p := range plan.Outputs() {
			out = append(out, tensor.New(p.Shape...))
		}
		if err := plan.Run(in, out); err != nil {
			t.Fatal(err)
		}
		for i, p := range plan.Outputs() {
			if d := away(out[i], want[key+"."+p.Name]); !(d < 2e-6) {
				t.Errorf("%s of %s is %.2g of the largest away from PyTorch's", p.Name, l.name, d)
			}
		}
	}
}

// Gradients of a network likewise. Those by Winograd are rounded more.
func TestBF16GradientsAgainstPyTorch(t *testing.T) {
	want, meta := golden.Load(t, "testdata/bf16.safetensors")
	var params []string
	meta.Decode(t, "params", &params)
	w := bf16Net(t, "resnet20-cifar", 10, 8, 3, 32, 32)
	labels := tensor.NewInt64(8)
	for i := range labels.Int64s() {
		labels.Int64s()[i] = int64(7 * i % 10)
	}
	w.want = map[string]*tensor.Tensor{"labels": labels}
	grads := func(bf16 engine.BF16) map[string]*tensor.Tensor {
		w.opt.BF16 = bf16
		tr, err := nn.Trace(w.model, nn.TraceOptions{Input: graph.F32(w.attrs.Input...), Training: true})
		if err != nil {
			t.Fatal(err)
		}
		w.loss(tr)
		var wrt []*graph.Value
		for _, v := range tr.Trainable() {
			wrt = append(wrt, v.Value)
		}
		gs, err := tr.Graph.Gradients(tr.Graph.Outputs[0].Value, wrt)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range tr.Trainable() {
			tr.Graph.Output("grad."+v.Name, gs[i])
		}
		return w.run(tr.Graph, w.vars(), 1, map[string]*tensor.Tensor{"labels": labels})[0]
	}
	exact, got := grads(engine.BF16Off), grads(engine.BF16Emulated)
	w.opt.Fast = true
	fast := grads(engine.BF16Emulated)
	loss := func(x *tensor.Tensor) float64 { return float64(x.Float32s()[0]) }
	if a, b := loss(got["loss"]), loss(want["loss.rounded"]); math.Abs(a-b) > 1e-3*b {
		t.Errorf("the loss is %v, PyTorch's with the same roundings %v, without %v", a, b, loss(want["loss.exact"]))
	}
	distance := func(got map[string]*tensor.Tensor, p string) float64 {
		var diff, norm float64
		for j, v := range exact["grad."+p].Float32s() {
			d := float64(got["grad."+p].Float32s()[j]) - float64(v)
			diff, norm = diff+d*d, norm+float64(v)*float64(v)
		}
		return math.Sqrt(diff / norm)
	}
	var ours, winograd, theirs, rounded float64
	for i, p := range params {
		ours += distance(got, p)
		winograd += distance(fast, p)
		theirs += float64(want["error.autocast"].Float32s()[i])
		rounded += float64(want["error.rounded"].Float32s()[i])
	}
	n := float64(len(params))
	t.Logf("mean distance of gradients from the exact ones: %.4f, by Winograd %.4f, PyTorch with the same roundings %.4f, autocast %.4f", ours/n, winograd/n, rounded/n, theirs/n)
	if ours > 1.05*theirs || ours < 0.9*rounded || ours > 1.1*rounded {
		t.Errorf("gradients are %.4f away from the exact ones, PyTorch's with the same roundings %.4f, autocast's %.4f", ours/n, rounded/n, theirs/n)
	}
}
