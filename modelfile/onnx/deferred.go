package onnx

import (
	"fmt"
	"hash/crc32"
	"io"

	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/tensor"
)

// minDeferred is the number of elements from which a weight is deferred.
const minDeferred = 16 << 10

// LoadDeferred is [Load], but large weights inside the file stay there until
// they are needed, see [tensor.Deferred]: the file stays open as long as such a
// weight exists. It may be replaced by a rename; after a write in place, reading
// weights is an error. It suits networks that are only run. On Windows,
// where an open file would block other programs, it is Load.
func LoadDeferred(path string) (*Model, error) {
	if !steadyfile.Replaceable {
		return Load(path)
	}
	f, err := steadyfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %w", err)
	}
	m, err := Read(f, f.Size(), ReadOptions{Path: path, Deferred: true})
	if err != nil || !m.Deferred() {
		f.Close()
	}
	return m, err
}

// Deferred reports whether weights of the model are still to be read from its
// file.
func (m *Model) Deferred() bool {
	for _, p := range m.Params {
		if p.Value != nil && p.Value.Deferred() {
			return true
		}
	}
	for _, q := range m.integers {
		if q.Deferred() {
			return true
		}
	}
	return false
}

// deferred returns an initializer as a tensor that is read later, or nil if that
// is impossible or would save next to nothing.
func (x *external) deferred(t *tensorProto, r role) (*tensor.Tensor, error) {
	wanted := r == roleWeight && t.elem.isFloat() || r == roleInteger && t.elem.bytes() == 1
	if x.src == nil || !wanted || len(t.dims) < 2 || !t.hasRaw && t.location != 1 {
		return nil, nil
	}
	shape, err := sized(t.dims)
	if err == nil && t.location == 1 && shape.Numel() >= minDeferred {
		return x.deferredOutside(t, shape)
	}
	if err != nil || shape.Numel() < minDeferred || len(t.raw) != shape.Numel()*t.elem.bytes() {
		return nil, nil // decode reports what is wrong
	}
	at := cap(x.data) - cap(t.raw) // both end where the file's memory ends
	if at < 0 || at+len(t.raw) > len(x.data) || &x.data[at] != &t.raw[0] {
		return nil, nil
	}
	src, path, elem, name := x.src, x.path, t.elem, t.name
	return tensor.Deferred(func(dst []float32) error {
		if err := readFloats(src, int64(at), elem, dst, ""); err != nil {
			return fmt.Errorf("%s: tensor %q: %w", path, name, err)
		}
		return nil
	}, shape...)
}

// deferredOutside is deferred for a tensor that is in another file.
func (x *external) deferredOutside(t *tensorProto, shape tensor.Shape) (*tensor.Tensor, error) {
	location, f, offset, err := x.place(t, int64(shape.Numel())*int64(t.elem.bytes()))
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.name, err)
	}
	x.kept[location] = true
	elem, name, sum := t.elem, t.name, x.sums[t.name]
	return tensor.Deferred(func(dst []float32) error {
		if err := readFloats(f, offset, elem, dst, sum); err != nil {
			return fmt.Errorf("%s: tensor %q: %w", f.Name(), name, err)
		}
		return nil
	}, shape...)
}

// readFloats reads elements that lie in a file from at on: floats, or integers of
// a byte. sum is the checksum of their bytes, "" for none.
func readFloats(r io.ReaderAt, at int64, elem elemType, dst []float32, sum string) error {
	size := elem.bytes()
	var have uint32
	chunk := make([]byte, min(len(dst)*size, 128<<10))
	for len(dst) > 0 {
		n := min(len(dst), len(chunk)/size)
		b := chunk[:n*size]
		if _, err := r.ReadAt(b, at); err != nil {
			return err
		}
		if sum != "" {
			have = crc32.Update(have, castagnoli, b)
		}
		if elem.isFloat() {
			(&static{elem: elem, f: dst[:n]}).fill(b)
		} else {
			for i, v := range b {
				dst[i] = float32(wrap(elem, int64(v)))
			}
		}
		dst, at = dst[n:], at+int64(len(b))
	}
	if err := steadyfile.Check(r); err != nil || sum == "" || sum == sumText(have) {
		return err
	}
	return ErrChecksum
}
