package models

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// JoinKind is how a branch F and its shortcut x become one. He et al. 2016
// ("Identity Mappings in Deep Residual Networks", section 3.1, table 1) compare
// them, with g = sigmoid(1x1 convolution of x). The table's 1x1 convolutional
// shortcut is [ShortcutC].
type JoinKind string

// The joins.
const (
	JoinAdd       JoinKind = ""               // F + x
	JoinScale     JoinKind = "scale"          // F + 0.5*x (constant scaling)
	JoinHalf      JoinKind = "half"           // 0.5*F + 0.5*x (constant scaling)
	JoinExclusive JoinKind = "exclusive-gate" // g*F + (1-g)*x
	JoinGate      JoinKind = "shortcut-gate"  // F + (1-g)*x
	JoinDropout   JoinKind = "dropout"        // F + dropout(x) with probability 0.5
)

var joins = []JoinKind{JoinAdd, JoinScale, JoinHalf, JoinExclusive, JoinGate, JoinDropout}

// Join sets how branch and shortcut meet.
func Join(kind JoinKind) Option { return func(c *Config) { c.Join = kind } }

// GateBias sets the first bias of the gates of highways and gated joins. The
// more negative it is, the more of the input is carried.
func GateBias(b float32) Option { return func(c *Config) { c.GateBias = b } }

// defaultJoinBias is the best that He et al. 2016, table 1, tried: at 0 a
// ResNet-110 with exclusive gates does not train.
const defaultJoinBias = -6

var joinKnob = knob{
	key: "join",
	variants: []named{
		{string(JoinScale), "shortcuts scaled by 0.5", []Option{Join(JoinScale)}},
		{string(JoinHalf), "branches and shortcuts scaled by 0.5", []Option{Join(JoinHalf)}},
		{string(JoinExclusive), "branches and shortcuts scaled by g and 1-g", []Option{Join(JoinExclusive), GateBias(defaultJoinBias)}},
		{string(JoinGate), "shortcuts scaled by 1-g", []Option{Join(JoinGate), GateBias(defaultJoinBias)}},
		{"shortcut-dropout", "dropout of 0.5 on shortcuts", []Option{Join(JoinDropout)}},
	},
	check: func(cfg Config) error {
		gated := cfg.Block == BlockHighway || cfg.Join == JoinExclusive || cfg.Join == JoinGate
		if err := known("join", cfg.Join, joins...); err != nil {
			return err
		}
		switch {
		case cfg.Join != JoinAdd && cfg.Shortcut == ShortcutNone:
			return fmt.Errorf("join %q needs a shortcut", cfg.Join)
		case !(cfg.GateBias >= -100 && cfg.GateBias <= 100):
			return fmt.Errorf("gate_bias is %g, want -100 to 100", cfg.GateBias)
		case cfg.GateBias != 0 && !gated:
			return fmt.Errorf("gate_bias is for highway blocks and the joins %q and %q", JoinExclusive, JoinGate)
		}
		return nil
	},
	residual: func(cfg Config) bool { return cfg.Join != JoinAdd },
	block: func(cfg Config, b *VariantBlock, _, _ int) {
		b.Join = cfg.Join
		switch cfg.Join {
		case JoinExclusive, JoinGate:
			b.Gate = gate(conv1x1(b.channels(), b.channels(), 1), cfg.GateBias)
		case JoinDropout:
			b.SkipDropout = nn.NewDropout(0.5)
		}
	},
}

// gate gives a convolution the bias that a gate starts with.
func gate(conv *nn.Conv2d, bias float32) *nn.Conv2d {
	conv.Bias = nn.NewBias(nn.Constant(bias), conv.Out)
	return conv
}

// join brings the branch and the shortcut together.
func (v *VariantBlock) join(c *nn.Context, branch, x *graph.Value) *graph.Value {
	switch v.Join {
	case JoinAdd:
	case JoinScale:
		x = c.Affine(x, 0.5, 0)
	case JoinHalf:
		branch, x = c.Affine(branch, 0.5, 0), c.Affine(x, 0.5, 0)
	case JoinExclusive, JoinGate:
		g := c.Sigmoid(c.Call(v.Gate, x))
		if v.Join == JoinExclusive {
			branch = c.Mul(branch, g)
		}
		x = c.Mul(x, c.Affine(g, -1, 1))
	case JoinDropout:
		x = c.Call(v.SkipDropout, x)
	default:
		c.Failf("%v", known("join", v.Join, joins...))
	}
	return c.Add(branch, x)
}
