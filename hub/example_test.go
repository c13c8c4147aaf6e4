package hub_test

import (
	"fmt"

	"github.com/resnet-go/resnet/hub"
)

// Names of published models, as users write them.
func ExampleParse() {
	for _, text := range []string{"timm/resnet50.a1_in1k", "torchvision/resnet50:IMAGENET1K_V2", "resnet50"} {
		n, ok, err := hub.Parse(text)
		fmt.Println(n.Repo, n.Revision, ok, err)
	}
	// Output:
	// timm/resnet50.a1_in1k  true <nil>
	// resnet50 IMAGENET1K_V2 true <nil>
	//   false <nil>
}

// What torchvision publishes under a name, and how pictures are prepared for it.
func ExampleLookup() {
	n, _, _ := hub.Parse("torchvision/resnet50")
	p, err := hub.Lookup(n)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Weights, p.Metrics["acc@1"], p.Preprocess.Resize, p.Preprocess.Crop, p.License)
	// Output: IMAGENET1K_V2 80.858 232 224 BSD-3-Clause
}
