package models

import (
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// Shortcut is the kind of shortcut beside a residual branch (He et al. 2015,
// section 4.1, "Identity vs. Projection Shortcuts").
type Shortcut string

// The shortcuts.
const (
	ShortcutA    Shortcut = "A"    // subsample and pad with zero channels where the shape changes: no parameters
	ShortcutB    Shortcut = "B"    // 1x1 projection where the shape changes, else the identity
	ShortcutC    Shortcut = "C"    // 1x1 projection everywhere
	ShortcutNone Shortcut = "none" // none at all: a plain network
)

// Shortcuts sets the kind of shortcut.
func Shortcuts(s Shortcut) Option { return func(c *Config) { c.Shortcut = s } }

// AvgDown makes projections average 2x2 pixels before a 1x1 convolution of
// stride 1, instead of striding past three of four pixels (He et al. 2019,
// figure 2c).
func AvgDown() Option { return func(c *Config) { c.AvgDown = true } }

var shortcutKnob = knob{
	key: "shortcut",
	variants: []named{
		{"plain", "no shortcuts", []Option{Shortcuts(ShortcutNone)}},
		{"shortcut-a", "shortcuts subsample and pad with zeros", []Option{Shortcuts(ShortcutA)}},
		{"shortcut-b", "shortcuts project where the shape changes", []Option{Shortcuts(ShortcutB)}},
		{"shortcut-c", "all shortcuts are 1x1 convolutions", []Option{Shortcuts(ShortcutC)}},
	},
	check: func(cfg Config) error {
		if cfg.Block == BlockHighway && cfg.Shortcut == ShortcutNone {
			return errors.New("shortcut none is for residual blocks, not for highway blocks")
		}
		return known("shortcut", cfg.Shortcut, ShortcutA, ShortcutB, ShortcutC, ShortcutNone)
	},
	block: func(cfg Config, b *VariantBlock, _, _ int) {
		if cfg.Shortcut == ShortcutNone {
			b.Downsample, b.NoShortcut = nil, true
		}
	},
}

var avgDownKnob = knob{
	key:      "avg_down",
	variants: []named{{"avg-down", "projections average before they subsample", []Option{AvgDown()}}},
	check: func(cfg Config) error {
		if cfg.AvgDown && cfg.Shortcut != ShortcutB && cfg.Shortcut != ShortcutC {
			return fmt.Errorf("avg_down is for the projections of shortcuts B and C, not for shortcut %s", cfg.Shortcut)
		}
		return nil
	},
}

// downsample returns the module that fits the shortcut of a block; nil for the
// block's default, option B.
func (cfg Config) downsample(in, out int, opt BlockOptions) nn.Module {
	changes := opt.Stride != 1 || in != out
	switch {
	case cfg.Shortcut == ShortcutA && changes:
		return &PadShortcut{In: in, Out: out, Stride: opt.Stride}
	case cfg.Shortcut == ShortcutC, cfg.Shortcut == ShortcutB && cfg.AvgDown && changes:
		return cfg.projection(in, out, opt)
	}
	return nil
}

func (cfg Config) projection(in, out int, opt BlockOptions) nn.Module {
	var s nn.Sequential
	stride := opt.Stride
	if cfg.AvgDown {
		s, stride = nn.Sequential{avgDown(stride)}, 1
	}
	conv := conv1x1(in, out, stride)
	if cfg.PreAct { // the next block normalizes the sum
		return append(s, conv)
	}
	conv, norm := opt.norm(conv)
	return append(s, conv, norm)
}

// avgDown averages windows of 2x2 pixels, cut off at the edges. At stride 1 it
// is the identity.
func avgDown(stride int) nn.Module {
	if stride == 1 {
		return nn.NewIdentity()
	}
	return &nn.AvgPool2d{Window: graph.Window{
		KernelH: 2, KernelW: 2, StrideH: stride, StrideW: stride, Ceil: true,
	}}
}

// PadShortcut takes every Stride-th pixel and adds channels of zeros, half
// before and half after: option A. It has no parameters. Input [N In H W],
// output [N Out ⌈H/Stride⌉ ⌈W/Stride⌉].
type PadShortcut struct{ In, Out, Stride int }

// Forward slices and pads.
func (s *PadShortcut) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if len(x.Shape) != 4 || x.Shape[1] != s.In || s.In > s.Out {
		c.Failf("the shortcut pads %d channels to %d, got an input %v", s.In, s.Out, x.Shape)
	}
	for axis := 2; axis < 4 && s.Stride > 1; axis++ {
		x = c.Slice(x, axis, 0, (x.Shape[axis]+s.Stride-1)/s.Stride, s.Stride)
	}
	if before := (s.Out - s.In) / 2; s.Out > s.In {
		x = c.Pad(x, 1, before, s.Out-s.In-before)
	}
	return x
}
