package quantize_test

import (
	"context"
	"fmt"

	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/quantize"
	"github.com/resnet-go/resnet/tensor"
)

// A network whose activations are measured on a batch of pictures, and which then
// runs with 8-bit integers.
func ExampleCalibrate() {
	net, err := models.New("resnet8-cifar")
	if err != nil {
		panic(err)
	}
	if err := nn.Init(net, 1); err != nil {
		panic(err)
	}
	vars, err := infer.Adopt(net, nil)
	if err != nil {
		panic(err)
	}
	pictures := tensor.NewNHWC(4, 3, 32, 32) // in truth, from the training data
	for i := range pictures.Float32s() {
		pictures.Float32s()[i] = float32(i%255)/127 - 1
	}
	batches := func(yield func(*tensor.Tensor, error) bool) { yield(pictures, nil) }
	q, err := quantize.Calibrate(context.Background(), net, vars, net.Input(), batches, quantize.Options{Method: quantize.MinMax})
	if err != nil {
		panic(err)
	}
	r, err := infer.New(q, vars, infer.Options{})
	if err != nil {
		panic(err)
	}
	out, err := r.Run(context.Background(), infer.Query{}, infer.Tensors{nn.ImageInput: pictures})
	if err != nil {
		panic(err)
	}
	fmt.Println(out[infer.Output])
	// Output: float32[4 10]
}
