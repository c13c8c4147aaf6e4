package nn_test

import (
	"fmt"
	"log"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// A network as a stack of modules, with its first weights.
func Example() {
	model := nn.Sequential{
		nn.NewConv2d(1, 8, 3, nn.Padding(1)), nn.NewReLU(), nn.NewMaxPool2d(2, 2, 0),
		&nn.Residual{
			Main:       nn.Sequential{nn.NewConv2d(8, 8, 3, nn.Padding(1), nn.NoBias()), nn.NewBatchNorm2d(8)},
			Activation: nn.NewReLU(),
		},
		nn.NewGlobalAvgPool(), nn.NewLinear(8, 10),
	}
	if err := nn.Init(model, 1); err != nil {
		log.Fatal(err)
	}
	for _, e := range nn.Params(model) {
		fmt.Println(e.Name, e.Param.Shape)
	}
	// Output:
	// 0.weight [8 1 3 3]
	// 0.bias [8]
	// 3.main.0.weight [8 8 3 3]
	// 3.main.1.weight [8]
	// 3.main.1.bias [8]
	// 3.main.1.running_mean [8]
	// 3.main.1.running_var [8]
	// 3.main.1.num_batches_tracked []
	// 5.weight [10 8]
	// 5.bias [10]
}

// A mistake in shapes is an error that names the module.
func ExampleTrace() {
	model := nn.Sequential{
		nn.NewConv2d(3, 8, 3),
		nn.Sequential{nn.NewReLU(), nn.NewConv2d(16, 8, 3)},
	}
	_, err := nn.Trace(model, nn.TraceOptions{Input: graph.F32(1, 3, 32, 32)})
	fmt.Println(err)
	// Output:
	// nn: 1.1: Conv2d of float32[1 8 30 30], float32[8 16 3 3], float32[8]: the weight takes 16 channels per group, the input has 8 in 1 group(s)
}

// Fine-tuning the last layer: what is frozen keeps its running statistics.
func ExampleFreeze() {
	model := nn.Sequential{nn.NewConv2d(3, 8, 3), nn.NewBatchNorm2d(8), nn.NewGlobalAvgPool(), nn.NewLinear(8, 2)}
	n, err := nn.Freeze(model, "0", "1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "tensors frozen; norms on running statistics:", nn.FrozenNorms(model))
	t, err := nn.Trace(model, nn.TraceOptions{Input: graph.F32(4, 3, 8, 8), Training: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range t.Trainable() {
		fmt.Println("trains", v.Name)
	}
	// Output:
	// 7 tensors frozen; norms on running statistics: [1]
	// trains 3.weight
	// trains 3.bias
}
