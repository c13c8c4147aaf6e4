package weights

import (
	"encoding/json"
	"fmt"

	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/pytorch"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// LoadOptions are the choices of [Handle.Load] and [LoadFrom].
type LoadOptions struct {
	// Dict chooses one of several state dicts in a PyTorch file, such as
	// "model" beside "model_ema"; "" is the preferred one.
	Dict string
	// Deferred leaves large tensors of floating-point numbers in the file, which
	// stays open as long as such a tensor exists: each is read when it is needed
	// (see [tensor.Deferred]). It suits networks that are only run, whose plans
	// keep weights in another form. The file may be replaced by a rename; after a
	// write in place, reading is an error. On Windows, where an open file would block
	// other programs, it does nothing.
	Deferred bool
	// SkipChecksums does not compare the checksums of safetensors files and of
	// PyTorch's zip archives: to save what can be saved of a damaged file, or time.
	SkipChecksums bool
}

// minDeferred is the number of elements from which a matrix is deferred: smaller
// tensors would save next to nothing, and vectors, such as those of batch norms,
// are computed with while a plan is compiled.
const minDeferred = 16 << 10

// Source describes where the tensors of a file came from.
type Source struct {
	Format Format
	// Names are the tensors' names in the order of the file.
	Names []string
	// Dict is the dictionary of a PyTorch file that was taken ("" is its top),
	// Dicts are all that could be.
	Dict  string
	Dicts []string
	// Ignored are entries of the dictionary that are no tensors.
	Ignored []string
}

// Load reads a whole file that holds tensors by name (see [Handle.Load]), with
// its metadata. Half-precision and float64 tensors become float32. An error
// names the file.
func Load(path string) (*File, error) {
	f, _, err := LoadFrom(path, LoadOptions{})
	return f, err
}

// LoadFrom is [Load] with choices. It also describes what it found.
func LoadFrom(path string, opt LoadOptions) (*File, *Source, error) {
	h, err := Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer h.Close()
	return h.Load(opt)
}

// Load reads a safetensors file, a file of PyTorch (.pth, .pt, .th, .bin, in its
// new and old formats), or the index of a file that is cut into several
// (.safetensors.index.json, .bin.index.json) and these. Meta is empty unless the
// file has the metadata of this project. The handle stays the caller's to close.
func (h *Handle) Load(opt LoadOptions) (*File, *Source, error) {
	o, err := h.open(opt)
	if err != nil {
		return nil, nil, err
	}
	defer o.close()
	f := &File{Meta: o.meta, Tensors: map[string]*tensor.Tensor{}}
	for i, name := range o.source.Names {
		var t *tensor.Tensor
		var err error
		if opt.Deferred && steadyfile.Replaceable && deferrable(o.entries[i]) {
			t, err = o.deferredTensor(h.Path(), name)
		} else {
			t, err = o.tensor(name)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", h.Path(), err)
		}
		if t.Deferred() {
			o.keepOpen()
		}
		f.put(name, t)
	}
	return f, &o.source, nil
}

func deferrable(e safetensors.Entry) bool {
	switch e.DType {
	case safetensors.F32, safetensors.F16, safetensors.BF16, safetensors.F64:
		return len(e.Shape) > 1 && e.Shape.Numel() >= minDeferred
	}
	return false
}

// deferredTensor returns a tensor whose errors name the file.
func (o *opened) deferredTensor(path, name string) (*tensor.Tensor, error) {
	t, err := o.deferred(name)
	if err != nil {
		return nil, err
	}
	return tensor.Deferred(func(dst []float32) error {
		if err := t.Read(dst); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	}, t.Shape()...)
}

// LoadMeta reads a file's metadata and the list of its tensors, without reading
// these. Entries of files that are not safetensors have no Begin and End.
func LoadMeta(path string) (*Meta, []safetensors.Entry, error) {
	h, err := Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer h.Close()
	o, err := h.open(LoadOptions{})
	if err != nil {
		return nil, nil, err
	}
	defer o.close()
	return &o.meta, o.entries, nil
}

// opened is a file of a format that [Handle.Load] reads, with its header read.
type opened struct {
	meta    Meta
	source  Source
	entries []safetensors.Entry
	tensor, // reads it now
	deferred func(name string) (*tensor.Tensor, error)
	files []*Handle // that hold the tensors
	parts []*Handle // the files that an index names, opened here
}

// keepOpen keeps the files that hold the tensors open, for tensors that are
// deferred.
func (o *opened) keepOpen() {
	for _, h := range o.files {
		h.KeepOpen()
	}
}

// close closes the parts of a sharded file.
func (o *opened) close() {
	for _, h := range o.parts {
		h.Close() // it was only read
	}
}

func (h *Handle) open(opt LoadOptions) (*opened, error) {
	if opt.Dict != "" && h.format != PyTorch {
		return nil, fmt.Errorf("%s is a file of format %s, which has no dictionary %q in it: only PyTorch's have", h.Path(), h.format, opt.Dict)
	}
	var o *opened
	var err error
	switch h.format {
	case Safetensors:
		o, err = h.openSafetensors(opt)
	case PyTorch:
		o, err = h.openPyTorch(opt)
	case Sharded:
		o, err = h.openSharded(opt)
	default:
		return nil, fmt.Errorf("%s is a file of format %s, which does not hold tensors by PyTorch's names: use resnet convert", h.Path(), h.format)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.Path(), err)
	}
	o.source.Format = h.format
	for _, e := range o.entries {
		o.source.Names = append(o.source.Names, e.Name)
	}
	return o, nil
}

func (h *Handle) openSafetensors(opt LoadOptions) (*opened, error) {
	read := safetensors.NewReader
	if opt.SkipChecksums {
		read = safetensors.NewUncheckedReader
	}
	r, err := read(h, h.Size())
	if err != nil {
		return nil, err
	}
	meta, err := parseMeta(r.Metadata())
	if err != nil {
		return nil, err
	}
	return &opened{meta: meta, entries: r.Entries(), tensor: r.Tensor, deferred: r.Deferred, files: []*Handle{h}}, nil
}

var torchType = map[pytorch.DType]safetensors.DType{
	pytorch.Float64: safetensors.F64, pytorch.Float32: safetensors.F32,
	pytorch.Float16: safetensors.F16, pytorch.BFloat16: safetensors.BF16,
	pytorch.Int64: safetensors.I64, pytorch.Int32: safetensors.I32, pytorch.Int16: safetensors.I16,
	pytorch.Int8: safetensors.I8, pytorch.UInt8: safetensors.U8, pytorch.Bool: safetensors.Bool,
}

func (h *Handle) openPyTorch(opt LoadOptions) (*opened, error) {
	r, err := pytorch.NewReader(h, h.Size(), pytorch.Options{Dict: opt.Dict, SkipChecksums: opt.SkipChecksums})
	if err != nil {
		return nil, err
	}
	o := &opened{tensor: r.Tensor, deferred: r.Deferred, files: []*Handle{h},
		source: Source{Dict: r.Dict(), Dicts: r.Dicts(), Ignored: r.Ignored()}}
	if extra := r.Extra(); extra != nil {
		var texts map[string]string
		if err = json.Unmarshal(extra, &texts); err == nil {
			o.meta, err = parseMeta(texts)
		}
		if err != nil {
			return nil, fmt.Errorf("its metadata: %w", err)
		}
	}
	for _, e := range r.Entries() {
		o.entries = append(o.entries, safetensors.Entry{Name: e.Name, DType: torchType[e.DType], Shape: e.Shape})
	}
	return o, nil
}

// put puts a tensor into Tensors or, if it belongs to the training, State.
func (f *File) put(name string, t *tensor.Tensor) {
	if f.Ours() && IsState(name) {
		if f.State == nil {
			f.State = map[string]*tensor.Tensor{}
		}
		f.State[name] = t
		return
	}
	f.Tensors[name] = t
}
