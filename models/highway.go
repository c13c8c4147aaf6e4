package models

import (
	"fmt"
	"strconv"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// HighwayBlock is a convolutional highway layer (Srivastava, Greff and
// Schmidhuber 2015, "Training Very Deep Networks", section 2):
//
//	y = H(x)*T(x) + x*(1-T(x))
//
// H is a 3x3 convolution with norm and activation, the gate T the sigmoid of a
// 3x3 convolution, so that this is one layer and a basic block two. The gate's
// bias starts below zero, at -1 to -3 in the paper, so that the layer begins by
// carrying its input. Where the shape changes, x is the shortcut's output: with
// [ShortcutA] subsampled and padded with zeros, as the paper proposes.
//
// The paper's networks have no batch norm ([BlockOptions.NoNorm]). Ours have by
// default, so that a highway network differs from its residual counterpart only
// by the gates. Input [N in H W], output [N out H/stride W/stride].
type HighwayBlock struct {
	Conv1      *nn.Conv2d
	BN1        nn.Module
	ReLU       *nn.Activation `key:"relu"`
	Attention  nn.Module      `key:"se"` // of H; nil for none
	Gate       *nn.Conv2d
	Downsample nn.Module // fits the carried input; nil for the identity

	fault string `key:"-"`
}

// defaultGateBias is in the middle of the paper's range.
const defaultGateBias = -2

// NewHighwayBlock returns a layer from in to out channels, whose gate starts with
// the given bias. Groups, WidthPerGroup and V1 are for bottlenecks; [nn.Trace]
// reports them.
func NewHighwayBlock(in, out int, gateBias float32, opt BlockOptions) *HighwayBlock {
	opt = opt.withDefaults()
	b := &HighwayBlock{ReLU: &opt.Activation}
	if opt.basicFault() != "" || opt.V1 {
		b.fault = "groups, width per group and v1 are options that a highway layer does not have"
	}
	b.Conv1, b.BN1 = opt.norm(conv3x3(in, out, opt.Stride, 1, opt.Dilation))
	b.Gate = gate(conv3x3(in, out, opt.Stride, 1, opt.Dilation), gateBias)
	b.Downsample = opt.downsample(in, out)
	return b
}

func (cfg Config) newHighway(in, out int, opt BlockOptions) *HighwayBlock {
	b := NewHighwayBlock(in, out, cfg.GateBias, opt)
	b.Attention = cfg.attention(out)
	return b
}

// Forward computes H(x)*T(x) + x*(1-T(x)).
func (b *HighwayBlock) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if b.fault != "" {
		c.Failf("%s", b.fault)
	}

	h := c.Call(b.Conv1, x)
	h = c.Call(b.BN1, h)
	h = c.Call(b.ReLU, h)
	if b.Attention != nil {
		h = c.Call(b.Attention, h)
	}
	t := c.Sigmoid(c.Call(b.Gate, x))
	if b.Downsample != nil {
		x = c.Call(b.Downsample, x)
	}
	return c.Add(c.Mul(h, t), c.Mul(x, c.Affine(t, -1, 1)))
}

const highwayPrefix = "highway"

// highwayOf returns the options of a highway network of depth 6n+2 for CIFAR:
// the residual network of the same depth with two highway layers per block.
func highwayOf(depth int) ([]Option, error) {
	opts, err := cifarOf(depth)
	n := (depth - 2) / 3
	return append(opts, Blocks(BlockHighway, n, n, n), GateBias(defaultGateBias)), err
}

func highwayTable() []named {
	var rows []named
	for _, depth := range []int{20, 32, 44, 56, 110} {
		opts, _ := highwayOf(depth)
		rows = append(rows, named{
			highwayPrefix + strconv.Itoa(depth) + cifarSuffix,
			fmt.Sprintf("highway network for CIFAR, %d layers", depth), opts,
		})
	}
	return rows
}
