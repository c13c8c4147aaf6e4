// Package pytorch reads and writes the files of torch.save: the zip format of
// PyTorch 1.6 and later, the older stream of pickles, and the tar archives of
// 2016. It writes the first.
//
// Such a file is a Python pickle, which is a program. The reader runs only the
// part of it that builds dictionaries, numbers, texts and tensors, with its own
// interpreter that cannot call anything. Objects of all other classes are the data
// that the pickle has about them: a whole module, saved instead of its state dict
// or by TorchScript, gives its parameters and buffers, and what a checkpoint holds
// beside them is left out. A pickle that names a function which would do harm in
// Python (os.system, eval), or that needs an unknown function to make a tensor, is
// refused with a [GlobalError].
//
// The reader trusts nothing. Opening a file needs at most 128 times the size of
// its pickle (limited to 8 MiB; in honest files it has some 100 bytes per tensor),
// and the tensors of the chosen state dict together at most 16 times the size
// of the file: views that would need more are refused when the file is opened.
package pytorch

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/tensor"
)

const (
	maxPickle  = 8 << 20 // bytes
	maxSteps   = 2 << 20 // of pickles, each of which makes a value of some 200 bytes at most; a tensor takes 30
	maxGrowth  = 16      // bytes of all tensors, per byte of the file
	maxRank    = 16
	maxNumel   = 1 << 40
	maxNesting = 16 // of dictionaries in a state dict
)

// FormatError is a file that breaks the rules of the format.
type FormatError struct {
	Problem string

	cause error // such as a read that failed; nil if there is none
}

// Error describes what is wrong.
func (e *FormatError) Error() string { return "pytorch: " + e.Problem }

// Unwrap returns what is behind the problem, such as a read that failed.
func (e *FormatError) Unwrap() error { return e.cause }

// badf returns a FormatError, which wraps what %w stands for.
func badf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &FormatError{err.Error(), errors.Unwrap(err)}
}

// GlobalError is a pickle that names a Python object which would do harm, or that
// needs an unknown function to make a tensor. Loading such a pickle in Python would
// run code of that module.
type GlobalError struct {
	Module, Name string
}

// Error names the object.
func (e *GlobalError) Error() string {
	return fmt.Sprintf("pytorch: the file needs the Python object %s, which is not run; the file is refused. Load it in Python, if you trust it, and save model.state_dict()",
		clip(e.Module+"."+e.Name))
}

// DType is an element type by its name in PyTorch, such as "float32".
type DType string

// The element types that convert to and from tensors.
const (
	Float64  DType = "float64"
	Float32  DType = "float32"
	Float16  DType = "float16"
	BFloat16 DType = "bfloat16"
	Int64    DType = "int64"
	Int32    DType = "int32"
	Int16    DType = "int16"
	Int8     DType = "int8"
	UInt8    DType = "uint8"
	Bool     DType = "bool"
	UInt16   DType = "uint16"
	UInt32   DType = "uint32"
	UInt64   DType = "uint64"
)

// Element types that are known but do not convert.
const (
	complex64  DType = "complex64"
	complex128 DType = "complex128"
)

var sizes = map[DType]int64{
	Float64: 8, Float32: 4, Float16: 2, BFloat16: 2,
	Int64: 8, Int32: 4, Int16: 2, Int8: 1, UInt8: 1, Bool: 1, UInt16: 2, UInt32: 4, UInt64: 8,
	complex64: 8, complex128: 16, "complex32": 4, "qint8": 1, "quint8": 1, "qint32": 4,
	"float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1,
}

// converts reports whether tensors of the type can be read.
func (d DType) converts() bool {
	switch d {
	case Int64, Int32, Int16, Int8, UInt8, Bool, UInt16, UInt32, UInt64:
		return true
	}
	return d.float()
}

// Size returns the bytes of one element.
func (d DType) Size() int { return int(sizes[d]) }

func (d DType) float() bool {
	return d == Float64 || d == Float32 || d == Float16 || d == BFloat16
}

// Entry describes one tensor of the state dict.
type Entry struct {
	Name  string
	DType DType
	Shape tensor.Shape
}

// Options are the choices of [Open].
type Options struct {
	// Dict names the dictionary to take where a file has several, such as
	// "model_ema" or, nested, "checkpoint.model". Empty means the first of
	// [Reader.Dicts].
	Dict string
	// SkipChecksums does not compare the checksums of the zip format.
	SkipChecksums bool
}

// Reader reads the tensors of one file's state dict. Tensors are read from the
// file when asked for. It is safe for concurrent use if its io.ReaderAt is.
type Reader struct {
	src     io.ReaderAt
	close   func() error // of the file that Open opened, or nil
	box     container
	entries []Entry
	views   map[string]*view
	dicts   []string
	dict    string
	ignored []string
	extra   []byte
}

// container is a file format: it finds storages.
type container interface {
	// bytes returns where a storage's bytes are.
	bytes(s *storage) (section, error)
}

// section is a part of the file.
type section struct {
	io.ReaderAt
	size   int64
	sum    uint32 // CRC-32 of the bytes
	hasSum bool   // the format has one
	big    bool   // elements are big-endian
	// checkWhole compares the checksum by reading all bytes; nil if there is none.
	checkWhole func() error
}

// Open opens a file. Close the reader when done; where tensors of
// [Reader.Deferred] outlive it, leave it open: the runtime closes the file of a
// reader that nothing refers to any more. An error names the file.
func Open(path string, opt Options) (*Reader, error) {
	f, err := steadyfile.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f, f.Size(), opt)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.close = f.Close
	return r, nil
}

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

// NewReader reads the pickle of a file of the given size and finds its state
// dict: the dictionary of tensors at the top, or one below it by the names that
// training programs use, or the only one. Prefixes that wrappers add to every
// name ("module.", "_orig_mod.") are removed. A file that breaks the format's
// rules is a *FormatError, one that needs Python code a *GlobalError. If ra has a
// method Check() error, which reports that the file has changed since it was
// opened, deferred tensors call it.
func NewReader(ra io.ReaderAt, size int64, opt Options) (*Reader, error) {
	var head [4]byte
	if size < int64(len(head)) {
		return nil, badf("%d bytes are too few for a file of torch.save", size)
	}
	if _, err := ra.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("pytorch: read the first bytes: %w", err)
	}
	r := &Reader{src: ra}
	var root any
	var err error
	var begin [512]byte
	switch n, _ := ra.ReadAt(begin[:min(size, 512)], 0); { // what is read short is no tar archive
	case string(head[:]) == "PK\x03\x04":
		root, err = r.openZip(ra, size, opt.SkipChecksums)
	case isTar(begin[:n]):
		root, err = r.openTar(ra, size)
	default:
		root, err = r.openStream(ra, size)
	}
	if err != nil {
		return nil, err
	}
	if err := r.choose(root, opt.Dict); err != nil {
		return nil, err
	}
	return r, r.checkStorages(size)
}

// checkStorages finds a file that is cut off before its tensors are read, and
// refuses views that make far more of the file than it has.
func (r *Reader) checkStorages(size int64) error {
	total, seen := int64(0), map[string]bool{}
	for _, e := range r.entries {
		s := r.views[e.Name].storage
		if s.inline == nil && !seen[s.key] {
			seen[s.key] = true
			if s.root != nil {
				s = s.root
			}
			if _, err := r.box.bytes(s); err != nil {
				return err
			}
		}
		n, _ := numel(e.Shape) // checked when the view was made
		per := int64(4)
		if !e.DType.float() {
			per = 8
		}
		total += n * per // at most 2^43 each
		if total > size*maxGrowth {
			return badf("its tensors need more than %d times the file's %d bytes: they are overlapping views", maxGrowth, size)
		}
	}
	return nil
}

// Entries lists the tensors in the order of the state dict; the caller must not
// change it.
func (r *Reader) Entries() []Entry { return r.entries }

// Dicts lists the dictionaries that [Options].Dict can choose, the preferred
// one first; "" is the top of the file. The caller must not change it.
func (r *Reader) Dicts() []string { return r.dicts }

// Dict returns the dictionary that was taken, one of [Reader.Dicts].
func (r *Reader) Dict() string { return r.dict }

// Ignored lists the entries of the state dict that are no tensors; the caller
// must not change it.
func (r *Reader) Ignored() []string { return r.ignored }

// Extra returns the extra bytes that [Write] stored, nil if there are none.
func (r *Reader) Extra() []byte { return r.extra }

// Tensor reads a tensor: floating point as float32 (float64 rounded), whole
// numbers and booleans as int64.
func (r *Reader) Tensor(name string) (*tensor.Tensor, error) {
	v, ok := r.views[name]
	if !ok {
		return nil, fmt.Errorf("pytorch: no tensor %q", name)
	}
	k := v.sink()
	if err := r.read(name, v, k); err != nil {
		return nil, err
	}
	return k.tensor(v.shape)
}

// Deferred is [Reader.Tensor] for a tensor of floating-point numbers whose
// elements stay in the file until they are needed; see [tensor.Deferred]. If the
// file has changed since it was opened, or its checksum is wrong, reading them is
// an error.
func (r *Reader) Deferred(name string) (*tensor.Tensor, error) {
	v, ok := r.views[name]
	if !ok {
		return nil, fmt.Errorf("pytorch: no tensor %q", name)
	}
	if !v.dtype.float() {
		return nil, fmt.Errorf("pytorch: tensor %q is of %s, not of floating-point numbers", name, v.dtype)
	}
	return tensor.Deferred(func(dst []float32) error {
		err := r.read(name, v, &sink{dtype: v.dtype, f: dst})
		if err == nil {
			err = steadyfile.Check(r.src)
		}
		return err
	}, v.shape...)
}

func (r *Reader) read(name string, v *view, k *sink) error {
	s := v.storage
	if s.root != nil {
		s = s.root
	}
	var b section
	var err error
	if s.inline != nil {
		b = section{ReaderAt: bytes.NewReader(s.inline), size: int64(len(s.inline)), big: s.big}
	} else {
		b, err = r.box.bytes(s)
	}
	if err == nil {
		err = v.read(k, b)
	}
	if err != nil {
		return fmt.Errorf("pytorch: tensor %q: %w", name, err)
	}
	return nil
}
