package keras_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/resnet-go/resnet/modelfile/keras"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// A network is written for Keras, and read as the module that Keras would make.
func Example() {
	net, err := models.New("resnet8-cifar")
	if err != nil {
		log.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		log.Fatal(err)
	}
	m, err := keras.FromModule(net, "resnet8", net.Input())
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "keras")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "resnet8.keras")
	if err := keras.Save(path, m); err != nil {
		log.Fatal(err)
	}

	m, err = keras.Load(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Input(), m.Classes())
	fmt.Println(nn.Kind(m.Modules["layer1.0.conv1"]), nn.Kind(m.Modules["fc"]))
	// Output:
	// [3 32 32] 10
	// Conv2D Dense
}
