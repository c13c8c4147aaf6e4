package safetensors

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/tensor"
)

// chunk is how many bytes are read at once: they stay in the cache while they
// are decoded. A multiple of every element's size.
const chunk = 128 << 10

// Tensor reads a tensor: F32, F16, BF16 and F64 as float32 (F64 rounded), I64,
// I32, I16, I8, U8 and BOOL as int64. Other types are an error.
func (r *Reader) Tensor(name string) (*tensor.Tensor, error) {
	e, err := r.entry(name)
	if err != nil {
		return nil, err
	}
	switch n := e.Numel(); {
	case isFloat(e.DType):
		x := make([]float32, n)
		if err := r.floats(e, x); err != nil {
			return nil, err
		}
		return tensor.FromFloat32(x, e.Shape...)
	case isInt(e.DType):
		x := make([]int64, n)
		err := r.chunks(e, func(at int, b []byte) { decodeInts(x[at:], b, e.DType) })
		if err != nil {
			return nil, err
		}
		return tensor.FromInt64(x, e.Shape...)
	}
	return nil, &FormatError{Tensor: name, Problem: fmt.Sprintf("dtype %s cannot be used here", e.DType)}
}

// Deferred is [Reader.Tensor] for a tensor of floating-point numbers whose
// elements stay in the file until they are needed; see [tensor.Deferred]. If the
// file has changed since it was opened, reading them is an error.
func (r *Reader) Deferred(name string) (*tensor.Tensor, error) {
	e, err := r.entry(name)
	if err != nil {
		return nil, err
	}
	if !isFloat(e.DType) {
		return nil, &FormatError{Tensor: name, Problem: fmt.Sprintf("dtype %s is not of floating-point numbers", e.DType)}
	}
	return tensor.Deferred(func(dst []float32) error {
		err := r.floats(e, dst)
		if err == nil {
			err = steadyfile.Check(r.r)
		}
		return err
	}, e.Shape...)
}

func (r *Reader) entry(name string) (Entry, error) {
	i, ok := r.index[name]
	if !ok {
		return Entry{}, fmt.Errorf("safetensors: no tensor %q", name)
	}
	return r.entries[i], nil
}

// floats reads the elements of a tensor of floating-point numbers.
func (r *Reader) floats(e Entry, x []float32) error {
	return r.chunks(e, func(at int, b []byte) { decodeFloats(x[at:], b, e.DType) })
}

// chunks reads the bytes of a tensor piece by piece: f gets the number of the
// first element of each. The checksum is computed from what is in the cache anyway.
func (r *Reader) chunks(e Entry, f func(at int, b []byte)) error {
	length, sum := e.End-e.Begin, uint32(0)
	buf := make([]byte, min(length, chunk))
	for at := int64(0); at < length; at += chunk {
		b := buf[:min(length-at, chunk)]
		if n, err := r.r.ReadAt(b, r.data+e.Begin+at); n < len(b) {
			return fmt.Errorf("safetensors: read tensor %q: %w", e.Name, err)
		}
		if r.sums != nil {
			sum = crc32.Update(sum, castagnoli, b)
		}
		f(int(at/size[e.DType]), b)
	}
	return r.check(e.Name, sum)
}

func isFloat(d DType) bool { return d == F32 || d == F16 || d == BF16 || d == F64 }

func isInt(d DType) bool {
	return d == I64 || d == I32 || d == I16 || d == I8 || d == U8 || d == Bool
}

// decodeFloats decodes the elements in b to the beginning of x.
func decodeFloats(x []float32, b []byte, d DType) {
	le := binary.LittleEndian
	x = x[:len(b)/int(size[d])]
	switch d {
	case F32:
		for i := range x {
			x[i] = math.Float32frombits(le.Uint32(b[4*i:]))
		}
	case F16:
		for i := range x {
			x[i] = FromHalf(le.Uint16(b[2*i:]))
		}
	case BF16:
		for i := range x {
			x[i] = math.Float32frombits(uint32(le.Uint16(b[2*i:])) << 16)
		}
	case F64:
		for i := range x {
			x[i] = float32(math.Float64frombits(le.Uint64(b[8*i:])))
		}
	}
}

// decodeInts decodes the elements in b to the beginning of x.
func decodeInts(x []int64, b []byte, d DType) {
	le := binary.LittleEndian
	x = x[:len(b)/int(size[d])]
	switch d {
	case I64:
		for i := range x {
			x[i] = int64(le.Uint64(b[8*i:]))
		}
	case I32:
		for i := range x {
			x[i] = int64(int32(le.Uint32(b[4*i:])))
		}
	case I16:
		for i := range x {
			x[i] = int64(int16(le.Uint16(b[2*i:])))
		}
	case I8:
		for i := range x {
			x[i] = int64(int8(b[i]))
		}
	case U8, Bool:
		for i := range x {
			x[i] = int64(b[i])
		}
	}
}
