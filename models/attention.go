package models

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// AttentionKind is an attention that ends the branch of a block of any kind, with
// timm's keys: se.fc1, se.fc2 and so on.
type AttentionKind string

// The attentions; the empty kind is none.
const (
	AttentionSE   AttentionKind = "se"   // see [SE]
	AttentionECA  AttentionKind = "eca"  // see [ECA]
	AttentionCBAM AttentionKind = "cbam" // see [CBAM]
)

// Attention ends each branch with an attention.
func Attention(kind AttentionKind) Option { return func(c *Config) { c.Attention = kind } }

// Reduction sets the ratio of channels to the channels of the bottleneck of SE
// and CBAM, 16 by default as in the papers.
func Reduction(n int) Option { return func(c *Config) { c.Reduction = n } }

const defaultReduction = 16

var attentionKnob = knob{
	key: "attention",
	variants: []named{
		{string(AttentionSE), "squeeze and excitation", []Option{Attention(AttentionSE)}},
		{string(AttentionECA), "efficient channel attention", []Option{Attention(AttentionECA)}},
		{string(AttentionCBAM), "channel and spatial attention", []Option{Attention(AttentionCBAM)}},
	},
	check: func(cfg Config) error {
		switch {
		case cfg.Reduction < 0 || cfg.Reduction > 1<<16:
			return fmt.Errorf("reduction is %d, want 1 to %d, or 0 for %d", cfg.Reduction, 1<<16, defaultReduction)
		case cfg.Reduction != 0 && cfg.Attention != AttentionSE && cfg.Attention != AttentionCBAM:
			return fmt.Errorf("reduction is for the attentions %q and %q", AttentionSE, AttentionCBAM)
		}
		return known("attention", cfg.Attention, "", AttentionSE, AttentionECA, AttentionCBAM)
	},
	block: func(cfg Config, b *VariantBlock, _, _ int) { b.Attention = cfg.attention(b.channels()) },
}

// attention returns the attention over the given number of channels, nil for
// none.
func (cfg Config) attention(channels int) nn.Module {
	reduction := cfg.Reduction
	if reduction == 0 {
		reduction = defaultReduction
	}
	switch cfg.Attention {
	case AttentionSE:
		return NewSE(channels, reduction)
	case AttentionECA:
		return NewECA(channels)
	case AttentionCBAM:
		return newCBAM(channels, reduction, BlockOptions{NoNorm: cfg.NoNorm})
	}
	return nil
}

// reduced returns the number of channels in an attention's bottleneck:
// channels/reduction rounded to a multiple of unit, at least unit, as in timm.
func reduced(channels, reduction, unit int) int {
	r := float64(channels) / float64(max(reduction, 1))
	return max(unit, int(r+float64(unit)/2)/unit*unit)
}

// SE is squeeze and excitation (Hu, Shen and Sun 2018, section 3): each channel
// is scaled by
//
//	s = sigmoid(FC2(relu(FC1(mean of each channel))))
//
// FC1 and FC2 are 1x1 convolutions with channels/reduction channels between them,
// rounded to a multiple of 8 as in timm. Output like the input [N C H W].
type SE struct{ FC1, FC2 *nn.Conv2d }

// NewSE returns the attention with the given reduction, 16 in the paper.
func NewSE(channels, reduction int) *SE {
	mid := reduced(channels, reduction, 8)
	return &SE{FC1: conv1x1Bias(channels, mid), FC2: conv1x1Bias(mid, channels)}
}

// conv1x1Bias is a 1x1 convolution with a bias.
func conv1x1Bias(in, out int) *nn.Conv2d {
	m := nn.NewConv2d(in, out, 1)
	m.Weight.Init = nn.HeNormal(nn.FanOut)
	return m
}

// Forward scales the channels of x by s.
func (s *SE) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	w := c.Mean(x, 2, 3)
	w = c.ReLU(c.Call(s.FC1, w))
	w = c.Call(s.FC2, w)
	return c.Mul(x, c.Sigmoid(w))
}

// ECA is efficient channel attention (Wang et al. 2020, section 3.2): each
// channel is scaled by the sigmoid of a one-dimensional convolution along the
// channels' means. Output like the input [N C H W].
type ECA struct {
	Weight *nn.Param `key:"conv.weight"` // [1 1 k]
}

// NewECA returns the attention. Its kernel size grows with the number of channels:
// |log2(C)+1|/2 rounded down, the next odd number if even (equation 12), at least
// 3.
func NewECA(channels int) *ECA {
	k := 0
	for c := channels; c > 1; c /= 2 {
		k++
	}
	k = max((k+1)/2|1, 3)
	return &ECA{Weight: nn.NewParam(nn.TorchWeight(), 1, 1, k)}
}

// Forward convolves the channels' means as an image of one column.
func (e *ECA) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	k := e.Weight.Shape[2]
	conv := graph.Conv2d{
		StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1, PadTop: k / 2, PadBottom: k / 2,
	}
	means := c.GlobalAvgPool(x)
	n, channels := means.Shape[0], means.Shape[1]
	w := c.Conv2d(c.Reshape(means, n, 1, channels, 1), c.Reshape(c.Param(e.Weight), 1, 1, k, 1), nil, conv)
	return c.Mul(x, c.Reshape(c.Sigmoid(w), n, channels, 1, 1))
}

// CBAM is the convolutional block attention module (Woo et al. 2018, section
// 3): first channels, then pixels are scaled. Output like the input [N C H W].
type CBAM struct {
	Channel *ChannelAttention
	Spatial *SpatialAttention
}

// NewCBAM returns the attention with the given reduction, 16 in the paper.
func NewCBAM(channels, reduction int) *CBAM {
	return newCBAM(channels, reduction, BlockOptions{})
}

func newCBAM(channels, reduction int, o BlockOptions) *CBAM {
	mid := reduced(channels, reduction, 1)
	m := &CBAM{
		Channel: &ChannelAttention{FC1: conv1x1(channels, mid, 1), FC2: conv1x1(mid, channels, 1)},
		Spatial: &SpatialAttention{},
	}
	m.Spatial.Conv.Conv, m.Spatial.Conv.BN = o.norm(conv(2, 1, 7, nn.Padding(3)))
	return m
}

// Forward scales channels, then pixels.
func (m *CBAM) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Call(m.Spatial, c.Call(m.Channel, x))
}

// ChannelAttention scales each channel by the sigmoid of FC2(relu(FC1(mean))) +
// FC2(relu(FC1(maximum))).
type ChannelAttention struct{ FC1, FC2 *nn.Conv2d }

// Forward applies the same two layers to means and maxima.
func (m *ChannelAttention) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	mlp := func(v *graph.Value) *graph.Value { return c.Call(m.FC2, c.ReLU(c.Call(m.FC1, v))) }
	w := c.Add(mlp(c.Mean(x, 2, 3)), mlp(c.MaxOf(x, 2, 3)))
	return c.Mul(x, c.Sigmoid(w))
}

// SpatialAttention scales each pixel by the sigmoid of a 7x7 convolution, with a
// norm, over the mean and the maximum of the pixel's channels.
type SpatialAttention struct {
	Conv struct {
		Conv *nn.Conv2d
		BN   nn.Module
	}
}

// Forward scales the pixels.
func (m *SpatialAttention) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	w := c.Concat(1, c.Mean(x, 1), c.MaxOf(x, 1))
	w = c.Call(m.Conv.BN, c.Call(m.Conv.Conv, w))
	return c.Mul(x, c.Sigmoid(w))
}

// attentionTable has timm's names, and names formed like them.
func attentionTable() []named {
	return []named{
		{"seresnet18", "ResNet-18 with squeeze and excitation", []Option{layers18, Attention(AttentionSE)}},
		{"seresnet34", "ResNet-34 with squeeze and excitation", []Option{layers34, Attention(AttentionSE)}},
		{"seresnet50", "ResNet-50 with squeeze and excitation", []Option{layers50, Attention(AttentionSE)}},
		{"seresnet101", "ResNet-101 with squeeze and excitation", []Option{layers101, Attention(AttentionSE)}},
		{"seresnet152", "ResNet-152 with squeeze and excitation", []Option{layers152, Attention(AttentionSE)}},
		{"seresnext50_32x4d", "ResNeXt-50 32x4d with squeeze and excitation", []Option{layers50, Groups(32, 4), Attention(AttentionSE)}},
		{"ecaresnet50", "ResNet-50 with efficient channel attention", []Option{layers50, Attention(AttentionECA)}},
		{"ecaresnet50d", "ResNet-50-D with efficient channel attention", append(variantD(layers50), Attention(AttentionECA))},
		{"cbamresnet50", "ResNet-50 with channel and spatial attention (CBAM)", []Option{layers50, Attention(AttentionCBAM)}},
	}
}
