package keras

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/hdf5"
)

// The members of a .keras archive.
const (
	configMember   = "config.json"
	metadataMember = "metadata.json"
	weightsMember  = "model.weights.h5"
)

// Bounds on what is unpacked from an archive of n bytes: config and weights
// that are compressed become at most unpackBase + unpackTimes*n bytes.
const (
	unpackBase, unpackTimes = 64 << 20, 64
)

// ErrArchitecture is wrapped by errors for files of weights that do not tell
// of which network they are.
var ErrArchitecture = errors.New("the file has weights only and does not say of which network")

// Load reads a .keras archive, an .h5 file of a whole model, or an .h5 file of
// weights, whatever its name; see [LoadAs] for files of weights of other
// networks than those that [Applications] lists.
func Load(path string) (*Model, error) { return load(path, nil) }

// LoadAs reads an .h5 file of weights, of Keras 2 or 3, into the network that
// config describes, as Keras's model.to_json writes it; see [Application].
func LoadAs(path string, config []byte) (*Model, error) { return load(path, config) }

func load(path string, config []byte) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	m, err := read(f, info.Size(), config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// Read is [Load] for a file of size bytes in r.
func Read(r io.ReaderAt, size int64) (*Model, error) { return read(r, size, nil) }

func read(r io.ReaderAt, size int64, config []byte) (*Model, error) {
	var magic [4]byte
	if _, err := r.ReadAt(magic[:], 0); err == nil && string(magic[:]) == "PK\x03\x04" {
		if config != nil {
			return nil, errors.New("keras: an archive has a config of its own: leave out another")
		}
		return readArchive(r, size)
	}
	h, err := hdf5.NewReader(r, size)
	if errors.Is(err, hdf5.ErrFormat) {
		return nil, errors.New("keras: neither a .keras archive nor an HDF5 file")
	} else if err != nil {
		return nil, err
	}
	return readH5(h, config)
}

func readArchive(r io.ReaderAt, size int64) (*Model, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("keras: the archive: %w", err)
	}
	members := map[string]*zip.File{}
	for _, f := range z.File {
		if members[f.Name] != nil {
			return nil, fmt.Errorf("keras: the archive has two members %q", f.Name)
		}
		members[f.Name] = f
	}
	if members[configMember] == nil {
		return nil, fmt.Errorf("keras: the archive has no %s: it is no .keras file", configMember)
	}
	limit := uint64(unpackBase + unpackTimes*size)
	config, err := unpack(members[configMember], limit)
	if err != nil {
		return nil, err
	}
	w := members[weightsMember]
	if w == nil {
		return nil, fmt.Errorf("keras: the archive has no %s; weights in other files (.npz, shards) are not supported", weightsMember)
	}
	var h *hdf5.File
	if w.Method == zip.Store {
		// As Keras writes it: read in place.
		at, err := w.DataOffset()
		if err != nil {
			return nil, fmt.Errorf("keras: %s: %w", weightsMember, err)
		}
		n := w.UncompressedSize64
		if n != w.CompressedSize64 || at < 0 || at > size || n > uint64(size-at) {
			return nil, fmt.Errorf("keras: %s is not within the archive", weightsMember)
		}
		h, err = hdf5.NewReader(io.NewSectionReader(r, at, int64(n)), int64(n))
		if err != nil {
			return nil, fmt.Errorf("keras: %s: %w", weightsMember, err)
		}
	} else {
		b, err := unpack(w, limit)
		if err != nil {
			return nil, err
		}
		if h, err = hdf5.NewReader(bytes.NewReader(b), int64(len(b))); err != nil {
			return nil, fmt.Errorf("keras: %s: %w", weightsMember, err)
		}
	}
	s, err := parseSpec(config)
	if err != nil {
		return nil, err
	}
	return assemble(s, h)
}

func unpack(f *zip.File, limit uint64) ([]byte, error) {
	if f.UncompressedSize64 > limit {
		return nil, fmt.Errorf("keras: %s becomes %d bytes, more than is credible", f.Name, f.UncompressedSize64)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("keras: %s: %w", f.Name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("keras: %s: %w", f.Name, err)
	}
	if uint64(len(b)) > limit {
		return nil, fmt.Errorf("keras: %s becomes more than %d bytes", f.Name, limit)
	}
	return b, nil
}

// attributes of our own files and of Keras's.
const (
	attrModelConfig = "model_config"
	attrLayerNames  = "layer_names"
	attrWeightNames = "weight_names"
	attrInfo        = "resnet"        // our Info, JSON
	attrConfig      = "resnet.config" // the model's config in a file of weights
)

func readH5(h *hdf5.File, config []byte) (*Model, error) {
	root := h.Root()
	for _, name := range []string{attrModelConfig, attrConfig} {
		text, err := textAttr(root, name)
		if err != nil {
			return nil, err
		}
		if text == "" {
			continue
		}
		if config != nil && name == attrModelConfig {
			return nil, errors.New("keras: the file has a config of its own: leave out another")
		}
		if config == nil {
			config = []byte(text)
		}
	}
	if config == nil {
		app, err := guess(root)
		if err != nil {
			return nil, err
		}
		if config, err = app.Config(); err != nil {
			return nil, err
		}
	}
	s, err := parseSpec(config)
	if err != nil {
		return nil, err
	}
	return assemble(s, h)
}

// textAttr returns a text attribute, "" if there is none.
func textAttr(g *hdf5.Group, name string) (string, error) {
	a, err := g.Attr(name)
	if errors.Is(err, hdf5.ErrNotFound) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return a.Text()
}

// assemble builds the model and gives it the file's values.
func assemble(s *spec, h *hdf5.File) (*Model, error) {
	m, err := build(s)
	if err != nil {
		return nil, err
	}
	root := h.Root()
	legacy, err := legacyGroup(root)
	if err != nil {
		return nil, err
	}
	if legacy != nil {
		err = m.loadLegacy(legacy)
	} else {
		err = m.loadV3(root)
	}
	if err != nil {
		return nil, fmt.Errorf("keras: model %s: %w", s.name, err)
	}
	text, err := textAttr(root, attrInfo)
	if err != nil {
		return nil, err
	}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &m.Info); err != nil {
			return nil, fmt.Errorf("keras: the attribute %s: %w", attrInfo, err)
		}
	}
	if err := m.finish(); err != nil {
		return nil, err
	}
	return m, nil
}

// finish gives what no file holds its value, and settles the preprocessing.
func (m *Model) finish() error {
	for _, e := range nn.StateDict(m) {
		if e.Param.Value != nil {
			continue
		}
		switch {
		case e.Param.DType == tensor.Int64: // num_batches_tracked
			e.Param.Value = tensor.NewInt64(e.Param.Shape...)
		case strings.HasSuffix(e.Name, ".weight") || strings.HasSuffix(e.Name, ".bias"): // see batchNorm.build
			e.Param.Value = tensor.New(e.Param.Shape...)
			if strings.HasSuffix(e.Name, ".weight") {
				for i := range e.Param.Value.Float32s() {
					e.Param.Value.Float32s()[i] = 1
				}
			}
		default:
			return fmt.Errorf("keras: %s has got no value", e.Name)
		}
	}
	if p := m.Info.Preprocess; len(p) > 0 {
		m.Preprocess = &data.Preprocess{}
		if err := json.Unmarshal(p, m.Preprocess); err != nil {
			return fmt.Errorf("keras: preprocessing: %w", err)
		}
		if err := m.Preprocess.Valid(); err != nil {
			return err
		}
		m.BGR = m.Info.BGR
		return nil
	}
	return m.knownPreprocess()
}

// legacyGroup returns the group with the attribute layer_names, nil if the
// file is not of that form.
func legacyGroup(root *hdf5.Group) (*hdf5.Group, error) {
	g := root
	if g.Has("model_weights") {
		var err error
		if g, err = g.Group("model_weights"); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{attrLayerNames, attrLayerNames + "0"} {
		if _, err := g.Attr(name); err == nil {
			return g, nil
		} else if !errors.Is(err, hdf5.ErrNotFound) {
			return nil, err
		}
	}
	return nil, nil
}

// namesAttr reads a list of names, which Keras cuts into several attributes
// where it is long.
func namesAttr(g *hdf5.Group, name string) ([]string, error) {
	a, err := g.Attr(name)
	if err == nil {
		if len(a.Shape) == 1 && a.Shape[0] == 0 { // h5py makes an empty list one of numbers
			return nil, nil
		}
		return a.Strings()
	}
	if !errors.Is(err, hdf5.ErrNotFound) {
		return nil, err
	}
	var all []string
	for i := 0; ; i++ {
		a, err := g.Attr(fmt.Sprintf("%s%d", name, i))
		if errors.Is(err, hdf5.ErrNotFound) && i > 0 {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		s, err := a.Strings()
		if err != nil {
			return nil, err
		}
		all = append(all, s...)
	}
}

// readInto reads a dataset into a variable.
func readInto(g *hdf5.Group, path string, v variable) error {
	d, err := g.Dataset(path)
	if err != nil {
		return err
	}
	want := v.shape()
	if !slices.Equal(d.Shape, want) {
		return fmt.Errorf("%s is %v in the file, the layer wants %v", v.name, d.Shape, want)
	}
	if v.param.DType == tensor.Int64 {
		n, err := d.Int64s()
		if err != nil {
			return err
		}
		v.param.Value, err = tensor.FromInt64(n, v.param.Shape...)
		return err
	}
	values, err := floats(d)
	if err != nil {
		return err
	}
	return v.set(values)
}

// floats reads numbers; bfloat16 is stored as opaque bytes, as h5py has no
// such type.
func floats(d *hdf5.Dataset) ([]float32, error) {
	if d.Type.Class != hdf5.Other || d.Type.Size != 2 {
		return d.Float32s()
	}
	a, err := d.Attr("dtype")
	if err != nil {
		return nil, err
	}
	if t, err := a.Text(); err != nil || t != "bfloat16" {
		return nil, fmt.Errorf("%s: elements of an unknown type %q", d.Path, t)
	}
	b, err := d.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(b)/2)
	for i := range out {
		out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
	}
	return out, nil
}

// named is a layer with the name of its group in a file of Keras 3.
type named struct {
	name string
	spec *layerSpec
}

// groups returns the layers with the names of their groups: classes in snake
// case, counted (keras/src/saving/saving_lib.py, _save_container_state).
func (m *Model) groups() []named {
	used := map[string]int{}
	var out []named
	for _, l := range m.layers {
		if l.class == "InputLayer" && m.spec.class == classSequential {
			continue
		}
		class := l.class
		if l.sub != nil {
			class = l.sub.class
		}
		name := snakeCase(class)
		n, again := used[name]
		if again {
			n++
			out = append(out, named{fmt.Sprintf("%s_%d", name, n), l})
		} else {
			out = append(out, named{name, l})
		}
		used[name] = n
	}
	return out
}

var (
	snakeWord = regexp.MustCompile(`(.)([A-Z][a-z]+)`)
	snakeEdge = regexp.MustCompile(`([a-z])([A-Z])`)
)

// snakeCase is keras/src/utils/naming.py's to_snake_case.
func snakeCase(s string) string {
	s = snakeWord.ReplaceAllString(s, "${1}_${2}")
	return strings.ToLower(snakeEdge.ReplaceAllString(s, "${1}_${2}"))
}

// loadV3 reads weights in Keras 3's form: layers/conv2d/vars/0.
func (m *Model) loadV3(g *hdf5.Group) error {
	in := "layers"
	if !g.Has(in) && g.Has("_layer_checkpoint_dependencies") { // Keras 2.13
		in = "_layer_checkpoint_dependencies"
	}
	layers, err := g.Group(in)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, l := range m.groups() {
		known[l.name] = true
		mod := m.Modules[l.spec.name]
		if sub, ok := mod.(*Model); ok {
			inner, err := layers.Group(l.name)
			if err == nil {
				err = sub.loadV3(inner)
			}
			if err != nil {
				return fmt.Errorf("layer %s: %w", l.spec.name, err)
			}
			continue
		}
		made, ok := mod.(layer)
		if !ok {
			continue
		}
		vars := made.variables()
		n, err := countVars(layers, l.name)
		if err == nil && n != len(vars) {
			err = fmt.Errorf("the file has %d variables, the layer %d", n, len(vars))
		}
		for i, v := range vars {
			if err == nil {
				err = readInto(layers, fmt.Sprintf("%s/vars/%d", l.name, i), v)
			}
		}
		if err != nil {
			return fmt.Errorf("layer %s (%s): %w", l.spec.name, l.name, err)
		}
	}
	for _, name := range layers.Names() {
		if known[name] {
			continue
		}
		if n, err := countVars(layers, name); err != nil || n > 0 {
			return errors.Join(err, fmt.Errorf("the file has weights of %s, which the model has not", name))
		}
	}
	return nil
}

// countVars returns how many datasets a layer's group holds.
func countVars(layers *hdf5.Group, name string) (int, error) {
	if !layers.Has(name) {
		return 0, nil
	}
	g, err := layers.Group(name)
	if err != nil {
		return 0, err
	}
	if !g.Has("vars") {
		return 0, nil
	}
	if g, err = g.Group("vars"); err != nil {
		return 0, err
	}
	return len(g.Names()), nil
}

// leaf is a layer's variables with its name, at any depth.
type leaf struct {
	name string
	vars []variable
}

// leaves returns the layers with variables of a module, in Keras's order.
func leaves(name string, mod nn.Module) []leaf {
	switch mod := mod.(type) {
	case *Model:
		var all []leaf
		for _, l := range mod.layers {
			all = append(all, leaves(l.name, mod.Modules[l.name])...)
		}
		return all
	case layer:
		if vars := mod.variables(); len(vars) > 0 {
			return []leaf{{name, vars}}
		}
	}
	return nil
}

// loadLegacy reads weights in the form of Keras 1 and 2, by the layers' names.
func (m *Model) loadLegacy(g *hdf5.Group) error {
	names, err := namesAttr(g, attrLayerNames)
	if err != nil {
		return err
	}
	inFile := map[string][]string{}
	for _, name := range names {
		if inFile[name] != nil {
			return fmt.Errorf("the file names the layer %q twice", name)
		}
		lg, err := g.Group(name)
		if err != nil {
			return err
		}
		w, err := namesAttr(lg, attrWeightNames)
		if err != nil {
			return fmt.Errorf("layer %s: %w", name, err)
		}
		if len(w) > 0 {
			inFile[name] = w
		}
	}
	for _, l := range m.layers {
		ls := leaves(l.name, m.Modules[l.name])
		if len(ls) == 0 {
			continue
		}
		weights, ok := inFile[l.name]
		if !ok {
			return fmt.Errorf("the file has no weights of layer %s", l.name)
		}
		delete(inFile, l.name)
		lg, err := g.Group(l.name)
		if err == nil {
			err = loadLeaves(lg, ls, weights)
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.name, err)
		}
	}
	for name := range inFile {
		return fmt.Errorf("the file has weights of %q, which the model has not", name)
	}
	return nil
}

// loadLeaves reads the weights of one layer: in Keras's order, or, for a model
// that is a layer, by the ends of their names ("…/conv1_conv/kernel:0").
func loadLeaves(g *hdf5.Group, ls []leaf, weights []string) error {
	n := 0
	for _, l := range ls {
		n += len(l.vars)
	}
	if n != len(weights) {
		return fmt.Errorf("the file has %d weights, the layer %d", len(weights), n)
	}
	if len(ls) == 1 {
		for i, v := range ls[0].vars {
			if err := readInto(g, weights[i], v); err != nil {
				return err
			}
		}
		return nil
	}
	byEnd := map[string]string{}
	for _, w := range weights {
		parts := strings.Split(strings.TrimSuffix(w, ":0"), "/")
		end := strings.Join(parts[max(len(parts)-2, 0):], "/")
		if byEnd[end] != "" {
			return fmt.Errorf("two weights of the name %q", end)
		}
		byEnd[end] = w
	}
	for _, l := range ls {
		for _, v := range l.vars {
			w, ok := byEnd[l.name+"/"+v.name]
			if !ok && v.form == formDepthwise { // Keras 3 calls it so
				w, ok = byEnd[l.name+"/kernel"]
			}
			if !ok {
				return fmt.Errorf("the file has no weight %s/%s", l.name, v.name)
			}
			if err := readInto(g, w, v); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
		}
	}
	return nil
}
