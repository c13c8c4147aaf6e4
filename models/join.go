package models

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// The joins: how a branch F and its shortcut x become one. He et al. 2016
// ("Identity Mappings in Deep Residual Networks", section 3.1, table 1) compare
// them; with g = sigmoid(1x1 convolution of x). The table's 1x1 convolutional
// shortcut is [ShortcutC].
const (
	JoinAdd       = ""               // F + x
	JoinScale     = "scale"          // F + 0.5*x (constant scaling)
	JoinHalf      = "half"           // 0.5*F + 0.5*x (constant scaling)
	JoinExclusive = "exclusive-gate" // g*F + (1-g)*x
	JoinGate      = "shortcut-gate"  // F + (1-g)*x
	JoinDropout   = "dropout"        // F + dropout(x) with probability 0.5
)

var joins = []string{JoinAdd, JoinScale, JoinHalf, JoinExclusive, JoinGate, JoinDropout}

// Tail is what follows the last convolution of a block: attention, stochastic
// depth and the shortcut. Blocks embed it.
type Tail struct {
	Attention   nn.Module           `key:"se"` // nil for none; timm's key for every kind
	Downsample  nn.Module           // makes the shortcut fit; nil for the identity
	Gate        *nn.Conv2d          // of [JoinExclusive] and [JoinGate], 1x1 with a bias; else nil
	DropPath    *nn.StochasticDepth // nil for none
	SkipDropout *nn.Dropout         // of [JoinDropout], else nil

	kind  string `key:"-"` // the join
	plain bool   `key:"-"` // no shortcut
}

// tail returns the end of a block, given its last convolution and the norm
// after it (nil for none).
func (o BlockOptions) tail(in, out int, last *nn.Conv2d, norm nn.Module) Tail {
	if o.ZeroInit { // Goyal et al. 2017, section 5.1
		w := last.Weight
		if bn, ok := norm.(*nn.BatchNorm); ok {
			w = bn.Weight
		}
		w.Init = nn.Constant(0)
	}
	t := Tail{
		Attention: o.attention(out), Downsample: o.shortcut(in, out),
		kind: o.Join, plain: o.Shortcut == ShortcutNone,
	}
	switch {
	case t.plain: // nothing to join
	case o.Join == JoinExclusive, o.Join == JoinGate:
		t.Gate = gate(conv1x1(out, out, 1), o.GateBias)
	case o.Join == JoinDropout:
		t.SkipDropout = nn.NewDropout(0.5)
	}
	if o.DropPath > 0 {
		t.DropPath = nn.NewStochasticDepth(o.DropPath)
	}
	return t
}

// gate gives a convolution the bias that a gate starts with.
func gate(conv *nn.Conv2d, bias float32) *nn.Conv2d {
	conv.Bias = nn.NewBias(nn.Constant(bias), conv.Out)
	return conv
}

// join ends a block: it brings the branch and the shortcut of x together.
func (t *Tail) join(c *nn.Context, branch, x *graph.Value) *graph.Value {
	if t.Attention != nil {
		branch = c.Call(t.Attention, branch)
	}
	if t.plain {
		return branch
	}
	if t.Downsample != nil {
		x = c.Call(t.Downsample, x)
	}
	if t.DropPath != nil {
		branch = c.Call(t.DropPath, branch)
	}
	switch t.kind {
	case JoinAdd:
	case JoinScale:
		x = c.Affine(x, 0.5, 0)
	case JoinHalf:
		branch, x = c.Affine(branch, 0.5, 0), c.Affine(x, 0.5, 0)
	case JoinExclusive, JoinGate:
		g := c.Sigmoid(c.Call(t.Gate, x))
		if t.kind == JoinExclusive {
			branch = c.Mul(branch, g)
		}
		x = c.Mul(x, c.Affine(g, -1, 1))
	case JoinDropout:
		x = c.Call(t.SkipDropout, x)
	default:
		c.Failf("unknown join %q, want one of %q or none", t.kind, joins[1:])
	}
	return c.Add(branch, x)
}
