package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// hostFunc is an operator of one float32 input and output of one shape.
type hostFunc func(x, y []float32) error

func (hostFunc) Name() string { return "Mine" }

func (hostFunc) Infer(in []graph.Type) ([]graph.Type, error) { return in[:1], nil }

func (f hostFunc) Compute(in, out []*tensor.Tensor) error {
	return f(in[0].Float32s(), out[0].Float32s())
}

func hostPlan(t testing.TB, f hostFunc) *engine.Plan {
	t.Helper()
	g := &graph.Graph{}
	x, err := g.Input("x", graph.F32(2, 3, 2, 2))
	if err != nil {
		t.Fatal(err)
	}
	g.SetPath("head.mine")
	g.Output("y", g.Must1(graph.Affine{Scale: 2}, g.Must1(f, g.Must1(graph.Unary{Fn: graph.Relu}, x))))
	p, err := engine.Compile(g, engine.NewVars(), engine.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func counting() *tensor.Tensor {
	x := tensor.New(2, 3, 2, 2)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(i)
	}
	return x
}

// A host operator sees N, C, H, W, though the engine works on N, H, W, C.
func TestHostOpSeesThePublicOrder(t *testing.T) {
	p := hostPlan(t, func(x, y []float32) error {
		if !slices.Equal(x, counting().Float32s()) {
			return fmt.Errorf("got %v", x)
		}
		copy(y, x)
		return nil
	})
	y := tensor.New(2, 3, 2, 2)
	for range 2 {
		if err := p.Run([]*tensor.Tensor{counting()}, []*tensor.Tensor{y}); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range y.Float32s() {
		if v != float32(2*i) {
			t.Fatalf("element %d is %g, want %d", i, v, 2*i)
		}
	}
}

func TestHostOpErrors(t *testing.T) {
	mine := errors.New("no object in the picture")
	p := hostPlan(t, func(_, _ []float32) error { return mine })
	err := p.Run([]*tensor.Tensor{counting()}, nil)
	if !errors.Is(err, mine) || !strings.Contains(err.Error(), "head.mine (Mine)") {
		t.Errorf("got %v", err)
	}
	p = hostPlan(t, func(x, _ []float32) error { x[len(x)] = 1; return nil })
	err = p.Run([]*tensor.Tensor{counting()}, nil)
	if err == nil || !strings.Contains(err.Error(), "head.mine (Mine): its Compute panicked: runtime error: index out of range") {
		t.Errorf("got %v", err)
	}
	// A plan can be run after an error.
	fails := true
	p = hostPlan(t, func(x, y []float32) error {
		copy(y, x)
		if fails {
			return mine
		}
		return nil
	})
	if err := p.Run([]*tensor.Tensor{counting()}, nil); !errors.Is(err, mine) {
		t.Errorf("got %v", err)
	}
	fails = false
	if err := p.Run([]*tensor.Tensor{counting()}, nil); err != nil {
		t.Error(err)
	}
}

type shapeOnly struct{}

func (shapeOnly) Name() string { return "ShapeOnly" }

func (shapeOnly) Infer(in []graph.Type) ([]graph.Type, error) { return in, nil }

func TestOperatorWithoutCompute(t *testing.T) {
	g := &graph.Graph{}
	x, err := g.Input("x", graph.F32(2))
	if err != nil {
		t.Fatal(err)
	}
	y := g.Must1(shapeOnly{}, x)
	g.Output("y", y)
	_, err = engine.Compile(g, engine.NewVars(), engine.Options{})
	if err == nil || !strings.Contains(err.Error(), "ShapeOnly of float32[2]: the engine has no kernel for this operator: implement graph.HostOp") {
		t.Errorf("got %v", err)
	}
	// What cannot be differentiated needs a Detach.
	_, err = g.Gradients(g.Must1(graph.Reduce{Fn: graph.Sum}, y), []*graph.Value{x})
	if err == nil || !strings.Contains(err.Error(), "has no gradient") {
		t.Errorf("got %v", err)
	}
}

func TestHostOpInOverlappingRuns(t *testing.T) {
	p := hostPlan(t, func(x, y []float32) error {
		for i, v := range x {
			y[i] = v + 1
		}
		return nil
	})
	var wait sync.WaitGroup
	for k := range 4 {
		wait.Go(func() {
			x, y := counting(), tensor.New(2, 3, 2, 2)
			x.Float32s()[5] = float32(k)
			for range 200 {
				if err := p.Run([]*tensor.Tensor{x}, []*tensor.Tensor{y}); err != nil || y.Float32s()[5] != float32(2*k+2) {
					t.Errorf("run of %d gives %g, error %v", k, y.Float32s()[5], err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// Integers can be updated nowhere.
func TestIntegerVariablesAreNotUpdated(t *testing.T) {
	g, vars := &graph.Graph{}, engine.NewVars()
	typ := graph.Type{DType: tensor.Int64, Shape: tensor.Shape{2}}
	v, err := g.Variable("v", typ)
	if err != nil {
		t.Fatal(err)
	}
	x, err := g.Input("x", typ)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Assign(v, x); err != nil {
		t.Fatal(err)
	}
	if err := vars.Set("v", tensor.NewInt64(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Compile(g, vars, engine.Options{}); err == nil || !strings.Contains(err.Error(), `variable "v" is int64[2]`) {
		t.Errorf("got %v", err)
	}
}

// argMax is an operator of your own: the largest class of each row.
type argMax struct{}

func (argMax) Name() string { return "ArgMaxOfMine" }

func (argMax) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 1 || len(in[0].Shape) != 2 {
		return nil, fmt.Errorf("want scores [N C], got %v", in)
	}
	return []graph.Type{{DType: tensor.Int64, Shape: in[0].Shape[:1]}}, nil
}

func (argMax) Compute(in, out []*tensor.Tensor) error {
	classes := in[0].Shape()[1]
	for i := range out[0].Int64s() {
		row := in[0].Float32s()[i*classes : (i+1)*classes]
		out[0].Int64s()[i] = int64(slices.Index(row, slices.Max(row)))
	}
	return nil
}

// An operator of your own runs as a step of the plan. This one gives integers, which
// other operators read and the plan returns.
func Example_hostOp() {
	g := new(graph.Graph)
	x, err := g.Input("scores", graph.F32(2, 3))
	if err != nil {
		panic(err)
	}
	best := g.Must1(argMax{}, g.Must1(graph.Softmax{}, x))
	g.Output("class", best)
	g.Output("one-hot", g.Must1(graph.OneHot{Classes: 3}, best))
	p, err := engine.Compile(g, engine.NewVars(), engine.Options{})
	if err != nil {
		panic(err)
	}
	scores, err := tensor.FromFloat32([]float32{0, 5, 1, 7, 2, 3}, 2, 3)
	if err != nil {
		panic(err)
	}
	var out []*tensor.Tensor
	for _, port := range p.Outputs() {
		out = append(out, port.NewTensor())
	}
	if err := p.Run([]*tensor.Tensor{scores}, out); err != nil {
		panic(err)
	}
	fmt.Println(out[0].Int64s(), out[1].Float32s())
	// Output: [1 0] [0 1 0 1 0 0]
}
