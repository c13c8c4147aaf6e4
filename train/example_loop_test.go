package train_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/train"
)

// small returns a network for stripes.
func small(width int) nn.Module {
	return nn.Sequential{
		nn.NewConv2d(1, width, 3, nn.Padding(1), nn.NoBias()), nn.NewBatchNorm2d(width), nn.NewReLU(),
		nn.NewGlobalAvgPool(), nn.NewLinear(width, 2),
	}
}

// A training loop of your own: a loader makes batches, a step computes loss, gradients
// and update. What happens between the steps is yours.
func ExampleNewStep() {
	net := small(8)
	if err := nn.Init(net, 1); err != nil {
		log.Fatal(err)
	}
	const batch, epochs = 16, 6
	loader, err := data.NewLoader(stripes(64), data.LoaderConfig{BatchSize: batch, Shuffle: true, Preprocess: data.Preprocess{
		Channels: 1, Width: 16, Height: 16, Squash: true, Interpolation: imaging.Bilinear,
		Mean: []float32{0.5}, Std: []float32{0.5}}})
	if err != nil {
		log.Fatal(err)
	}
	step, err := train.NewStep(net, train.StepOptions{
		Input: tensor.Shape{batch, 1, 16, 16}, Classes: 2, Loss: train.CrossEntropy{}, Optimizer: train.AdamW{LR: 0.05},
	})
	if err != nil {
		log.Fatal(err)
	}
	update, last := 0, 0.0
	for epoch := range epochs {
		for b, err := range loader.Epoch(context.Background(), epoch, 0) {
			if err != nil {
				log.Fatal(err)
			}
			rate := 0.05
			if epoch >= 4 { // a schedule of your own
				rate = 0.01
			}
			update++
			r, err := step.Run(train.StepInput{Batch: b, LR: rate, Update: update})
			if err != nil {
				log.Fatal(err)
			}
			last = r.Loss
		}
	}
	fmt.Println(update, "updates; learned:", last < 0.2)
	// Output:
	// 24 updates; learned: true
}

// Teacher and student: the student learns from the teacher's logits besides the
// labels (Hinton et al. 2015).
func ExampleTeaching() {
	ctx, ds := context.Background(), stripes(64)
	teacher := small(16)
	trained, err := train.Compile(teacher, train.CrossEntropy{}, train.AdamW{LR: 0.05})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := trained.Fit(ctx, ds, train.FitOptions{Epochs: 8, BatchSize: 16}); err != nil {
		log.Fatal(err)
	}
	ask, err := infer.New(teacher, nil, infer.Options{})
	if err != nil {
		log.Fatal(err)
	}

	student := small(4)
	if err := nn.Init(student, 2); err != nil {
		log.Fatal(err)
	}
	loader, err := data.NewLoader(ds, data.LoaderConfig{BatchSize: 16, Shuffle: true, Preprocess: trained.Preprocess()})
	if err != nil {
		log.Fatal(err)
	}
	step, err := train.NewStep(student, train.StepOptions{
		Input: tensor.Shape{16, 1, 16, 16}, Loss: train.CrossEntropy{}, Optimizer: train.AdamW{LR: 0.05},
		Teacher: &train.Teaching{Weight: 0.7, Temperature: 2},
	})
	if err != nil {
		log.Fatal(err)
	}
	update, hits := 0, 0
	for epoch := range 12 {
		hits = 0
		for b, err := range loader.Epoch(ctx, epoch, 0) {
			if err != nil {
				log.Fatal(err)
			}
			x, err := tensor.FromNHWC(b.X, b.N, b.C, b.H, b.W)
			if err != nil {
				log.Fatal(err)
			}
			taught, err := ask.Run(ctx, infer.Query{}, infer.Tensors{nn.ImageInput: x})
			if err != nil {
				log.Fatal(err)
			}
			update++
			r, err := step.Run(train.StepInput{Batch: b, Teacher: taught[infer.Output].Float32s(), LR: 0.05, Update: update})
			if err != nil {
				log.Fatal(err)
			}
			for n, label := range b.Labels {
				if (r.Logits[2*n+1] > r.Logits[2*n]) == (label == 1) {
					hits++
				}
			}
		}
	}
	fmt.Println("the student learned:", hits >= 60)
	// Output:
	// the student learned: true
}

// twoInputs is a network that sees a picture and a number beside it, and also
// estimates another number.
type twoInputs struct {
	Stem   *nn.Conv2d
	Number *nn.Linear
	Head   *nn.Linear
	Period *nn.Linear
}

func (n *twoInputs) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	f := c.Op1(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, c.ReLU(c.Call(n.Stem, x)))
	f = c.Add(f, c.Call(n.Number, c.Input("number", graph.F32(1))))
	c.Output("period", c.Call(n.Period, f))
	return c.Call(n.Head, f)
}

// both is the cross entropy plus the squared error of the other output.
type both struct{ train.CrossEntropy }

func (b both) OutputsLoss(g *graph.Graph, out, targets map[string]*graph.Value) (*graph.Value, error) {
	classes, err := b.Loss(g, out[nn.MainOutput], targets["target"])
	if err != nil {
		return nil, err
	}
	diff := g.Must1(graph.Binary{Fn: graph.Sub}, out["period"], targets["true period"])
	square := g.Must1(graph.Reduce{Fn: graph.Mean, Axes: []int{0, 1}}, g.Must1(graph.Unary{Fn: graph.Square}, diff))
	return g.Must1(graph.Binary{Fn: graph.Add}, classes, square), nil
}

// A network with two inputs and two outputs: the data have numbers beside the
// pictures, the loss learns from both outputs, and the file of the trained network is
// all that is needed to use it.
func ExampleOutputsLoss() {
	ctx := context.Background()
	pictures := stripes(64)
	number, period := tensor.New(64, 1), tensor.New(64, 1)
	for i := range 64 {
		number.Float32s()[i] = float32(pictures.Labels(i)[0]) - 0.5 // the class, as a number
		period.Float32s()[i] = 2 * float32(pictures.Labels(i)[0])
	}
	ds, err := data.WithInputs(pictures, map[string]*tensor.Tensor{"number": number, "true period": period})
	if err != nil {
		log.Fatal(err)
	}
	net := &twoInputs{nn.NewConv2d(1, 4, 3), nn.NewLinear(1, 4), nn.NewLinear(4, 2), nn.NewLinear(4, 1)}
	trainer, err := train.Compile(net, both{}, train.AdamW{LR: 0.05})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := trainer.Fit(ctx, ds, train.FitOptions{Epochs: 20, BatchSize: 16}); err != nil {
		log.Fatal(err)
	}
	m, err := trainer.Evaluate(ctx, ds)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("classes learned:", m.Top1 > 0.95)

	dir, err := os.MkdirTemp("", "two-inputs")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "two.safetensors")
	if err := trainer.Save(path); err != nil {
		log.Fatal(err)
	}
	model, err := resnet.Open(path, resnet.Options{})
	if err != nil {
		log.Fatal(err)
	}
	one := tensor.New(1, 1)
	one.Float32s()[0] = 0.5
	out, err := model.Run(ctx, infer.Tensors{nn.ImageInput: tensor.New(1, 1, 16, 16), "number": one})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out[infer.Output].Shape(), out["period"].Shape())
	// Output:
	// classes learned: true
	// [1 2] [1 1]
}
