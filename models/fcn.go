package models

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// FCN is a backbone with a classifier for every position of its last stage, whose
// logits are scaled up to the size of the input (Long et al. 2014, "Fully
// Convolutional Networks for Semantic Segmentation"), in torchvision's layout.
// DeepLabV3 is the same with another classifier, see [NewDeepLabV3Head]. Input
// [N 3 H W], output logits [N classes H W].
type FCN struct {
	Backbone   *ResNet
	Classifier nn.Sequential
	// AuxClassifier, nil for none, is on the last but one stage. Its logits
	// [N classes H/8 W/8] are the output of the module at "aux_classifier"; the
	// network's output does not depend on them.
	AuxClassifier nn.Sequential
}

// newFCN builds an FCN or a DeepLabV3 on a backbone whose levels have those
// channels.
func newFCN(backbone *ResNet, channels []int, cfg Config) *FCN {
	h, last := cfg.Segmentation, len(channels)-1
	opt := BlockOptions{NoNorm: cfg.NoNorm}
	f := &FCN{Backbone: backbone}
	if h.Kind == SegmenterDeepLabV3 {
		f.Classifier = NewDeepLabV3Head(channels[last], h.Width, cfg.Classes, h.Rates, h.Dropout, opt)
	} else {
		f.Classifier = NewFCNHead(channels[last], cfg.Classes, h.Dropout, opt)
	}
	if h.Aux {
		f.AuxClassifier = NewFCNHead(channels[last-1], cfg.Classes, auxDropout, opt)
	}
	return f
}

// auxDropout is the dropout of torchvision's auxiliary classifiers.
const auxDropout = 0.1

// NewFCNHead returns a classifier of positions: a 3x3 convolution to a quarter of
// the channels, norm, ReLU, dropout, and a 1x1 convolution. Input [N in H W],
// output [N classes H W]. Of opt, NoNorm counts.
func NewFCNHead(in, classes int, dropout float32, opt BlockOptions) nn.Sequential {
	conv, norm := opt.norm(headConv(in, in/4, 3, 1))
	return nn.Sequential{conv, norm, nn.NewReLU(), nn.NewDropout(dropout), nn.NewConv2d(in/4, classes, 1)}
}

// headConv is a convolution of a head: without bias, since a norm follows, with
// padding that keeps the size, and with PyTorch's default initializer.
func headConv(in, out, kernel, dilation int) *nn.Conv2d {
	return nn.NewConv2d(in, out, kernel, nn.Padding(dilation*(kernel/2)), nn.Dilation(dilation), nn.NoBias())
}

// Forward runs the backbone and the classifiers, and scales the logits to the size
// of the input.
func (f *FCN) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	var levels []*graph.Value
	c.CallFunc(f.Backbone, x, func() *graph.Value {
		levels = f.Backbone.levels(c, x)
		return levels[len(levels)-1]
	})
	last := len(levels) - 1
	out := c.Call(f.Classifier, levels[last])
	if f.AuxClassifier != nil {
		c.Call(f.AuxClassifier, levels[last-1])
	}
	return resizeTo(c, out, x, true)
}

// Heads returns the classifier and the auxiliary classifier.
func (f *FCN) Heads() []Head {
	heads := []Head{{Path: "classifier", Last: "classifier.4"}}
	if f.AuxClassifier != nil {
		heads = append(heads, Head{Path: "aux_classifier", Last: "aux_classifier.4", Aux: true})
	}
	return heads
}
