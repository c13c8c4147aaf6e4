package tensor_test

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// Pictures lie in memory pixel by pixel; the shape stays N, C, H, W.
func ExampleTensor_In() {
	// One picture of 1x2 pixels with three channels: red, then blue.
	x, err := tensor.FromNHWC([]float32{1, 0, 0, 0, 0, 1}, 1, 3, 1, 2)
	if err != nil {
		panic(err)
	}
	rows, err := x.In(tensor.NCHW)
	if err != nil {
		panic(err)
	}
	fmt.Println(x.Shape(), x.Layout(), x.Float32s())
	fmt.Println(rows.Shape(), rows.Layout(), rows.Float32s())
	// Output:
	// [1 3 1 2] NHWC [1 0 0 0 0 1]
	// [1 3 1 2] NCHW [1 0 0 0 0 1]
}
