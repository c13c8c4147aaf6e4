package models

import (
	"fmt"

	"github.com/resnet-go/resnet/nn"
)

// StemKind is what comes before the first block.
type StemKind string

// The stems.
const (
	StemImageNet StemKind = "imagenet" // 7x7 convolution of stride 2, 3x3 max pooling of stride 2
	StemDeep     StemKind = "deep"     // three 3x3 convolutions instead of the 7x7 (ResNet-D)
	StemCIFAR    StemKind = "cifar"    // 3x3 convolution of stride 1
)

// Stem sets what comes before the first block.
func Stem(kind StemKind) Option { return func(c *Config) { c.Stem = kind } }

// StemWidth sets the channels of the stem where they differ from the first
// stage's planes.
func StemWidth(n int) Option { return func(c *Config) { c.StemWidth = n } }

var stemKnob = knob{
	key: "stem",
	check: func(cfg Config) error {
		if err := known("stem", cfg.Stem, StemImageNet, StemDeep, StemCIFAR); err != nil {
			return err
		}
		if cfg.StemWidth < 0 || cfg.StemWidth > 1<<16 {
			return fmt.Errorf("stem_width is %d, want 1 to %d, or 0 for the width", cfg.StemWidth, 1<<16)
		}
		if w := cfg.stemWidth(); cfg.Stem == StemDeep && w < 2 {
			return fmt.Errorf("a deep stem needs at least 2 channels, not %d", w)
		}
		return nil
	},
	network: func(cfg Config, r *ResNet) {
		opt := BlockOptions{NoNorm: cfg.NoNorm}
		switch cfg.Stem {
		case StemCIFAR:
			r.Conv1, r.BN1 = opt.norm(conv3x3(cfg.InChannels, cfg.stemWidth(), 1, 1, 1))
			r.MaxPool = nil
		case StemDeep:
			r.Conv1, r.BN1 = deepStem(cfg.InChannels, cfg.stemWidth(), r.ReLU, opt)
		}
	},
}

// stemWidth returns the channels that the stem gives.
func (cfg Config) stemWidth() int {
	if cfg.StemWidth > 0 {
		return cfg.StemWidth
	}
	return cfg.Width
}

// deepStem returns three 3x3 convolutions, the first of stride 2 and the first
// two with half of the channels, and the norm after the last.
func deepStem(in, out int, act *nn.Activation, opt BlockOptions) (stem, norm nn.Module) {
	half := out / 2
	conv1, bn1 := opt.norm(conv3x3(in, half, 2, 1, 1))
	conv2, bn2 := opt.norm(conv3x3(half, half, 1, 1, 1))
	conv3, bn3 := opt.norm(conv3x3(half, out, 1, 1, 1))
	return nn.Sequential{conv1, bn1, activationLike(act), conv2, bn2, activationLike(act), conv3}, bn3
}

// activationLike returns a copy of an activation, so that it has its own path.
func activationLike(act *nn.Activation) *nn.Activation {
	own := *act
	return &own
}
