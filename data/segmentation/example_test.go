package segmentation_test

import (
	"context"
	"fmt"
	"log"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/segmentation"
)

// Pictures and masks in folders: road/images/a.jpg and road/masks/a.png.
func ExampleOpen() {
	splits, err := segmentation.Open(context.Background(), "masks:road", data.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer splits.Close()
	report, err := data.Check(context.Background(), splits, 0)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range report.Parts {
		fmt.Println(p.Name, p.Images, "pictures, pixels of each class:", p.Pixels)
	}
}
