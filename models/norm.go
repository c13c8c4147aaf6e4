package models

import "github.com/resnet-go/resnet/nn"

// NoNorm takes out batch norm and gives the convolutions biases.
func NoNorm() Option { return func(c *Config) { c.NoNorm = true } }

var noNormKnob = knob{
	key:      "no_norm",
	variants: []named{{"no-norm", "biases instead of batch norms", []Option{NoNorm()}}},
}

// norm returns the convolution and the module that normalizes its output.
func (o BlockOptions) norm(conv *nn.Conv2d) (*nn.Conv2d, nn.Module) {
	return o.biased(conv), o.normOf(conv.Out)
}

// normOf returns the module that normalizes the given number of channels.
func (o BlockOptions) normOf(channels int) nn.Module {
	if o.NoNorm {
		return nn.NewIdentity()
	}
	return nn.NewBatchNorm2d(channels)
}

// biased gives the convolution a bias if no norm provides one.
func (o BlockOptions) biased(conv *nn.Conv2d) *nn.Conv2d {
	if o.NoNorm {
		conv.Bias = nn.NewBias(nil, conv.Out)
	}
	return conv
}
