package models

import (
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// PyramidBackbone is a residual network with a feature pyramid on its stages, in
// torchvision's layout. Input [N 3 H W].
type PyramidBackbone struct {
	Body *ResNet
	FPN  *FPN `key:"fpn"`

	stages []int `key:"-"` // of Body, counted from 1
}

// pyramidPath is the path of a detector's pyramid, which classifiers do not have.
const pyramidPath = "backbone.fpn"

// newPyramidBackbone builds the backbone of a detector; inputs of the extra levels
// are the channels of the last stage, and the pyramid's.
func newPyramidBackbone(cfg Config, fpn func(in []int) *FPN) *PyramidBackbone {
	h := cfg.Detection
	p := &PyramidBackbone{Body: newBackbone(cfg), stages: h.stages(cfg)}
	for _, m := range nn.Modules(p.Body) {
		if bn, ok := m.(*nn.BatchNorm); ok {
			bn.Eps = h.NormEps
			for _, q := range []*nn.Param{bn.Weight, bn.Bias, bn.RunningMean, bn.RunningVar} {
				q.Frozen = h.FrozenNorm
			}
		}
	}
	var in []int
	for _, s := range p.stages {
		in = append(in, cfg.levelChannels()[s])
	}
	p.FPN = fpn(in)
	return p
}

// Forward returns the coarsest level; see [PyramidBackbone.Levels].
func (p *PyramidBackbone) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	levels := p.Levels(c, x)
	return levels[len(levels)-1]
}

// Levels runs the network and returns the levels of the pyramid, the finest first,
// each [N channels h w].
func (p *PyramidBackbone) Levels(c *nn.Context, x *graph.Value) []*graph.Value {
	var stages, levels []*graph.Value
	c.CallFunc(p.Body, x, func() *graph.Value {
		all := p.Body.levels(c, x)
		for _, s := range p.stages {
			stages = append(stages, all[s])
		}
		return all[len(all)-1]
	})
	last := stages[len(stages)-1]
	c.CallFunc(p.FPN, last, func() *graph.Value {
		levels = p.FPN.levels(c, stages)
		return levels[len(levels)-1]
	})
	return levels
}

// FPN is a feature pyramid (Lin et al. 2017, "Feature Pyramid Networks for Object
// Detection", section 3): each level is a stage's features, brought to the same
// number of channels, plus the next coarser level scaled up, through a 3x3
// convolution.
type FPN struct {
	InnerBlocks []nn.Sequential // 1x1 convolutions of the stages
	LayerBlocks []nn.Sequential // 3x3 convolutions of the sums
	// ExtraBlocks adds coarser levels; nil adds one that takes every other position
	// of the coarsest.
	ExtraBlocks *LastLevelP6P7
}

// NewFPN returns a pyramid with out channels on stages of the given channels, the
// finest first. With norm, each convolution is followed by a batch norm instead of
// having a bias.
func NewFPN(in []int, out int, norm bool, extra *LastLevelP6P7) *FPN {
	f := &FPN{ExtraBlocks: extra}
	for _, n := range in {
		f.InnerBlocks = append(f.InnerBlocks, fpnConv(n, out, 1, norm))
		f.LayerBlocks = append(f.LayerBlocks, fpnConv(out, out, 3, norm))
	}
	return f
}

func fpnConv(in, out, kernel int, norm bool) nn.Sequential {
	opts := []nn.ConvOption{nn.Padding(kernel / 2)}
	if norm {
		opts = append(opts, nn.NoBias())
	}
	conv := nn.NewConv2d(in, out, kernel, opts...)
	pyramidInit(conv)
	if norm {
		return nn.Sequential{conv, nn.NewBatchNorm2d(out)}
	}
	return nn.Sequential{conv}
}

// pyramidInit gives a convolution torchvision's first values: kaiming_uniform_ with
// a = 1, and zeros.
func pyramidInit(conv *nn.Conv2d) {
	fan := conv.In / conv.Op.Groups * conv.KernelH * conv.KernelW
	conv.Weight.Init = nn.Uniform(math.Sqrt(3 / float64(fan)))
	if conv.Bias != nil {
		conv.Bias.Init = nil
	}
}

// levels returns the levels of the pyramid on the stages' features.
func (f *FPN) levels(c *nn.Context, stages []*graph.Value) []*graph.Value {
	if len(stages) != len(f.InnerBlocks) {
		c.Failf("there are %d stages, want %d", len(stages), len(f.InnerBlocks))
	}
	levels := make([]*graph.Value, len(stages))
	var sum *graph.Value
	for i := len(stages) - 1; i >= 0; i-- {
		lateral := c.Call(f.InnerBlocks[i], stages[i])
		if sum != nil {
			// To the lateral's size, which is not twice as large where that is odd.
			lateral = c.Add(lateral, c.Resize(sum, lateral.Shape[2], lateral.Shape[3], false))
		}
		sum = lateral
		levels[i] = c.Call(f.LayerBlocks[i], sum)
	}
	last := len(stages) - 1
	if f.ExtraBlocks == nil {
		// torchvision writes it as a max pooling with a window of one position.
		return append(levels, c.MaxPool2d(levels[last], graph.Window{KernelH: 1, KernelW: 1, StrideH: 2, StrideW: 2}))
	}
	return append(levels, f.ExtraBlocks.levels(c, levels[last], stages[last])...)
}

// Forward is the pyramid on one stage's features; see [PyramidBackbone.Levels].
func (f *FPN) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	levels := f.levels(c, []*graph.Value{x})
	return levels[len(levels)-1]
}

// LastLevelP6P7 adds two levels to a pyramid by 3x3 convolutions of stride 2 (Lin
// et al. 2017, "Focal Loss for Dense Object Detection", section 4). P6 is made of
// the coarsest level or, if C5, of the backbone's last stage.
type LastLevelP6P7 struct {
	P6, P7 *nn.Conv2d
	C5     bool
}

// NewLastLevelP6P7 returns the two convolutions; P6 has in channels as input.
func NewLastLevelP6P7(in, out int, c5 bool) *LastLevelP6P7 {
	l := &LastLevelP6P7{C5: c5}
	l.P6 = nn.NewConv2d(in, out, 3, nn.Stride(2), nn.Padding(1))
	l.P7 = nn.NewConv2d(out, out, 3, nn.Stride(2), nn.Padding(1))
	pyramidInit(l.P6)
	pyramidInit(l.P7)
	return l
}

func (l *LastLevelP6P7) levels(c *nn.Context, p5, c5 *graph.Value) []*graph.Value {
	x := p5
	if l.C5 {
		x = c5
	}
	var p6 *graph.Value
	p7 := c.CallFunc(l, x, func() *graph.Value {
		p6 = c.Call(l.P6, x)
		return c.Call(l.P7, c.ReLU(p6))
	})
	return []*graph.Value{p6, p7}
}

// Forward returns P7 of x.
func (l *LastLevelP6P7) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return l.levels(c, x, x)[1]
}
