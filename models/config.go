package models

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/graph"
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

	Stem          string   `json:"stem"`   // [StemImageNet] or [StemCIFAR]
	Block         string   `json:"block"`  // [BlockBasic] or [BlockBottleneck]
	Layers        []int    `json:"layers"` // blocks in each stage, 3 or 4 stages
	Width         int      `json:"width"`  // planes of the first stage, doubled in each next one
	Groups        int      `json:"groups"`
	WidthPerGroup int      `json:"width_per_group"`
	Shortcut      Shortcut `json:"shortcut"`
	Activation    string   `json:"activation"` // see [nn.NewActivation]
	NoNorm        bool     `json:"no_norm,omitempty"`
	V1            bool     `json:"v1,omitempty"`        // stride on the bottleneck's first 1x1
	ZeroInit      bool     `json:"zero_init,omitempty"` // residual branches start at zero
	Dilate        []bool   `json:"dilate,omitempty"`    // for the 2nd, 3rd, 4th stage: dilate instead of striding
	DropPath      float32  `json:"drop_path,omitempty"` // stochastic depth of the last block, less before it
	Dropout       float32  `json:"dropout,omitempty"`   // before the last layer
}

// The stems: what comes before the first block.
const (
	StemImageNet = "imagenet" // 7x7 convolution of stride 2, 3x3 max pooling of stride 2
	StemCIFAR    = "cifar"    // 3x3 convolution of stride 1
)

// The blocks.
const (
	BlockBasic      = "basic"
	BlockBottleneck = "bottleneck"
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
	if cfg.Stem != StemImageNet && cfg.Stem != StemCIFAR {
		return fail("unknown stem %q, want %q or %q", cfg.Stem, StemImageNet, StemCIFAR)
	}
	switch cfg.Block {
	case BlockBottleneck:
		if cfg.Width*cfg.WidthPerGroup < 64 {
			return fail("width %d with %d channels per group of 64 leaves no channels", cfg.Width, cfg.WidthPerGroup)
		}
	case BlockBasic:
		if cfg.Groups != 1 || cfg.WidthPerGroup != 64 || cfg.V1 {
			return fail("groups, width_per_group and v1 are for bottleneck blocks")
		}
	default:
		return fail("unknown block %q, want %q or %q", cfg.Block, BlockBasic, BlockBottleneck)
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
	}{{"drop_path", cfg.DropPath}, {"dropout", cfg.Dropout}} {
		if !(p.p >= 0 && p.p < 1) {
			return fail("%s is %g, want at least 0 and below 1", p.what, p.p)
		}
	}
	return nil
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
	return &Model{Module: newResNet(cfg), Config: cfg}, nil
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

// Option changes a [Config].
type Option func(*Config)

// Classes sets the number of logits.
func Classes(n int) Option { return func(c *Config) { c.Classes = n } }

// InChannels sets the channels of the images: 1 for grey, 3 for RGB.
func InChannels(n int) Option { return func(c *Config) { c.InChannels = n } }

// InputSize sets the height and width of the images the network is meant for.
func InputSize(n int) Option { return func(c *Config) { c.InputSize = n } }

// Stem sets what comes before the first block.
func Stem(stem string) Option { return func(c *Config) { c.Stem = stem } }

// Blocks sets the kind of block and how many of them each stage has.
func Blocks(block string, layers ...int) Option {
	return func(c *Config) { c.Block, c.Layers = block, layers }
}

// Width sets the planes of the first stage, 64 for ImageNet and 16 for CIFAR.
func Width(n int) Option { return func(c *Config) { c.Width = n } }

// Groups sets the groups of the bottleneck's 3x3 convolution and their width
// for 64 planes: 32 and 4 for ResNeXt-50 32x4d.
func Groups(groups, widthPerGroup int) Option {
	return func(c *Config) { c.Groups, c.WidthPerGroup = groups, widthPerGroup }
}

// Shortcuts sets the kind of shortcut.
func Shortcuts(s Shortcut) Option { return func(c *Config) { c.Shortcut = s } }

// Activation sets the activation function by its name.
func Activation(name string) Option { return func(c *Config) { c.Activation = name } }

// NoNorm takes out batch norm and gives the convolutions biases.
func NoNorm() Option { return func(c *Config) { c.NoNorm = true } }

// V1 puts the bottleneck's stride on its first 1x1 convolution, as the paper has it.
func V1() Option { return func(c *Config) { c.V1 = true } }

// ZeroInit lets each residual branch start at zero (Goyal et al. 2017, section 5.1).
func ZeroInit() Option { return func(c *Config) { c.ZeroInit = true } }

// Dilate says for the second and later stages whether they dilate instead of
// striding, which keeps the resolution for segmentation and detection.
func Dilate(stages ...bool) Option { return func(c *Config) { c.Dilate = stages } }

// DropPath sets the drop probability of the last block's branch, which falls
// linearly towards the first (Huang et al. 2016).
func DropPath(p float32) Option { return func(c *Config) { c.DropPath = p } }

// Dropout sets the dropout before the last layer.
func Dropout(p float32) Option { return func(c *Config) { c.Dropout = p } }
