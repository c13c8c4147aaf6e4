package onnx

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/quantize"
	"github.com/resnet-go/resnet/tensor"
)

// TestInt8 runs a bottleneck ResNet that onnxruntime quantized
// (testdata/gen/int8.py): the logits are onnxruntime's, bit for bit, every
// convolution is computed with integers, and what follows it, additions too, in
// the same step.
func TestInt8(t *testing.T) {
	m, err := Load("testdata/int8/bottleneck.onnx")
	if err != nil {
		t.Fatal(err)
	}
	stored := readTensors(t, "testdata/int8/bottleneck.safetensors")
	x, want := stored["x"], stored["y"]
	g, err := m.Graph(map[string]graph.Type{"input": {DType: tensor.Float32, Shape: x.Shape()}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := engine.Compile(g, engine.NewVars(), engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	y := tensor.New(want.Shape()...)
	if err := p.Run([]*tensor.Tensor{x}, []*tensor.Tensor{y}); err != nil {
		t.Fatal(err)
	}
	for i, v := range y.Float32s() {
		if v != want.Float32s()[i] {
			t.Errorf("logit %d is %g, onnxruntime's %g", i, v, want.Float32s()[i])
		}
	}
	in, out := []*tensor.Tensor{x}, []*tensor.Tensor{y}
	if n := testing.AllocsPerRun(3, func() { _ = p.Run(in, out) }); n > 0 {
		t.Errorf("%g allocations a run", n)
	}

	// The stem, three blocks of three, two shortcuts, the last layer.
	const convolutions = 1 + 3*3 + 2
	ints := 0
	for _, s := range p.Steps() {
		if s.Algorithm == "int8" {
			ints++
		} else if s.Algorithm != "" {
			t.Errorf("%s is computed by %q", s.Name, s.Algorithm)
		}
		for _, op := range []string{"Add", "Relu", "MaxPool2d", "Conv2d", "Linear"} {
			if s.Op == op {
				t.Errorf("%s is a step by itself", s.Name)
			}
		}
	}
	if ints != convolutions+1 {
		t.Errorf("%d steps are computed with integers, want %d", ints, convolutions+1)
	}

	// The interpreter's sums are real numbers, which round to another integer
	// now and then.
	r, err := ref.Run64(g, nil, map[string]*tensor.Tensor{"input": x})
	if err != nil {
		t.Fatal(err)
	}
	exact := r.Float64s(g.Outputs[0].Value)
	lo, hi := exact[0], exact[0]
	for _, v := range exact {
		lo, hi = min(lo, v), max(hi, v)
	}
	for i, v := range y.Float32s() {
		if d := math.Abs(float64(v) - exact[i]); d > 0.02*(hi-lo) {
			t.Errorf("logit %d is %g, computed in real numbers %g", i, v, exact[i])
		}
	}
}

// What resnet quantize writes has the form that onnxruntime's integer kernels
// take: biases are int32 in units of the sums.
func TestInt8BiasesAreIntegers(t *testing.T) {
	q := quantizedNet(t)
	p, err := export(q, SaveOptions{Input: tensor.Shape{3, 32, 32}})
	if err != nil {
		t.Fatal(err)
	}
	made, stored := map[string]*nodeProto{}, map[string]*tensorProto{}
	for _, n := range p.graph.nodes {
		made[n.out[0]] = n
	}
	for _, w := range p.graph.initializers {
		stored[w.name] = w
	}
	layers := 0
	for _, n := range p.graph.nodes {
		if n.op != "Conv" && n.op != "Gemm" {
			continue
		}
		layers++
		if len(n.in) != 3 {
			t.Fatalf("%s has the inputs %v", n.name, n.in)
		}
		var scales [3][]float32
		for i, want := range []elemType{elemUint8, elemInt8, elemInt32} {
			dq := made[n.in[i]]
			if dq == nil || dq.op != "DequantizeLinear" {
				t.Fatalf("%s: input %d is not dequantized", n.name, i)
			}
			if got := stored[dq.in[2]].elem; got != want {
				t.Errorf("%s: input %d is of the type %v, want %v", n.name, i, got, want)
			}
			for b := stored[dq.in[1]].raw; len(b) > 0; b = b[4:] {
				scales[i] = append(scales[i], math.Float32frombits(binary.LittleEndian.Uint32(b)))
			}
		}
		for k, s := range scales[2] {
			if want := scales[0][0] * scales[1][k]; s != want {
				t.Errorf("%s: the scale of bias %d is %g, want %g", n.name, k, s, want)
			}
		}
	}
	if layers != 8 { // the stem, two in each of three blocks, the last
		t.Errorf("%d layers, want 8", layers)
	}
}

// quantizedNet quantizes a network with weights large enough to be deferred.
func quantizedNet(t *testing.T) nn.Module {
	t.Helper()
	m, err := models.New("resnet8-cifar")
	if err != nil {
		t.Fatal(err)
	}
	initialize(t, m, 5)
	vars := engine.NewVars()
	for _, e := range nn.Params(m) {
		if err := vars.Set(e.Name, e.Param.Value); err != nil {
			t.Fatal(err)
		}
	}
	x := randomInput(6, 2, 32, 32, 3)
	batches := func(yield func(*tensor.Tensor, error) bool) { yield(tensor.FromNHWC(x.Float32s(), 2, 3, 32, 32)) }
	q, err := quantize.Calibrate(t.Context(), m, vars, tensor.Shape{3, 32, 32}, batches, quantize.Options{Method: quantize.MinMax})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// Large integers stay in a file that is read with LoadDeferred, and the network
// computes the same.
func TestInt8Deferred(t *testing.T) {
	if !steadyfile.Replaceable {
		t.Skip("files are read whole here")
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := Save(path, quantizedNet(t), SaveOptions{Input: tensor.Shape{3, 32, 32}}); err != nil {
		t.Fatal(err)
	}
	x := randomInput(7, 2, 32, 32, 3)
	x, err := tensor.FromFloat32(x.Float32s(), 2, 3, 32, 32)
	if err != nil {
		t.Fatal(err)
	}
	compile := func(m *Model) (*engine.Plan, error) {
		g, err := m.Graph(map[string]graph.Type{m.Inputs()[0].Name: {DType: tensor.Float32, Shape: x.Shape()}})
		if err != nil {
			t.Fatal(err)
		}
		vars := engine.NewVars()
		for _, e := range nn.Params(m) {
			if err := vars.Adopt(e.Name, e.Param.Value); err != nil {
				t.Fatal(err)
			}
		}
		return engine.Compile(g, vars, engine.Options{Threads: 1})
	}
	var all [][]float32
	var later *Model
	for _, load := range []func(string) (*Model, error){Load, LoadDeferred} {
		m, err := load(path)
		if err != nil {
			t.Fatal(err)
		}
		later = m
		p, err := compile(m)
		if err != nil {
			t.Fatal(err)
		}
		y := tensor.New(p.Outputs()[0].Shape...)
		if err := p.Run([]*tensor.Tensor{x}, []*tensor.Tensor{y}); err != nil {
			t.Fatal(err)
		}
		all = append(all, y.Float32s())
	}
	if !slices.Equal(all[0], all[1]) {
		t.Error("a network with deferred integers computes something else")
	}
	if len(later.integers) < 2 || !later.Deferred() {
		t.Errorf("after compiling, %d tensors of integers are in the file, want the large ones", len(later.integers))
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := compile(later); !errors.Is(err, steadyfile.ErrChanged) || !strings.Contains(err.Error(), path) {
		t.Errorf("compiling after the file was cut off: error %v", err)
	}
}
