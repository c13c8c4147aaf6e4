package pytorch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/safetensors"
)

const chunk = 1 << 16 // bytes; a multiple of every element's size

// copyTo writes the section to w and checks its sum.
func (s section) copyTo(w io.Writer) error {
	h := crc32.NewIEEE()
	if _, err := io.CopyBuffer(io.MultiWriter(w, h), io.NewSectionReader(s, 0, s.size), make([]byte, chunk)); err != nil {
		return err
	}
	return s.check(h.Sum32())
}

func (s section) check(sum uint32) error {
	// Zero stands for no sum: PyTorch has an option to leave it out.
	if s.hasSum && s.sum != 0 && sum != s.sum {
		return badf("its checksum is wrong: the file is damaged")
	}
	return nil
}

// checkAll compares the checksum of all bytes, where only a part of them was read.
func (s section) checkAll() error {
	if s.checkWhole == nil {
		return nil
	}
	return s.checkWhole()
}

// sink takes elements in the file's form.
type sink struct {
	dtype DType
	f     []float32 // for floating point
	i     []int64   // for the rest
}

// put decodes the elements in b to at, at+1, …
func (k *sink) put(at int, b []byte) {
	le := binary.LittleEndian
	switch k.dtype {
	case Float32:
		out := k.f[at : at+len(b)/4]
		for i := range out {
			out[i] = math.Float32frombits(le.Uint32(b[4*i:]))
		}
	case Float16:
		for i := range len(b) / 2 {
			k.f[at+i] = safetensors.FromHalf(le.Uint16(b[2*i:]))
		}
	case BFloat16:
		for i := range len(b) / 2 {
			k.f[at+i] = math.Float32frombits(uint32(le.Uint16(b[2*i:])) << 16)
		}
	case Float64:
		for i := range len(b) / 8 {
			k.f[at+i] = float32(math.Float64frombits(le.Uint64(b[8*i:])))
		}
	case Int64:
		for i := range len(b) / 8 {
			k.i[at+i] = int64(le.Uint64(b[8*i:]))
		}
	case Int32:
		for i := range len(b) / 4 {
			k.i[at+i] = int64(int32(le.Uint32(b[4*i:])))
		}
	case Int16:
		for i := range len(b) / 2 {
			k.i[at+i] = int64(int16(le.Uint16(b[2*i:])))
		}
	case UInt16:
		for i := range len(b) / 2 {
			k.i[at+i] = int64(le.Uint16(b[2*i:]))
		}
	case UInt32:
		for i := range len(b) / 4 {
			k.i[at+i] = int64(le.Uint32(b[4*i:]))
		}
	case UInt64:
		for i := range len(b) / 8 {
			k.i[at+i] = int64(le.Uint64(b[8*i:]))
		}
	case Int8:
		for i, x := range b {
			k.i[at+i] = int64(int8(x))
		}
	case UInt8, Bool:
		for i, x := range b {
			k.i[at+i] = int64(x)
		}
	}
}

// tensor wraps what was decoded.
func (k *sink) tensor(shape tensor.Shape) (*tensor.Tensor, error) {
	if k.dtype.float() {
		return tensor.FromFloat32(k.f, shape...)
	}
	return tensor.FromInt64(k.i, shape...)
}

// sink returns room for the view's elements.
func (v *view) sink() *sink {
	n, _ := numel(v.shape)
	k := &sink{dtype: v.dtype}
	if v.dtype.float() {
		k.f = make([]float32, n)
	} else {
		k.i = make([]int64, n)
	}
	return k
}

// read reads the view's elements from its storage's bytes. Besides the memory of
// the elements it needs a buffer or, for a view that is not contiguous, the bytes
// that the view spans.
func (v *view) read(k *sink, s section) error {
	if n, _ := numel(v.shape); n == 0 {
		return nil
	}
	first, size := v.offset, sizes[v.dtype]
	if v.storage.root != nil {
		first += v.storage.first
	}
	span := v.span(maxNumel)
	begin, end := first*size, (first+span)*size
	if end > s.size {
		return badf("it is beyond its storage")
	}
	if v.contiguous() {
		return v.stream(k, s, begin, end)
	}
	b := make([]byte, end-begin)
	if _, err := s.ReadAt(b, begin); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if int64(len(b)) < s.size {
		if err := s.checkAll(); err != nil {
			return err
		}
	} else if err := s.check(crc32.ChecksumIEEE(b)); err != nil {
		return err
	}
	if s.big {
		swap(b, size)
	}
	v.gather(k, b)
	return nil
}

// stream decodes a contiguous view chunk by chunk.
func (v *view) stream(k *sink, s section, begin, end int64) error {
	buf := make([]byte, min(chunk, end-begin))
	sum, whole := uint32(0), end-begin == s.size
	step := int(sizes[v.dtype])
	for at := begin; at < end; {
		b := buf[:min(int64(len(buf)), end-at)]
		if _, err := s.ReadAt(b, at); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if whole && s.hasSum {
			sum = crc32.Update(sum, crc32.IEEETable, b)
		}
		if s.big {
			swap(b, int64(step))
		}
		k.put(int(at-begin)/step, b)
		at += int64(len(b))
	}
	if whole {
		return s.check(sum)
	}
	return s.checkAll()
}

// gather decodes the elements of a strided view, b being its span.
func (v *view) gather(k *sink, b []byte) {
	size := sizes[v.dtype]
	index := make([]int, len(v.shape))
	at := int64(0)
	for out := 0; ; out++ {
		k.put(out, b[at*size:(at+1)*size])
		d := len(index) - 1
		for ; d >= 0; d-- {
			index[d]++
			at += v.stride[d]
			if index[d] < v.shape[d] {
				break
			}
			at -= int64(index[d]) * v.stride[d]
			index[d] = 0
		}
		if d < 0 {
			return
		}
	}
}
