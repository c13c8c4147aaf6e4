package engine

import (
	"slices"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// quantNet is a quantized 3x3 convolution of images of size by size pixels. Each
// call makes the weights anew, as each trace of a file does.
func quantNet(t *testing.T, batch, size int) *graph.Graph {
	t.Helper()
	g := &graph.Graph{}
	x, err := g.Input("x", graph.F32(batch, 8, size, size))
	if err != nil {
		t.Fatal(err)
	}
	q := func(v *graph.Value, scale float32) *graph.Value {
		s, z := []float32{scale}, []int32{128}
		return g.Must1(graph.DequantizeLinear{Scale: s, Zero: z}, g.Must1(graph.QuantizeLinear{Scale: s, Zero: z}, v))
	}
	w := tensor.New(20, 8, 3, 3)
	for i := range w.Float32s() {
		w.Float32s()[i] = float32(i*37%255 - 127)
	}
	conv := graph.Conv2d{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 1}
	weights := g.Must1(graph.DequantizeLinear{Scale: []float32{0.01}, Zero: []int32{0}}, g.Const(w))
	g.Output("y", q(g.Must1(conv, q(x, 0.05), weights), 0.5))
	return g
}

// Plans for other numbers and sizes of images share the packed weights of
// quantized convolutions.
func TestQuantizedWeightsAreShared(t *testing.T) {
	run := func(vars *Vars, batch, size int) ([]float32, *Plan) {
		g := quantNet(t, batch, size)
		p, err := Compile(g, vars, Options{})
		if err != nil {
			t.Fatal(err)
		}
		x, y := tensor.New(batch, 8, size, size), tensor.New(batch, 20, size, size)
		for i := range x.Float32s() {
			x.Float32s()[i] = float32(i*29%200-100) / 20
		}
		if err := p.Run([]*tensor.Tensor{x}, []*tensor.Tensor{y}); err != nil {
			t.Fatal(err)
		}
		return y.Float32s(), p
	}
	vars := NewVars()
	var first *Plan
	// Images of 7x7 are copied, and read, in another way than those of 12x12.
	for i, s := range [][2]int{{1, 7}, {3, 7}, {2, 12}} {
		got, p := run(vars, s[0], s[1])
		if want, _ := run(NewVars(), s[0], s[1]); !slices.Equal(got, want) {
			t.Errorf("%d images of %d pixels: shared weights give other results", s[0], s[1])
		}
		if n := len(vars.packs); n != 1 {
			t.Fatalf("%d packed weights after %d plans, want 1", n, i+1)
		}
		if i == 0 {
			first = p
		}
		if !slices.ContainsFunc(p.steps, func(s *step) bool { return s.algorithm == "int8" }) {
			t.Error("no step has integers")
		}
		if len(p.keep) != 1 || p.keep[0] != first.keep[0] {
			t.Errorf("plan %d does not have the first one's weights", i)
		}
	}
}

// A depthwise convolution and the ReLU6 behind it are one step of bytes, where the integers
// end at the bounds.
func TestQuantizedClip(t *testing.T) {
	for _, c := range []struct {
		lo, hi, scale float32
		zero          int32
		signed        bool
		steps         int
	}{
		{0, 6, 6 / 255.0, 0, false, 5}, {0, 6, 6 / 127.0, 0, true, 5}, {-6, 6, 12 / 255.0, 127, false, 5},
		{0, 6, 8 / 255.0, 0, false, 7}, {1, 6, 6 / 255.0, 0, false, 7},
	} {
		g := &graph.Graph{}
		x, err := g.Input("x", graph.F32(1, 32, 9, 9))
		if err != nil {
			t.Fatal(err)
		}
		q := func(v *graph.Value, scale float32, zero int32, signed bool) *graph.Value {
			s, z := []float32{scale}, []int32{zero}
			return g.Must1(graph.DequantizeLinear{Scale: s, Zero: z}, g.Must1(graph.QuantizeLinear{Scale: s, Zero: z, Signed: signed}, v))
		}
		conv := graph.Conv2d{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 32}
		w := g.Must1(graph.DequantizeLinear{Scale: []float32{0.01}, Zero: []int32{0}}, g.Const(tensor.New(32, 1, 3, 3)))
		y := g.Must1(graph.Unary{Fn: graph.Clip, A: c.lo, B: c.hi}, g.Must1(conv, q(x, 0.05, 128, false), w))
		g.Output("y", q(y, c.scale, c.zero, c.signed))
		p, err := Compile(g, NewVars(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(p.steps, func(s *step) bool { return s.algorithm == "int8 depthwise" }) {
			t.Errorf("%+v: no step is a depthwise convolution of integers", c)
		}
		if len(p.steps) != c.steps {
			t.Errorf("%+v: %d steps, want %d", c, len(p.steps), c.steps)
		}
	}
}
