package modelfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/modelfile/keras"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// ErrNoNetwork is wrapped by the error of [Open] for a file that holds weights
// and does not say of which network.
var ErrNoNetwork = errors.New("does not say which network its weights are for")

// Texts of ours in the metadata of an ONNX file.
const (
	metaArchitecture = "architecture"
	metaClasses      = "classes"
	metaMultiLabel   = "multilabel"
	metaPreprocess   = "preprocess"
)

// Open reads the network that a file itself describes, with its values: one of
// our own model files, an ONNX graph, a Keras model (.keras, .h5), or NAME@FILE,
// which is [Load]. Files of weights alone are an error that wraps
// [ErrNoNetwork]. Options but Dict and Deferred need NAME@FILE.
func Open(model string, opt Options) (*Result, error) {
	path := model
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		if name, path, ok := strings.Cut(model, "@"); ok {
			return Load(name, path, opt)
		}
	}
	if opt.Keys.Len() > 0 || opt.Partial || opt.Classes != 0 {
		return nil, fmt.Errorf("%s: tensors are renamed or left out only for a network that is named: NAME@%s", model, path)
	}
	format, err := weights.Detect(path)
	if err != nil {
		return nil, err
	}
	if format == weights.ONNX {
		return openONNX(path, opt.Deferred)
	}
	file, source, err := Read(path, weights.LoadOptions{Dict: opt.Dict, Deferred: opt.Deferred})
	if err != nil {
		return nil, err
	}
	r, err := FromFile(path, file)
	if err != nil {
		return nil, err
	}
	r.Source = source
	return r, nil
}

// FromFile makes the network that one of our own model files describes. Errors
// begin with name.
func FromFile(name string, file *weights.File) (*Result, error) {
	r := &Result{File: file.ModelOnly()}
	var err error
	switch arch := r.File.Architecture; {
	case len(arch) == 0:
		return nil, fmt.Errorf("%s %w; give NAME@%s (see resnet models)", name, ErrNoNetwork, name)
	case keras.IsArchitecture(arch):
		var m *keras.Model
		if m, err = keras.FromArchitecture(arch); err == nil {
			r.Module, r.Input, r.Classes = m, m.Input(), m.Classes()
		}
	default:
		var cfg models.Config
		if cfg, err = models.ParseConfig(arch); err == nil {
			r.Model, err = cfg.Build()
		}
		if err == nil {
			r.Module, r.Input, r.Classes = r.Model, r.Model.Input(), cfg.Classes
		}
	}
	if err == nil {
		_, err = nn.Adopt(r.Module, r.File.Tensors, true)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if r.Classes < 1 {
		return nil, fmt.Errorf("%s: the network ends in no vector of classes", name)
	}
	r.File.Tensors = nn.State(r.Module) // with the counters that other formats lack
	return r, nil
}

// Read is [weights.LoadFrom] for files of ONNX and Keras too. The tensors of an
// ONNX file have its initialisers' names; Architecture is empty unless the
// file, of whatever format, describes a network that [FromFile] makes.
func Read(path string, opt weights.LoadOptions) (*weights.File, *weights.Source, error) {
	format, err := weights.Detect(path)
	if err != nil {
		return nil, nil, err
	}
	if opt.Dict == "" {
		switch format {
		case weights.ONNX:
			m, err := loadONNX(path, opt.Deferred)
			if err != nil {
				return nil, nil, err
			}
			return readONNX(path, m)
		case weights.Keras, weights.HDF5:
			m, err := keras.Load(path)
			if errors.Is(err, keras.ErrArchitecture) {
				return nil, nil, fmt.Errorf("%s %w: of weights alone, only those of %s are known", path, ErrNoNetwork, strings.Join(keras.Applications(), ", "))
			}
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", path, err)
			}
			file, err := m.File()
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", path, err)
			}
			return file, sourceOf(format, file), nil
		}
	}
	return weights.LoadFrom(path, opt)
}

func sourceOf(format weights.Format, file *weights.File) *weights.Source {
	return &weights.Source{Format: format, Names: slices.Sorted(maps.Keys(file.Tensors))}
}

// readONNX returns the tensors of a graph and what it says about itself.
func readONNX(path string, m *onnx.Model) (*weights.File, *weights.Source, error) {
	file := &weights.File{Tensors: m.Tensors()}
	texts := m.Metadata()
	for key, v := range map[string]*json.RawMessage{metaArchitecture: &file.Architecture, metaPreprocess: &file.Preprocess} {
		if text := texts[key]; text != "" && json.Valid([]byte(text)) {
			*v = json.RawMessage(text)
		}
	}
	if text := texts[metaClasses]; text != "" {
		if err := json.Unmarshal([]byte(text), &file.Classes); err != nil {
			return nil, nil, fmt.Errorf("%s: its metadata %q: %w", path, metaClasses, err)
		}
	}
	file.MultiLabel = texts[metaMultiLabel] == "true"
	return file, sourceOf(weights.ONNX, file), nil
}

// Metadata returns what [Open] finds in an ONNX file that was written of the
// network of a model file.
func Metadata(f *weights.File) (map[string]string, error) {
	texts := map[string]string{}
	if len(f.Classes) > 0 {
		names, err := json.Marshal(f.Classes)
		if err != nil {
			return nil, err
		}
		texts[metaClasses] = string(names)
	}
	if f.MultiLabel {
		texts[metaMultiLabel] = "true"
	}
	if len(f.Preprocess) > 0 {
		texts[metaPreprocess] = string(f.Preprocess)
	}
	if len(f.Architecture) > 0 {
		texts[metaArchitecture] = string(f.Architecture)
	}
	return texts, nil
}

func loadONNX(path string, deferred bool) (*onnx.Model, error) {
	if deferred {
		return onnx.LoadDeferred(path)
	}
	return onnx.Load(path)
}

// openONNX makes our own network of a file that we wrote with batch norms kept,
// else the file's graph.
func openONNX(path string, deferred bool) (*Result, error) {
	m, err := loadONNX(path, deferred)
	if err != nil {
		return nil, err
	}
	file, source, err := readONNX(path, m)
	if err != nil {
		return nil, err
	}
	if len(file.Architecture) > 0 {
		if r, err := FromFile(path, file); err == nil {
			r.Source = source
			return r, nil
		} // else batch norms were folded: the graph is all there is
		file.Architecture = nil
	}
	r := &Result{Module: m, File: file, Source: source}
	size := 224
	if p := file.Preprocess; len(p) > 0 {
		var prep data.Preprocess
		if err := json.Unmarshal(p, &prep); err != nil {
			return nil, fmt.Errorf("%s: its metadata %q: %w", path, metaPreprocess, err)
		}
		size = prep.Height
	}
	in, err := m.Input(1, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s := in.Shape; len(s) != 4 || s[1] != 1 && s[1] != 3 {
		return nil, fmt.Errorf("%s: its input is %v, not pictures as [N C H W] with 1 or 3 channels", path, s)
	}
	t, err := nn.Trace(m, nn.TraceOptions{Input: in})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := t.Output.Shape
	if len(out) < 2 || out.Numel() != out[1] {
		return nil, fmt.Errorf("%s: its output is %v, not [N classes]", path, out)
	}
	r.Input, r.Classes = in.Shape[1:], out[1]
	if _, end := graph.Logits(t.Output); end == "sigmoid" {
		file.MultiLabel = true
	}
	r.Notes = append(r.Notes, fmt.Sprintf("a graph of opset %d%s, run as it is", m.Opset(), by(m.Producer())))
	if len(file.Classes) != 0 && len(file.Classes) != r.Classes {
		return nil, fmt.Errorf("%s: it names %d classes, its output has %d", path, len(file.Classes), r.Classes)
	}
	if len(file.Preprocess) == 0 && r.Classes == 1000 && r.Input[0] == 3 {
		p, err := data.Preset("imagenet")
		if err != nil {
			return nil, err
		}
		p.Resize, p.Height, p.Width = r.Input[1]*p.Resize/p.Height, r.Input[1], r.Input[2]
		r.Preprocess, r.Why = &p, "usual for ImageNet"
	}
	return r, nil
}

func by(producer string) string {
	if producer == "" {
		return ""
	}
	return " by " + producer
}
