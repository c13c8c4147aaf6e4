package ref

import (
	"math"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// That the interpreter computes the right thing is tested in package graph,
// by PyTorch's goldens. These tests are of the interpreter's own behavior.

// unknown is an operator that the interpreter has not.
type unknown struct{}

func (unknown) Name() string                                { return "Unknown" }
func (unknown) Infer(in []graph.Type) ([]graph.Type, error) { return in, nil }

func input(t *testing.T, g *graph.Graph, typ graph.Type) *graph.Value {
	t.Helper()
	v, err := g.Input("x", typ)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestErrorsNameTheNode(t *testing.T) {
	for what, q := range map[string]struct {
		build func(g *graph.Graph)
		feeds map[string]*tensor.Tensor
		want  string
	}{
		"unknown operator": {func(g *graph.Graph) {
			x := input(t, g, graph.F32(2))
			g.SetPath("layer1.0")
			g.Must(unknown{}, x)
		}, map[string]*tensor.Tensor{"x": tensor.New(2)}, "layer1.0 (Unknown): the interpreter has no operator Unknown"},
		"no input": {func(g *graph.Graph) { input(t, g, graph.F32(2)) }, nil, `no input "x" is given`},
		"other input": {func(g *graph.Graph) { input(t, g, graph.F32(2)) },
			map[string]*tensor.Tensor{"x": tensor.New(3)}, `input "x" must be float32[2], is float32[3]`},
		"wrong label": {func(g *graph.Graph) {
			labels := input(t, g, graph.Type{DType: tensor.Int64, Shape: tensor.Shape{1}})
			g.Must(graph.CrossEntropy{}, g.Const(tensor.New(1, 5)), labels)
		}, map[string]*tensor.Tensor{"x": func() *tensor.Tensor { l := tensor.NewInt64(1); l.Int64s()[0] = 5; return l }()}, "label 5 of sample 0 is not in 0..4"},
		"wrong shape rule": {func(g *graph.Graph) {
			y := g.Must1(graph.Reduce{Fn: graph.Sum}, input(t, g, graph.F32(2)))
			y.Shape = tensor.Shape{7} // as if Infer had said so
		}, map[string]*tensor.Tensor{"x": tensor.New(2)}, "ReduceSum: output 0 is float32[] where the shape rule has float32[7]"},
	} {
		g := &graph.Graph{}
		q.build(g)
		if _, err := Run(g, nil, q.feeds); err == nil || !strings.Contains(err.Error(), q.want) {
			t.Errorf("%s: got %v, want %q", what, err, q.want)
		}
	}
}

func TestRunRoundsAndRun64DoesNot(t *testing.T) {
	g := &graph.Graph{}
	x := input(t, g, graph.F32(1))
	third := g.Must1(graph.Binary{Fn: graph.Div}, x, g.Scalar(3))
	feeds := map[string]*tensor.Tensor{"x": tensor.New(1)}
	feeds["x"].Float32s()[0] = 1
	for name, run := range map[string]func(*graph.Graph, map[string]*tensor.Tensor, map[string]*tensor.Tensor) (*Result, error){"Run": Run, "Run64": Run64} {
		r, err := run(g, nil, feeds)
		if err != nil {
			t.Fatal(err)
		}
		want := 1.0 / 3
		if name == "Run" {
			want = float64(float32(want))
		}
		if got := r.Float64s(third)[0]; got != want {
			t.Errorf("%s keeps %v, want %v", name, got, want)
		}
		if got := r.Value(third).Float32s()[0]; got != float32(want) {
			t.Errorf("%s gives %v, want %v", name, got, float32(want))
		}
	}
	r, err := Run(g, nil, feeds)
	if err != nil {
		t.Fatal(err)
	}
	if other := (&graph.Graph{}).Scalar(1); r.Value(other) != nil || r.Float64s(other) != nil {
		t.Error("a value that was not computed has a value")
	}
}

// TestDropout checks the mask's properties; that the engine draws the same
// mask is tested with the engine.
func TestDropout(t *testing.T) {
	const n, c, p = 8, 2000, 0.3
	ones := tensor.New(n, c)
	for i := range ones.Float32s() {
		ones.Float32s()[i] = 1
	}
	draw := func(o graph.Dropout, seed, step int64) []float64 {
		rng := tensor.NewInt64(2)
		rng.Int64s()[0], rng.Int64s()[1] = seed, step
		return dropout(o, fromTensor(ones), fromTensor(rng)).f
	}
	base := draw(graph.Dropout{P: p, Key: 1}, 5, 6)
	kept := 0
	for _, v := range base {
		if v != 0 {
			kept++
			if math.Abs(v-1/(1-p)) > 1e-6 {
				t.Fatalf("a kept 1 became %v", v)
			}
		}
	}
	// Five standard deviations of the binomial distribution.
	if share := float64(kept) / (n * c); math.Abs(share-(1-p)) > 5*math.Sqrt(p*(1-p)/(n*c)) {
		t.Errorf("%v of the elements are kept, want about %v", share, 1-p)
	}
	agreement := func(other []float64) float64 {
		same := 0
		for i := range other {
			if (other[i] != 0) == (base[i] != 0) {
				same++
			}
		}
		return float64(same) / float64(len(other))
	}
	if a := agreement(draw(graph.Dropout{P: p, Key: 1}, 5, 6)); a != 1 {
		t.Error("the same numbers give another mask")
	}
	independent := p*p + (1-p)*(1-p)
	for what, other := range map[string][]float64{
		"key": draw(graph.Dropout{P: p, Key: 2}, 5, 6), "seed": draw(graph.Dropout{P: p, Key: 1}, 4, 6), "step": draw(graph.Dropout{P: p, Key: 1}, 5, 7),
		"high half of the seed": draw(graph.Dropout{P: p, Key: 1}, 5|1<<40, 6), "high half of the step": draw(graph.Dropout{P: p, Key: 1}, 5, 6|1<<40),
	} {
		if a := agreement(other); math.Abs(a-independent) > 0.03 {
			t.Errorf("masks of another %s agree in %v of the elements, want about %v", what, a, independent)
		}
	}
	samples := draw(graph.Dropout{P: 0.5, Key: 3, PerSample: true}, 5, 6)
	for i := range samples {
		if samples[i] != samples[i/c*c] {
			t.Fatal("a sample is dropped in part")
		}
	}
}
