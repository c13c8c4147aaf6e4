package models

// ResNet-D (He et al. 2019, "Bag of Tricks for Image Classification with
// Convolutional Neural Networks", section 4.2), with timm's keys: the stem's
// 7x7 convolution becomes three of 3x3 ([StemDeep]), and projections average
// 2x2 pixels instead of skipping three of four ([AvgDown]). The paper's third
// change, stride on the 3x3 convolution, is the default of all our bottlenecks,
// see [V1].

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
