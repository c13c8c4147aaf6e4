package segment_test

import (
	"fmt"

	"github.com/resnet-go/resnet/segment"
)

// What each class covers of a mask.
func ExampleMask_Areas() {
	m := &segment.Mask{W: 4, H: 2, Pix: []uint8{
		0, 0, 1, 1,
		0, 0, 0, 1,
	}}
	for _, a := range m.Areas() {
		fmt.Printf("class %d covers %.1f %% in %v\n", a.Class, 100*a.Share, a.Box)
	}
	// Output:
	// class 0 covers 62.5 % in [0 0 3 2]
	// class 1 covers 37.5 % in [2 0 2 2]
}
