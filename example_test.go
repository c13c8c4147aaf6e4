package resnet_test

import (
	"context"
	"fmt"
	"image/png"
	"log"
	"os"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
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
	// upload: imaging: not a JPEG, PNG, GIF, WebP, BMP, TIFF or PPM picture (starts with "not a pi")
}

// A model is evaluated on a dataset with the same classes.
func ExampleModel_Evaluate() {
	m, err := resnet.Open("best.safetensors", resnet.Options{})
	if err != nil {
		log.Fatal(err)
	}
	splits, err := data.Open("folder:photos", data.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer splits.Close()
	e, err := m.Evaluate(context.Background(), splits.Eval(), resnet.EvaluateOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.1f%% of %d pictures\n", 100*e.Single.Top1, e.Single.Samples)
	for _, p := range e.Worst(3) {
		fmt.Println(p.Name, "is a", p.True, "and was taken for a", p.Predicted)
	}
}

// The class of every pixel of a picture of any size.
func ExampleModel_Segment() {
	m, err := resnet.Open("fcn_resnet50@fcn_resnet50_coco.pth", resnet.Options{})
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.Segment(context.Background(), resnet.File("photo.jpg"))
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range s.Areas {
		fmt.Printf("%s covers %.0f%% of the picture\n", a.Class, 100*a.Share)
	}
	f, err := os.Create("overlay.png")
	if err != nil {
		log.Fatal(err)
	}
	if err := png.Encode(f, s.Overlay(0.5)); err != nil {
		log.Fatal(err)
	}
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
}
