package keras

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/hdf5"
)

// Info is what our own files hold besides what Keras reads; files of other
// programs have none.
type Info struct {
	Architecture json.RawMessage `json:"architecture,omitempty"` // package models' description of the network
	Classes      []string        `json:"classes,omitempty"`
	MultiLabel   bool            `json:"multilabel,omitempty"`
	Preprocess   json.RawMessage `json:"preprocess,omitempty"` // data.Preprocess
	BGR          bool            `json:"bgr,omitempty"`        // see [Model.BGR]
	// Hyphens is set in a file whose layers have hyphens instead of the dots in their
	// names.
	Hyphens bool `json:"hyphens,omitempty"`
}

// kerasVersion is written as the version of files in Keras 3's form.
const kerasVersion = "3.0.0"

// Save writes the model. The ending of the name decides the form: .keras is an
// archive, .weights.h5 weights in Keras 3's form, any other .h5 or .hdf5 a whole
// model in the form of Keras 2, which Keras 3 reads too, by load_model and by
// load_weights. The same model always gives the same bytes.
//
// Behind the end of an HDF5 file, which other programs do not read and cut off when they
// change the file, is its checksum.
//
// A trained optimizer is not kept. Initializers and regularizers of layers are
// kept only where the form stays the same.
func Save(path string, m *Model) error {
	m, err := m.respelled(".", "-")
	if err != nil {
		return err
	}
	var write func(w io.Writer) error
	switch {
	case strings.HasSuffix(path, ".keras"):
		write = m.writeArchive // which has checksums of its own
	case strings.HasSuffix(path, ".weights.h5"):
		write = sealed(m.writeWeights)
	case strings.HasSuffix(path, ".h5"), strings.HasSuffix(path, ".hdf5"):
		write = sealed(m.writeLegacy)
	default:
		return fmt.Errorf("keras: %s: want a name that ends in .keras, .weights.h5 or .h5", path)
	}
	return atomicfile.Write(path, write)
}

func (m *Model) writeArchive(w io.Writer) error {
	config, err := m.Config()
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	member := func(name string, write func(w io.Writer) error) error {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			return err
		}
		return write(f)
	}
	text := func(b []byte) func(w io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(b); return err }
	}
	meta := object{"keras_version": kerasVersion, "date_saved": "1980-01-01@00:00:00"}
	if err := member(metadataMember, text(meta.json())); err != nil {
		return err
	}
	if err := member(configMember, text(config)); err != nil {
		return err
	}
	if err := member(weightsMember, m.writeWeights); err != nil {
		return err
	}
	return z.Close()
}

// info adds what only we read.
func (m *Model) info(b *hdf5.Builder) error {
	info := m.Info
	if m.Preprocess != nil {
		p, err := json.Marshal(m.Preprocess)
		if err != nil {
			return err
		}
		info.Preprocess, info.BGR = p, m.BGR
	}
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	b.Attr(attrInfo, string(text))
	return nil
}

func (m *Model) writeWeights(w io.Writer) error {
	var b hdf5.Builder
	config, err := m.Config()
	if err != nil {
		return err
	}
	b.Attr(attrConfig, string(config))
	if err := m.info(&b); err != nil {
		return err
	}
	if err := m.putV3(&b); err != nil {
		return err
	}
	return hdf5.Write(w, &b)
}

// putV3 adds the weights in Keras 3's form.
func (m *Model) putV3(b *hdf5.Builder) error {
	b.Group("vars").Attr("name", m.spec.name)
	for _, l := range m.groups() {
		mod := m.Modules[l.spec.name]
		g := b.Group("layers/" + l.name)
		if sub, ok := mod.(*Model); ok {
			if err := sub.putV3(g); err != nil {
				return fmt.Errorf("layer %s: %w", l.spec.name, err)
			}
			continue
		}
		made, ok := mod.(layer)
		if !ok {
			continue
		}
		vars := g.Group("vars")
		vars.Attr("name", l.spec.name)
		for i, v := range made.variables() {
			data, err := v.value()
			if err != nil {
				return fmt.Errorf("keras: layer %s: %s: %w", l.spec.name, v.name, err)
			}
			vars.Dataset(fmt.Sprint(i), v.shape(), data)
		}
	}
	return nil
}

// Config returns the model's config as JSON in Keras 3's form, as its
// model.to_json does. [Parse] reads it.
func (m *Model) Config() ([]byte, error) { return m.config(false) }

func (m *Model) config(legacy bool) ([]byte, error) {
	o, err := m.object(legacy)
	if err != nil {
		return nil, err
	}
	return json.Marshal(o)
}

// Parse makes the network that a config describes, in Keras 3's or the legacy
// form, without values.
func Parse(config []byte) (*Model, error) {
	s, err := parseSpec(config)
	if err != nil {
		return nil, err
	}
	m, err := build(s)
	if err != nil {
		return nil, err
	}
	return m, m.knownPreprocess()
}

// object writes a model: as the archive has it, or, without the modules that mark
// Keras 3's form, as .h5 files have it.
func (m *Model) object(legacy bool) (object, error) {
	s := m.spec
	c := object{"name": s.name, "trainable": true}
	layers := []object{}
	if s.class == classSequential && s.input == "" {
		layers = append(layers, m.layerObject("keras.layers", "InputLayer", object{
			"batch_shape": m.kerasShape(s.shape), "dtype": "float32", "sparse": false, "name": s.freeName(s.name + "_input"),
		}, legacy))
	}
	for _, l := range m.layers {
		mod := m.Modules[l.name]
		if mod == nil {
			continue
		}
		var o object
		if sub, ok := mod.(*Model); ok {
			var err error
			if o, err = sub.object(legacy); err != nil {
				return nil, err
			}
			o["config"].(object)["trainable"] = !l.frozen
		} else {
			config, err := l.plainConfig()
			if err != nil {
				return nil, fmt.Errorf("keras: layer %s: %w", l.name, err)
			}
			o = m.layerObject("keras.layers", l.class, config, legacy)
		}
		if s.class == classFunctional {
			o["name"] = l.name
			o["inbound_nodes"] = m.nodes(l)
		}
		if l.op != nil {
			o["inbound_nodes"] = l.nodes
			if !legacy {
				o["module"] = "keras.src.ops.numpy"
			}
		}
		layers = append(layers, o)
	}
	c["layers"] = layers
	if s.class == classSequential {
		c["build_input_shape"] = m.kerasShape(m.inputs)
		return m.layerObject("keras", classSequential, c, legacy), nil
	}
	c["input_layers"] = []any{s.input, 0, 0}
	outputs := []any{}
	for _, r := range s.ends() {
		outputs = append(outputs, []any{r.layer, r.node, 0})
	}
	c["output_layers"] = outputs
	if len(outputs) == 1 {
		c["output_layers"] = outputs[0]
	}
	o := m.layerObject("keras.src.models.functional", classFunctional, c, legacy)
	if !legacy {
		o["registered_name"] = classFunctional
	}
	return o, nil
}

// freeName returns name, or a longer one if a layer has it.
func (s *spec) freeName(name string) string {
	for slices.ContainsFunc(s.layers, func(l *layerSpec) bool { return l.name == name }) {
		name += "_1"
	}
	return name
}

func (m *Model) layerObject(module, class string, config object, legacy bool) object {
	o := object{"class_name": class, "config": config}
	if !legacy {
		o["module"], o["registered_name"] = module, nil
	}
	return o
}

// kerasShape is [null, 224, 224, 3]; height and width stay free where the
// model leaves them so.
func (m *Model) kerasShape(shape []int) []any {
	free := false
	for _, d := range m.spec.shape {
		free = free || d == 0
	}
	out := []any{nil}
	for i, d := range shape {
		if d == 0 || free && len(shape) == 3 && i < 2 {
			out = append(out, nil)
		} else {
			out = append(out, d)
		}
	}
	return out
}

// nodes writes a layer's calls.
func (m *Model) nodes(l *layerSpec) []object {
	nodes := []object{}
	for _, call := range l.calls {
		if len(call) == 0 {
			continue
		}
		var tensors []object
		for _, r := range call {
			tensors = append(tensors, object{"class_name": "__keras_tensor__", "config": object{
				"shape": m.kerasShape(m.shapes[r]), "dtype": "float32", "keras_history": []any{r.layer, r.node, 0},
			}})
		}
		args := []any{tensors}
		if _, ok := m.Modules[l.name].(merger); !ok {
			args[0] = tensors[0]
		}
		nodes = append(nodes, object{"args": args, "kwargs": object{}})
	}
	return nodes
}

// plainConfig returns the layer's config; one of Keras 1 or 2 loses what Keras
// 3 writes otherwise and does not need.
func (l *layerSpec) plainConfig() (object, error) {
	var c object
	if err := unmarshalExact(l.config, &c); err != nil {
		return nil, err
	}
	if l.modern {
		return c, nil
	}
	for k, v := range c {
		switch {
		case strings.HasSuffix(k, "_initializer"), strings.HasSuffix(k, "_regularizer"), strings.HasSuffix(k, "_constraint"):
			delete(c, k)
		case k == "batch_input_shape":
			delete(c, k)
			if l.class == "InputLayer" {
				c["batch_shape"] = v
			}
		case k == "dtype":
			if _, ok := v.(string); !ok {
				c[k] = "float32"
			}
		case k == "input_dtype", k == "ragged", k == "input_spec":
			delete(c, k)
		}
	}
	switch axis := c["axis"].(type) {
	case []any:
		if l.class == "BatchNormalization" && len(axis) == 1 {
			c["axis"] = axis[0]
		}
	}
	switch l.class {
	case "ReLU", "LeakyReLU":
		for _, k := range []string{"negative_slope", "alpha", "threshold"} {
			if v, ok := c[k]; ok {
				n, err := number(v)
				if err != nil {
					return nil, err
				}
				delete(c, k)
				if k == "alpha" {
					k = "negative_slope"
				}
				c[k] = n
			}
		}
	}
	return c, nil
}
