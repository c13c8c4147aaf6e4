package graph_test

import (
	"fmt"
	"log"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// A linear classifier, its loss and one step of gradient descent as a graph.
func Example() {
	g := &graph.Graph{}
	x, err := g.Input("images", graph.F32(32, 784))
	if err != nil {
		log.Fatal(err)
	}
	labels, err := g.Input("labels", graph.Type{DType: tensor.Int64, Shape: tensor.Shape{32}})
	if err != nil {
		log.Fatal(err)
	}
	w, err := g.Variable("fc.weight", graph.F32(10, 784))
	if err != nil {
		log.Fatal(err)
	}
	err = graph.Try(func() { // Must1 stops with an error, which Try returns
		logits := g.Must1(graph.Linear{}, x, w)
		loss := g.Must1(graph.CrossEntropy{}, logits, labels)
		g.Output("loss", loss)
		grads, err := g.Gradients(loss, []*graph.Value{w})
		if err != nil {
			log.Fatal(err)
		}
		step := g.Must1(graph.Affine{Scale: 0.1}, grads[0])
		if err := g.Assign(w, g.Must1(graph.Binary{Fn: graph.Sub}, w, step)); err != nil {
			log.Fatal(err)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range g.Nodes {
		fmt.Println(n, n.Out[0].Type)
	}
	// Output:
	// Input float32[32 784]
	// Input int64[32]
	// Variable float32[10 784]
	// Linear float32[32 10]
	// CrossEntropy float32[]
	// Const float32[]
	// BroadcastTo float32[]
	// CrossEntropyGrad float32[32 10]
	// LinearWeightGrad float32[10 784]
	// Affine float32[10 784]
	// Sub float32[10 784]
}

// A mistake in shapes is an error with the operator, its inputs and the reason.
func ExampleGraph_Apply() {
	g := &graph.Graph{}
	x, err := g.Input("x", graph.F32(1, 3, 32, 32))
	if err != nil {
		log.Fatal(err)
	}
	w, err := g.Variable("conv1.weight", graph.F32(64, 1, 7, 7))
	if err != nil {
		log.Fatal(err)
	}
	g.SetPath("conv1")
	_, err = g.Apply(graph.Conv2d{StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1, Groups: 1}, x, w)
	fmt.Println(err)
	// Output:
	// conv1: Conv2d of float32[1 3 32 32], float32[64 1 7 7]: the weight takes 1 channels per group, the input has 3 in 1 group(s)
}
