package models

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// NewDeepLabV3Head returns the classifier of DeepLabV3 (Chen et al. 2017,
// "Rethinking Atrous Convolution for Semantic Image Segmentation", figure 5): an
// [ASPP], a 3x3 convolution, norm, ReLU, and a 1x1 convolution, with torchvision's
// keys. Input [N in H W], output [N classes H W]. Of opt, NoNorm counts.
func NewDeepLabV3Head(in, width, classes int, rates []int, dropout float32, opt BlockOptions) nn.Sequential {
	conv, norm := opt.norm(headConv(width, width, 3, 1))
	return nn.Sequential{NewASPP(in, width, rates, dropout, opt), conv, norm, nn.NewReLU(), nn.NewConv2d(width, classes, 1)}
}

// ASPP is atrous spatial pyramid pooling (Chen et al. 2017, section 3.3): a 1x1
// convolution, 3x3 convolutions with several dilations and the mean of the whole
// picture, side by side, joined by a 1x1 convolution. Input [N in H W], output
// [N width H W].
type ASPP struct {
	Convs   []nn.Module // the branches; the last is an [ASPPPooling]
	Project nn.Sequential
}

// NewASPP returns a pyramid whose 3x3 convolutions have those dilations. Of opt,
// NoNorm counts.
func NewASPP(in, width int, rates []int, dropout float32, opt BlockOptions) *ASPP {
	branch := func(in, kernel, dilation int) nn.Sequential {
		conv, norm := opt.norm(headConv(in, width, kernel, dilation))
		return nn.Sequential{conv, norm, nn.NewReLU()}
	}
	a := &ASPP{Convs: []nn.Module{branch(in, 1, 1)}}
	for _, r := range rates {
		a.Convs = append(a.Convs, branch(in, 3, r))
	}
	pool := &ASPPPooling{}
	pool.Conv, pool.Norm = opt.norm(headConv(in, width, 1, 1))
	a.Convs = append(a.Convs, pool)
	a.Project = append(branch(len(a.Convs)*width, 1, 1), nn.NewDropout(dropout))
	return a
}

// Forward joins the branches.
func (a *ASPP) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	var branches []*graph.Value
	for _, m := range a.Convs {
		branches = append(branches, c.Call(m, x))
	}
	return c.Call(a.Project, c.Concat(1, branches...))
}

// ASPPPooling is the mean of each channel's image, a 1x1 convolution, norm and
// ReLU, at every position. Input [N in H W], output [N width H W].
type ASPPPooling struct {
	Conv nn.Module `key:"1"`
	Norm nn.Module `key:"2"`
}

// Forward computes relu(norm(conv(mean(x)))) and repeats it over the image.
func (p *ASPPPooling) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if bn, ok := p.Norm.(*nn.BatchNorm); ok && c.Training && x.Shape[0] == 1 && !bn.Frozen() {
		c.Failf("the batch norm after global pooling sees one value of each channel in a batch of one picture, which has no variance: train with a batch of 2 or more")
	}
	y := c.Call(p.Conv, c.Mean(x, 2, 3))
	y = c.ReLU(c.Call(p.Norm, y))
	return resizeTo(c, y, x, true)
}
