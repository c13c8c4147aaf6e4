package models

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// conv3x3 is a 3x3 convolution with padding that keeps the size at stride 1.
func conv3x3(in, out, stride, groups, dilation int) *nn.Conv2d {
	return conv(in, out, 3, nn.Stride(stride), nn.Padding(dilation), nn.Groups(groups), nn.Dilation(dilation))
}

// conv1x1 is a 1x1 convolution.
func conv1x1(in, out, stride int) *nn.Conv2d { return conv(in, out, 1, nn.Stride(stride)) }

// conv has no bias, since a batch norm follows, and He et al.'s initialiser,
// scaled by fan out as torchvision does.
func conv(in, out, kernel int, opts ...nn.ConvOption) *nn.Conv2d {
	m := nn.NewConv2d(in, out, kernel, append(opts, nn.NoBias())...)
	m.Weight.Init = nn.HeNormal(nn.FanOut)
	return m
}

// BlockOptions are the choices of a residual block. The zero value is
// torchvision's block of stride 1.
type BlockOptions struct {
	Stride        int           // 0 stands for 1
	Dilation      int           // of the 3x3 convolution; 0 stands for 1
	Groups        int           // of the 3x3 convolution (ResNeXt); 0 stands for 1
	WidthPerGroup int           // of 64 planes; 0 stands for 64, 128 is a wide_resnet
	Shortcut      Shortcut      // where the shape changes
	Activation    nn.Activation // the zero value is ReLU
	NoNorm        bool          // biases in place of batch norms
	V1            bool          // [Bottleneck]: stride on the first 1x1, as in the paper
	ZeroInit      bool          // the last batch norm starts at 0, so that the block starts as the identity
	DropPath      float32       // probability of dropping the branch (stochastic depth)

	Dropout   float32 // before the last convolution
	Attention string  // at the end of the branch: [AttentionSE], [AttentionECA], [AttentionCBAM] or none
	Reduction int     // of the attention; 0 stands for 16
	Join      string  // how branch and shortcut meet, see [JoinAdd]
	GateBias  float32 // first bias of the gates of [JoinExclusive], [JoinGate] and [HighwayBlock]
	AvgDown   bool    // the projection averages before it subsamples
	Blur      bool    // the 3x3 convolution has stride 1 and a blur subsamples after its activation
	PreAct    bool    // set by the pre-activation blocks: the projection has no norm
	First     bool    // pre-activation blocks: the identity, too, starts after the first activation
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
	if o.Reduction == 0 {
		o.Reduction = defaultReduction
	}
	return o
}

// down returns the stride of the strided convolution and the blur which
// subsamples in its place, nil for none.
func (o BlockOptions) down(stride int) (int, *nn.BlurPool2d) {
	if o.Blur && stride > 1 {
		return 1, nn.NewBlurPool2d(stride)
	}
	return stride, nil
}

// dropout returns the dropout before the last convolution, nil for none.
func (o BlockOptions) dropout() *nn.Dropout {
	if o.Dropout > 0 {
		return nn.NewDropout(o.Dropout)
	}
	return nil
}

// inner runs what lies between a block's activation and its next convolution.
func inner(c *nn.Context, x *graph.Value, blur *nn.BlurPool2d, drop *nn.Dropout) *graph.Value {
	if blur != nil {
		x = c.Call(blur, x)
	}
	if drop != nil {
		x = c.Call(drop, x)
	}
	return x
}

// norm returns the convolution and what normalises its output.
func (o BlockOptions) norm(conv *nn.Conv2d) (*nn.Conv2d, nn.Module) {
	return o.biased(conv), o.normOf(conv.Out)
}

// normOf returns what normalises so many channels.
func (o BlockOptions) normOf(channels int) nn.Module {
	if o.NoNorm {
		return nn.NewIdentity()
	}
	return nn.NewBatchNorm2d(channels)
}

// biased gives the convolution a bias if there are no norms.
func (o BlockOptions) biased(conv *nn.Conv2d) *nn.Conv2d {
	if o.NoNorm {
		conv.Bias = nn.NewBias(nil, conv.Out)
	}
	return conv
}

// BasicBlock is two 3x3 convolutions and a shortcut (He et al. 2015, figure 5
// left). Input [N in H W], output [N planes H/stride W/stride].
type BasicBlock struct {
	Conv1   *nn.Conv2d
	BN1     nn.Module
	ReLU    *nn.Activation `key:"relu"`
	Blur    *nn.BlurPool2d // nil for none
	Dropout *nn.Dropout    // nil for none
	Conv2   *nn.Conv2d
	BN2     nn.Module
	Tail

	opt BlockOptions `key:"-"`
}

// NewBasicBlock returns a block from in to planes channels.
func NewBasicBlock(in, planes int, opt BlockOptions) *BasicBlock {
	opt = opt.withDefaults()
	b := &BasicBlock{ReLU: &opt.Activation, opt: opt}
	stride, blur := opt.down(opt.Stride)
	b.Conv1, b.BN1 = opt.norm(conv3x3(in, planes, stride, 1, opt.Dilation))
	b.Blur, b.Dropout = blur, opt.dropout()
	b.Conv2, b.BN2 = opt.norm(conv3x3(planes, planes, 1, 1, opt.Dilation))
	b.Tail = opt.tail(in, planes, b.Conv2, b.BN2)
	return b
}

// Forward implements [nn.Module].
func (b *BasicBlock) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if b.opt.Groups != 1 || b.opt.WidthPerGroup != 64 {
		c.Failf("groups and width per group are for bottleneck blocks")
	}

	out := c.Call(b.Conv1, x)
	out = c.Call(b.BN1, out)
	out = c.Call(b.ReLU, out)
	out = inner(c, out, b.Blur, b.Dropout)

	out = c.Call(b.Conv2, out)
	out = c.Call(b.BN2, out)

	out = b.join(c, out, x)
	return c.Call(b.ReLU, out)
}

// expansion is how many times more channels a bottleneck block gives than its
// planes.
const expansion = 4

// Bottleneck is a 1x1, a 3x3 and a 1x1 convolution and a shortcut (He et al.
// 2015, figure 5 right). Input [N in H W], output [N 4*planes H/stride
// W/stride].
//
// The stride is on the 3x3 convolution, which is more accurate than the
// paper's place on the first 1x1 and is known as ResNet v1.5.
type Bottleneck struct {
	Conv1   *nn.Conv2d
	BN1     nn.Module
	Conv2   *nn.Conv2d
	BN2     nn.Module
	Conv3   *nn.Conv2d
	BN3     nn.Module
	ReLU    *nn.Activation `key:"relu"`
	Blur    *nn.BlurPool2d // nil for none
	Dropout *nn.Dropout    // nil for none
	Tail

	opt BlockOptions `key:"-"`
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
	stride2, blur := opt.down(stride2)
	b := &Bottleneck{ReLU: &opt.Activation, Blur: blur, Dropout: opt.dropout(), opt: opt}
	b.Conv1, b.BN1 = opt.norm(conv1x1(in, width, stride1))
	b.Conv2, b.BN2 = opt.norm(conv3x3(width, width, stride2, opt.Groups, opt.Dilation))
	b.Conv3, b.BN3 = opt.norm(conv1x1(width, planes*expansion, 1))
	b.Tail = opt.tail(in, planes*expansion, b.Conv3, b.BN3)
	return b
}

// Forward implements [nn.Module].
func (b *Bottleneck) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	out := c.Call(b.Conv1, x)
	out = c.Call(b.BN1, out)
	out = c.Call(b.ReLU, out)

	out = c.Call(b.Conv2, out)
	out = c.Call(b.BN2, out)
	out = c.Call(b.ReLU, out)
	out = inner(c, out, b.Blur, b.Dropout)

	out = c.Call(b.Conv3, out)
	out = c.Call(b.BN3, out)

	out = b.join(c, out, x)
	return c.Call(b.ReLU, out)
}

// ResNet is a residual network (He et al. 2015, "Deep Residual Learning for
// Image Recognition") in torchvision's layout, and every variant of it that
// [Config] describes. Input [N 3 H W], output logits [N classes].
type ResNet struct {
	Conv1   nn.Module
	BN1     nn.Module      // nil with pre-activation
	ReLU    *nn.Activation `key:"relu"`
	MaxPool nn.Module      `key:"maxpool"` // nil with the CIFAR stem
	Layer1  nn.Sequential
	Layer2  nn.Sequential
	Layer3  nn.Sequential
	Layer4  nn.Sequential     // empty with three stages
	Norm    nn.Module         // before the last activation with pre-activation, else nil
	AvgPool *nn.GlobalAvgPool `key:"avgpool"`
	Dropout *nn.Dropout       // nil for none
	FC      *nn.Linear
}

// newResNet builds what cfg, which has been checked, describes.
func newResNet(cfg Config) *ResNet {
	act, _ := nn.NewActivation(cfg.Activation)
	r := &ResNet{ReLU: act, AvgPool: nn.NewGlobalAvgPool()}
	r.stem(cfg)
	s := stages{cfg: cfg, in: cfg.stemWidth(), dilation: 1}
	for i, layer := range []*nn.Sequential{&r.Layer1, &r.Layer2, &r.Layer3, &r.Layer4}[:len(cfg.Layers)] {
		stride := 2
		if i == 0 {
			stride = 1
		}
		*layer = s.layer(cfg.Width<<i, cfg.Layers[i], stride, i > 0 && i <= len(cfg.Dilate) && cfg.Dilate[i-1])
	}
	if cfg.PreAct {
		r.Norm = BlockOptions{NoNorm: cfg.NoNorm}.normOf(s.in)
	}
	if cfg.Dropout > 0 {
		r.Dropout = nn.NewDropout(cfg.Dropout)
	}
	r.FC = nn.NewLinear(s.in, cfg.Classes)
	return r
}

func (r *ResNet) stem(cfg Config) {
	width := cfg.stemWidth()
	opt := BlockOptions{NoNorm: cfg.NoNorm}
	switch cfg.Stem {
	case StemCIFAR:
		r.Conv1, r.BN1 = opt.norm(conv3x3(cfg.InChannels, width, 1, 1, 1))
	case StemDeep:
		r.Conv1, r.BN1 = deepStem(cfg.InChannels, width, r.ReLU, opt)
	default:
		r.Conv1, r.BN1 = opt.norm(conv(cfg.InChannels, width, 7, nn.Stride(2), nn.Padding(3)))
	}
	if cfg.PreAct { // the first block begins with norm and activation
		r.BN1 = nil
	}
	switch {
	case cfg.Stem == StemCIFAR:
	case cfg.Blur:
		r.MaxPool = nn.Sequential{nn.NewMaxPool2d(3, 1, 1), nn.NewBlurPool2d(2)}
	default:
		r.MaxPool = nn.NewMaxPool2d(3, 2, 1)
	}
}

// stages makes one layer of blocks after the other.
type stages struct {
	cfg      Config
	in       int // channels so far
	dilation int // so far
	blocks   int // so far
}

func (s *stages) layer(planes, blocks, stride int, dilate bool) nn.Sequential {
	total := 0
	for _, n := range s.cfg.Layers {
		total += n
	}
	first := s.dilation
	if dilate { // keep the resolution, widen the view
		s.dilation *= stride
		stride = 1
	}
	act, _ := nn.NewActivation(s.cfg.Activation)
	var layer nn.Sequential
	for i := range blocks {
		opt := BlockOptions{
			Stride: 1, Dilation: s.dilation, Groups: s.cfg.Groups, WidthPerGroup: s.cfg.WidthPerGroup,
			Shortcut: s.cfg.Shortcut, Activation: *act, NoNorm: s.cfg.NoNorm, V1: s.cfg.V1, ZeroInit: s.cfg.ZeroInit,
			Dropout: s.cfg.BlockDropout, Attention: s.cfg.Attention, Reduction: s.cfg.Reduction, Join: s.cfg.Join,
			GateBias: s.cfg.GateBias, AvgDown: s.cfg.AvgDown, Blur: s.cfg.Blur, First: s.blocks == 0,
		}
		if i == 0 {
			opt.Stride, opt.Dilation = stride, first
		}
		s.blocks++ // Huang et al. 2016, equation 4: the chance of being dropped grows with depth
		opt.DropPath = s.cfg.DropPath * float32(s.blocks) / float32(total)
		block, out := newBlock(s.cfg, s.in, planes, opt)
		layer, s.in = append(layer, block), out
	}
	return layer
}

// newBlock returns a block of cfg's kind and the channels that it gives.
func newBlock(cfg Config, in, planes int, opt BlockOptions) (block nn.Module, out int) {
	switch {
	case cfg.Block == BlockHighway:
		return NewHighwayBlock(in, planes, opt), planes
	case cfg.Block == BlockBottleneck && cfg.PreAct:
		return NewPreActBottleneck(in, planes, opt), planes * expansion
	case cfg.Block == BlockBottleneck:
		return NewBottleneck(in, planes, opt), planes * expansion
	case cfg.PreAct:
		return NewPreActBasicBlock(in, planes, opt), planes
	}
	return NewBasicBlock(in, planes, opt), planes
}

// Forward implements [nn.Module].
func (r *ResNet) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	x = c.Call(r.Conv1, x)
	if r.BN1 != nil {
		x = c.Call(r.BN1, x)
		x = c.Call(r.ReLU, x)
	}
	if r.MaxPool != nil {
		x = c.Call(r.MaxPool, x)
	}

	x = c.Call(r.Layer1, x)
	x = c.Call(r.Layer2, x)
	x = c.Call(r.Layer3, x)
	if len(r.Layer4) > 0 {
		x = c.Call(r.Layer4, x)
	}

	if r.Norm != nil {
		x = c.Call(r.Norm, x)
		x = c.Call(r.ReLU, x)
	}
	x = c.Call(r.AvgPool, x)
	if r.Dropout != nil {
		x = c.Call(r.Dropout, x)
	}
	return c.Call(r.FC, x)
}

// ResNet18 returns the network of 18 weight layers for ImageNet.
func ResNet18(opts ...Option) (*ResNet, error) { return build("resnet18", opts) }

// ResNet34 returns the network of 34 weight layers for ImageNet.
func ResNet34(opts ...Option) (*ResNet, error) { return build("resnet34", opts) }

// ResNet50 returns the network of 50 weight layers for ImageNet.
func ResNet50(opts ...Option) (*ResNet, error) { return build("resnet50", opts) }

// ResNet101 returns the network of 101 weight layers for ImageNet.
func ResNet101(opts ...Option) (*ResNet, error) { return build("resnet101", opts) }

// ResNet152 returns the network of 152 weight layers for ImageNet.
func ResNet152(opts ...Option) (*ResNet, error) { return build("resnet152", opts) }

func build(name string, opts []Option) (*ResNet, error) {
	cfg, err := configure(name, opts)
	if err != nil {
		return nil, err
	}
	return newResNet(cfg), nil
}
