package models_test

import (
	"fmt"
	"log"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// SEBlock is a custom block: a residual block whose branch is weighted
// channel by channel (Hu et al. 2018), with its own forward pass.
type SEBlock struct {
	Conv1, Conv2 *nn.Conv2d
	BN1, BN2     *nn.BatchNorm
	Squeeze      *nn.Linear
	Excite       *nn.Linear
}

func NewSEBlock(ch int) *SEBlock {
	conv := func() *nn.Conv2d { return nn.NewConv2d(ch, ch, 3, nn.Padding(1), nn.NoBias()) }
	return &SEBlock{conv(), conv(), nn.NewBatchNorm2d(ch), nn.NewBatchNorm2d(ch),
		nn.NewLinear(ch, ch/4), nn.NewLinear(ch/4, ch)}
}

func (b *SEBlock) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	y := c.ReLU(c.Call(b.BN1, c.Call(b.Conv1, x)))
	y = c.Call(b.BN2, c.Call(b.Conv2, y))
	w := c.ReLU(c.Call(b.Squeeze, c.GlobalAvgPool(y)))
	w = c.Sigmoid(c.Call(b.Excite, w))
	y = c.Mul(y, c.Reshape(w, w.Shape[0], w.Shape[1], 1, 1))
	return c.ReLU(c.Add(y, x))
}

// A block with its own forward pass, stacked with the library's blocks.
func Example_customBlock() {
	model := nn.Sequential{
		nn.NewConv2d(3, 16, 3, nn.Padding(1), nn.NoBias()), nn.NewBatchNorm2d(16), nn.NewReLU(),
		NewSEBlock(16),
		models.NewBasicBlock(16, 32, models.BlockOptions{Stride: 2}),
		NewSEBlock(32),
		nn.NewGlobalAvgPool(),
		nn.NewLinear(32, 10),
	}
	traced, err := nn.Trace(model, nn.TraceOptions{Input: graph.F32(8, 3, 32, 32), Training: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(traced.Output.Type, nn.NumParams(model), "parameters")
	for _, e := range nn.Params(model[3])[:3] {
		fmt.Println(e.Name, e.Param.Shape)
	}
	// Output:
	// float32[8 10] 39254 parameters
	// conv1.weight [16 16 3 3]
	// conv2.weight [16 16 3 3]
	// bn1.weight [16]
}

// Blocks stacked into a custom network: 20 layers in bottlenecks, with
// stochastic depth.
func Example_stackBlocks() {
	model := nn.Sequential{nn.NewConv2d(3, 16, 3, nn.Padding(1), nn.NoBias()), nn.NewBatchNorm2d(16), nn.NewReLU()}
	in := 16
	for stage, planes := range []int{8, 16, 32} {
		for i := range 2 {
			opt := models.BlockOptions{}
			if stage > 0 && i == 0 {
				opt.Stride = 2
			}
			block := models.NewVariantBlock(models.NewBottleneck(in, planes, opt))
			block.DropPath = nn.NewStochasticDepth(0.1)
			model = append(model, block)
			in = 4 * planes
		}
	}
	model = append(model, nn.NewGlobalAvgPool(), nn.NewLinear(in, 100))

	rows, err := nn.Summarize(model, graph.F32(1, 3, 32, 32))
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range rows {
		if r.Depth <= 1 {
			fmt.Printf("%2s|%-13s %-12s %6d parameters %8d MACs\n", r.Path, r.Kind, r.Out, r.Params, r.MACs)
		}
	}
	// Output:
	//   |Sequential    [1 100]       68916 parameters  9105920 MACs
	//  0|Conv2d        [1 16 32 32]    432 parameters   442368 MACs
	//  1|BatchNorm2d   [1 16 32 32]     32 parameters        0 MACs
	//  2|ReLU          [1 16 32 32]      0 parameters        0 MACs
	//  3|Bottleneck    [1 32 32 32]   1632 parameters  1507328 MACs
	//  4|Bottleneck    [1 32 32 32]   1184 parameters  1114112 MACs
	//  5|Bottleneck    [1 64 16 16]   6208 parameters  1900544 MACs
	//  6|Bottleneck    [1 64 16 16]   4544 parameters  1114112 MACs
	//  7|Bottleneck    [1 128 8 8]   24192 parameters  1900544 MACs
	//  8|Bottleneck    [1 128 8 8]   17792 parameters  1114112 MACs
	//  9|GlobalAvgPool [1 128]           0 parameters        0 MACs
	// 10|Linear        [1 100]       12900 parameters    12800 MACs
}

// The networks by name, and their description as data.
func ExampleNew() {
	m, err := models.New("resnet50", models.Classes(5))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(nn.NumParams(m), "parameters for images", m.Input())

	_, err = models.New("resent50")
	fmt.Println(err)
	// Output:
	// 23518277 parameters for images [3 224 224]
	// models: unknown model "resent50"; did you mean "resnet50"?
}

// Features of an inner layer, as embeddings and Grad-CAM need them.
func ExampleResNet18() {
	net, err := models.ResNet18()
	if err != nil {
		log.Fatal(err)
	}
	t, err := nn.Trace(net, nn.TraceOptions{Input: graph.F32(1, 3, 224, 224)})
	if err != nil {
		log.Fatal(err)
	}
	maps, err := t.At("layer4")
	if err != nil {
		log.Fatal(err)
	}
	embedding, err := t.At("avgpool")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(maps.Shape, embedding.Shape, t.Output.Shape)
	// Output: [1 512 7 7] [1 512] [1 1000]
}

// Variants of a network by name, and the same by options.
func ExampleVariants() {
	byName, err := models.New("resnet20-cifar+preact+se")
	if err != nil {
		log.Fatal(err)
	}
	byOptions, err := models.ResNet20(models.PreAct(), models.Attention(models.AttentionSE))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(nn.NumParams(byName), nn.NumParams(byOptions))

	_, err = models.New("resnet20-cifar+cbm")
	fmt.Println(err)
	_, err = models.New("highway20-cifar+stochastic-depth")
	fmt.Println(err)
	// Output:
	// 275506 275506
	// models: resnet20-cifar+cbm: unknown variant "cbm"; did you mean "cbam"?
	// models: highway20-cifar+stochastic-depth: drop_path is for residual blocks, not for highway blocks
}
