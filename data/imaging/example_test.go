package imaging_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"log"

	"github.com/resnet-go/resnet/data/imaging"
)

// A file is decoded and resized as Pillow would do it.
func ExampleDecode() {
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 64, 48))); err != nil {
		log.Fatal(err)
	}
	m, err := imaging.Decode(file.Bytes(), imaging.DecodeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	w, h := imaging.ShorterSide(m.W, m.H, 24)
	small := new(imaging.Image)
	imaging.Resize(small, m, w, h, imaging.Bilinear)
	fmt.Println(m.W, m.H, m.C)
	fmt.Println(small.W, small.H, small.C)
	// Output:
	// 64 48 1
	// 32 24 1
}
