package models

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// Shortcut is what runs beside a residual branch (He et al. 2015, section 4.1,
// "Identity vs. Projection Shortcuts").
type Shortcut uint8

// The shortcuts.
const (
	ShortcutB    Shortcut = iota // 1x1 projection where the shape changes, else the identity; the zero value
	ShortcutA                    // subsample and pad with zero channels where the shape changes: no parameters
	ShortcutC                    // 1x1 projection everywhere
	ShortcutNone                 // none at all: a plain network
)

var shortcutNames = []string{"B", "A", "C", "none"}

// String returns "A", "B", "C" or "none".
func (s Shortcut) String() string {
	if int(s) < len(shortcutNames) {
		return shortcutNames[s]
	}
	return fmt.Sprintf("Shortcut(%d)", uint8(s))
}

// MarshalText writes the name, for JSON.
func (s Shortcut) MarshalText() ([]byte, error) {
	if int(s) >= len(shortcutNames) {
		return nil, fmt.Errorf("models: no shortcut %d", uint8(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads the name.
func (s *Shortcut) UnmarshalText(text []byte) error {
	for i, n := range shortcutNames {
		if n == string(text) {
			*s = Shortcut(i)
			return nil
		}
	}
	return fmt.Errorf("models: unknown shortcut %q; want A, B, C or none", text)
}

// shortcut returns what makes the shortcut fit, nil for the identity.
func (o BlockOptions) shortcut(in, out int) nn.Module {
	changes := o.Stride != 1 || in != out
	switch {
	case o.Shortcut == ShortcutC, o.Shortcut == ShortcutB && changes:
		stride := o.Stride
		var s nn.Sequential
		if o.AvgDown {
			s, stride = nn.Sequential{avgDown(stride)}, 1
		}
		conv := conv1x1(in, out, stride)
		if o.PreAct { // the next block normalises the sum
			return append(s, conv)
		}
		conv, norm := o.norm(conv)
		return append(s, conv, norm)
	case o.Shortcut == ShortcutA && changes:
		return &PadShortcut{In: in, Out: out, Stride: o.Stride}
	}
	return nil
}

// PadShortcut takes every Stride-th pixel and adds channels of zeros, half
// before and half after: option A. It has no parameters. Input [N In H W],
// output [N Out ⌈H/Stride⌉ ⌈W/Stride⌉].
type PadShortcut struct{ In, Out, Stride int }

// Forward implements [nn.Module].
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
