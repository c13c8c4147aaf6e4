package models

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// ResNet-D (He et al. 2019, "Bag of Tricks for Image Classification with
// Convolutional Neural Networks", section 4.2), with timm's keys: the stem's
// 7x7 convolution becomes three of 3x3, and projections average 2x2 pixels in
// place of skipping three of four. The paper's third change, stride on the 3x3
// convolution, all our bottlenecks have unless [Config.V1]. Blurred subsampling
// is here too.

// deepStem returns three 3x3 convolutions, the first of stride 2 and the first
// two with half of the channels, and the norm after the last.
func deepStem(in, out int, act *nn.Activation, opt BlockOptions) (stem, norm nn.Module) {
	half := out / 2
	conv1, bn1 := opt.norm(conv3x3(in, half, 2, 1, 1))
	conv2, bn2 := opt.norm(conv3x3(half, half, 1, 1, 1))
	conv3, bn3 := opt.norm(conv3x3(half, out, 1, 1, 1))
	return nn.Sequential{conv1, bn1, activationLike(act), conv2, bn2, activationLike(act), conv3}, bn3
}

// activationLike returns an activation of its own, so that it has a path of its own.
func activationLike(act *nn.Activation) *nn.Activation {
	own := *act
	return &own
}

// avgDown averages windows of 2x2 pixels, cut off at the edges. At stride 1 it
// is the identity.
func avgDown(stride int) nn.Module {
	if stride == 1 {
		return nn.NewIdentity()
	}
	return &nn.AvgPool2d{Window: graph.Window{
		KernelH: 2, KernelW: 2, StrideH: stride, StrideW: stride, Ceil: true,
	}}
}

// variantD returns the options of a ResNet-D.
func variantD(layers Option) []Option { return []Option{layers, Stem(StemDeep), AvgDown()} }

// resnetDTable has timm's names.
func resnetDTable() []named {
	return []named{
		{"resnet18d", "ResNet-18-D: deep stem, averaging projections", variantD(layers18)},
		{"resnet34d", "ResNet-34-D", variantD(layers34)},
		{"resnet50d", "ResNet-50-D", variantD(layers50)},
		{"resnet101d", "ResNet-101-D", variantD(layers101)},
		{"resnet152d", "ResNet-152-D", variantD(layers152)},
		{"resnetblur18", "ResNet-18 with anti-aliased subsampling", []Option{layers18, Blur()}},
		{"resnetblur50", "ResNet-50 with anti-aliased subsampling", []Option{layers50, Blur()}},
	}
}
