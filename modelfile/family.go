package modelfile

import (
	"maps"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// Family is a naming of the tensors of a residual network that differs from
// torchvision's.
type Family struct {
	Name  string
	Rules []string // of a [weights.KeyMap]; rules that fit no tensor are left out
	// First is the family's name of the first tensor, where the rules fit only after
	// what stands before it has been removed.
	First string
}

// Families are the namings that [Recognize] knows beside torchvision's, which
// timm and most others share.
var Families = []Family{
	{Name: "pytorch_resnet_cifar10", Rules: []string{"linear.=fc."}},
	{Name: "pytorch-cifar", Rules: []string{"linear.=fc.", "**.shortcut.0.=**.downsample.0.", "**.shortcut.1.=**.downsample.1."}},
	{Name: "timm-resnetv2", Rules: []string{
		"stem.conv.=conv1.", "head.fc.=fc.",
		"stages.0.blocks.=layer1.", "stages.1.blocks.=layer2.", "stages.2.blocks.=layer3.", "stages.3.blocks.=layer4.",
		"*.*.norm1.=*.*.bn1.", "*.*.norm2.=*.*.bn2.", "*.*.norm3.=*.*.bn3.", "*.*.downsample.conv.=*.*.downsample.0.",
	}},
	// torchvision's detectors before its version 0.13, and its published files.
	{Name: "torchvision-detection", Rules: []string{
		"backbone.fpn.inner_blocks.*.weight=backbone.fpn.inner_blocks.*.0.weight", "backbone.fpn.inner_blocks.*.bias=backbone.fpn.inner_blocks.*.0.bias",
		"backbone.fpn.layer_blocks.*.weight=backbone.fpn.layer_blocks.*.0.weight", "backbone.fpn.layer_blocks.*.bias=backbone.fpn.layer_blocks.*.0.bias",
		"head.*.conv.0.=head.*.conv.0.0.", "head.*.conv.2.=head.*.conv.1.0.", "head.*.conv.4.=head.*.conv.2.0.", "head.*.conv.6.=head.*.conv.3.0.",
		"rpn.head.conv.weight=rpn.head.conv.0.0.weight", "rpn.head.conv.bias=rpn.head.conv.0.0.bias",
		"roi_heads.mask_head.mask_fcn1.=roi_heads.mask_head.0.0.", "roi_heads.mask_head.mask_fcn2.=roi_heads.mask_head.1.0.",
		"roi_heads.mask_head.mask_fcn3.=roi_heads.mask_head.2.0.", "roi_heads.mask_head.mask_fcn4.=roi_heads.mask_head.3.0.",
	}},
	{Name: "transformers", Rules: []string{
		"resnet.embedder.embedder.convolution.=conv1.", "resnet.embedder.embedder.normalization.=bn1.",
		"resnet.encoder.=encoder.", "embedder.embedder.convolution.=conv1.", "embedder.embedder.normalization.=bn1.",
		"encoder.stages.0.layers.=layer1.", "encoder.stages.1.layers.=layer2.",
		"encoder.stages.2.layers.=layer3.", "encoder.stages.3.layers.=layer4.",
		"*.*.layer.0.convolution.=*.*.conv1.", "*.*.layer.0.normalization.=*.*.bn1.",
		"*.*.layer.1.convolution.=*.*.conv2.", "*.*.layer.1.normalization.=*.*.bn2.",
		"*.*.layer.2.convolution.=*.*.conv3.", "*.*.layer.2.normalization.=*.*.bn3.",
		"*.*.shortcut.convolution.=*.*.downsample.0.", "*.*.shortcut.normalization.=*.*.downsample.1.",
		"classifier.1.=fc.",
	}},
	// nn.Sequential(*list(resnet.children())[:-1]), the usual way to cut off the
	// last layer.
	{Name: "children", First: "0.weight", Rules: []string{
		"0.=conv1.", "1.=bn1.", "4.=layer1.", "5.=layer2.", "6.=layer3.", "7.=layer4.",
	}},
}

// Recognize renames the tensors of a file to the names that a model wants. It
// tries each [Family], and removes a beginning that all names share ("backbone."),
// and takes the renaming by which most of the wanted names are found, or none if
// none finds more than the file's own names. It also returns the family's name
// ("" for torchvision's) and, for people, the rules that were used.
func Recognize(want []weights.Want, tensors map[string]*tensor.Tensor) (renamed map[string]*tensor.Tensor, family, how string) {
	names := slices.Sorted(maps.Keys(tensors))
	wanted := make(map[string]bool, len(want))
	for _, w := range want {
		wanted[w.Name] = true
	}
	best, bestTo := count(wanted, names), names
	try := func(to []string, f Family, rules ...string) {
		if n := count(wanted, to); n > best && !hasTwice(to) {
			best, bestTo, family, how = n, to, f.Name, strings.Join(slices.DeleteFunc(rules, func(r string) bool { return r == "" }), " ")
		}
	}
	for _, f := range append([]Family{{}}, Families...) {
		k, err := weights.ParseKeyMap(f.Rules...)
		if err != nil {
			panic(err) // Families is ours, and tested
		}
		// What stands before every name may hide what a rule looks for, or, where
		// the family's first name is another, show only after the rules.
		for _, before := range beginningsOf(f.first(want), names) {
			to, unused, err := k.Rename(without(before, names))
			if err != nil {
				continue
			}
			for _, after := range beginningsOf(first(want), to) {
				try(without(after, to), f, removal(before), used(f.Rules, unused), removal(after))
			}
		}
	}
	out := make(map[string]*tensor.Tensor, len(tensors))
	for i, n := range names {
		out[bestTo[i]] = tensors[n]
	}
	return out, family, how
}

// used lists the rules that fitted a name.
func used(rules, unused []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(rules), func(r string) bool { return slices.Contains(unused, r) }), " ")
}

// without returns the names without a beginning.
func without(begin string, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.TrimPrefix(n, begin)
	}
	return out
}

// removal is the key rule for what [without] does.
func removal(begin string) string {
	if begin == "" {
		return ""
	}
	return begin + "="
}

func count(wanted map[string]bool, names []string) int {
	n := 0
	for _, name := range names {
		if wanted[name] {
			n++
		}
	}
	return n
}

// first returns the name of the model's first tensor.
func first(want []weights.Want) string {
	if len(want) == 0 {
		return ""
	}
	return want[0].Name
}

// first returns what the family calls the model's first tensor.
func (f Family) first(want []weights.Want) string {
	if f.First != "" && len(want) > 0 {
		return f.First
	}
	return first(want)
}

// beginningsOf returns what stands before the first tensor in the names, "" always
// among them, the better ones first.
func beginningsOf(first string, names []string) []string {
	out := []string{""}
	if first == "" {
		return out
	}
	for _, n := range names {
		if b, ok := strings.CutSuffix(n, "."+first); ok && len(out) < 64 {
			out = append(out, b+".")
		}
	}
	out = preferred(out)
	return out[:min(len(out), 8)]
}

func hasTwice(names []string) bool {
	seen := make(map[string]bool, len(names))
	for _, n := range names {
		if seen[n] {
			return true
		}
		seen[n] = true
	}
	return false
}
