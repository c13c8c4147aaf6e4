package embedded_test

import (
	"fmt"
	"log"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/embedded"
)

// The sample inside the program is a dataset.
func ExampleFashion() {
	s, err := data.OpenIDX(embedded.Fashion(), data.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Train.Len(), "to train on,", s.Test.Len(), "to test on")
	fmt.Println(s.Train.Classes()[9])
	// Output:
	// 6000 to train on, 1000 to test on
	// Ankle boot
}
