package resnet_test

import (
	"context"
	"fmt"
	"log"

	"github.com/resnet-go/resnet"
)

// From a photo to a label with the model inside the program.
func Example() {
	m, err := resnet.Open("", resnet.Options{})
	if err != nil {
		log.Fatal(err)
	}
	labels, err := m.Classify(context.Background(), resnet.File("photo.jpg"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %.0f%%\n", labels[0].Class, 100*labels[0].Probability)
}

// One model serves any number of goroutines; a handler needs no lock.
func ExampleModel_ClassifyBatch() {
	m, err := resnet.New("resnet20-cifar", 1, resnet.Options{TopK: 1})
	if err != nil {
		log.Fatal(err)
	}
	results, err := m.ClassifyBatch(context.Background(), []resnet.Picture{
		resnet.File("data/testdata/formats/chroma420.jpg"),
		resnet.Encoded("upload", []byte("not a picture")),
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			fmt.Println(r.Err)
			continue
		}
		fmt.Println(r.Name, len(r.Predictions), "class")
	}
	// Output:
	// data/testdata/formats/chroma420.jpg 1 class
	// upload: imaging: not a JPEG, PNG, GIF, WebP or BMP picture (starts with "not a pi")
}
