package engine_test

import (
	"fmt"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// A graph of one linear layer with a ReLU, y = max(x wᵀ, 0), compiled and run.
func Example() {
	vars := engine.NewVars()
	w, err := tensor.FromFloat32([]float32{1, -1, 1, 1}, 2, 2)
	if err != nil {
		panic(err)
	}
	if err := vars.Set("w", w); err != nil {
		panic(err)
	}

	g := new(graph.Graph)
	x, err := g.Input("x", graph.F32(1, 2))
	if err != nil {
		panic(err)
	}
	v, err := g.Variable("w", graph.F32(2, 2))
	if err != nil {
		panic(err)
	}
	g.Output("y", g.Must1(graph.Unary{Fn: graph.Relu}, g.Must1(graph.Linear{}, x, v)))

	p, err := engine.Compile(g, vars, engine.Options{Threads: 2})
	if err != nil {
		panic(err)
	}
	in, err := tensor.FromFloat32([]float32{3, 5}, 1, 2)
	if err != nil {
		panic(err)
	}
	out := tensor.New(1, 2)
	if err := p.Run([]*tensor.Tensor{in}, []*tensor.Tensor{out}); err != nil {
		panic(err)
	}
	fmt.Println(out.Float32s())
	for _, s := range p.Steps() {
		fmt.Println(s.Name)
	}
	// Output:
	// [0 8]
	// Linear
	// Relu
	// output y
}
