package keras

import (
	"encoding/json"
	"fmt"

	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// architecture is the description of a Keras model in our model files, instead
// of the one of package models.
type architecture struct {
	Keras json.RawMessage `json:"keras"` // its config
	BGR   bool            `json:"bgr,omitempty"`
	// Output is the answer of a model with several outputs, "" of others.
	Output string `json:"output,omitempty"`
}

// IsArchitecture reports whether a model file's description of its network
// describes a Keras model, which [FromArchitecture] makes.
func IsArchitecture(b json.RawMessage) bool {
	var a architecture
	return json.Unmarshal(b, &a) == nil && len(a.Keras) > 0
}

// FromArchitecture makes the network that a model file describes, without
// values: [nn.Load] gives it the file's.
func FromArchitecture(b json.RawMessage) (*Model, error) {
	var a architecture
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, fmt.Errorf("keras: the description of the network: %w", err)
	}
	m, err := Parse(a.Keras)
	if err != nil {
		return nil, err
	}
	m.BGR = a.BGR
	if a.Output != "" {
		err = m.SetOutput(a.Output)
	}
	return m, err
}

// File returns the model as the content of our own model file. A network of
// ours that was written for Keras becomes one of package models again;
// others are described by their config.
func (m *Model) File() (*weights.File, error) {
	f := &weights.File{Tensors: nn.Values(m)}
	f.Classes = m.Info.Classes
	f.MultiLabel = m.Info.MultiLabel || m.Final == "sigmoid"
	if m.Preprocess != nil {
		p, err := json.Marshal(m.Preprocess)
		if err != nil {
			return nil, err
		}
		f.Preprocess = p
	}
	for _, e := range nn.Params(m) {
		if f.Tensors[e.Name] == nil {
			return nil, fmt.Errorf("keras: %s has no value", e.Name)
		}
	}
	if f.Architecture = m.Info.Architecture; len(f.Architecture) > 0 {
		return f, nil
	}
	config, err := m.Config()
	if err != nil {
		return nil, err
	}
	a := architecture{Keras: config, BGR: m.BGR}
	if names := m.Outputs(); len(names) > 1 {
		a.Output = names[0]
	}
	f.Architecture, err = json.Marshal(a)
	return f, err
}

// FromFile makes the Keras model of a model file of ours: one that [Model.File]
// gave, or one of a network of package models.
func FromFile(f *weights.File) (*Model, error) {
	f = f.ModelOnly()
	info := Info{Classes: f.Classes, MultiLabel: f.MultiLabel, Preprocess: f.Preprocess}
	if IsArchitecture(f.Architecture) {
		m, err := FromArchitecture(f.Architecture)
		if err != nil {
			return nil, err
		}
		if _, err := nn.Load(m, f.Tensors, nn.LoadOptions{}); err != nil {
			return nil, err
		}
		info.BGR = m.BGR
		m.Info = info
		return m, m.finish()
	}
	if len(f.Architecture) == 0 {
		return nil, fmt.Errorf("keras: the file does not say which network its weights are for")
	}
	cfg, err := models.ParseConfig(f.Architecture)
	if err != nil {
		return nil, fmt.Errorf("only networks of package models, and Keras models, can be written as Keras models: write others as .onnx: %w", err)
	}
	net, err := cfg.Build()
	if err != nil {
		return nil, err
	}
	if _, err := nn.Load(net, f.Tensors, nn.LoadOptions{}); err != nil {
		return nil, err
	}
	m, err := FromModule(net, cfg.Name, net.Input())
	if err != nil {
		return nil, err
	}
	info.Architecture = f.Architecture
	m.Info = info
	return m, m.finish()
}
