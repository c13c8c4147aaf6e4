package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/nn"
)

// A name can be followed by variants, each after a plus sign:
// "resnet20-cifar+se", "resnet50+preact+blur".

const variantMark = "+"

// Option changes a [Config].
type Option func(*Config)

// knob is a setting by which a network can differ from the plain one. It is
// declared once, beside its [Option] and the modules that it puts into the
// network; the plain network in resnet.go does not know of it. A new knob takes
// a field of [Config], a knob, and a line in knobs.
type knob struct {
	key      string  // of the field in JSON, for messages
	variants []named // the names that set it after a plus sign

	// check refuses values that are wrong and settings that do not go together.
	check func(cfg Config) error
	// residual reports whether a setting of this knob is on that only residual
	// blocks have; nil if highway blocks have it, too.
	residual func(cfg Config) bool
	// block changes a block, number n of total.
	block func(cfg Config, b *VariantBlock, n, total int)
	// network changes the network around the blocks.
	network func(cfg Config, r *ResNet)
}

// knobs has every knob, in the order in which they change a network and are
// listed.
var knobs = []knob{
	stemKnob, preActKnob, shortcutKnob, joinKnob, attentionKnob, avgDownKnob, blurKnob, poolDownKnob, dropoutKnob, blockDropoutKnob,
	dropPathKnob, zeroInitKnob, convInitKnob, noNormKnob, logitScaleKnob,
}

// variants lists the variants of all knobs.
func variants() []named {
	var all []named
	for _, k := range knobs {
		all = append(all, k.variants...)
	}
	return all
}

// checkKnobs returns the first error of a knob.
func (cfg Config) checkKnobs() error {
	for _, k := range knobs {
		if k.check != nil {
			if err := k.check(cfg); err != nil {
				return err
			}
		}
	}
	for _, k := range knobs {
		if cfg.Block == BlockHighway && k.residual != nil && k.residual(cfg) {
			return fmt.Errorf("%s is for residual blocks, not for highway blocks", k.key)
		}
	}
	return nil
}

// newBlock returns block n of the network, from in to planes*expansion channels.
func (cfg Config) newBlock(in, planes, n int, opt BlockOptions) nn.Module {
	opt.Downsample = cfg.downsample(in, planes*cfg.expansion(), opt)
	var b Block
	switch {
	case cfg.Block == BlockHighway:
		return cfg.newHighway(in, planes, opt)
	case cfg.PreAct:
		b = cfg.newPreAct(in, planes, n, opt)
	case cfg.Block == BlockBottleneck:
		b = NewBottleneck(in, planes, opt)
	default:
		b = NewBasicBlock(in, planes, opt)
	}
	v := NewVariantBlock(b)
	total := 0
	for _, n := range cfg.Layers {
		total += n
	}
	for _, k := range knobs {
		if k.block != nil {
			k.block(cfg, v, n, total)
		}
	}
	if v.isPlain() {
		return v.plain()
	}
	return v
}

// varyNetwork changes what is around the blocks of a plain network.
func (cfg Config) varyNetwork(r *ResNet) {
	for _, k := range knobs {
		if k.network != nil {
			k.network(cfg, r)
		}
	}
}

// Variant describes what can follow a name.
type Variant struct {
	Name  string `json:"name"` // without the plus sign
	About string `json:"about"`
}

// Variants lists what can follow any name after a plus sign, as in
// "resnet20-cifar+se". Not all go together: [Config.Check] returns an error for
// those that do not.
func Variants() []Variant {
	var vs []Variant
	for _, v := range variants() {
		vs = append(vs, Variant{v.name, v.about})
	}
	return vs
}

// withVariants splits the variants off a name and returns their options.
func withVariants(name string) (base string, opts []Option, err error) {
	base, rest, found := strings.Cut(name, variantMark)
	if !found {
		return name, nil, nil
	}
	all := variants()
	var names []string
	for _, v := range all {
		names = append(names, v.name)
	}
	for v := range strings.SplitSeq(rest, variantMark) {
		i := slices.Index(names, v)
		if i < 0 {
			if near := suggest.Name(v, names); near != "" {
				return "", nil, fmt.Errorf("models: %s: unknown variant %q; did you mean %q?", name, v, near)
			}
			return "", nil, fmt.Errorf("models: %s: unknown variant %q; known are %v", name, v, names)
		}
		opts = append(opts, all[i].opts...)
	}
	return base, opts, nil
}
