package ssl_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"log"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/ssl"
	"github.com/resnet-go/resnet/train"
)

// A network that learns without labels is a backbone with a projector and a predictor.
func ExampleNew() {
	backbone, err := models.New("resnet8-cifar", models.Classes(0))
	if err != nil {
		log.Fatal(err)
	}
	if err := nn.Init(backbone, 1); err != nil {
		log.Fatal(err)
	}
	net, err := ssl.New(backbone, ssl.Config{Method: ssl.SimSiam, Hidden: 32, Dim: 32, Predictor: 8})
	if err != nil {
		log.Fatal(err)
	}
	if err := net.Start(1); err != nil {
		log.Fatal(err)
	}
	params := nn.Params(net)
	fmt.Println(params[0].Name, "…", params[len(params)-1].Name)
	fmt.Println(net.Pretext().Rows(), "rows of each picture,", backbone.Config.Features(), "features")
	// Output:
	// conv1.weight … pretext.predictor.3.bias
	// 2 rows of each picture, 64 features
}

// Training a backbone on pictures without labels.
func Example() {
	var pictures []*imaging.Image
	for i := range 64 {
		m := image.NewRGBA(image.Rect(0, 0, 12, 12))
		for y := range 12 {
			for x := range 12 {
				m.Set(x, y, color.RGBA{uint8(x * i), uint8(y * i), uint8(20 * (i % 9)), 255})
			}
		}
		pictures = append(pictures, imaging.FromImage(m))
	}
	unlabeled := &data.Images{Pictures: pictures, Targets: make([][]int, 64), Names: make([]string, 64), Multi: true}
	recipe, err := train.LoadRecipe("simsiam", "epochs=1", "batch_size=16", "model=resnet8-cifar", "size=12", "lr.warmup=0", "ssl.hidden=32", "ssl.dim=32", "ssl.predictor=8")
	if err != nil {
		log.Fatal(err)
	}
	r, err := train.Run(context.Background(), train.Config{Splits: &data.Splits{Spec: "pictures", Train: unlabeled}, Recipe: recipe})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Epochs, "epoch of", r.Steps, "steps; spread above 0.2:", r.Last.Train.Gauge.Spread > 0.2)
	// Output: 1 epoch of 4 steps; spread above 0.2: true
}
