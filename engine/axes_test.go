package engine_test

import (
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Values of more axes than the kernels have are an error when a graph is compiled, not a
// panic when it is run.
func TestManyAxes(t *testing.T) {
	s := tensor.Shape{2, 1, 2, 3, 2, 1, 2, 2, 1, 1}
	for _, op := range []graph.Op{
		graph.Reduce{Fn: graph.Sum, Axes: []int{2, 4}}, graph.Reduce{Fn: graph.MaxOf, Axes: []int{3}, Keep: true}, graph.Permute{Perm: []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
		graph.Slice{Axis: 3, Start: 1, Count: 2, Step: 1}, graph.Pad{Axis: 3, Before: 1}, graph.Concat{Axis: 2}, graph.Softmax{}, graph.ArgMax{}, graph.TopK{K: 1},
		graph.BroadcastTo{Shape: tensor.Shape{2, 4, 2, 3, 2, 5, 2, 2, 1, 3}},
	} {
		g := &graph.Graph{}
		x, err := g.Input("x", graph.F32(s...))
		if err != nil {
			t.Fatal(err)
		}
		g.Output("y", g.Must(op, x)[0])
		_, err = engine.Compile(g, engine.NewVars(), engine.Options{Threads: 1})
		if err == nil || !strings.Contains(err.Error(), "has 10 axes, the engine computes with at most 8") {
			t.Errorf("%s: got %v", op.Name(), err)
		}
	}
	g := &graph.Graph{}
	x, err := g.Input("x", graph.F32(s...))
	if err != nil {
		t.Fatal(err)
	}
	g.Output("y", g.Must1(graph.Reshape{Shape: tensor.Shape{6, 16}}, g.Must1(graph.Unary{Fn: graph.Tanh}, x)))
	p, err := engine.Compile(g, engine.NewVars(), engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run([]*tensor.Tensor{tensor.New(s...)}, nil); err != nil {
		t.Error(err)
	}
}
