// Package weights reads and writes tensors by name: safetensors, PyTorch's files,
// and files that are cut into several. It renames tensors ([KeyMap]) and checks
// whether they fit a model ([Fit]). It builds no networks: what a file has about
// the network whose tensors it holds is [Meta], texts that other packages
// interpret; package modelfile makes networks of them.
//
// The project's own model file is a safetensors file with such metadata, enough
// to use the model or to continue its training from the file alone.
package weights

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// The prefixes of the names of tensors that belong to the training and not to
// the model.
const (
	OptimPrefix = "optim." // slots of the optimizer: optim.momentum.conv1.weight
	EMAPrefix   = "ema."   // moving averages: ema.conv1.weight
	// PretextPrefix is of what a training without labels has above the backbone:
	// pretext.projector.0.weight.
	PretextPrefix = "pretext."
)

// MetricSureAbove is the key in [Meta.Metrics] of the probability from which a classifier's
// answers are sure, as resnet calibrate finds it; without it, or 0, none is known.
const MetricSureAbove = "calibration.sure_above"

// IsState reports whether a tensor of this name belongs to the training.
func IsState(name string) bool {
	return strings.HasPrefix(name, OptimPrefix) || strings.HasPrefix(name, EMAPrefix) || strings.HasPrefix(name, PretextPrefix)
}

// DataInfo describes the data that a model was trained on.
type DataInfo struct {
	Spec string `json:"spec"`           // as given to --data
	Hash string `json:"hash,omitempty"` // of the training part's content
	Val  string `json:"val,omitempty"`  // other data that it was evaluated on, as given to --val-data
	// Fold, from 1, of Folds is the part of the data that it was evaluated on, in
	// cross-validation; else 0.
	Fold  int `json:"fold,omitempty"`
	Folds int `json:"folds,omitempty"`
}

// Meta are the metadata of a model file. Fields that a file does not have are
// zero; a file of other origin has none.
type Meta struct {
	// Architecture describes the network, in the JSON of package models or
	// modelfile/keras.
	Architecture json.RawMessage
	Classes      []string // by label
	MultiLabel   bool     // a picture has any number of classes: sigmoid, not softmax
	// Preprocess is data.Preprocess, how a picture becomes the input.
	Preprocess json.RawMessage
	Recipe     string   // the complete recipe, YAML
	Seed       uint64   // of the run
	Command    []string // the command line of the run
	Data       DataInfo
	Metrics    map[string]float64 // of these weights, such as "val.top1"
	// Reference is what the model gives on pictures like those of its training, in the
	// form of resnet serve, which compares it with what it gives later.
	Reference json.RawMessage
	// Training is the state from which package train continues; empty in a file
	// that holds the model only.
	Training json.RawMessage
	// Extra holds the metadata of other programs.
	Extra map[string]string
}

// Ours reports whether the file describes its architecture, so that a network can
// be made from it alone.
func (m *Meta) Ours() bool { return len(m.Architecture) > 0 }

// File is a model file in memory.
type File struct {
	Meta
	Tensors map[string]*tensor.Tensor // the model's, by state-dict key
	State   map[string]*tensor.Tensor // the training's, see [IsState]
}

// The metadata keys. "format" is what other tools look for: tensors are named
// and laid out as PyTorch's.
const (
	keyFormat  = "format"
	keyVersion = "resnet.version"
	version    = "1"
	prefix     = "resnet."
)

// SaveOptions are the choices of [Save].
type SaveOptions struct {
	// Half stores the model's float tensors as float16: half the size, with
	// about three decimal digits. The training's tensors stay as they are.
	Half bool
}

// Save writes a file atomically, see package atomicfile. The same File always
// gives the same bytes.
func Save(path string, f *File, opt SaveOptions) error {
	tensors, err := f.list(opt)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	meta, err := f.Meta.texts()
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return atomicfile.Write(path, func(w io.Writer) error { return safetensors.Write(w, tensors, meta) })
}

// Write writes the file's bytes to w.
func (f *File) Write(w io.Writer, opt SaveOptions) error {
	tensors, err := f.list(opt)
	if err != nil {
		return err
	}
	meta, err := f.Meta.texts()
	if err != nil {
		return err
	}
	return safetensors.Write(w, tensors, meta)
}

func (f *File) list(opt SaveOptions) ([]safetensors.Tensor, error) {
	var ts []safetensors.Tensor
	for _, name := range slices.Sorted(maps.Keys(f.Tensors)) {
		if IsState(name) {
			return nil, fmt.Errorf("the model's tensor %q has a name that is reserved for training state (%s*, %s*, %s*): rename the module", name, OptimPrefix, EMAPrefix, PretextPrefix)
		}
		t := safetensors.Tensor{Name: name, Tensor: f.Tensors[name]}
		if opt.Half && t.Tensor.DType() == tensor.Float32 {
			t.As = safetensors.F16
		}
		ts = append(ts, t)
	}
	for _, name := range slices.Sorted(maps.Keys(f.State)) {
		if !IsState(name) {
			return nil, fmt.Errorf("training state %q must have a name that begins with %s, %s or %s", name, OptimPrefix, EMAPrefix, PretextPrefix)
		}
		ts = append(ts, safetensors.Tensor{Name: name, Tensor: f.State[name]})
	}
	return ts, nil
}

// texts returns the metadata as the format wants them.
func (m *Meta) texts() (map[string]string, error) {
	t := maps.Clone(m.Extra)
	if t == nil {
		t = map[string]string{}
	}
	t[keyFormat], t[keyVersion] = "pt", version
	for _, s := range m.sections() {
		if _, ok := t[prefix+s.key]; ok {
			return nil, fmt.Errorf("metadata %s%s among Meta.Extra: the name is that of a field of Meta", prefix, s.key)
		}
		b, err := s.get()
		if err != nil {
			return nil, fmt.Errorf("metadata %s: %w", s.key, err)
		}
		if b != "" {
			t[prefix+s.key] = b
		}
	}
	return t, nil
}

// section is one field of Meta as a text.
type section struct {
	key string
	get func() (string, error)
	set func(string) error
}

func (m *Meta) sections() []section {
	return []section{
		rawSection("architecture", &m.Architecture),
		jsonSection("classes", &m.Classes, len(m.Classes) == 0),
		jsonSection("multilabel", &m.MultiLabel, !m.MultiLabel),
		rawSection("preprocess", &m.Preprocess),
		{"recipe", func() (string, error) { return m.Recipe, nil },
			func(s string) error { m.Recipe = s; return nil }},
		{"seed", func() (string, error) { return strconv.FormatUint(m.Seed, 10), nil },
			func(s string) (err error) { m.Seed, err = strconv.ParseUint(s, 10, 64); return err }},
		jsonSection("command", &m.Command, len(m.Command) == 0),
		jsonSection("data", &m.Data, m.Data == DataInfo{}),
		jsonSection("metrics", &m.Metrics, len(m.Metrics) == 0),
		rawSection("reference", &m.Reference),
		rawSection("training", &m.Training),
	}
}

func rawSection(key string, v *json.RawMessage) section {
	return section{key,
		func() (string, error) {
			if len(*v) > 0 && !json.Valid(*v) {
				return "", fmt.Errorf("not JSON")
			}
			return string(*v), nil
		},
		func(s string) error {
			if !json.Valid([]byte(s)) {
				return fmt.Errorf("not JSON")
			}
			*v = json.RawMessage(s)
			return nil
		}}
}

func jsonSection[T any](key string, v *T, empty bool) section {
	return section{key,
		func() (string, error) {
			if empty {
				return "", nil
			}
			b, err := json.Marshal(v)
			return string(b), err
		},
		func(s string) error { return json.Unmarshal([]byte(s), v) }}
}

// parseMeta reads the metadata of a file.
func parseMeta(texts map[string]string) (Meta, error) {
	var m Meta
	known := map[string]bool{keyFormat: true, keyVersion: true}
	v, ours := texts[keyVersion]
	if ours && v != version {
		return m, fmt.Errorf("it is version %s of our model file, this program reads version %s", v, version)
	}
	for _, s := range m.sections() {
		// In a file of another program they are not what we write under these names,
		// and must not become that when it is written again.
		known[prefix+s.key] = true
		if text, ok := texts[prefix+s.key]; ok && ours {
			if err := s.set(text); err != nil {
				return m, fmt.Errorf("its metadata %s%s are damaged: %w", prefix, s.key, err)
			}
		}
	}
	for k, v := range texts {
		if !known[k] {
			if m.Extra == nil {
				m.Extra = map[string]string{}
			}
			m.Extra[k] = v
		}
	}
	return m, nil
}

// Read is [Load] for an open reader, such as one of an embedded file.
func Read(r *safetensors.Reader) (*File, error) {
	meta, err := parseMeta(r.Metadata())
	if err != nil {
		return nil, err
	}
	f := &File{Meta: meta, Tensors: map[string]*tensor.Tensor{}}
	for _, e := range r.Entries() {
		t, err := r.Tensor(e.Name)
		if err != nil {
			return nil, err
		}
		f.put(e.Name, t)
	}
	return f, nil
}

// ModelOnly returns the model without its training state, for use and not for
// further training. If the training kept moving averages (EMA), they replace the
// weights, because they are what was evaluated. Tensors are shared with f.
func (f *File) ModelOnly() *File {
	m := &File{Meta: f.Meta, Tensors: maps.Clone(f.Tensors)}
	m.Training = nil
	for name, t := range f.State {
		if of, ok := strings.CutPrefix(name, EMAPrefix); ok {
			if _, ok := m.Tensors[of]; ok {
				m.Tensors[of] = t
			}
		}
	}
	return m
}
