package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/suggest"
)

// A name can be followed by variants, each after a plus sign:
// "resnet20-cifar+se", "resnet50+preact+blur".

const variantMark = "+"

// defaultJoinBias is the best of those that He et al. 2016, table 1, tried: at 0
// a ResNet-110 with exclusive gates does not train.
const defaultJoinBias = -6

var variants = []named{
	{"preact", "norm and activation before each convolution", []Option{PreAct()}},
	{"plain", "no shortcuts", []Option{Shortcuts(ShortcutNone)}},
	{"shortcut-a", "shortcuts subsample and pad with zeros", []Option{Shortcuts(ShortcutA)}},
	{"shortcut-b", "shortcuts project where the shape changes", []Option{Shortcuts(ShortcutB)}},
	{"shortcut-c", "all shortcuts are 1x1 convolutions", []Option{Shortcuts(ShortcutC)}},
	{JoinScale, "shortcuts scaled by 0.5", []Option{Join(JoinScale)}},
	{JoinHalf, "branches and shortcuts scaled by 0.5", []Option{Join(JoinHalf)}},
	{JoinExclusive, "branches and shortcuts scaled by g and 1-g", []Option{Join(JoinExclusive), GateBias(defaultJoinBias)}},
	{JoinGate, "shortcuts scaled by 1-g", []Option{Join(JoinGate), GateBias(defaultJoinBias)}},
	{"shortcut-dropout", "dropout of 0.5 on shortcuts", []Option{Join(JoinDropout)}},
	{AttentionSE, "squeeze and excitation", []Option{Attention(AttentionSE)}},
	{AttentionECA, "efficient channel attention", []Option{Attention(AttentionECA)}},
	{AttentionCBAM, "channel and spatial attention", []Option{Attention(AttentionCBAM)}},
	{"avg-down", "projections average before they subsample", []Option{AvgDown()}},
	{"blur", "blur before subsampling", []Option{Blur()}},
	{"block-dropout", "dropout of 0.3 in each block", []Option{BlockDropout(0.3)}},
	{"stochastic-depth", "stochastic depth, 0.5 at the last block", []Option{DropPath(0.5)}},
	{"zero-init", "branches start at zero", []Option{ZeroInit()}},
	{"xavier-init", "convolutions start as Glorot and Bengio say", []Option{ConvInit(InitXavier)}},
	{"small-init", "convolutions start with a deviation of 0.01", []Option{ConvInit(InitSmall)}},
	{"no-norm", "biases in place of batch norms", []Option{NoNorm()}},
}

// Variant describes what can follow a name.
type Variant struct {
	Name  string `json:"name"` // without the plus sign
	About string `json:"about"`
}

// Variants lists what can follow any name after a plus sign, as in
// "resnet20-cifar+se". Not all go together: [Config.Check] says which do not.
func Variants() []Variant {
	vs := make([]Variant, len(variants))
	for i, v := range variants {
		vs[i] = Variant{v.name, v.about}
	}
	return vs
}

// withVariants splits the variants off a name and returns their options.
func withVariants(name string) (base string, opts []Option, err error) {
	base, rest, found := strings.Cut(name, variantMark)
	if !found {
		return name, nil, nil
	}
	var names []string
	for _, v := range variants {
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
		opts = append(opts, variants[i].opts...)
	}
	return base, opts, nil
}
