package detect_test

import (
	"context"
	"fmt"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

func Example() {
	// A small network with fresh weights; trained weights come from package modelfile.
	net, err := models.New("retinanet_resnet8-cifar_fpn", models.Classes(3), func(c *models.Config) {
		c.Detection.Channels, c.Detection.MinSize, c.Detection.MaxSize = 16, 32, 64
	})
	if err != nil {
		panic(err)
	}
	if err := nn.Init(net, 1); err != nil {
		panic(err)
	}
	runner, err := infer.New(net, nil, infer.Options{})
	if err != nil {
		panic(err)
	}
	d, err := detect.New(runner, net)
	if err != nil {
		panic(err)
	}
	objects, err := d.Detect(context.Background(), imaging.New(60, 40, 3))
	if err != nil {
		panic(err)
	}
	fmt.Println(len(objects), "objects in a black picture")
	// Output: 0 objects in a black picture
}
