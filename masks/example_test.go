package masks_test

import (
	"fmt"
	"log"

	"github.com/resnet-go/resnet/masks"
)

// A polygon of a COCO file becomes a mask, and its overlap with another is
// measured.
func Example() {
	square, err := masks.FromPolygons([][]float64{{1, 1, 5, 1, 5, 5, 1, 5}}, 8, 10)
	if err != nil {
		log.Fatal(err)
	}
	box, err := masks.FromBox([4]float64{3, 1, 4, 4}, 8, 10)
	if err != nil {
		log.Fatal(err)
	}
	iou, err := masks.IoU([]masks.RLE{box}, []masks.RLE{square}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(square, square.Area(), square.Box())
	fmt.Printf("%.3f\n", iou[0])
	// Output:
	// 94400000W1 16 [1 1 4 4]
	// 0.333
}

// What a mask head learns of a box: how much of each of 2 x 2 bins a mask covers.
func ExampleAlign() {
	square, err := masks.FromPolygons([][]float64{{1, 1, 5, 1, 5, 5, 1, 5}}, 8, 10)
	if err != nil {
		log.Fatal(err)
	}
	m := square.Bitmap()
	var target [4]float32
	masks.Align(target[:], 2, [4]float32{1, 1, 9, 5}, m.H, m.W, func(y, x int) float32 { return float32(m.At(y, x)) })
	fmt.Println(target)
	// Output: [0.875 0 0.65625 0]
}
