package models

import (
	"fmt"

	"github.com/resnet-go/resnet/nn"
)

// Dropout sets the dropout before the last layer.
func Dropout(p float32) Option { return func(c *Config) { c.Dropout = p } }

var dropoutKnob = knob{
	key:   "dropout",
	check: func(cfg Config) error { return probability("dropout", cfg.Dropout) },
	network: func(cfg Config, r *ResNet) {
		if cfg.Dropout > 0 {
			r.Dropout = nn.NewDropout(cfg.Dropout)
		}
	},
}

// BlockDropout sets the dropout before each block's last convolution
// (Zagoruyko and Komodakis 2016, section 2.4).
func BlockDropout(p float32) Option { return func(c *Config) { c.BlockDropout = p } }

var blockDropoutKnob = knob{
	key:      "block_dropout",
	variants: []named{{"block-dropout", "dropout of 0.3 in each block", []Option{BlockDropout(0.3)}}},
	check:    func(cfg Config) error { return probability("block_dropout", cfg.BlockDropout) },
	residual: func(cfg Config) bool { return cfg.BlockDropout > 0 },
	block: func(cfg Config, b *VariantBlock, _, _ int) {
		if cfg.BlockDropout > 0 {
			b.Dropout = nn.NewDropout(cfg.BlockDropout)
		}
	},
}

// DropPath sets the drop probability of the last block's branch, which falls
// linearly toward the first block (stochastic depth, Huang et al. 2016).
func DropPath(p float32) Option { return func(c *Config) { c.DropPath = p } }

var dropPathKnob = knob{
	key:      "drop_path",
	variants: []named{{"stochastic-depth", "stochastic depth, 0.5 at the last block", []Option{DropPath(0.5)}}},
	check:    func(cfg Config) error { return probability("drop_path", cfg.DropPath) },
	residual: func(cfg Config) bool { return cfg.DropPath > 0 },
	block: func(cfg Config, b *VariantBlock, n, total int) {
		if p := cfg.DropPath * float32(n+1) / float32(total); p > 0 { // equation 4
			b.DropPath = nn.NewStochasticDepth(p)
		}
	},
}

func probability(key string, p float32) error {
	if !(p >= 0 && p < 1) {
		return fmt.Errorf("%s is %g, want at least 0 and below 1", key, p)
	}
	return nil
}
