package tuning_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/resnet-go/resnet/engine/tuning"
)

// Times that one program records, later programs on the same machine find.
func ExampleCache() {
	dir, err := os.MkdirTemp("", "tuning")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "times.json")

	const layer = "n1 14x14x256 3x3 k256 p1"
	c, warning := tuning.Open(path)
	if warning != nil {
		panic(warning)
	}
	c.Record(layer, 2, map[string]float64{"direct": 1.9, "winograd 4x4": 0.8})
	if err := c.Save(); err != nil {
		panic(err)
	}

	c, warning = tuning.Open(path)
	if warning != nil {
		panic(warning)
	}
	fmt.Println(c.Times(layer, 2)["winograd 4x4"])
	fmt.Println(c.Times(layer, 1)) // nothing was measured on one thread
	// Output:
	// 0.8
	// map[]
}
