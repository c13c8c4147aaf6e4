package boxes_test

import (
	"fmt"

	"github.com/resnet-go/resnet/boxes"
)

func Example() {
	found := []boxes.Box{{X1: 10, Y1: 10, X2: 60, Y2: 60}, {X1: 12, Y1: 8, X2: 58, Y2: 60}, {X1: 80, Y1: 20, X2: 120, Y2: 70}}
	scores := []float32{0.8, 0.9, 0.7}
	for _, i := range boxes.NMS(found, scores, 0.5) {
		fmt.Println(found[i], scores[i])
	}
	fmt.Printf("%.2f\n", boxes.IoU(found[0], found[1]))
	// Output:
	// {12 8 58 60} 0.9
	// {80 20 120 70} 0.7
	// 0.89
}
