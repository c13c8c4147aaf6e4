package models

import (
	"fmt"
	"strconv"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// Pre-activation networks (He et al. 2016, "Identity Mappings in Deep Residual
// Networks"): norm and activation come before each convolution, so that nothing
// but addition changes the signal on the shortcuts. [Config.PreAct] makes a
// [ResNet] of such blocks, with these differences from the original network
// (section 4.1 and appendix):
//
//   - no norm and activation after the first convolution, since the first block
//     begins with them, but one norm, key norm, and activation before the pooling;
//   - in the network's first block, and where a block changes the shape, the
//     shortcut, too, starts after the first activation; its projection has no
//     norm.
//
// For ImageNet these are timm's resnetv2_50 and its family, with torchvision's
// names of layers.

// PreAct puts norm and activation before each convolution (He et al. 2016).
func PreAct() Option { return func(c *Config) { c.PreAct = true } }

var preActKnob = knob{
	key:      "pre_act",
	variants: []named{{"preact", "norm and activation before each convolution", []Option{PreAct()}}},
	residual: func(cfg Config) bool { return cfg.PreAct },
	network: func(cfg Config, r *ResNet) {
		if cfg.PreAct {
			r.BN1 = nil
			r.Norm = BlockOptions{NoNorm: cfg.NoNorm}.normOf(r.FC.In)
		}
	},
}

// newPreAct returns block n of a pre-activation network.
func (cfg Config) newPreAct(in, planes, n int, opt BlockOptions) Block {
	if cfg.Block == BlockBottleneck {
		b := NewPreActBottleneck(in, planes, opt)
		b.First = n == 0
		return b
	}
	b := NewPreActBasicBlock(in, planes, opt)
	b.First = n == 0
	return b
}

// PreActBasicBlock is norm, activation and 3x3 convolution, twice, and a
// shortcut (He et al. 2016, figure 1b). Input [N in H W], output [N planes
// H/stride W/stride].
type PreActBasicBlock struct {
	BN1        nn.Module
	Conv1      *nn.Conv2d
	BN2        nn.Module
	Conv2      *nn.Conv2d
	ReLU       *nn.Activation `key:"relu"`
	Downsample nn.Module      // nil for the identity

	First bool // the network's first block: the identity, too, starts after the first activation

	fault string `key:"-"`
}

// NewPreActBasicBlock returns a block from in to planes channels.
func NewPreActBasicBlock(in, planes int, opt BlockOptions) *PreActBasicBlock {
	opt = opt.withDefaults()
	b := &PreActBasicBlock{ReLU: &opt.Activation, fault: opt.basicFault()}
	b.BN1, b.Conv1 = opt.normOf(in), opt.biased(conv3x3(in, planes, opt.Stride, 1, opt.Dilation))
	b.BN2, b.Conv2 = opt.normOf(planes), opt.biased(conv3x3(planes, planes, 1, 1, opt.Dilation))
	b.Downsample = opt.preActDownsample(in, planes)
	return b
}

// preActDownsample is [BlockOptions.downsample] without a norm, since the next
// block normalizes the sum.
func (o BlockOptions) preActDownsample(in, out int) nn.Module {
	if o.Downsample != nil || o.Stride == 1 && in == out {
		return o.Downsample
	}
	return nn.Sequential{conv1x1(in, out, o.Stride)}
}

func (b *PreActBasicBlock) anatomy() anatomy {
	return anatomy{
		layers: []layer{{b.Conv1, b.BN1}, {b.Conv2, b.BN2}}, act: b.ReLU, downsample: &b.Downsample,
		preAct: true, first: b.First, fault: b.fault,
	}
}

// Forward computes F(x) + x, equation 3 of the paper.
func (b *PreActBasicBlock) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if b.fault != "" {
		c.Failf("%s", b.fault)
	}
	identity := x

	out := c.Call(b.BN1, x)
	out = c.Call(b.ReLU, out)
	if b.First || b.Downsample != nil {
		identity = out
	}
	out = c.Call(b.Conv1, out)

	out = c.Call(b.BN2, out)
	out = c.Call(b.ReLU, out)
	out = c.Call(b.Conv2, out)

	if b.Downsample != nil {
		identity = c.Call(b.Downsample, identity)
	}
	return c.Add(out, identity)
}

// PreActBottleneck is norm, activation and convolution three times, with 1x1,
// 3x3 and 1x1 kernels, and a shortcut. Input [N in H W], output [N 4*planes
// H/stride W/stride]. The stride is on the 3x3 convolution unless
// [BlockOptions.V1].
type PreActBottleneck struct {
	BN1        nn.Module
	Conv1      *nn.Conv2d
	BN2        nn.Module
	Conv2      *nn.Conv2d
	BN3        nn.Module
	Conv3      *nn.Conv2d
	ReLU       *nn.Activation `key:"relu"`
	Downsample nn.Module      // nil for the identity

	First bool // the network's first block: the identity, too, starts after the first activation
}

// NewPreActBottleneck returns a block from in to 4*planes channels.
func NewPreActBottleneck(in, planes int, opt BlockOptions) *PreActBottleneck {
	opt = opt.withDefaults()
	width := planes * opt.WidthPerGroup / 64 * opt.Groups
	stride1, stride2 := opt.strides()
	b := &PreActBottleneck{ReLU: &opt.Activation}
	b.BN1, b.Conv1 = opt.normOf(in), opt.biased(conv1x1(in, width, stride1))
	b.BN2, b.Conv2 = opt.normOf(width), opt.biased(conv3x3(width, width, stride2, opt.Groups, opt.Dilation))
	b.BN3, b.Conv3 = opt.normOf(width), opt.biased(conv1x1(width, planes*expansion, 1))
	b.Downsample = opt.preActDownsample(in, planes*expansion)
	return b
}

func (b *PreActBottleneck) anatomy() anatomy {
	return anatomy{
		layers: []layer{{b.Conv1, b.BN1}, {b.Conv2, b.BN2}, {b.Conv3, b.BN3}}, act: b.ReLU, downsample: &b.Downsample,
		preAct: true, first: b.First,
	}
}

// Forward computes F(x) + x, equation 3 of the paper.
func (b *PreActBottleneck) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	identity := x

	out := c.Call(b.BN1, x)
	out = c.Call(b.ReLU, out)
	if b.First || b.Downsample != nil {
		identity = out
	}
	out = c.Call(b.Conv1, out)

	out = c.Call(b.BN2, out)
	out = c.Call(b.ReLU, out)
	out = c.Call(b.Conv2, out)

	out = c.Call(b.BN3, out)
	out = c.Call(b.ReLU, out)
	out = c.Call(b.Conv3, out)

	if b.Downsample != nil {
		identity = c.Call(b.Downsample, identity)
	}
	return c.Add(out, identity)
}

// bottlenecks returns the options of a network of bottlenecks for CIFAR with 9n+2
// layers and the stride on the first 1x1, as in the authors' code.
func bottlenecks(depth int) []Option {
	n := (depth - 2) / 9
	return []Option{
		Stem(StemCIFAR), Blocks(BlockBottleneck, n, n, n), Width(16), InputSize(32), Classes(10), Shortcuts(ShortcutB), V1(),
	}
}

// preActTable has the networks of He et al. 2016, tables 2 to 5.
func preActTable() []named {
	rows := []named{
		{"preresnet18", "pre-activation ResNet, 18 layers", []Option{layers18, PreAct()}},
		{"preresnet34", "pre-activation ResNet, 34 layers", []Option{layers34, PreAct()}},
		{"preresnet50", "pre-activation ResNet, 50 layers (timm's resnetv2_50)", []Option{layers50, PreAct()}},
		{"preresnet101", "pre-activation ResNet, 101 layers (timm's resnetv2_101)", []Option{layers101, PreAct()}},
		{"preresnet152", "pre-activation ResNet, 152 layers (timm's resnetv2_152)", []Option{layers152, PreAct()}},
		{"preresnet200", "pre-activation ResNet, 200 layers", []Option{Blocks(BlockBottleneck, 3, 24, 36, 3), PreAct()}},
	}
	for _, depth := range []int{20, 56, 110} {
		opts, _ := cifarOf(depth)
		rows = append(rows, named{
			"preresnet" + strconv.Itoa(depth) + cifarSuffix,
			fmt.Sprintf("pre-activation ResNet for CIFAR, %d layers, shortcuts A", depth), append(opts, PreAct()),
		})
	}
	for _, depth := range []int{164, 1001} {
		name := strconv.Itoa(depth) + cifarSuffix
		rows = append(rows,
			named{"resnet" + name, fmt.Sprintf("ResNet for CIFAR, %d layers, bottlenecks", depth), bottlenecks(depth)},
			named{"preresnet" + name, fmt.Sprintf("pre-activation ResNet for CIFAR, %d layers, bottlenecks", depth), append(bottlenecks(depth), PreAct())})
	}
	return rows
}
