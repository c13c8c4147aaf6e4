package stablehlo_test

import (
	"fmt"
	"log"

	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/modelfile/stablehlo"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/tensor"
)

// The inference of 8 pictures by ResNet-50, for XLA.
func ExampleWrite() {
	net, err := models.New("resnet50")
	if err != nil {
		log.Fatal(err)
	}
	g, err := infer.Graph(net, infer.Input{Shape: tensor.Shape{8, 3, 224, 224}}, infer.Query{})
	if err != nil {
		log.Fatal(err)
	}
	program, err := stablehlo.Write(g, stablehlo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(program.Arguments), program.Arguments[1].Name, program.Results[0].Type)
	// Output: 268 conv1.weight float32[8 1000]
}
