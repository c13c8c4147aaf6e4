package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/pytorch"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// Format is a kind of file that holds weights.
type Format string

// The formats. [Load] reads the first three.
const (
	Safetensors Format = "safetensors"
	PyTorch     Format = "PyTorch"
	Sharded     Format = "sharded" // a JSON index and the files that it names
	HDF5        Format = "HDF5"    // Keras' .h5
	Keras       Format = "Keras"   // version 3's .keras
	ONNX        Format = "ONNX"
)

// Extensions are the endings of files of each format, in lower case.
var extensions = map[string]Format{
	".safetensors": Safetensors,
	".pth":         PyTorch, ".pt": PyTorch, ".th": PyTorch, ".bin": PyTorch,
	".h5": HDF5, ".hdf5": HDF5, ".keras": Keras, ".onnx": ONNX,
}

// FormatOf returns the format that a file to be written has by its ending. An
// unknown ending is an error that lists the known ones.
func FormatOf(path string) (Format, error) {
	if f, ok := extensions[strings.ToLower(filepath.Ext(path))]; ok {
		return f, nil
	}
	return "", fmt.Errorf("%s: the ending %q is none of .safetensors, .pth, .pt, .th, .bin, .onnx, .keras, .h5", path, filepath.Ext(path))
}

// Detect returns the format of a file: by its first bytes, and where these say
// nothing (ONNX has no mark) by its ending.
func Detect(path string) (Format, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: not a regular file", path)
	}
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	head = head[:n]
	has := func(at int, mark string) bool { return len(head) >= at && strings.HasPrefix(string(head[at:]), mark) }
	byName, known := extensions[strings.ToLower(filepath.Ext(path))]
	switch {
	case n == 0:
		return "", fmt.Errorf("%s is empty", path)
	case has(0, "\x89HDF\r\n\x1a\n"):
		return HDF5, nil
	case has(0, "PK\x03\x04"):
		if byName == Keras {
			return Keras, nil
		}
		return PyTorch, nil
	case has(8, "{"):
		return Safetensors, nil
	case has(0, "{") && strings.HasSuffix(strings.ToLower(path), ".json"):
		return Sharded, nil
	case has(0, "\x80") && byName != ONNX:
		return PyTorch, nil
	case known:
		return byName, nil
	}
	return "", fmt.Errorf("%s is no file of weights: neither safetensors nor PyTorch, Keras or ONNX", path)
}

// LoadOptions are the choices of [LoadFrom].
type LoadOptions struct {
	// Dict chooses one of several state dicts in a PyTorch file, such as
	// "model" beside "model_ema"; "" is the preferred one.
	Dict string
	// Deferred leaves large tensors of floating-point numbers in the file, which
	// stays open as long as there is one of them: each is read when it is needed
	// (see [tensor.Deferred]). It suits networks that are only run, whose plans
	// keep weights in a form of their own. The file may be replaced by a rename
	// meanwhile; once it was written to in place, reading is an error. Where that
	// would be in the way of other programs (Windows), it does nothing.
	Deferred bool
}

// minDeferred is the number of elements from which a matrix is deferred: smaller
// tensors would save next to nothing, and vectors, such as those of batch norms,
// are computed with while a plan is compiled.
const minDeferred = 16 << 10

// Source says where the tensors of a file came from.
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

// Load reads a file whole: one of our own, or any that holds tensors by name
// ([LoadFrom]). Meta is empty if it is not one of ours. Half-precision and
// float64 tensors become float32. An error names the file.
func Load(path string) (*File, error) {
	f, _, err := LoadFrom(path, LoadOptions{})
	return f, err
}

// LoadFrom is [Load] with choices, and tells what was found: a safetensors
// file, one of PyTorch (.pth, .pt, .th, .bin, in its new and old formats), or
// the index of a file that is cut into several (.safetensors.index.json,
// .bin.index.json). What a file is is seen from its content.
func LoadFrom(path string, opt LoadOptions) (*File, *Source, error) {
	o, err := openFile(path, opt)
	if err != nil {
		return nil, nil, err
	}
	open := false // the file stays so
	defer func() {
		if !open {
			o.close()
		}
	}()
	f := &File{Meta: o.meta, Tensors: map[string]*tensor.Tensor{}}
	for i, name := range o.source.Names {
		var t *tensor.Tensor
		var err error
		if opt.Deferred && steadyfile.Replaceable && deferrable(o.entries[i]) {
			t, err = o.deferredTensor(path, name)
		} else {
			t, err = o.tensor(name)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		open = open || t.Deferred()
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

// LoadMeta reads what a file says about itself and the list of its tensors,
// without reading these. Entries of files that are not safetensors have no
// Begin and End.
func LoadMeta(path string) (*Meta, []safetensors.Entry, error) {
	o, err := openFile(path, LoadOptions{})
	if err != nil {
		return nil, nil, err
	}
	defer o.close()
	return &o.meta, o.entries, nil
}

// opened is an open file of any format that [Load] reads.
type opened struct {
	meta    Meta
	source  Source
	entries []safetensors.Entry
	tensor, // reads it now
	deferred func(name string) (*tensor.Tensor, error)
	close func() error
}

func openFile(path string, opt LoadOptions) (*opened, error) {
	format, err := Detect(path)
	if err != nil {
		return nil, err
	}
	if opt.Dict != "" && format != PyTorch {
		return nil, fmt.Errorf("%s is a file of format %s, which has no dictionary %q in it: only PyTorch's have", path, format, opt.Dict)
	}
	var o *opened
	switch format {
	case Safetensors:
		o, err = openSafetensors(path)
	case PyTorch:
		o, err = openPyTorch(path, opt)
	case Sharded:
		o, err = openSharded(path)
	default:
		return nil, fmt.Errorf("%s is a file of format %s, which does not hold tensors by PyTorch's names: use resnet convert", path, format)
	}
	if err != nil {
		return nil, err
	}
	o.source.Format = format
	for _, e := range o.entries {
		o.source.Names = append(o.source.Names, e.Name)
	}
	return o, nil
}

func openSafetensors(path string) (*opened, error) {
	r, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	meta, err := parseMeta(r.Metadata())
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &opened{meta: meta, entries: r.Entries(), tensor: r.Tensor, deferred: r.Deferred, close: r.Close}, nil
}

var torchType = map[pytorch.DType]safetensors.DType{
	pytorch.Float64: safetensors.F64, pytorch.Float32: safetensors.F32,
	pytorch.Float16: safetensors.F16, pytorch.BFloat16: safetensors.BF16,
	pytorch.Int64: safetensors.I64, pytorch.Int32: safetensors.I32, pytorch.Int16: safetensors.I16,
	pytorch.Int8: safetensors.I8, pytorch.UInt8: safetensors.U8, pytorch.Bool: safetensors.Bool,
}

func openPyTorch(path string, opt LoadOptions) (*opened, error) {
	r, err := pytorch.Open(path, pytorch.Options{Dict: opt.Dict})
	if err != nil {
		return nil, err
	}
	o := &opened{tensor: r.Tensor, deferred: r.Deferred, close: r.Close,
		source: Source{Dict: r.Dict(), Dicts: r.Dicts(), Ignored: r.Ignored()}}
	if extra := r.Extra(); extra != nil {
		var texts map[string]string
		if err = json.Unmarshal(extra, &texts); err == nil {
			o.meta, err = parseMeta(texts)
		}
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("%s: its metadata: %w", path, err)
		}
	}
	for _, e := range r.Entries() {
		o.entries = append(o.entries, safetensors.Entry{Name: e.Name, DType: torchType[e.DType], Shape: e.Shape})
	}
	return o, nil
}

// put files a tensor under the model or the training.
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
