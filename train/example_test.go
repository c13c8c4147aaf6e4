package train_test

import (
	"context"
	"fmt"
	"image"
	"log"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/train"
)

// stripes makes pictures of horizontal and vertical stripes, shifted by their
// number.
func stripes(n int) data.Dataset {
	var pictures []*imaging.Image
	var labels []int
	for i := range n {
		m := imaging.New(16, 16, 1)
		for y := range 16 {
			for x := range 16 {
				at := x
				if i%2 == 0 {
					at = y
				}
				if (at+i/2)%4 < 2 {
					m.Pix[y*16+x] = 255
				}
			}
		}
		pictures, labels = append(pictures, m), append(labels, i%2)
	}
	ds, err := data.NewImages([]string{"horizontal", "vertical"}, pictures, labels)
	if err != nil {
		log.Fatal(err)
	}
	return ds
}

// A network is built from blocks, compiled with a loss and an optimizer, and
// fitted.
func ExampleCompile() {
	block := func() nn.Module {
		return &nn.Residual{Main: nn.Sequential{
			nn.NewConv2d(8, 8, 3, nn.Padding(1), nn.NoBias()), nn.NewBatchNorm2d(8), nn.NewReLU(),
			nn.NewConv2d(8, 8, 3, nn.Padding(1), nn.NoBias()), nn.NewBatchNorm2d(8),
		}, Activation: nn.NewReLU()}
	}
	net := nn.Sequential{
		nn.NewConv2d(1, 8, 3, nn.Padding(1)), block(), block(), nn.NewGlobalAvgPool(), nn.NewLinear(8, 2),
	}
	model, err := train.Compile(net, train.CrossEntropy{}, train.SGD{LR: 0.05, Momentum: 0.9, Nesterov: true})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if _, err := model.Fit(ctx, stripes(64), train.FitOptions{Epochs: 4, BatchSize: 16, Val: stripes(16)}); err != nil {
		log.Fatal(err)
	}
	m, err := model.Evaluate(ctx, stripes(40))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.0f%% of %d pictures right\n", 100*m.Top1, m.Samples)

	one := imaging.New(16, 16, 1)
	for i := range one.Pix {
		one.Pix[i] = byte(i % 4 / 2 * 255)
	}
	x, err := model.Preprocess().Apply(one)
	if err != nil {
		log.Fatal(err)
	}
	p, err := model.Predict(x)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("vertical:", p.Float32s()[1] > 0.9)
	// Output:
	// 100% of 40 pictures right
	// vertical: true
}

// Scaled is a custom residual block in ten lines: y = x + s·F(x), with a
// scale for each channel that is learned, starting at 0 (as in SkipInit, De and Smith 2020).
type Scaled struct {
	Conv  *nn.Conv2d
	Norm  *nn.BatchNorm
	Scale *nn.Param
}

func (b *Scaled) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	y := c.ReLU(c.Call(b.Norm, c.Call(b.Conv, x)))
	return c.Add(x, c.Mul(y, c.Param(b.Scale)))
}

func scaled(in, out int) *Scaled {
	return &Scaled{nn.NewConv2d(in, out, 3, nn.Padding(1), nn.NoBias()), nn.NewBatchNorm2d(out), nn.NewParam(nil, 1, out, 1, 1)}
}

// A custom residual block is a struct with a Forward. Its parameters are found and
// named by its fields, and it trains like any other. A mistake in its shapes is an
// error that names the place.
func ExampleCompile_ownBlock() {
	fit := func(blocks ...nn.Module) (train.Metrics, error) {
		net := nn.Sequential{nn.NewConv2d(1, 8, 3, nn.Padding(1)), nn.Sequential(blocks), nn.NewGlobalAvgPool(), nn.NewLinear(8, 2)}
		model, err := train.Compile(net, train.CrossEntropy{}, train.SGD{LR: 0.05, Momentum: 0.9, Nesterov: true})
		if err != nil {
			return train.Metrics{}, err
		}
		if _, err := model.Fit(context.Background(), stripes(64), train.FitOptions{Epochs: 20, BatchSize: 16}); err != nil {
			return train.Metrics{}, err
		}
		return model.Evaluate(context.Background(), stripes(40))
	}
	m, err := fit(scaled(8, 8), scaled(8, 8))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.0f%% of %d pictures right\n", 100*m.Top1, m.Samples)

	_, err = fit(scaled(8, 8), scaled(8, 16))
	fmt.Println(err)
	_, err = fit(scaled(8, 8), scaled(16, 16))
	fmt.Println(err)
	// Output:
	// 100% of 40 pictures right
	// nn: 1.1: Add of float32[16 8 16 16], float32[16 16 16 16]: shapes [16 8 16 16] and [16 16 16 16] do not broadcast: 8 against 16 at axis 3 from the end
	// nn: 1.1.conv: Conv2d of float32[16 8 16 16], float32[16 16 3 3]: the weight takes 16 channels per group, the input has 8 in 1 group(s)
}

// What was trained is a model: it classifies and explains pictures, and training
// can go on. A second Fit continues where the first one ended.
func ExampleTrainer_Model() {
	net := nn.Sequential{
		nn.NewConv2d(1, 8, 3, nn.Padding(1), nn.NoBias()), nn.NewBatchNorm2d(8), nn.NewReLU(),
		nn.NewGlobalAvgPool(), nn.NewLinear(8, 2),
	}
	trainer, err := train.Compile(net, train.CrossEntropy{}, train.AdamW{LR: 0.05})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for range 2 {
		r, err := trainer.Fit(ctx, stripes(64), train.FitOptions{Epochs: 5, BatchSize: 16})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Epochs, "epochs")
	}
	model, err := trainer.Model(resnet.Options{})
	if err != nil {
		log.Fatal(err)
	}
	picture := image.NewGray(image.Rect(0, 0, 16, 16))
	for i := range picture.Pix {
		picture.Pix[i] = byte(i % 4 / 2 * 255)
	}
	labels, err := model.Classify(ctx, resnet.Image(picture))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(labels[0].Class)
	// Output:
	// 5 epochs
	// 10 epochs
	// vertical
}
