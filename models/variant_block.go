package models

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// Block is a residual block that a [VariantBlock] can change: [BasicBlock],
// [Bottleneck], [PreActBasicBlock] or [PreActBottleneck].
type Block interface {
	nn.Module
	anatomy() anatomy
}

// anatomy is what a [VariantBlock] has to know of a block.
type anatomy struct {
	layers     []layer // of the branch, in order
	act        *nn.Activation
	downsample *nn.Module
	preAct     bool // norm and activation come before each convolution
	first      bool // the identity starts after the first activation, see [PreActBasicBlock.First]
	fault      string
}

// layer is a convolution and the norm after it or, with pre-activation, before.
type layer struct {
	conv *nn.Conv2d
	norm nn.Module
}

func (a anatomy) last() layer { return a.layers[len(a.layers)-1] }

func (b *BasicBlock) anatomy() anatomy {
	return anatomy{layers: []layer{{b.Conv1, b.BN1}, {b.Conv2, b.BN2}}, act: b.ReLU, downsample: &b.Downsample, fault: b.fault}
}

func (b *Bottleneck) anatomy() anatomy {
	return anatomy{
		layers: []layer{{b.Conv1, b.BN1}, {b.Conv2, b.BN2}, {b.Conv3, b.BN3}}, act: b.ReLU, downsample: &b.Downsample,
	}
}

// VariantBlock is a block with modules that the papers after ResNet put into
// it. It runs the parts of the block that it holds, in the block's order, and
// these modules at their places; each may be nil. All keys are as if the fields
// were the block's own.
//
//	b := models.NewVariantBlock(models.NewBottleneck(256, 64, models.BlockOptions{}))
//	b.Attention = models.NewSE(256, 16)
type VariantBlock struct {
	Block
	Blur        *nn.BlurPool2d      // before the last convolution
	Dropout     *nn.Dropout         // before the last convolution
	Attention   nn.Module           `key:"se"` // at the end of the branch; timm's key for every kind
	Downsample  nn.Module           // fits the shortcut; nil for the identity
	Gate        *nn.Conv2d          // of [JoinExclusive] and [JoinGate]: 1x1 with a bias
	DropPath    *nn.StochasticDepth // of the branch
	SkipDropout *nn.Dropout         // of [JoinDropout]: on the shortcut

	Join       JoinKind // how branch and shortcut become one
	NoShortcut bool     // the branch alone: a block of a plain network
}

// NewVariantBlock returns a block without changes. It takes over b's shortcut,
// so that b must not be used by itself afterwards.
func NewVariantBlock(b Block) *VariantBlock {
	v := &VariantBlock{Block: b}
	v.Downsample, *b.anatomy().downsample = *b.anatomy().downsample, nil
	return v
}

// isPlain reports whether v runs as the block inside does.
func (v *VariantBlock) isPlain() bool {
	return v.Blur == nil && v.Dropout == nil && v.Attention == nil && v.DropPath == nil && v.Join == JoinAdd && !v.NoShortcut
}

// plain gives the shortcut back to the block inside and returns it.
func (v *VariantBlock) plain() Block {
	*v.Block.anatomy().downsample = v.Downsample
	return v.Block
}

// channels returns the number of output channels.
func (v *VariantBlock) channels() int { return v.anatomy().last().conv.Out }

// Kind names the block inside in summaries.
func (v *VariantBlock) Kind() string { return nn.Kind(v.Block) }

// Forward runs the block with its changes.
func (v *VariantBlock) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	a := v.anatomy()
	if a.fault != "" {
		c.Failf("%s", a.fault)
	}
	out, identity := x, x
	for i, l := range a.layers {
		last := i == len(a.layers)-1
		if a.preAct {
			out = c.Call(l.norm, out)
			out = c.Call(a.act, out)
			if i == 0 && (a.first || v.Downsample != nil) {
				identity = out
			}
		}
		if last && v.Blur != nil {
			out = c.Call(v.Blur, out)
		}
		if last && v.Dropout != nil {
			out = c.Call(v.Dropout, out)
		}
		out = c.Call(l.conv, out)
		if !a.preAct {
			out = c.Call(l.norm, out)
			if !last {
				out = c.Call(a.act, out)
			}
		}
	}
	if v.Attention != nil {
		out = c.Call(v.Attention, out)
	}
	if !v.NoShortcut {
		if v.Downsample != nil {
			identity = c.Call(v.Downsample, identity)
		}
		if v.DropPath != nil {
			out = c.Call(v.DropPath, out)
		}
		out = v.join(c, out, identity)
	}
	if a.preAct {
		return out
	}
	return c.Call(a.act, out)
}
