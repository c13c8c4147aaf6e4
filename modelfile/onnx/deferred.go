package onnx

import (
	"fmt"
	"path/filepath"

	"github.com/resnet-go/resnet/internal/memory"
	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/tensor"
)

// minDeferred is the number of elements from which a weight is deferred.
const minDeferred = 16 << 10

// LoadDeferred is [Load], but large weights inside the file stay there until
// they are needed, see [tensor.Deferred]: the file stays open as long as there is
// one of them. It may be replaced by a rename meanwhile; once it was written to
// in place, reading them is an error. It suits networks that are only run. On
// Windows, which would not let others replace the file, it is Load.
func LoadDeferred(path string) (*Model, error) {
	if !steadyfile.Replaceable {
		return Load(path)
	}
	f, err := steadyfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %w", err)
	}
	m, deferred, err := loadDeferred(f, path)
	if err != nil || !deferred {
		f.Close()
	}
	return m, err
}

func loadDeferred(f *steadyfile.File, path string) (m *Model, deferred bool, err error) {
	if f.Size() > MaxFileSize {
		return nil, false, fmt.Errorf("cannot read %s: it is larger than %d bytes, which no ONNX file can be", path, MaxFileSize)
	}
	// The bytes are given back when all but the large weights is decoded.
	data, block := memory.Bytes(int(f.Size()))
	defer block.Free()
	if len(data) > 0 {
		if _, err := f.ReadAt(data, 0); err != nil {
			return nil, false, fmt.Errorf("cannot read %s: %w", path, err)
		}
	}
	if m, err = decodeModel(data, filepath.Dir(path), f); err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	for _, p := range m.Params {
		deferred = deferred || p.Value.Deferred()
	}
	return m, deferred, nil
}

// deferred returns an initialiser as a tensor that is read later, or nil if it
// is not worth it or not possible.
func (x *external) deferred(t *tensorProto, r role) (*tensor.Tensor, error) {
	if x.file == nil || r != roleWeight || !t.elem.isFloat() || len(t.dims) < 2 || !t.hasRaw || t.location == 1 {
		return nil, nil
	}
	shape, err := sized(t.dims)
	if err != nil || shape.Numel() < minDeferred || len(t.raw) != shape.Numel()*t.elem.bytes() {
		return nil, nil // decode tells what is wrong
	}
	at := cap(x.data) - cap(t.raw) // both end where the file's memory ends
	if at < 0 || at+len(t.raw) > len(x.data) || &x.data[at] != &t.raw[0] {
		return nil, nil
	}
	file, elem, name := x.file, t.elem, t.name
	return tensor.Deferred(func(dst []float32) error {
		if err := readFloats(file, int64(at), elem, dst); err != nil {
			return fmt.Errorf("%s: tensor %q: %w", file.Name(), name, err)
		}
		return nil
	}, shape...)
}

// readFloats reads elements that lie in a file from at on.
func readFloats(f *steadyfile.File, at int64, elem elemType, dst []float32) error {
	size := elem.bytes()
	chunk := make([]byte, min(len(dst)*size, 128<<10))
	for len(dst) > 0 {
		n := min(len(dst), len(chunk)/size)
		b := chunk[:n*size]
		if _, err := f.ReadAt(b, at); err != nil {
			return err
		}
		(&static{elem: elem, f: dst[:n]}).fill(b)
		dst, at = dst[n:], at+int64(len(b))
	}
	return f.Check()
}
