package keras

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/hdf5"
	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
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

// ErrArchitecture is wrapped by the error for a file of weights that does not say
// which network they are for.
var ErrArchitecture = errors.New("the file has weights only and does not say which network they are for")

// Load reads a .keras archive, an .h5 file of a whole model, or an .h5 file of
// weights, whatever its name. See [LoadAs] for weights of networks that
// [Applications] does not list.
func Load(path string) (*Model, error) { return load(path, nil) }

// LoadAs reads an .h5 file of weights, of Keras 2 or 3, into the network that
// config describes, as Keras's model.to_json writes it; see [Application].
func LoadAs(path string, config []byte) (*Model, error) { return load(path, config) }

func load(path string, config []byte) (*Model, error) {
	f, err := steadyfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := read(f, f.Size(), config, ReadOptions{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// ReadOptions are the choices of [Read].
type ReadOptions struct {
	// SkipChecksums does not compare the checksum of an HDF5 file of ours.
	SkipChecksums bool
}

// Read is [Load] for a file of size bytes in r.
func Read(r io.ReaderAt, size int64, opt ReadOptions) (*Model, error) { return read(r, size, nil, opt) }

func read(r io.ReaderAt, size int64, config []byte, opt ReadOptions) (*Model, error) {
	m, err := readFile(r, size, config, opt)
	if err != nil || !m.Info.Hyphens {
		return m, err
	}
	return m.respelled("-", ".")
}

func readFile(r io.ReaderAt, size int64, config []byte, opt ReadOptions) (*Model, error) {
	var magic [4]byte
	if _, err := r.ReadAt(magic[:], 0); err == nil && string(magic[:]) == "PK\x03\x04" {
		if config != nil {
			return nil, errors.New("keras: the archive has a config already: do not give another")
		}
		return readArchive(r, size)
	}
	size, err := unsealed(r, size, opt.SkipChecksums)
	if err != nil {
		return nil, err
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
		sum := crc32.NewIEEE()
		if _, err := io.Copy(sum, io.NewSectionReader(r, at, int64(n))); err != nil {
			return nil, fmt.Errorf("keras: %s: %w", weightsMember, err)
		}
		if sum.Sum32() != w.CRC32 {
			return nil, fmt.Errorf("keras: the checksum of %s is wrong: the file is damaged", weightsMember)
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
			return nil, errors.New("keras: the file has a config already: do not give another")
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
	for _, e := range nn.Params(m) {
		if e.Param.Value != nil {
			continue
		}
		switch {
		case weights.IsCounter(e.Name):
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
		if l.class == "InputLayer" && m.spec.class == classSequential || l.op != nil {
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
