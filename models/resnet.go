package models

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// This file is the residual network of He et al. 2015 ("Deep Residual Learning
// for Image Recognition"), with torchvision's names and in its order. What
// variants change is in other files, see variant.go.

// conv3x3 is a 3x3 convolution with padding that keeps the size at stride 1.
func conv3x3(in, out, stride, groups, dilation int) *nn.Conv2d {
	return conv(in, out, 3, nn.Stride(stride), nn.Padding(dilation), nn.Groups(groups), nn.Dilation(dilation))
}

// conv1x1 is a 1x1 convolution.
func conv1x1(in, out, stride int) *nn.Conv2d { return conv(in, out, 1, nn.Stride(stride)) }

// conv has no bias, since a batch norm follows, and He et al.'s initializer,
// scaled by fan out as in torchvision.
func conv(in, out, kernel int, opts ...nn.ConvOption) *nn.Conv2d {
	m := nn.NewConv2d(in, out, kernel, append(opts, nn.NoBias())...)
	m.Weight.Init = nn.HeNormal(nn.FanOut)
	return m
}

// BlockOptions are the arguments of a residual block. The zero value is
// torchvision's block of stride 1.
type BlockOptions struct {
	Stride        int           // 0 stands for 1
	Dilation      int           // of the 3x3 convolutions; 0 stands for 1
	Groups        int           // of a bottleneck's 3x3 convolution (ResNeXt); 0 stands for 1
	WidthPerGroup int           // of a bottleneck of 64 planes; 0 stands for 64, 128 is a wide_resnet
	V1            bool          // the bottleneck's stride is on its first 1x1, as in the paper
	Downsample    nn.Module     // fits the shortcut; nil stands for a projection where the shape changes
	Activation    nn.Activation // the zero value is ReLU
	NoNorm        bool          // biases instead of batch norms
}

func (o BlockOptions) withDefaults() BlockOptions {
	for _, p := range []*int{&o.Stride, &o.Dilation, &o.Groups} {
		if *p == 0 {
			*p = 1
		}
	}
	if o.WidthPerGroup == 0 {
		o.WidthPerGroup = 64
	}
	return o
}

// downsample returns the projection of the shortcut where the shape changes
// (option B of section 3.3), nil for the identity.
func (o BlockOptions) downsample(in, out int) nn.Module {
	if o.Downsample != nil || o.Stride == 1 && in == out {
		return o.Downsample
	}
	conv, norm := o.norm(conv1x1(in, out, o.Stride))
	return nn.Sequential{conv, norm}
}

// BasicBlock is two 3x3 convolutions and a shortcut (He et al. 2015, figure 5
// left). Input [N in H W], output [N planes H/stride W/stride].
type BasicBlock struct {
	Conv1      *nn.Conv2d
	BN1        nn.Module
	ReLU       *nn.Activation `key:"relu"`
	Conv2      *nn.Conv2d
	BN2        nn.Module
	Downsample nn.Module // nil for the identity

	fault string `key:"-"` // what is wrong with the options, "" for nothing
}

// NewBasicBlock returns a block from in to planes channels. Groups and
// WidthPerGroup are for bottlenecks; [nn.Trace] reports them.
func NewBasicBlock(in, planes int, opt BlockOptions) *BasicBlock {
	opt = opt.withDefaults()
	b := &BasicBlock{ReLU: &opt.Activation, fault: opt.basicFault()}
	b.Conv1, b.BN1 = opt.norm(conv3x3(in, planes, opt.Stride, 1, opt.Dilation))
	b.Conv2, b.BN2 = opt.norm(conv3x3(planes, planes, 1, 1, opt.Dilation))
	b.Downsample = opt.downsample(in, planes)
	return b
}

func (o BlockOptions) basicFault() string {
	if o.Groups != 1 || o.WidthPerGroup != 64 {
		return "groups and width per group are for bottleneck blocks"
	}
	return ""
}

// Forward computes relu(F(x) + x), equation 1 of the paper.
func (b *BasicBlock) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if b.fault != "" {
		c.Failf("%s", b.fault)
	}
	identity := x

	out := c.Call(b.Conv1, x)
	out = c.Call(b.BN1, out)
	out = c.Call(b.ReLU, out)

	out = c.Call(b.Conv2, out)
	out = c.Call(b.BN2, out)

	if b.Downsample != nil {
		identity = c.Call(b.Downsample, x)
	}

	out = c.Add(out, identity)
	return c.Call(b.ReLU, out)
}

// expansion is the number of output channels of a bottleneck per plane.
const expansion = 4

// Bottleneck is a 1x1, a 3x3 and a 1x1 convolution and a shortcut (He et al.
// 2015, figure 5 right). Input [N in H W], output [N 4*planes H/stride
// W/stride].
//
// The stride is on the 3x3 convolution (ResNet v1.5), which is more accurate
// than the paper's stride on the first 1x1, see [BlockOptions.V1].
type Bottleneck struct {
	Conv1      *nn.Conv2d
	BN1        nn.Module
	Conv2      *nn.Conv2d
	BN2        nn.Module
	Conv3      *nn.Conv2d
	BN3        nn.Module
	ReLU       *nn.Activation `key:"relu"`
	Downsample nn.Module      // nil for the identity
}

// strides returns the strides of a bottleneck's first 1x1 and its 3x3.
func (o BlockOptions) strides() (first, second int) {
	if o.V1 {
		return o.Stride, 1
	}
	return 1, o.Stride
}

// NewBottleneck returns a block from in to 4*planes channels.
func NewBottleneck(in, planes int, opt BlockOptions) *Bottleneck {
	opt = opt.withDefaults()
	width := planes * opt.WidthPerGroup / 64 * opt.Groups
	stride1, stride2 := opt.strides()
	b := &Bottleneck{ReLU: &opt.Activation}
	b.Conv1, b.BN1 = opt.norm(conv1x1(in, width, stride1))
	b.Conv2, b.BN2 = opt.norm(conv3x3(width, width, stride2, opt.Groups, opt.Dilation))
	b.Conv3, b.BN3 = opt.norm(conv1x1(width, planes*expansion, 1))
	b.Downsample = opt.downsample(in, planes*expansion)
	return b
}

// Forward computes relu(F(x) + x), equation 1 of the paper.
func (b *Bottleneck) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	identity := x

	out := c.Call(b.Conv1, x)
	out = c.Call(b.BN1, out)
	out = c.Call(b.ReLU, out)

	out = c.Call(b.Conv2, out)
	out = c.Call(b.BN2, out)
	out = c.Call(b.ReLU, out)

	out = c.Call(b.Conv3, out)
	out = c.Call(b.BN3, out)

	if b.Downsample != nil {
		identity = c.Call(b.Downsample, x)
	}

	out = c.Add(out, identity)
	return c.Call(b.ReLU, out)
}

// ResNet is a residual network (He et al. 2015, table 1) in torchvision's
// layout, or a variant of it that a [Config] describes. Input [N 3 H W], output
// logits [N classes].
type ResNet struct {
	Conv1   nn.Module
	BN1     nn.Module      // nil with pre-activation
	ReLU    *nn.Activation `key:"relu"`
	MaxPool nn.Module      `key:"maxpool"` // nil with the CIFAR stem
	Layer1  nn.Sequential
	Layer2  nn.Sequential
	Layer3  nn.Sequential
	Layer4  nn.Sequential     // empty with three stages
	Norm    nn.Module         // nil without pre-activation
	AvgPool *nn.GlobalAvgPool `key:"avgpool"`
	Dropout *nn.Dropout       // nil for none
	FC      *nn.Linear        // nil without classes and, with AvgPool and Dropout, below another head

	logitScale float32 `key:"-"` // 0 stands for 1
}

// newResNet builds the network that cfg, which has been checked, describes.
func newResNet(cfg Config) *ResNet {
	act, _ := nn.NewActivation(cfg.Activation)
	r := &ResNet{ReLU: act, AvgPool: nn.NewGlobalAvgPool(), MaxPool: nn.NewMaxPool2d(3, 2, 1)}
	opt := BlockOptions{NoNorm: cfg.NoNorm}
	r.Conv1, r.BN1 = opt.norm(conv(cfg.InChannels, cfg.stemWidth(), 7, nn.Stride(2), nn.Padding(3)))
	s := stages{cfg: cfg, in: cfg.stemWidth(), dilation: 1}
	for i, layer := range []*nn.Sequential{&r.Layer1, &r.Layer2, &r.Layer3, &r.Layer4}[:len(cfg.Layers)] {
		stride := 2
		if i == 0 {
			stride = 1
		}
		*layer = s.layer(cfg.Width<<i, cfg.Layers[i], stride, i > 0 && i <= len(cfg.Dilate) && cfg.Dilate[i-1])
	}
	r.FC = nn.NewLinear(s.in, max(cfg.Classes, 1))
	cfg.varyNetwork(r)
	if cfg.Classes == 0 {
		r.Dropout, r.FC = nil, nil
	}
	return r
}

// newBackbone builds the network that cfg, which has been checked, describes
// without its classifier, for another head: see [ResNet.levels].
func newBackbone(cfg Config) *ResNet {
	r := newResNet(cfg)
	r.AvgPool, r.Dropout, r.FC = nil, nil, nil
	return r
}

// levelChannels returns the channels of each of [ResNet.levels].
func (cfg Config) levelChannels() []int {
	channels := []int{cfg.stemWidth()}
	for i := range cfg.Layers {
		channels = append(channels, cfg.Width<<i*cfg.expansion())
	}
	return channels
}

// stages builds layer1 to layer4, carrying the channel count, the dilation and
// the block number along.
type stages struct {
	cfg      Config
	in       int
	dilation int
	blocks   int
}

// layer returns one stage. With dilate it keeps the resolution and widens the
// receptive field by dilation instead of by stride.
func (s *stages) layer(planes, blocks, stride int, dilate bool) nn.Sequential {
	dilation := s.dilation
	if dilate {
		s.dilation *= stride
		stride = 1
	}
	act, _ := nn.NewActivation(s.cfg.Activation)
	var layer nn.Sequential
	if s.cfg.PoolDown {
		layer = append(layer, NewPooledConv(s.in, planes, BlockOptions{Activation: *act, NoNorm: s.cfg.NoNorm}))
		s.in, stride = planes, 1
	}
	for i := range blocks {
		opt := BlockOptions{
			Stride: 1, Dilation: s.dilation, Groups: s.cfg.Groups, WidthPerGroup: s.cfg.WidthPerGroup,
			V1: s.cfg.V1, Activation: *act, NoNorm: s.cfg.NoNorm,
		}
		if i == 0 {
			opt.Stride, opt.Dilation = stride, dilation
		}
		layer = append(layer, s.cfg.newBlock(s.in, planes, s.blocks, opt))
		s.in = planes * s.cfg.expansion()
		s.blocks++
	}
	return layer
}

// Forward runs the stem, the stages and the classifier.
func (r *ResNet) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	levels := r.levels(c, x)
	x = c.Call(r.AvgPool, levels[len(levels)-1])
	if r.Dropout != nil {
		x = c.Call(r.Dropout, x)
	}
	if r.FC == nil {
		return x
	}
	x = c.Call(r.FC, x)
	if r.logitScale > 0 && r.logitScale != 1 {
		x = c.Affine(x, r.logitScale, 0)
	}
	return x
}

// levels runs the stem and the stages and returns what each gives, from the
// finest to the coarsest: the stem without its pooling, then layer1 and so on. The
// norm of a pre-activation network counts to its last stage.
func (r *ResNet) levels(c *nn.Context, x *graph.Value) []*graph.Value {
	x = c.Call(r.Conv1, x)
	if r.BN1 != nil {
		x = c.Call(r.BN1, x)
		x = c.Call(r.ReLU, x)
	}
	levels := []*graph.Value{x}
	if r.MaxPool != nil {
		x = c.Call(r.MaxPool, x)
	}

	for _, layer := range []nn.Sequential{r.Layer1, r.Layer2, r.Layer3, r.Layer4} {
		if len(layer) > 0 {
			x = c.Call(layer, x)
			levels = append(levels, x)
		}
	}

	if r.Norm != nil {
		x = c.Call(r.Norm, x)
		levels[len(levels)-1] = c.Call(r.ReLU, x)
	}
	return levels
}

// ResNet18 returns the network of 18 weight layers for ImageNet: [New] of
// "resnet18".
func ResNet18(opts ...Option) (*Model, error) { return New("resnet18", opts...) }

// ResNet34 returns the network of 34 weight layers for ImageNet.
func ResNet34(opts ...Option) (*Model, error) { return New("resnet34", opts...) }

// ResNet50 returns the network of 50 weight layers for ImageNet.
func ResNet50(opts ...Option) (*Model, error) { return New("resnet50", opts...) }

// ResNet101 returns the network of 101 weight layers for ImageNet.
func ResNet101(opts ...Option) (*Model, error) { return New("resnet101", opts...) }

// ResNet152 returns the network of 152 weight layers for ImageNet.
func ResNet152(opts ...Option) (*Model, error) { return New("resnet152", opts...) }
