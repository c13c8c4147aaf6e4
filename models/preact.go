package models

import (
	"fmt"
	"strconv"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// Pre-activation networks (He et al. 2016, "Identity Mappings in Deep Residual
// Networks"): norm and activation come before each convolution, so that blocks
// add to a signal that nothing else touches. [Config.PreAct] makes a [ResNet]
// of them, with these differences from the original (section 4.1 and appendix):
//
//   - no norm and activation after the first convolution, since the first block
//     begins with them, and one of each, key norm, before the pooling;
//   - where a block changes the shape, and in the network's first block, the
//     shortcut too starts after the first activation; its projection has no norm.
//
// For ImageNet that is timm's resnetv2_50 and the like, under torchvision's
// names of layers.

// PreActBasicBlock is norm, activation and 3x3 convolution, twice, and a
// shortcut (He et al. 2016, figure 1b). Input [N in H W], output [N planes
// H/stride W/stride].
type PreActBasicBlock struct {
	BN1     nn.Module
	Conv1   *nn.Conv2d
	BN2     nn.Module
	Conv2   *nn.Conv2d
	ReLU    *nn.Activation `key:"relu"`
	Blur    *nn.BlurPool2d // nil for none
	Dropout *nn.Dropout    // nil for none
	Tail

	opt BlockOptions `key:"-"`
}

// NewPreActBasicBlock returns a block from in to planes channels.
func NewPreActBasicBlock(in, planes int, opt BlockOptions) *PreActBasicBlock {
	opt = opt.withDefaults()
	opt.PreAct = true
	stride, blur := opt.down(opt.Stride)
	b := &PreActBasicBlock{ReLU: &opt.Activation, Blur: blur, Dropout: opt.dropout(), opt: opt}
	b.BN1, b.Conv1 = opt.normOf(in), opt.biased(conv3x3(in, planes, stride, 1, opt.Dilation))
	b.BN2, b.Conv2 = opt.normOf(planes), opt.biased(conv3x3(planes, planes, 1, 1, opt.Dilation))
	b.Tail = opt.tail(in, planes, b.Conv2, nil)
	return b
}

// Forward implements [nn.Module].
func (b *PreActBasicBlock) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if b.opt.Groups != 1 || b.opt.WidthPerGroup != 64 {
		c.Failf("groups and width per group are for bottleneck blocks")
	}

	out := c.Call(b.BN1, x)
	out = c.Call(b.ReLU, out)
	x = b.split(x, out, b.opt)
	out = c.Call(b.Conv1, out)

	out = c.Call(b.BN2, out)
	out = c.Call(b.ReLU, out)
	out = inner(c, out, b.Blur, b.Dropout)
	out = c.Call(b.Conv2, out)

	return b.join(c, out, x)
}

// split returns where the shortcut of a pre-activation block starts: at the
// block's input x, or after its first activation.
func (t *Tail) split(x, activated *graph.Value, opt BlockOptions) *graph.Value {
	if opt.First || t.Downsample != nil {
		return activated
	}
	return x
}

// PreActBottleneck is norm, activation and convolution three times, with 1x1,
// 3x3 and 1x1 kernels, and a shortcut. Input [N in H W], output [N 4*planes
// H/stride W/stride]. The stride is on the 3x3 convolution unless
// [BlockOptions.V1].
type PreActBottleneck struct {
	BN1     nn.Module
	Conv1   *nn.Conv2d
	BN2     nn.Module
	Conv2   *nn.Conv2d
	BN3     nn.Module
	Conv3   *nn.Conv2d
	ReLU    *nn.Activation `key:"relu"`
	Blur    *nn.BlurPool2d // nil for none
	Dropout *nn.Dropout    // nil for none
	Tail

	opt BlockOptions `key:"-"`
}

// NewPreActBottleneck returns a block from in to 4*planes channels.
func NewPreActBottleneck(in, planes int, opt BlockOptions) *PreActBottleneck {
	opt = opt.withDefaults()
	opt.PreAct = true
	width := planes * opt.WidthPerGroup / 64 * opt.Groups
	stride1, stride2 := opt.strides()
	stride2, blur := opt.down(stride2)
	b := &PreActBottleneck{ReLU: &opt.Activation, Blur: blur, Dropout: opt.dropout(), opt: opt}
	b.BN1, b.Conv1 = opt.normOf(in), opt.biased(conv1x1(in, width, stride1))
	b.BN2, b.Conv2 = opt.normOf(width), opt.biased(conv3x3(width, width, stride2, opt.Groups, opt.Dilation))
	b.BN3, b.Conv3 = opt.normOf(width), opt.biased(conv1x1(width, planes*expansion, 1))
	b.Tail = opt.tail(in, planes*expansion, b.Conv3, nil)
	return b
}

// Forward implements [nn.Module].
func (b *PreActBottleneck) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	out := c.Call(b.BN1, x)
	out = c.Call(b.ReLU, out)
	x = b.split(x, out, b.opt)
	out = c.Call(b.Conv1, out)

	out = c.Call(b.BN2, out)
	out = c.Call(b.ReLU, out)
	out = c.Call(b.Conv2, out)

	out = c.Call(b.BN3, out)
	out = c.Call(b.ReLU, out)
	out = inner(c, out, b.Blur, b.Dropout)
	out = c.Call(b.Conv3, out)

	return b.join(c, out, x)
}

// bottlenecks returns the options of the networks of bottlenecks for CIFAR:
// 9n+2 layers, with the stride on the first 1x1 as in the authors' code.
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
