package detection_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"log"
	"testing/fstest"

	"github.com/resnet-go/resnet/data/detection"
)

// pictures is a folder as an annotation tool exports it: two pictures and a file of
// boxes.
func pictures() fstest.MapFS {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 60, 40))); err != nil {
		log.Fatal(err)
	}
	return fstest.MapFS{
		"images/a.png": {Data: b.Bytes()}, "images/b.png": {Data: b.Bytes()},
		"result.json": {Data: []byte(`{
			"images": [{"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}],
			"categories": [{"id": 0, "name": "screw"}, {"id": 1, "name": "nut"}],
			"annotations": [
				{"image_id": 0, "category_id": 1, "bbox": [10, 20, 30, 10]},
				{"image_id": 1, "category_id": 0, "bbox": [0, 0, 6, 0]}]}`)},
	}
}

// What is in a dataset, and what is likely wrong with it.
func ExampleOpenCOCO() {
	opt := detection.Options{}
	opt.ValFraction = -1 // hold out nothing
	s, err := detection.OpenCOCO(pictures(), opt)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	fmt.Println(s.Train.Len(), "pictures of", s.Classes())
	for _, o := range s.Train.Pictures[0].Objects {
		fmt.Println(s.Classes()[o.Class], "at", o.Box)
	}
	for _, f := range s.Findings {
		if f.Wrong {
			fmt.Println(f)
		}
	}
	// Output:
	// 2 pictures of [screw nut]
	// nut at [10 20 30 10]
	// train: boxes without area, which training leaves out: 1 (images/b.png, id 2: [0 0 6 0])
}

// Batches to train a detector on.
func ExampleLoader() {
	opt := detection.Options{}
	opt.ValFraction = -1
	s, err := detection.OpenCOCO(pictures(), opt)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	train, err := s.Train.ForTraining()
	if err != nil {
		log.Fatal(err)
	}
	p := detection.Standard()
	p.MinSize, p.MaxSize = 80, 128
	l, err := detection.NewLoader(train, detection.LoaderConfig{BatchSize: 1, Preprocess: p})
	if err != nil {
		log.Fatal(err)
	}
	for b, err := range l.Epoch(context.Background(), 0, 0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("input %d x %d, picture %v, %d object of class %d at %v\n", b.H, b.W, b.Sizes[0], b.Valid[0], b.Labels[0], b.Boxes[:4])
	}
	// Output:
	// input 96 x 128, picture [80 120], 1 object of class 1 at [20 40 80 60]
}
