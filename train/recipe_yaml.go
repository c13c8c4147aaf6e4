package train

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/suggest"
)

// ClassWeights is a list of weights, weights by class name, or the word balanced.
type ClassWeights struct {
	Balanced bool
	Weights  []float64
	ByName   map[string]float64 // of some classes; the others have 1
}

// IsZero reports whether there are no weights, so that the YAML encoder leaves the
// key out.
func (c ClassWeights) IsZero() bool { return !c.Balanced && len(c.Weights) == 0 && len(c.ByName) == 0 }

// UnmarshalYAML reads either form.
func (c *ClassWeights) UnmarshalYAML(n *yaml.Node) error {
	*c = ClassWeights{}
	if n.Kind == yaml.ScalarNode {
		switch n.Value {
		case "balanced":
			c.Balanced = true
			return nil
		case "", "none", "null":
			return nil
		}
	}
	if n.Kind == yaml.MappingNode {
		return n.Decode(&c.ByName)
	}
	return n.Decode(&c.Weights)
}

// MarshalYAML writes either form.
func (c ClassWeights) MarshalYAML() (any, error) {
	if c.Balanced {
		return "balanced", nil
	}
	if len(c.ByName) > 0 {
		return c.ByName, nil
	}
	return c.Weights, nil
}

// on returns the weights of the classes; nil for all 1.
func (c ClassWeights) on(classes []string) ([]float64, error) {
	if len(c.ByName) == 0 {
		return c.Weights, nil
	}
	weights := make([]float64, len(classes))
	for i := range weights {
		weights[i] = 1
	}
	for _, name := range slices.Sorted(maps.Keys(c.ByName)) {
		i := slices.Index(classes, name)
		if i < 0 {
			return nil, fmt.Errorf("loss.class_weights: there is no class %q%s", name, suggest.Phrase(name, classes))
		}
		weights[i] = c.ByName[name]
	}
	return weights, nil
}

// Preprocess is a data.Preprocess, given in YAML by its fields or by name.
type Preprocess struct {
	Preset string
	Custom *data.Preprocess
}

// UnmarshalYAML reads a name or the fields.
func (p *Preprocess) UnmarshalYAML(n *yaml.Node) error {
	*p = Preprocess{}
	if n.Kind == yaml.ScalarNode {
		p.Preset = n.Value
		return nil
	}
	p.Custom = new(data.Preprocess)
	return n.Decode(p.Custom)
}

// MarshalYAML writes the form that was given.
func (p Preprocess) MarshalYAML() (any, error) {
	if p.Custom != nil {
		return p.Custom, nil
	}
	return p.Preset, nil
}

// Resolve returns the preprocessing that is given or named.
func (p Preprocess) Resolve() (data.Preprocess, error) {
	if p.Custom != nil {
		return *p.Custom, p.Custom.Valid()
	}
	return data.Preset(p.Preset)
}

// Names is a list of names; in YAML one may stand without brackets.
type Names []string

// UnmarshalYAML reads a list, or names with commas between them.
func (l *Names) UnmarshalYAML(n *yaml.Node) error {
	*l = nil
	if n.Kind != yaml.ScalarNode {
		var list []string
		err := n.Decode(&list)
		*l = list
		return err
	}
	if n.Tag == "!!null" {
		return nil
	}
	for name := range strings.SplitSeq(n.Value, ",") {
		if name = strings.TrimSpace(name); name != "" {
			*l = append(*l, name)
		}
	}
	return nil
}
