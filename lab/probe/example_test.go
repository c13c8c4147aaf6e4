package probe_test

import (
	"context"
	"fmt"

	"github.com/resnet-go/resnet/lab/probe"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// What each deleted block costs: with two pictures, an untrained network is wrong
// about none, one or both of them.
func ExampleNet_Delete() {
	net, err := models.New("resnet8-cifar", models.Classes(2))
	if err != nil {
		panic(err)
	}
	if err := nn.Init(net, 1); err != nil {
		panic(err)
	}
	n := probe.Net{Module: net, State: probe.StateOf(net), Threads: 1}
	p := &probe.Pictures{Shape: tensor.Shape{3, 32, 32}, X: make([]float32, 2*3*32*32), Labels: []int64{0, 1}}
	list, err := n.Delete(context.Background(), p)
	if err != nil {
		panic(err)
	}
	for _, d := range list {
		fmt.Printf("without %s: %.0f %% wrong\n", d.Block, 100*d.Wrong)
	}
	// Output: without layer1.0: 50 % wrong
}
