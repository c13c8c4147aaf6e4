package weights_test

import (
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// Tensors that another program has named are renamed and checked against what a
// model wants.
func Example() {
	dir, err := os.MkdirTemp("", "weights")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "theirs.safetensors")
	theirs := &weights.File{Tensors: map[string]*tensor.Tensor{
		"backbone.conv1.weight":  tensor.New(16, 3, 3, 3),
		"backbone.linear.weight": tensor.New(10, 64),
	}}
	if err := weights.Save(path, theirs, weights.SaveOptions{}); err != nil {
		log.Fatal(err)
	}

	file, err := weights.Load(path)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := weights.ParseKeyMap("backbone.=", "linear.=fc.")
	if err != nil {
		log.Fatal(err)
	}
	tensors, err := keys.Apply(file.Tensors)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(slices.Sorted(maps.Keys(tensors)))

	_, _, err = weights.Fit([]weights.Want{
		{Name: "conv1.weight", Shape: tensor.Shape{16, 3, 3, 3}},
		{Name: "fc.weight", Shape: tensor.Shape{100, 64}},
	}, tensors, weights.FitOptions{})
	fmt.Println(err)
	// Output:
	// [conv1.weight fc.weight]
	// the weights do not fit the model
	// 1 of another shape: fc.weight is float32[10 64], the model has float32[100 64]
	// --keys OLD=NEW renames tensors, --partial takes those that fit
}
