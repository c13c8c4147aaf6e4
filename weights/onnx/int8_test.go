package onnx

import (
	"math"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/engine/ref"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// TestInt8 runs a bottleneck ResNet that onnxruntime quantised
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
	p, err := engine.Compile(g, engine.NewVars(), engine.Options{Pool: onePool()})
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
