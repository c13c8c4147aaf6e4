package models_test

import (
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// TenLines is a custom residual block: the branch ends in a learned scale of each
// channel that starts at 0, so that the block starts as the identity.
type TenLines struct {
	Conv  *nn.Conv2d
	Norm  *nn.BatchNorm
	Scale *nn.Param
}

func (b *TenLines) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	y := c.ReLU(c.Call(b.Norm, c.Call(b.Conv, x)))
	return c.Add(x, c.Mul(y, c.Param(b.Scale)))
}

func newTenLines(ch int) *TenLines {
	return &TenLines{
		Conv: nn.NewConv2d(ch, ch, 3, nn.Padding(1), nn.NoBias()), Norm: nn.NewBatchNorm2d(ch),
		Scale: nn.NewParam(nil, 1, ch, 1, 1),
	}
}

// ownNetwork is a network of TenLines and the library's blocks.
func ownNetwork() nn.Module {
	block := models.NewVariantBlock(models.NewPreActBasicBlock(8, 16, models.BlockOptions{Stride: 2}))
	block.Attention = models.NewSE(16, 16)
	return nn.Sequential{
		nn.NewConv2d(1, 8, 3, nn.Padding(1)), newTenLines(8),
		block, newTenLines(16),
		nn.NewGlobalAvgPool(), nn.NewLinear(16, 2),
	}
}

// trainSteps takes steps of gradient descent on one batch and returns the loss
// before each.
func trainSteps(m nn.Module, images, labels *tensor.Tensor, rate float32, steps int) ([]float32, error) {
	if err := nn.Init(m, 1); err != nil {
		return nil, err
	}
	t, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(images.Shape()...), Training: true})
	if err != nil {
		return nil, err
	}
	g, vars := t.Graph, engine.NewVars()
	for _, p := range t.Params {
		if err := vars.Set(p.Name, p.Param.Value); err != nil {
			return nil, err
		}
	}
	target, err := g.Input("labels", graph.Type{DType: tensor.Int64, Shape: labels.Shape()})
	if err != nil {
		return nil, err
	}
	err = graph.Try(func() {
		loss := g.Must1(graph.CrossEntropy{}, t.Output, target)
		g.Output("loss", loss)
		var weights []*graph.Value
		for _, p := range t.Trainable() {
			weights = append(weights, p.Value)
		}
		grads, err := g.Gradients(loss, weights)
		if err != nil {
			panic(err)
		}
		for i, w := range weights {
			step := g.Must1(graph.Affine{Scale: rate}, grads[i])
			if err := g.Assign(w, g.Must1(graph.Binary{Fn: graph.Sub}, w, step)); err != nil {
				panic(err)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	plan, err := engine.Compile(g, vars, engine.Options{})
	if err != nil {
		return nil, err
	}
	in := make([]*tensor.Tensor, len(plan.Inputs()))
	for i, p := range plan.Inputs() {
		in[i] = map[string]*tensor.Tensor{nn.ImageInput: images, "labels": labels}[p.Name]
	}
	losses, out := make([]float32, steps), tensor.New()
	for i := range losses {
		if err := plan.Run(in, []*tensor.Tensor{out}); err != nil {
			return nil, err
		}
		losses[i] = out.Float32s()[0]
	}
	return losses, nil
}

// stripes are images of 8x8 pixels, class 0 with horizontal stripes and class 1
// with vertical ones, each brighter than the one before.
func stripes(n int) (images, labels *tensor.Tensor) {
	images, labels = tensor.New(n, 1, 8, 8), tensor.NewInt64(n)
	for i := range images.Float32s() {
		img, y, x := i/64, i/8%8, i%8
		at := y
		if img%2 == 1 {
			at = x
			labels.Int64s()[img] = 1
		}
		images.Float32s()[i] = float32(at%2) * (1 + float32(img)/8)
	}
	return images, labels
}

// A residual block of ten lines, and a network of it that learns.
func ExampleBlockOptions_ownBlock() {
	images, labels := stripes(8)
	losses, err := trainSteps(ownNetwork(), images, labels, 0.1, 30)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the loss falls to under a tenth:", losses[len(losses)-1] < losses[0]/10)

	net := ownNetwork().(nn.Sequential)
	net[3] = newTenLines(8) // but block 2 gives 16 channels
	_, err = nn.Trace(net, nn.TraceOptions{Input: graph.F32(8, 1, 8, 8)})
	fmt.Println(err)
	// Output:
	// the loss falls to under a tenth: true
	// nn: 3.conv: Conv2d of float32[8 16 4 4], float32[8 8 3 3]: the weight takes 8 channels per group, the input has 16 in 1 group(s)
}

// TestOwnBlockErrors: each mistake in a custom block is an error that names the
// place.
func TestOwnBlockErrors(t *testing.T) {
	for _, c := range []struct {
		what  string
		spoil func(b *TenLines)
		want  []string
	}{
		{"channels", func(b *TenLines) { b.Conv = nn.NewConv2d(4, 8, 3, nn.Padding(1)) }, []string{"nn: 1.conv: Conv2d", "8", "4"}},
		{"no padding", func(b *TenLines) { b.Conv = nn.NewConv2d(8, 8, 3) }, []string{"nn: 1: Add", "[2 8 8 8]", "[2 8 6 6]"}},
		{"stride", func(b *TenLines) { b.Conv = nn.NewConv2d(8, 8, 3, nn.Padding(1), nn.Stride(2)) }, []string{"nn: 1: Add", "[2 8 4 4]"}},
		{"norm", func(b *TenLines) { b.Norm = nn.NewBatchNorm2d(7) }, []string{"nn: 1.norm: BatchNorm", "[7]"}},
		{"scale", func(b *TenLines) { b.Scale = nn.NewParam(nil, 1, 5, 1, 1) }, []string{"nn: 1: Mul", "[1 5 1 1]"}},
		{"nil", func(b *TenLines) { b.Norm = nil }, []string{"nn: 1: TenLines", "nil module"}},
	} {
		net := ownNetwork().(nn.Sequential)
		c.spoil(net[1].(*TenLines))
		_, err := nn.Trace(net, nn.TraceOptions{Input: graph.F32(2, 1, 8, 8)})
		if err == nil {
			t.Errorf("%s: no error", c.what)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want it to say %q", c.what, err, w)
			}
		}
	}
}
