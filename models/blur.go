package models

import (
	"errors"

	"github.com/resnet-go/resnet/nn"
)

// Blur makes strided 3x3 convolutions and the stem's pooling run at stride 1,
// then blur and subsample, so that subsampling does not alias (Zhang 2019); see
// [nn.BlurPool2d].
func Blur() Option { return func(c *Config) { c.Blur = true } }

var blurKnob = knob{
	key:      "blur",
	variants: []named{{"blur", "blur before subsampling", []Option{Blur()}}},
	check: func(cfg Config) error {
		if cfg.Blur && cfg.V1 {
			return errors.New("blur follows the 3x3 convolution, where v1 has no stride")
		}
		return nil
	},
	residual: func(cfg Config) bool { return cfg.Blur },
	block: func(cfg Config, b *VariantBlock, _, _ int) {
		if layers := b.anatomy().layers; cfg.Blur {
			strided := &layers[len(layers)-2].conv.Op
			if strided.StrideH > 1 {
				b.Blur = nn.NewBlurPool2d(strided.StrideH)
				strided.StrideH, strided.StrideW = 1, 1
			}
		}
	},
	network: func(cfg Config, r *ResNet) {
		if cfg.Blur && r.MaxPool != nil {
			r.MaxPool = nn.Sequential{nn.NewMaxPool2d(3, 1, 1), nn.NewBlurPool2d(2)}
		}
	},
}
