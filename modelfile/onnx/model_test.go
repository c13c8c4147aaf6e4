package onnx

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// onePool saves these small networks the cost of handing work around.

// infer runs a module by the engine.
func infer(t testing.TB, m nn.Module, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.Type{DType: tensor.Float32, Shape: x.Shape()}})
	if err != nil {
		t.Fatal(err)
	}
	tr.Graph.Output("y", tr.Output)
	vars := engine.NewVars()
	for _, e := range nn.Params(m) {
		if err := vars.Set(e.Name, e.Param.Value); err != nil {
			t.Fatal(err)
		}
	}
	p, err := engine.Compile(tr.Graph, vars, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	y := tensor.New(tr.Output.Shape...)
	if err := p.Run([]*tensor.Tensor{x}, []*tensor.Tensor{y}); err != nil {
		t.Fatal(err)
	}
	return y
}

// difference is the largest difference over the range of the values wanted.
func difference(t testing.TB, got, want *tensor.Tensor) float64 {
	t.Helper()
	if !got.Shape().Equal(want.Shape()) {
		t.Fatalf("got %v, want %v", got, want)
	}
	lo, hi, most := math.Inf(1), math.Inf(-1), 0.0
	for i, w := range want.Float32s() {
		lo, hi = min(lo, float64(w)), max(hi, float64(w))
		d := math.Abs(float64(got.Float32s()[i] - w))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		most = max(most, d)
	}
	return most / (hi - lo)
}

func readTensors(t testing.TB, path string) map[string]*tensor.Tensor {
	t.Helper()
	r, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := map[string]*tensor.Tensor{}
	for _, e := range r.Entries() {
		if out[e.Name], err = r.Tensor(e.Name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func randomInput(seed uint64, shape ...int) *tensor.Tensor {
	x := tensor.New(shape...)
	r := philox.New(seed, 0)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(r.Norm())
	}
	return x
}

// initialize draws weights and batch norms that are far from identity.
func initialize(t testing.TB, m nn.Module, seed uint64) {
	t.Helper()
	if err := nn.Init(m, seed); err != nil {
		t.Fatal(err)
	}
	r := philox.New(seed, 1)
	for _, e := range nn.Params(m) {
		if e.Param.DType != tensor.Float32 || len(e.Param.Shape) != 1 {
			continue
		}
		v := e.Param.Value.Float32s()
		for i := range v {
			switch {
			case strings.HasSuffix(e.Name, "running_var"), strings.HasSuffix(e.Name, "weight"):
				v[i] = float32(r.Uniform(0.5, 1.5))
			default:
				v[i] = float32(r.Uniform(-0.5, 0.5))
			}
		}
	}
}

const tolerance = 1e-4 // of the range of the logits

// TestTorchModels compares with PyTorch on models that PyTorch exported
// (testdata/gen/torch_models.py), by a second batch size too.
func TestTorchModels(t *testing.T) {
	paths, err := filepath.Glob("testdata/torch/*.onnx")
	if err != nil || len(paths) == 0 {
		t.Fatal(err, paths)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx")
		t.Run(name, func(t *testing.T) {
			m, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			golden := readTensors(t, strings.TrimSuffix(path, "onnx")+"safetensors")
			x := golden["x"]
			if d := difference(t, infer(t, m, x), golden["torch"]); d > 2e-6 {
				t.Errorf("differs by %.2g of the range", d)
			}
			// What is read can be written, with any batch.
			half, err := tensor.FromFloat32(x.Float32s()[:x.Numel()/2], append([]int{1}, x.Shape()[1:]...)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, opt := range []SaveOptions{{}, {KeepBatchNorm: true}, {Batch: 1}} {
				opt.Input = x.Shape()[1:]
				var b bytes.Buffer
				if err := Write(&b, m, opt); err != nil {
					t.Fatal(err)
				}
				again, err := Decode(b.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				want := infer(t, m, half)
				if d := difference(t, infer(t, again, half), want); d > 2e-6 {
					t.Errorf("%+v: written and read again, it differs by %.2g of the range", opt, d)
				}
			}
		})
	}
}

// variants are networks of package models that use every operator that is
// exported from them.
var variants = []struct {
	name string
	opts []models.Option
}{
	{"resnet20-cifar", nil},
	{"resnet18", []models.Option{models.InputSize(32), models.Classes(10), models.Width(8)}},
	{"resnet50", []models.Option{models.InputSize(32), models.Classes(10), models.Width(8), models.Activation("hardswish")}},
	{"resnext50_32x4d", []models.Option{models.InputSize(32), models.Width(8), models.Groups(4, 16), models.Classes(10), models.Dilate(false, true, true)}},
	{"resnet18", []models.Option{models.InputSize(32), models.Width(8), models.Activation("silu"), models.NoNorm()}},
	{"resnet18", []models.Option{models.InputSize(32), models.Width(8), models.Activation("gelu")}},
}

func newVariant(t testing.TB, name string, opts []models.Option) *models.Model {
	t.Helper()
	m, err := models.New(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	initialize(t, m, 7)
	return m
}

// TestRoundTrip writes networks, reads them again and compares both the
// results and, with batch norms kept, the bits of every tensor.
func TestRoundTrip(t *testing.T) {
	for _, v := range variants {
		m := newVariant(t, v.name, v.opts)
		x := randomInput(1, append([]int{3}, m.Input()...)...)
		want := infer(t, m, x)
		for _, keep := range []bool{false, true} {
			opt := SaveOptions{Input: m.Input(), KeepBatchNorm: keep, Metadata: map[string]string{"resnet.classes": `["a"]`}}
			var a, b bytes.Buffer
			if err := Write(&a, m, opt); err != nil {
				t.Fatal(v, err)
			}
			if err := Write(&b, m, opt); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a.Bytes(), b.Bytes()) {
				t.Errorf("%v: two exports differ", v.name)
			}
			back, err := Decode(a.Bytes())
			if err != nil {
				t.Fatal(v, err)
			}
			if d := difference(t, infer(t, back, x), want); d > 1e-5 {
				t.Errorf("%s, batch norms kept %v: differs by %.2g of the range", v.name, keep, d)
			}
			if back.Metadata()["resnet.classes"] != `["a"]` {
				t.Errorf("metadata %v", back.Metadata())
			}
			if !keep {
				continue
			}
			got := back.Tensors()
			for _, e := range nn.Params(m) {
				if strings.HasSuffix(e.Name, "num_batches_tracked") {
					continue
				}
				g := got[e.Name]
				if g == nil || !g.Shape().Equal(e.Param.Shape) {
					t.Fatalf("%s: %s became %v", v.name, e.Name, g)
				}
				for i, w := range e.Param.Value.Float32s() {
					if math.Float32bits(g.Float32s()[i]) != math.Float32bits(w) {
						t.Fatalf("%s: %s changed", v.name, e.Name)
					}
				}
			}
		}
	}
}

// TestSummary sees that an imported model shows the layers that the original
// has, with their parameters and multiply-adds.
func TestSummary(t *testing.T) {
	m := newVariant(t, "resnet20-cifar", nil)
	var b bytes.Buffer
	if err := Write(&b, m, SaveOptions{Input: m.Input(), KeepBatchNorm: true}); err != nil {
		t.Fatal(err)
	}
	back, err := Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	in, err := back.Input(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	want, err := nn.Summarize(m, in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := nn.Summarize(back, in)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Params != want[0].Params || got[0].MACs != want[0].MACs || !got[0].Out.Equal(want[0].Out) {
		t.Errorf("the whole is %+v, want %+v", got[0], want[0])
	}
	rows := map[string]nn.Row{}
	for _, r := range got {
		rows[r.Path] = r
	}
	for _, w := range want {
		if w.Kind != "Conv2d" && w.Kind != "BatchNorm2d" && w.Kind != "Linear" {
			continue
		}
		if g := rows[w.Path]; g.Params != w.Params || g.MACs != w.MACs || !g.Out.Equal(w.Out) {
			t.Errorf("%s is %+v, want %+v", w.Path, g, w)
		}
	}
}

// TestFineTune trains an imported model for a few steps after replacing its
// last layer: the loss falls and the running statistics move.
func TestFineTune(t *testing.T) {
	m, err := Load("testdata/torch/relu-bn-op9.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetClasses(3, 1); err != nil {
		t.Fatal(err)
	}
	n := 6
	tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(n, 3, 16, 18), Training: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.Unused) > 0 {
		t.Errorf("unused parameters: %v", tr.Unused)
	}
	var loss *graph.Value
	g := tr.Graph
	err = graph.Try(func() {
		labels, err := g.Input("labels", graph.Type{DType: tensor.Int64, Shape: tensor.Shape{n}})
		if err != nil {
			panic(err)
		}
		loss = g.Must1(graph.CrossEntropy{}, tr.Output, labels)
		var wrt []*graph.Value
		for _, v := range tr.Trainable() {
			wrt = append(wrt, v.Value)
		}
		grads, err := g.Gradients(loss, wrt)
		if err != nil {
			panic(err)
		}
		for i, v := range wrt {
			step := g.Must1(graph.Affine{Scale: -0.02}, grads[i])
			if err := g.Assign(v, g.Must1(graph.Binary{Fn: graph.Add}, v, step)); err != nil {
				panic(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Output("loss", loss)
	vars := engine.NewVars()
	for _, e := range nn.Params(m) {
		if err := vars.Set(e.Name, e.Param.Value); err != nil {
			t.Fatal(err)
		}
	}
	p, err := engine.Compile(g, vars, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	labels, _ := tensor.FromInt64([]int64{0, 1, 2, 0, 1, 2}, n)
	feeds := map[string]*tensor.Tensor{"labels": labels}
	var in []*tensor.Tensor
	x := randomInput(3, n, 3, 16, 18)
	for _, port := range p.Inputs() {
		if f := feeds[port.Name]; f != nil {
			in = append(in, f)
		} else {
			in = append(in, x)
		}
	}
	out := tensor.New()
	var losses []float32
	for range 60 {
		if err := p.Run(in, []*tensor.Tensor{out}); err != nil {
			t.Fatal(err)
		}
		losses = append(losses, out.Float32s()[0])
	}
	if last := losses[len(losses)-1]; !(last < losses[0]/3) {
		t.Errorf("the loss went from %g to %g", losses[0], last)
	}
	moved := 0
	for _, e := range nn.Params(m) {
		v, err := vars.Get(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		if e.Param.Buffer && v.Float32s()[0] != e.Param.Value.Float32s()[0] {
			moved++
		}
	}
	if moved != 12 { // two for each of 6 batch norms
		t.Errorf("%d running statistics moved, want 12", moved)
	}
}

// TestOnnxruntime has exported models checked by onnx.checker and run by
// onnxruntime.
func TestOnnxruntime(t *testing.T) {
	python := ortPython(t)
	dir := t.TempDir()
	for i, v := range variants {
		m := newVariant(t, v.name, v.opts)
		for j, opt := range []SaveOptions{{}, {KeepBatchNorm: true, External: true}, {Batch: 3}} {
			if j > 0 && i > 1 {
				break // once is enough
			}
			opt.Input = m.Input()
			x := randomInput(1, append([]int{3}, m.Input()...)...)
			path := filepath.Join(dir, "m.onnx")
			if err := Save(path, m, opt); err != nil {
				t.Fatal(err)
			}
			d := difference(t, infer(t, m, x), runORT(t, python, path, x))
			t.Logf("%s %+v: %.2g of the range", v.name, opt, d)
			if d > tolerance {
				t.Errorf("%s %+v: onnxruntime differs by %.2g of the range", v.name, opt, d)
			}
			back, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := difference(t, infer(t, back, x), infer(t, m, x)); d > 1e-5 {
				t.Errorf("%s %+v: read again, it differs by %.2g of the range", v.name, opt, d)
			}
		}
	}
}

// ortPython is a Python with onnx and onnxruntime.
func ortPython(t testing.TB) string { return peer.Python(t, "onnx", "onnxruntime") }

func runORT(t testing.TB, python, model string, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.safetensors")
	var b bytes.Buffer
	if err := safetensors.Write(&b, []safetensors.Tensor{{Name: "x", Tensor: x}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	msg, err := exec.Command(python, "testdata/gen/ort.py", model, in, out).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", model, err, msg)
	}
	return readTensors(t, out)["y"]
}

// TestLarge compares models of torchvision, exported by PyTorch into the
// folder RESNET_ONNX_MODELS (testdata/gen/torch_models.py), with onnxruntime:
// as read, and as written again.
func TestLarge(t *testing.T) {
	dir := os.Getenv("RESNET_ONNX_MODELS")
	if dir == "" {
		t.Skip("no large models: set RESNET_ONNX_MODELS to a folder that testdata/gen/torch_models.py has filled")
	}
	python := ortPython(t)
	paths, _ := filepath.Glob(filepath.Join(dir, "*.onnx"))
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".onnx")
		m, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		golden := readTensors(t, strings.TrimSuffix(path, "onnx")+"safetensors")
		x := golden["x"]
		got := infer(t, m, x)
		theirs := runORT(t, python, path, x)
		again := filepath.Join(t.TempDir(), "again.onnx")
		if err := Save(again, m, SaveOptions{Input: x.Shape()[1:]}); err != nil {
			t.Fatal(err)
		}
		ours := runORT(t, python, again, x)
		d, dt, de := difference(t, got, theirs), difference(t, got, golden["torch"]), difference(t, ours, theirs)
		t.Logf("%-20s read: %.2g of the range from onnxruntime, %.2g from PyTorch; written, in onnxruntime: %.2g", name, d, dt, de)
		if d > tolerance || dt > tolerance || de > tolerance {
			t.Errorf("%s: more than %g", name, tolerance)
		}
	}
}
