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
// JSON, from which [Config.Build] makes the same network, whatever defaults a
// later version has. [Lookup] returns the Config of a name.
type Config struct {
	Name       string `json:"name"`    // a label; the other fields decide
	Classes    int    `json:"classes"` // 0: no last layer, the output is the features
	InChannels int    `json:"in_channels"`
	InputSize  int    `json:"input_size"` // height and width it is meant for; others work too

	Stem          StemKind  `json:"stem"`
	Block         BlockKind `json:"block"`
	Layers        []int     `json:"layers"` // blocks in each stage, 3 or 4 stages
	Width         int       `json:"width"`  // planes of the first stage, doubled in each next one
	Groups        int       `json:"groups"`
	WidthPerGroup int       `json:"width_per_group"`
	Shortcut      Shortcut  `json:"shortcut"`
	Activation    string    `json:"activation"` // see [nn.NewActivation]
	NoNorm        bool      `json:"no_norm,omitempty"`
	V1            bool      `json:"v1,omitempty"`        // stride on the bottleneck's first 1x1
	ZeroInit      bool      `json:"zero_init,omitempty"` // residual branches start at zero
	ConvInit      InitKind  `json:"conv_init,omitempty"`
	Dilate        []bool    `json:"dilate,omitempty"`    // for the 2nd, 3rd, 4th stage: dilate instead of striding
	DropPath      float32   `json:"drop_path,omitempty"` // stochastic depth of the last block, less before it
	Dropout       float32   `json:"dropout,omitempty"`   // before the last layer

	PreAct       bool          `json:"pre_act,omitempty"`       // norm and activation before each convolution
	StemWidth    int           `json:"stem_width,omitempty"`    // channels of the stem; 0 stands for width
	BlockDropout float32       `json:"block_dropout,omitempty"` // before each block's last convolution
	Attention    AttentionKind `json:"attention,omitempty"`     // at the end of each branch; "" for none
	Reduction    int           `json:"reduction,omitempty"`     // of the attention's bottleneck; 0 stands for 16
	Join         JoinKind      `json:"join,omitempty"`          // how branch and shortcut meet
	GateBias     float32       `json:"gate_bias,omitempty"`     // first bias of the gates of joins and highways
	AvgDown      bool          `json:"avg_down,omitempty"`      // projections average before they subsample (ResNet-D)
	Blur         bool          `json:"blur,omitempty"`          // blur before subsampling
	PoolDown     bool          `json:"pool_down,omitempty"`     // stages begin with a pooled convolution, see [PoolDown]
	LogitScale   float32       `json:"logit_scale,omitempty"`   // factor on the logits; 0 stands for 1

	// Segmentation is the head of a network that gives every pixel a class, Detection
	// the head of one that finds objects; both are nil for a classifier.
	Segmentation *SegmentationHead `json:"segmentation,omitempty"`
	Detection    *DetectionHead    `json:"detection,omitempty"`
}

// BlockKind is the kind of all blocks of a network.
type BlockKind string

// The blocks.
const (
	BlockBasic      BlockKind = "basic"      // see [BasicBlock]
	BlockBottleneck BlockKind = "bottleneck" // see [Bottleneck]
	BlockHighway    BlockKind = "highway"    // see [HighwayBlock]
)

// Classes sets the number of logits. 0 leaves out the last layer, for a backbone whose
// output is features [N F]: see [Config.Features].
func Classes(n int) Option { return func(c *Config) { c.Classes = n } }

// InChannels sets the channels of the images: 1 for gray, 3 for RGB.
func InChannels(n int) Option {
	return func(c *Config) {
		if c.Detection != nil && c.InChannels != n {
			c.Detection.channels(n)
		}
		c.InChannels = n
	}
}

// InputSize sets the height and width of the images the network is meant for.
func InputSize(n int) Option { return func(c *Config) { c.InputSize = n } }

// Blocks sets the kind of block and the number of blocks in each stage.
func Blocks(block BlockKind, layers ...int) Option {
	return func(c *Config) { c.Block, c.Layers = block, layers }
}

// Width sets the planes of the first stage, 64 for ImageNet and 16 for CIFAR.
func Width(n int) Option { return func(c *Config) { c.Width = n } }

// Groups sets the groups of the bottleneck's 3x3 convolution and their width
// for 64 planes: 32 and 4 for ResNeXt-50 32x4d.
func Groups(groups, widthPerGroup int) Option {
	return func(c *Config) { c.Groups, c.WidthPerGroup = groups, widthPerGroup }
}

// Activation sets the activation function by its name.
func Activation(name string) Option { return func(c *Config) { c.Activation = name } }

// V1 puts the bottleneck's stride on its first 1x1 convolution, as in the paper.
func V1() Option { return func(c *Config) { c.V1 = true } }

// Dilate sets for the second and later stages whether they dilate instead of
// striding, which keeps the resolution for segmentation and detection.
func Dilate(stages ...bool) Option { return func(c *Config) { c.Dilate = stages } }

// Input returns the type of a batch of n images of the size for which the network
// is meant.
func (cfg Config) Input(n int) graph.Type {
	return graph.F32(n, cfg.InChannels, cfg.InputSize, cfg.InputSize)
}

// Check returns an error that names a field with a value that cannot be built, or
// two that do not go together.
func (cfg Config) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("models: %s: %w", cfg.Name, fmt.Errorf(format, args...))
	}
	if cfg.Classes < 0 || cfg.Classes == 0 && (cfg.Segmentation != nil || cfg.Detection != nil) {
		return fail("classes is %d, want 1 to %d", cfg.Classes, 1<<24)
	}
	for _, p := range []struct {
		what     string
		n, limit int
	}{
		{"classes", max(cfg.Classes, 1), 1 << 24}, {"in_channels", cfg.InChannels, 1 << 16}, {"input_size", cfg.InputSize, 1 << 16},
		{"width", cfg.Width, 1 << 16}, {"groups", cfg.Groups, 1 << 16}, {"width_per_group", cfg.WidthPerGroup, 1 << 16},
	} {
		if p.n < 1 || p.n > p.limit {
			return fail("%s is %d, want 1 to %d", p.what, p.n, p.limit)
		}
	}
	if err := known("block", cfg.Block, BlockBasic, BlockBottleneck, BlockHighway); err != nil {
		return fail("%w", err)
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
	}
	if n := len(cfg.Layers); n < 3 || n > 4 {
		return fail("layers has %d stages, want 3 or 4", n)
	}
	for i, n := range cfg.Layers {
		if n < 1 || n > 2000 {
			return fail("layers has %d blocks in stage %d, want 1 to 2000", n, i+1)
		}
	}
	if widest := cfg.Width << (len(cfg.Layers) - 1); widest*cfg.WidthPerGroup/64*cfg.Groups > 1<<18 {
		return fail("width %d with %d groups of %d makes more than %d channels", cfg.Width, cfg.Groups, cfg.WidthPerGroup, 1<<18)
	}
	if len(cfg.Dilate) > len(cfg.Layers)-1 {
		return fail("dilate has %d entries, want at most %d: one for each stage after the first", len(cfg.Dilate), len(cfg.Layers)-1)
	}
	if _, err := nn.NewActivation(cfg.Activation); err != nil {
		return fail("%w", err)
	}
	if err := cfg.checkKnobs(); err != nil {
		return fail("%w", err)
	}
	switch {
	case cfg.Segmentation != nil && cfg.Detection != nil:
		return fail("segmentation and detection do not go together")
	case cfg.Segmentation != nil:
		if err := cfg.Segmentation.check(cfg); err != nil {
			return fail("segmentation: %w", err)
		}
	case cfg.Detection != nil:
		if err := cfg.Detection.check(cfg); err != nil {
			return fail("detection: %w", err)
		}
	}
	return nil
}

// known returns an error unless name is one of kinds. An empty kind stands for
// none or the default.
func known[T ~string](what string, name T, kinds ...T) error {
	if slices.Contains(kinds, name) {
		return nil
	}
	var names []string
	or := ""
	for _, k := range kinds {
		if k == "" {
			or = " or none"
			continue
		}
		names = append(names, string(k))
	}
	if near := suggest.Name(string(name), names); near != "" {
		return fmt.Errorf("unknown %s %q; did you mean %q?", what, name, near)
	}
	return fmt.Errorf("unknown %s %q, want one of %q%s", what, name, names, or)
}

// expansion is the number of output channels of a block per plane.
func (cfg Config) expansion() int {
	if cfg.Block == BlockBottleneck {
		return expansion
	}
	return 1
}

// Features returns the number of features of a picture, which the last layer gets: 512
// of ResNet-18.
func (cfg Config) Features() int {
	return cfg.Width << (len(cfg.Layers) - 1) * cfg.expansion()
}

// Depth counts the layers with weights on the main path as He et al. 2015 do:
// 110 for resnet110-cifar. Projections and gates do not count, a deep stem
// counts as one layer.
func (cfg Config) Depth() int {
	per := map[BlockKind]int{BlockBasic: 2, BlockBottleneck: 3, BlockHighway: 1}[cfg.Block]
	depth := 2 // the stem and the last layer
	if cfg.PoolDown {
		depth += len(cfg.Layers)
	}
	for _, n := range cfg.Layers {
		depth += per * n
	}
	return depth
}

// Model is a network with its description, which a model file keeps so that
// the network can be built from it again. Its modules and keys are those of the network
// inside: a classifier or a network with another head; the others are nil.
type Model struct {
	*ResNet
	Segmenter
	Detector
	Config Config
}

// Forward runs the network inside: logits [N classes] of a classifier, its features
// [N F] if it has no last layer, logits [N classes H W] of a segmentation network; see
// [RetinaNet] for detectors.
func (m *Model) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	switch {
	case m.Segmenter != nil:
		return m.Segmenter.Forward(c, x)
	case m.Detector != nil:
		return m.Detector.Forward(c, x)
	}
	return m.ResNet.Forward(c, x)
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
	switch {
	case cfg.Segmentation != nil:
		cfg.Segmentation = cfg.Segmentation.clone()
		return &Model{Segmenter: newSegmenter(cfg), Config: cfg}, nil
	case cfg.Detection != nil:
		cfg.Detection = cfg.Detection.clone()
		return &Model{Detector: newDetector(cfg), Config: cfg}, nil
	}
	return &Model{ResNet: newResNet(cfg), Config: cfg}, nil
}

// ParseConfig reads a Config from JSON and checks it. An unknown field is an error:
// a newer version of this package may have given it a meaning.
func ParseConfig(b []byte) (Config, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	cfg := Config{Shortcut: ShortcutB}
	if err := d.Decode(&cfg); err != nil {
		return Config{}, fmt.Errorf("models: the description of the network: %w", err)
	}
	return cfg, cfg.Check()
}
