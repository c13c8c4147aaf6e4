package features_test

import (
	"fmt"

	"github.com/resnet-go/resnet/features"
	"github.com/resnet-go/resnet/tensor"
)

// Features of two classes: nearest neighbors and a linear classifier tell them apart.
func Example() {
	known, _ := tensor.FromFloat32([]float32{3, 1, 4, 1, 1, 3, 1, 4}, 4, 2)
	set := features.Set{X: known, Labels: []int{0, 0, 1, 1}, Classes: 2}
	queries, _ := tensor.FromFloat32([]float32{5, 2, 2, 5}, 2, 2)

	near, err := features.Neighbors{K: 2}.Classify(set, queries)
	fmt.Println(near, err)
	probe, err := features.FitLinear(set, features.LinearOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(probe.Classify(queries))
	// Output:
	// [0 1] <nil>
	// [0 1] <nil>
}
