package onnx_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// A network is written as an ONNX file, and the file's graph read as a module.
func Example() {
	net, err := models.New("resnet8-cifar")
	if err != nil {
		log.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "onnx")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "resnet8.onnx")
	if err := onnx.Save(path, net, onnx.SaveOptions{Input: net.Input()}); err != nil {
		log.Fatal(err)
	}

	m, err := onnx.Load(path)
	if err != nil {
		log.Fatal(err)
	}
	in, err := m.Input(4, 32) // the type of a batch of four
	if err != nil {
		log.Fatal(err)
	}
	t, err := nn.Trace(m, nn.TraceOptions{Input: in})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("opset", m.Opset(), in.Shape, "to", t.Output.Shape)
	// Output:
	// opset 17 [4 3 32 32] to [4 10]
}
