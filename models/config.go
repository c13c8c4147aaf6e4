package models

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Config describes a network as data. It is complete: a model file keeps it as
// JSON, and [Config.Build] makes the same network again, whatever defaults a
// later version has. [Lookup] gives the one behind a name.
type Config struct {
	Name       string `json:"name"` // a label; the other fields decide
	Classes    int    `json:"classes"`
	InChannels int    `json:"in_channels"`
	InputSize  int    `json:"input_size"` // height and width it is meant for; others work too

	Stem          string   `json:"stem"`   // [StemImageNet], [StemDeep] or [StemCIFAR]
	Block         string   `json:"block"`  // [BlockBasic], [BlockBottleneck] or [BlockHighway]
	Layers        []int    `json:"layers"` // blocks in each stage, 3 or 4 stages
	Width         int      `json:"width"`  // planes of the first stage, doubled in each next one
	Groups        int      `json:"groups"`
	WidthPerGroup int      `json:"width_per_group"`
	Shortcut      Shortcut `json:"shortcut"`
	Activation    string   `json:"activation"` // see [nn.NewActivation]
	NoNorm        bool     `json:"no_norm,omitempty"`
	V1            bool     `json:"v1,omitempty"`        // stride on the bottleneck's first 1x1
	ZeroInit      bool     `json:"zero_init,omitempty"` // residual branches start at zero
	ConvInit      string   `json:"conv_init,omitempty"` // [InitHe], [InitXavier] or [InitSmall]
	Dilate        []bool   `json:"dilate,omitempty"`    // for the 2nd, 3rd, 4th stage: dilate instead of striding
	DropPath      float32  `json:"drop_path,omitempty"` // stochastic depth of the last block, less before it
	Dropout       float32  `json:"dropout,omitempty"`   // before the last layer

	PreAct       bool    `json:"pre_act,omitempty"`       // norm and activation before each convolution
	StemWidth    int     `json:"stem_width,omitempty"`    // channels of the stem; 0 stands for width
	BlockDropout float32 `json:"block_dropout,omitempty"` // before each block's last convolution
	Attention    string  `json:"attention,omitempty"`     // [AttentionSE], [AttentionECA], [AttentionCBAM] or none
	Reduction    int     `json:"reduction,omitempty"`     // of the attention's bottleneck; 0 stands for 16
	Join         string  `json:"join,omitempty"`          // how branch and shortcut meet, see [JoinAdd]
	GateBias     float32 `json:"gate_bias,omitempty"`     // first bias of the gates of joins and highways
	AvgDown      bool    `json:"avg_down,omitempty"`      // projections average before they subsample (ResNet-D)
	Blur         bool    `json:"blur,omitempty"`          // blur before subsampling
}

// The stems: what comes before the first block.
const (
	StemImageNet = "imagenet" // 7x7 convolution of stride 2, 3x3 max pooling of stride 2
	StemDeep     = "deep"     // three 3x3 convolutions in place of the 7x7 (ResNet-D)
	StemCIFAR    = "cifar"    // 3x3 convolution of stride 1
)

// The blocks.
const (
	BlockBasic      = "basic"
	BlockBottleneck = "bottleneck"
	BlockHighway    = "highway" // see [HighwayBlock]
)

// Input returns the type of a batch of n images of the size that the network
// is meant for.
func (cfg Config) Input(n int) graph.Type {
	return graph.F32(n, cfg.InChannels, cfg.InputSize, cfg.InputSize)
}

// Check returns an error that names the first field which cannot be built.
func (cfg Config) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("models: %s: %w", cfg.Name, fmt.Errorf(format, args...))
	}
	for _, p := range []struct {
		what     string
		n, limit int
	}{
		{"classes", cfg.Classes, 1 << 24}, {"in_channels", cfg.InChannels, 1 << 16}, {"input_size", cfg.InputSize, 1 << 16},
		{"width", cfg.Width, 1 << 16}, {"groups", cfg.Groups, 1 << 16}, {"width_per_group", cfg.WidthPerGroup, 1 << 16},
	} {
		if p.n < 1 || p.n > p.limit {
			return fail("%s is %d, want 1 to %d", p.what, p.n, p.limit)
		}
	}
	if cfg.Stem != StemImageNet && cfg.Stem != StemDeep && cfg.Stem != StemCIFAR {
		return fail("unknown stem %q, want %q, %q or %q", cfg.Stem, StemImageNet, StemDeep, StemCIFAR)
	}
	if cfg.StemWidth < 0 || cfg.StemWidth > 1<<16 {
		return fail("stem_width is %d, want 1 to %d, or 0 for the width", cfg.StemWidth, 1<<16)
	}
	if w := cfg.stemWidth(); cfg.Stem == StemDeep && w < 2 {
		return fail("a deep stem needs at least 2 channels, not %d", w)
	}
	switch cfg.Block {
	case BlockBottleneck:
		if cfg.Width*cfg.WidthPerGroup < 64 {
			return fail("width %d with %d channels per group of 64 leaves no channels", cfg.Width, cfg.WidthPerGroup)
		}
	case BlockBasic, BlockHighway:
		if cfg.Groups != 1 || cfg.WidthPerGroup != 64 || cfg.V1 {
			return fail("groups, width_per_group and v1 are for bottleneck blocks")
		}
	default:
		return fail("unknown block %q, want %q, %q or %q", cfg.Block, BlockBasic, BlockBottleneck, BlockHighway)
	}
	if n := len(cfg.Layers); n < 3 || n > 4 {
		return fail("%d stages, want 3 or 4", n)
	}
	for i, n := range cfg.Layers {
		if n < 1 || n > 2000 {
			return fail("%d blocks in stage %d, want 1 to 2000", n, i+1)
		}
	}
	if widest := cfg.Width << (len(cfg.Layers) - 1); widest*cfg.WidthPerGroup/64*cfg.Groups > 1<<18 {
		return fail("width %d with %d groups of %d makes more than %d channels", cfg.Width, cfg.Groups, cfg.WidthPerGroup, 1<<18)
	}
	if len(cfg.Dilate) > len(cfg.Layers)-1 {
		return fail("dilate has %d entries, one for each of the %d stages after the first is enough", len(cfg.Dilate), len(cfg.Layers)-1)
	}
	if int(cfg.Shortcut) >= len(shortcutNames) {
		return fail("no shortcut %d", cfg.Shortcut)
	}
	if _, err := nn.NewActivation(cfg.Activation); err != nil {
		return fail("%w", err)
	}
	for _, p := range []struct {
		what string
		p    float32
	}{{"drop_path", cfg.DropPath}, {"dropout", cfg.Dropout}, {"block_dropout", cfg.BlockDropout}} {
		if !(p.p >= 0 && p.p < 1) {
			return fail("%s is %g, want at least 0 and below 1", p.what, p.p)
		}
	}
	if err := cfg.checkParts(); err != nil {
		return fail("%w", err)
	}
	return nil
}

// checkParts returns an error for parts that are unknown or do not go together.
func (cfg Config) checkParts() error {
	if err := known("attention", cfg.Attention, attentions); err != nil {
		return err
	}
	if err := known("join", cfg.Join, joins); err != nil {
		return err
	}
	if err := known("conv_init", cfg.ConvInit, []string{InitHe, InitXavier, InitSmall}); err != nil {
		return err
	}
	gated := cfg.Block == BlockHighway || cfg.Join == JoinExclusive || cfg.Join == JoinGate
	switch {
	case cfg.Reduction < 0 || cfg.Reduction > 1<<16:
		return fmt.Errorf("reduction is %d, want 1 to %d, or 0 for %d", cfg.Reduction, 1<<16, defaultReduction)
	case cfg.Reduction != 0 && cfg.Attention != AttentionSE && cfg.Attention != AttentionCBAM:
		return fmt.Errorf("reduction is for the attentions %q and %q", AttentionSE, AttentionCBAM)
	case cfg.Join != JoinAdd && cfg.Shortcut == ShortcutNone:
		return fmt.Errorf("join %q needs a shortcut", cfg.Join)
	case !(cfg.GateBias >= -100 && cfg.GateBias <= 100):
		return fmt.Errorf("gate_bias is %g, want -100 to 100", cfg.GateBias)
	case cfg.GateBias != 0 && !gated:
		return fmt.Errorf("gate_bias is for highway blocks and the joins %q and %q", JoinExclusive, JoinGate)
	case cfg.AvgDown && cfg.Shortcut != ShortcutB && cfg.Shortcut != ShortcutC:
		return fmt.Errorf("avg_down is for the projections of shortcuts B and C, not for shortcut %v", cfg.Shortcut)
	case cfg.Blur && cfg.V1:
		return fmt.Errorf("blur follows the 3x3 convolution, where v1 has no stride")
	}
	if cfg.Block == BlockHighway {
		for _, p := range []struct {
			what string
			bad  bool
		}{
			{"pre_act", cfg.PreAct}, {"join", cfg.Join != JoinAdd}, {"shortcut none", cfg.Shortcut == ShortcutNone},
			{"drop_path", cfg.DropPath > 0}, {"block_dropout", cfg.BlockDropout > 0}, {"zero_init", cfg.ZeroInit}, {"blur", cfg.Blur},
		} {
			if p.bad {
				return fmt.Errorf("%s is for residual blocks, not for highway blocks", p.what)
			}
		}
	}
	return nil
}

// known returns an error unless name is one of names, the first of which is
// empty and stands for the default.
func known(what, name string, names []string) error {
	if slices.Contains(names, name) {
		return nil
	}
	if near := suggest.Name(name, names); near != "" {
		return fmt.Errorf("unknown %s %q; did you mean %q?", what, name, near)
	}
	return fmt.Errorf("unknown %s %q, want one of %q or none", what, name, names[1:])
}

// stemWidth returns the channels that the stem gives.
func (cfg Config) stemWidth() int {
	if cfg.StemWidth > 0 {
		return cfg.StemWidth
	}
	return cfg.Width
}

// Depth counts the layers with weights on the main path as He et al. 2015 do:
// 110 for resnet110-cifar. Projections and gates do not count, a deep stem
// counts as one layer.
func (cfg Config) Depth() int {
	per := map[string]int{BlockBasic: 2, BlockBottleneck: 3, BlockHighway: 1}[cfg.Block]
	depth := 2 // the stem and the last layer
	for _, n := range cfg.Layers {
		depth += per * n
	}
	return depth
}

// Model is a network with its description. Its modules and keys are those of
// the network inside.
type Model struct {
	nn.Module // a *[ResNet]
	Config    Config
}

// Input returns the shape [C H W] of the images that the model is meant for.
func (m *Model) Input() tensor.Shape { return m.Config.Input(1).Shape[1:] }

// Kind names the network inside in summaries.
func (m *Model) Kind() string { return m.Config.Name }

// Build makes the network that cfg describes. It has no weights yet: see
// [nn.Init] and [nn.Load].
func (cfg Config) Build() (*Model, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg.Layers, cfg.Dilate = slices.Clone(cfg.Layers), slices.Clone(cfg.Dilate)
	m := &Model{Module: newResNet(cfg), Config: cfg}
	if init := convInits[cfg.ConvInit]; init != nil {
		for _, mod := range nn.Modules(m) {
			if c, ok := mod.(*nn.Conv2d); ok {
				c.Weight.Init = init
			}
		}
	}
	return m, nil
}

// ParseConfig reads a Config from JSON and checks it. A field it does not know
// is an error: a newer version may have given it a meaning.
func ParseConfig(b []byte) (Config, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var cfg Config
	if err := d.Decode(&cfg); err != nil {
		return Config{}, fmt.Errorf("models: the description of the network: %w", err)
	}
	return cfg, cfg.Check()
}
