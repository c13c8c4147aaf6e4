// Package models has the residual networks: for ImageNet in torchvision's layout
// (resnet.go) and for CIFAR (cifar.go), with pre-activation (preact.go), wide
// (wide.go), highway (highway.go), ResNet-D (resnetd.go) and attention
// (attention.go) variants that compose by options (variant.go), their blocks,
// segmentation networks that have them as backbones (segmentation.go), and a table
// of names. State-dict keys are torchvision's, timm's where only timm has the model,
// and segmentation_models_pytorch's for U-Net.
package models

import (
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// named is a row of the table of names: what differs from ResNet-18's Config.
type named struct {
	name, about string
	opts        []Option
}

var (
	layers18  = Blocks(BlockBasic, 2, 2, 2, 2)
	layers34  = Blocks(BlockBasic, 3, 4, 6, 3)
	layers50  = Blocks(BlockBottleneck, 3, 4, 6, 3)
	layers101 = Blocks(BlockBottleneck, 3, 4, 23, 3)
	layers152 = Blocks(BlockBottleneck, 3, 8, 36, 3)
)

// table lists the names; He et al. 2015, table 1.
var table = slices.Concat([]named{
	{"resnet18", "ResNet, 18 layers, basic blocks", []Option{layers18}},
	{"resnet34", "ResNet, 34 layers, basic blocks", []Option{layers34}},
	{"resnet50", "ResNet, 50 layers, bottlenecks (v1.5)", []Option{layers50}},
	{"resnet101", "ResNet, 101 layers, bottlenecks (v1.5)", []Option{layers101}},
	{"resnet152", "ResNet, 152 layers, bottlenecks (v1.5)", []Option{layers152}},
	{"resnext50_32x4d", "ResNeXt, 50 layers, 32 groups of 4", []Option{layers50, Groups(32, 4)}},
	{"resnext101_32x8d", "ResNeXt, 101 layers, 32 groups of 8", []Option{layers101, Groups(32, 8)}},
	{"resnext101_64x4d", "ResNeXt, 101 layers, 64 groups of 4", []Option{layers101, Groups(64, 4)}},
	{"wide_resnet50_2", "Wide ResNet, 50 layers, bottlenecks twice as wide", []Option{layers50, Groups(1, 128)}},
	{"wide_resnet101_2", "Wide ResNet, 101 layers, bottlenecks twice as wide", []Option{layers101, Groups(1, 128)}},
	{"plain18", "ResNet-18 without shortcuts", []Option{layers18, Shortcuts(ShortcutNone)}},
	{"plain34", "ResNet-34 without shortcuts", []Option{layers34, Shortcuts(ShortcutNone)}},
}, cifarTable(), preActTable(), wideTable(), speedrunTable(), highwayTable(), resnetDTable(), attentionTable(), segmentationTable(), detectionTable())

// Names lists the names for [New]. CIFAR networks of other depths have names, too:
// resnet14-cifar, plain26-cifar, preresnet14-cifar and highway14-cifar for any
// 6n+2, wrn-22-2 for any 6n+4 and width; fcn_, deeplabv3_ and unet_ before the name of
// any classifier is a segmentation network with that backbone. Every name can be
// followed by [Variants]: resnet20-cifar+se.
func Names() []string {
	names := make([]string, len(table))
	for i, n := range table {
		names[i] = n.name
	}
	return names
}

// Info describes a name for a list.
type Info struct {
	Name   string       `json:"name"`
	About  string       `json:"about"`
	Input  tensor.Shape `json:"input"` // [C H W]
	Params int          `json:"params"`
	MACs   int64        `json:"macs"` // for one image of that size
}

// List describes every name of [Names].
func List() ([]Info, error) {
	list := make([]Info, len(table))
	for i, n := range table {
		m, err := New(n.name)
		if err != nil {
			return nil, err
		}
		rows, err := nn.Summarize(m, m.Config.Input(1))
		if err != nil {
			return nil, fmt.Errorf("models: %s: %w", n.name, err)
		}
		list[i] = Info{n.name, n.about, m.Input(), rows[0].Params, rows[0].MACs}
	}
	return list, nil
}

// Lookup returns the Config behind a name.
func Lookup(name string) (Config, error) {
	cfg := Config{
		Name: name, Classes: 1000, InChannels: 3, InputSize: 224, Stem: StemImageNet,
		Width: 64, Groups: 1, WidthPerGroup: 64, Shortcut: ShortcutB, Activation: "relu",
	}
	base, variant, err := withVariants(name)
	if err != nil {
		return Config{}, err
	}
	opts, err := options(base)
	if err != nil {
		return Config{}, err
	}
	for _, o := range slices.Concat(opts, variant) {
		o(&cfg)
	}
	cfg.Layers = slices.Clone(cfg.Layers)
	return cfg, nil
}

func options(name string) ([]Option, error) {
	for _, n := range table {
		if n.name == name {
			return n.opts, nil
		}
	}
	for _, read := range []func(string) ([]Option, bool, error){cifarOptions, wideOptions, segmentationOptions, detectionOptions} {
		if opts, ok, err := read(name); ok {
			return opts, err
		}
	}
	if _, ok, err := cifarOptions(name + cifarSuffix); ok && err == nil {
		return nil, fmt.Errorf("models: unknown model %q; did you mean %q?", name, name+cifarSuffix)
	}
	if near := suggest.Name(name, Names()); near != "" {
		return nil, fmt.Errorf("models: unknown model %q; did you mean %q?", name, near)
	}
	return nil, fmt.Errorf("models: unknown model %q; known are %s: resnet models lists them", name, suggest.Few(Names()))
}

// New returns the network with the given name, changed by the options. It has no
// weights yet: see [nn.Init] and [nn.Load]. The error for an unknown name suggests
// the nearest name.
func New(name string, opts ...Option) (*Model, error) {
	cfg, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	for _, o := range opts {
		o(&cfg)
	}
	return cfg.Build()
}
