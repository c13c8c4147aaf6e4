package engine

import (
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// runStride2 runs relu(conv3x3/2(x) + shortcut), 32 to 64 channels at 28x28.
func runStride2(t *testing.T, batch, workers int, fast bool) ([]float32, *Plan) {
	t.Helper()
	g, vars := &graph.Graph{}, NewVars()
	filled := func(seed int, shape ...int) *tensor.Tensor {
		x := tensor.New(shape...)
		for i := range x.Float32s() {
			x.Float32s()[i] = float32((i+seed)*7919%1000-500) * 2e-3
		}
		return x
	}
	var in []*tensor.Tensor
	input := func(name string, shape ...int) *graph.Value {
		v, err := g.Input(name, graph.F32(shape...))
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, filled(len(in), shape...))
		return v
	}
	x, short := input("x", batch, 32, 28, 28), input("short", batch, 64, 14, 14)
	w, err := g.Variable("w", graph.F32(64, 32, 3, 3))
	if err != nil {
		t.Fatal(err)
	}
	if err := vars.Set("w", filled(3, 64, 32, 3, 3)); err != nil {
		t.Fatal(err)
	}
	y := g.Must1(graph.Conv2d{StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 1}, x, w)
	y = g.Must1(graph.Binary{Fn: graph.Add}, y, short)
	g.Output("y", g.Must1(graph.Unary{Fn: graph.Relu}, y))
	p, err := Compile(g, vars, Options{Threads: workers, Fast: fast})
	if err != nil {
		t.Fatal(err)
	}
	out := []*tensor.Tensor{tensor.New(p.Outputs()[0].Shape...)}
	if err := p.Run(in, out); err != nil {
		t.Fatal(err)
	}
	return out[0].Float32s(), p
}

// Fast plans compute convolutions of stride 2 by Winograd's algorithm, too, with
// a step of its own for the transform where there are few tiles.
func TestFastStride2(t *testing.T) {
	for _, batch := range []int{1, 3} {
		exact, p := runStride2(t, batch, 1, false)
		if a := algorithms(p); !slices.Equal(a, []string{"direct"}) {
			t.Errorf("an exact plan has algorithms %q", a)
		}
		fast, p := runStride2(t, batch, 1, true)
		if a := algorithms(p); !slices.Equal(a, []string{"winograd 2x2"}) {
			t.Errorf("a fast plan has algorithms %q", a)
		}
		transforms := slices.ContainsFunc(p.Steps(), func(s Step) bool { return s.Name == "Conv2d+ input transform" })
		if transforms != (batch == 1) {
			t.Errorf("batch %d: a step of transforms: %v", batch, transforms)
		}
		size, worst := 0.0, 0.0
		for i, v := range exact {
			size = max(size, math.Abs(float64(v)))
			worst = max(worst, math.Abs(float64(v)-float64(fast[i])))
		}
		if !(worst <= 2e-6*size) || worst == 0 {
			t.Errorf("batch %d: fast outputs differ by %g from exact ones of up to %g", batch, worst, size)
		}
		for _, workers := range []int{2, 8} {
			if got, _ := runStride2(t, batch, workers, true); !slices.Equal(got, fast) {
				t.Errorf("batch %d: %d workers give other bits than one", batch, workers)
			}
		}
	}
}
