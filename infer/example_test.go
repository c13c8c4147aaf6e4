package infer_test

import (
	"context"
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// A network's logits for two pictures.
func Example() {
	net, err := models.New("resnet20-cifar")
	if err != nil {
		panic(err)
	}
	if err := nn.Init(net, 1); err != nil {
		panic(err)
	}
	r, err := infer.New(net, nil, infer.Options{})
	if err != nil {
		panic(err)
	}
	out, err := r.Run(context.Background(), infer.Query{}, infer.Tensors{nn.ImageInput: tensor.New(2, 3, 32, 32)})
	if err != nil {
		panic(err)
	}
	fmt.Println(out[infer.Output])
	// Output: float32[2 10]
}

// What a module in the middle of the network gives, averaged over each channel.
func ExampleQuery() {
	net, err := models.New("resnet20-cifar")
	if err != nil {
		panic(err)
	}
	if err := nn.Init(net, 1); err != nil {
		panic(err)
	}
	r, err := infer.New(net, nil, infer.Options{})
	if err != nil {
		panic(err)
	}
	q := infer.Query{Name: "layer2", Build: func(t *nn.Traced) error {
		v, err := t.At("layer2")
		if err != nil {
			return err
		}
		t.Graph.Output("mean", t.Graph.Must1(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, v))
		return nil
	}}
	out, err := r.Run(context.Background(), q, infer.Tensors{nn.ImageInput: tensor.NewNHWC(1, 3, 32, 32)})
	if err != nil {
		panic(err)
	}
	fmt.Println(out["mean"])
	// Output: float32[1 32]
}
