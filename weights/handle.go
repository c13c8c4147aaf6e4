package weights

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/mistaken"
	"github.com/resnet-go/resnet/internal/steadyfile"
)

// Format is a kind of file that holds weights.
type Format string

// The formats. This package reads the first three; package modelfile reads the
// others, which hold whole networks.
const (
	Safetensors Format = "safetensors"
	PyTorch     Format = "PyTorch"
	Sharded     Format = "sharded" // a JSON index and the files that it names
	HDF5        Format = "HDF5"    // Keras' .h5
	Keras       Format = "Keras"   // version 3's .keras
	ONNX        Format = "ONNX"
)

// extensions are the endings of files of each format, in lower case.
var extensions = map[string]Format{
	".safetensors": Safetensors,
	".pth":         PyTorch, ".pt": PyTorch, ".th": PyTorch, ".bin": PyTorch,
	".h5": HDF5, ".hdf5": HDF5, ".keras": Keras, ".onnx": ONNX,
}

// FormatOf returns the format in which a new file is written, from the ending of
// its name. An unknown ending is an error that lists the known ones.
func FormatOf(path string) (Format, error) {
	if f, ok := extensions[strings.ToLower(filepath.Ext(path))]; ok {
		return f, nil
	}
	return "", fmt.Errorf("%s: the ending %q is none of .safetensors, .pth, .pt, .th, .bin, .onnx, .keras, .h5", path, filepath.Ext(path))
}

// Handle is an open file of a known format. All parts of the file are read
// through it, and so come from one file even if another file takes its name.
type Handle struct {
	file   *steadyfile.File
	format Format
	inUse  bool // deferred tensors read from the file
}

// Open opens a file and detects its format. The content decides; where it does
// not, because an ONNX file has no mark, the name's ending does. An error names
// the path. A folder, a pipe or a device is a *limitread.NotRegularError.
func Open(path string) (*Handle, error) {
	f, err := steadyfile.Open(path)
	if err != nil {
		return nil, err
	}
	h := &Handle{file: f}
	if h.format, err = detect(f); err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

func detect(f *steadyfile.File) (Format, error) {
	path := f.Name()
	head := make([]byte, mistaken.Head)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	head = head[:n]
	has := func(at int, mark string) bool { return len(head) >= at && strings.HasPrefix(string(head[at:]), mark) }
	byName, known := extensions[strings.ToLower(filepath.Ext(path))]
	if what := mistaken.For(head); what != "" {
		return "", fmt.Errorf("%s is %s", path, what)
	}
	switch {
	case n == 0:
		return "", fmt.Errorf("%s is empty", path)
	case has(0, "\x89HDF\r\n\x1a\n"):
		return HDF5, nil
	case has(0, "PK\x03\x04"):
		if byName == Keras || isKeras(f) {
			return Keras, nil
		}
		return PyTorch, nil
	case has(8, "{"):
		return Safetensors, nil
	case has(0, "{") && strings.HasSuffix(strings.ToLower(path), ".json"):
		return Sharded, nil
	case n <= 8 && byName == Safetensors: // cut off in the header's length, which may begin with any byte
		return Safetensors, nil
	case has(0, "\x80") && byName != ONNX:
		return PyTorch, nil
	case known:
		return byName, nil
	}
	return "", fmt.Errorf("%s is not a file of weights: it is neither safetensors nor PyTorch, Keras or ONNX", path)
}

// isKeras reports whether a zip archive has the members of a .keras file.
func isKeras(f *steadyfile.File) bool {
	z, err := zip.NewReader(f, f.Size())
	return err == nil && slices.ContainsFunc(z.File, func(m *zip.File) bool { return m.Name == "model.weights.h5" })
}

// Path returns the path by which the file was opened.
func (h *Handle) Path() string { return h.file.Name() }

// Format returns the file's format.
func (h *Handle) Format() Format { return h.format }

// Size returns the number of bytes that the file had when it was opened.
func (h *Handle) Size() int64 { return h.file.Size() }

// ReadAt implements [io.ReaderAt]. A file that has become shorter is an error.
func (h *Handle) ReadAt(p []byte, off int64) (int, error) { return h.file.ReadAt(p, off) }

// Check returns an error if someone has written to the file since it was opened.
func (h *Handle) Check() error { return h.file.Check() }

// KeepOpen makes [Handle.Close] do nothing, for tensors that are read from the
// handle later. The runtime closes the file when nothing refers to it any more.
func (h *Handle) KeepOpen() { h.inUse = true }

// Close closes the file, unless tensors are still to be read from it, see
// [Handle.KeepOpen].
func (h *Handle) Close() error {
	if h.inUse {
		return nil
	}
	return h.file.Close()
}
