package models

import (
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// A residual network that trains fast on CIFAR. Its shape is that of the ResNet-9 of
// Page 2018 ("How to train your ResNet"): each stage begins with a 3x3 convolution and
// 2x2 max pooling, which halves the image before anything else of the stage is
// computed, and goes on with basic blocks on the pooled image, so that every shortcut
// is the identity. Each of the three stages costs the same. What else it has is
// from Jordan 2024 ("94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv
// 2404.00498): the stem is narrow and meant to be whitened (see the recipe speedrun),
// convolutions begin as the identity (section 3.3), and the logits are scaled down.

// speedrunOptions describes resnet11-speedrun: 11 layers, 1.9 million parameters.
func speedrunOptions() []Option {
	return []Option{
		Stem(StemCIFAR), StemWidth(32), PoolDown(), Blocks(BlockBasic, 1, 1, 1), Width(64), InputSize(32), Classes(10),
		ConvInit(InitDirac), LogitScale(0.125),
	}
}

func speedrunTable() []named {
	return []named{{"resnet11-speedrun", "ResNet for CIFAR that trains fast: stages begin with pooling", speedrunOptions()}}
}

// PoolDown makes each stage begin with a [PooledConv], so that the blocks after it
// change neither size nor channels. The stem keeps the size of the image.
func PoolDown() Option { return func(c *Config) { c.PoolDown = true } }

var poolDownKnob = knob{
	key: "pool_down",
	check: func(cfg Config) error {
		switch {
		case !cfg.PoolDown:
			return nil
		case len(cfg.Dilate) > 0:
			return errors.New("pool_down and dilate do not go together: one halves the image, the other keeps it")
		case cfg.PreAct:
			return errors.New("pool_down is for blocks with norm and activation behind convolutions, not for pre_act")
		case cfg.Block == BlockBottleneck:
			return errors.New("pool_down is for basic blocks")
		}
		return nil
	},
	residual: func(cfg Config) bool { return cfg.PoolDown },
}

// PooledConv is a 3x3 convolution whose output is halved by 2x2 max pooling, with norm
// and activation behind. Input [N in H W], output [N out H/2 W/2].
type PooledConv struct {
	Conv *nn.Conv2d
	Pool *nn.MaxPool2d
	BN   nn.Module
	ReLU *nn.Activation `key:"relu"`
}

// NewPooledConv returns a pooled convolution from in to out channels. Of the options,
// Activation and NoNorm count.
func NewPooledConv(in, out int, opt BlockOptions) *PooledConv {
	p := &PooledConv{Pool: nn.NewMaxPool2d(2, 2, 0), ReLU: &opt.Activation}
	p.Conv, p.BN = opt.norm(conv3x3(in, out, 1, 1, 1))
	return p
}

// Forward convolves, pools, normalizes and activates.
func (p *PooledConv) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	x = c.Call(p.Conv, x)
	x = c.Call(p.Pool, x)
	x = c.Call(p.BN, x)
	return c.Call(p.ReLU, x)
}

// LogitScale sets a factor on the logits of a classifier; other heads do not have it. Below 1, the last layer's weights are larger
// for the same logits and move less with each step, relative to their size.
func LogitScale(s float32) Option { return func(c *Config) { c.LogitScale = s } }

var logitScaleKnob = knob{
	key: "logit_scale",
	check: func(cfg Config) error {
		if !(cfg.LogitScale >= 0 && cfg.LogitScale <= 1000) {
			return fmt.Errorf("logit_scale is %g, want above 0 to 1000, or 0 for 1", cfg.LogitScale)
		}
		return nil
	},
	network: func(cfg Config, r *ResNet) { r.logitScale = cfg.LogitScale },
}
