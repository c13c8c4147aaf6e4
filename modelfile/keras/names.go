package keras

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Keras's backend for torch takes no names of layers with dots, which those of our
// modules have: "layer1.0.conv1" is written as "layer1-0-conv1", and [Info].Hyphens is
// set.

// respelled returns the model with names of layers in which from is to; m itself if no
// name changes, or if the names could not be told apart again.
func (m *Model) respelled(from, to string) (*Model, error) {
	renamed := map[string]string{}
	for name := range m.Modules {
		if strings.Contains(name, from) {
			renamed[name] = strings.ReplaceAll(name, from, to)
		}
	}
	for _, l := range m.spec.layers { // those without parameters, too
		if strings.Contains(l.name, from) {
			renamed[l.name] = strings.ReplaceAll(l.name, from, to)
		}
	}
	if len(renamed) == 0 {
		return m, nil
	}
	for _, l := range m.spec.layers {
		if strings.Contains(l.name, to) {
			return m, nil // another program's names, some of each kind: they stay as they are
		}
	}
	config, err := m.Config()
	if err != nil {
		return nil, err
	}
	var v any
	if err := unmarshalExact(config, &v); err != nil {
		return nil, err
	}
	if config, err = json.Marshal(renameIn(v, renamed)); err != nil {
		return nil, err
	}
	out, err := Parse(config)
	if err != nil {
		return nil, err
	}
	values := map[string]*tensor.Tensor{}
	for key, t := range nn.Values(m) {
		values[renameKey(key, renamed)] = t
	}
	if _, err := nn.Load(out, values, nn.LoadOptions{Share: true}); err != nil {
		return nil, fmt.Errorf("keras: %w", err)
	}
	out.BGR, out.Preprocess, out.Info, out.Probabilities = m.BGR, m.Preprocess, m.Info, m.Probabilities
	out.Info.Hyphens = to == "-"
	return out, nil
}

// renameIn replaces the names of layers in a config.
func renameIn(v any, names map[string]string) any {
	switch v := v.(type) {
	case string:
		if name, ok := names[v]; ok {
			return name
		}
	case []any:
		for i := range v {
			v[i] = renameIn(v[i], names)
		}
	case map[string]any:
		for k := range v {
			v[k] = renameIn(v[k], names)
		}
	}
	return v
}

// renameKey replaces the layer's name at the start of a state-dict key.
func renameKey(key string, names map[string]string) string {
	for at := len(key); at > 0; at = strings.LastIndexByte(key[:at], '.') {
		if name, ok := names[key[:at]]; ok {
			return name + key[at:]
		}
	}
	return key
}
