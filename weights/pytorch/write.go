package pytorch

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"strconv"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// Tensor is a tensor to be written.
type Tensor struct {
	Name   string
	Tensor *tensor.Tensor
	// As is the type in the file: Float32 (the default), Float16 or BFloat16
	// for float32, Int64 (the default) for int64.
	As DType
}

const (
	archive   = "archive" // the name of the folder that all records are in
	alignment = 64        // of storages, as PyTorch aligns them
)

// Write writes a state dict, an OrderedDict in the order of the tensors, in the
// zip format; torch.load reads it, with weights_only=True too. The same tensors
// always give the same bytes. Extra, if not nil, is stored in a record that
// torch.load ignores and [Reader.Extra] returns.
func Write(w io.Writer, tensors []Tensor, extra []byte) error {
	ts := make([]Tensor, len(tensors))
	seen := map[string]bool{}
	for i, t := range tensors {
		if seen[t.Name] {
			return fmt.Errorf("pytorch: tensor %q is given twice", t.Name)
		}
		seen[t.Name] = true
		var err error
		if ts[i], err = typed(t); err != nil {
			return err
		}
	}
	count := &counter{w: w}
	zw := zip.NewWriter(count)
	record := func(name string, size int64, put func(io.Writer) error) error {
		return writeRecord(zw, count, archive+"/"+name, size, put)
	}
	raw := func(name string, b []byte) error {
		return record(name, int64(len(b)), func(w io.Writer) error { _, err := w.Write(b); return err })
	}
	if err := raw("data.pkl", stateDict(ts)); err != nil {
		return err
	}
	if err := raw("byteorder", []byte("little")); err != nil {
		return err
	}
	for i, t := range ts {
		size := int64(t.Tensor.Numel() * t.As.Size())
		if err := record("data/"+strconv.Itoa(i), size, t.encode); err != nil {
			return err
		}
	}
	if extra != nil {
		if len(extra) > maxExtra {
			return fmt.Errorf("pytorch: %d bytes of metadata are over the limit of %d", len(extra), maxExtra)
		}
		if err := raw(extraRecord, extra); err != nil {
			return err
		}
	}
	if err := raw("version", []byte("3\n")); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return fmt.Errorf("pytorch: %w", err)
	}
	return nil
}

// typed fills in the type in the file and checks it.
func typed(t Tensor) (Tensor, error) {
	isFloat := t.Tensor.DType() == tensor.Float32
	if t.As == "" {
		t.As = Int64
		if isFloat {
			t.As = Float32
		}
	}
	ok := t.As == Int64
	if isFloat {
		ok = t.As == Float32 || t.As == Float16 || t.As == BFloat16
	}
	if !ok {
		return t, fmt.Errorf("pytorch: tensor %q is %s and cannot be written as %s", t.Name, t.Tensor.DType(), t.As)
	}
	if len(t.Name) > math.MaxInt32 {
		return t, fmt.Errorf("pytorch: a tensor's name has %d bytes", len(t.Name))
	}
	return t, nil
}

// counter knows how many bytes went through.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// writeRecord writes a record, uncompressed, its bytes aligned. The sum must be
// in front of the bytes, so put runs twice.
func writeRecord(zw *zip.Writer, count *counter, name string, size int64, put func(io.Writer) error) error {
	if size > math.MaxUint32-1 {
		return fmt.Errorf("pytorch: record %q has %d bytes, the limit is 4 GiB", name, size)
	}
	sum := crc32.NewIEEE()
	if err := putAll(sum, put); err != nil {
		return err
	}
	// What is in the zip writer's buffer must be counted.
	if err := zw.Flush(); err != nil {
		return fmt.Errorf("pytorch: %w", err)
	}
	const header, field = 30, 4 // of a local file header, of an extra field's id and size
	at := count.n + header + int64(len(name)) + field
	pad := (alignment - at%alignment) % alignment
	extra := append([]byte{'F', 'B', byte(pad), 0}, bytes.Repeat([]byte{'Z'}, int(pad))...) // as PyTorch pads
	fw, err := zw.CreateRaw(&zip.FileHeader{
		Name: name, Method: zip.Store, Extra: extra,
		CRC32: sum.Sum32(), CompressedSize64: uint64(size), UncompressedSize64: uint64(size),
	})
	if err != nil {
		return fmt.Errorf("pytorch: %w", err)
	}
	return putAll(fw, put)
}

// putAll is put with large writes; a hash needs no buffer.
func putAll(w io.Writer, put func(io.Writer) error) error {
	if h, ok := w.(hash.Hash); ok {
		return put(h)
	}
	bw := bufio.NewWriterSize(w, chunk)
	if err := put(bw); err != nil {
		return err
	}
	return bw.Flush()
}

func (t Tensor) encode(w io.Writer) error {
	le := binary.LittleEndian
	n, step := t.Tensor.Numel(), t.As.Size()
	buf := make([]byte, 0, min(chunk, n*step))
	for i := 0; i < n; {
		b := buf[:0]
		for ; i < n && len(b) <= cap(buf)-step; i++ {
			switch t.As {
			case Float32:
				b = le.AppendUint32(b, math.Float32bits(t.Tensor.Float32s()[i]))
			case Float16:
				b = le.AppendUint16(b, safetensors.ToHalf(t.Tensor.Float32s()[i]))
			case BFloat16:
				b = le.AppendUint16(b, toBFloat16(t.Tensor.Float32s()[i]))
			default:
				b = le.AppendUint64(b, uint64(t.Tensor.Int64s()[i]))
			}
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// toBFloat16 rounds to nearest, ties to even.
func toBFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	if f != f {
		return uint16(b>>16) | 0x40 // stays a NaN
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// pickler writes protocol 2, the only one that weights_only=True reads in every
// version.
type pickler struct {
	b    []byte
	memo map[string]uint32 // texts and globals
}

// stateDict pickles OrderedDict([(name, tensor)…]); storage i has the key i.
func stateDict(ts []Tensor) []byte {
	p := &pickler{b: []byte{0x80, 2}, memo: map[string]uint32{}}
	p.emptyOrderedDict()
	p.op('(')
	for i, t := range ts {
		p.text(t.Name)
		p.tensor(t, strconv.Itoa(i))
	}
	p.op('u', '.')
	return p.b
}

func (p *pickler) op(b ...byte) { p.b = append(p.b, b...) }

// put stores the value just written in the memo.
func (p *pickler) put(key string) {
	n := uint32(len(p.memo))
	p.memo[key] = n
	if n < 256 {
		p.op('q', byte(n))
		return
	}
	p.b = binary.LittleEndian.AppendUint32(append(p.b, 'r'), n)
}

// get writes a value of the memo again, if it is there.
func (p *pickler) get(key string) bool {
	n, ok := p.memo[key]
	switch {
	case !ok:
	case n < 256:
		p.op('h', byte(n))
	default:
		p.b = binary.LittleEndian.AppendUint32(append(p.b, 'j'), n)
	}
	return ok
}

func (p *pickler) text(s string) {
	if p.get("t" + s) {
		return
	}
	p.b = binary.LittleEndian.AppendUint32(append(p.b, 'X'), uint32(len(s)))
	p.b = append(p.b, s...)
	p.put("t" + s)
}

func (p *pickler) global(module, name string) {
	key := "g" + module + "." + name
	if p.get(key) {
		return
	}
	p.b = append(p.b, 'c')
	p.b = append(p.b, module+"\n"+name+"\n"...)
	p.put(key)
}

func (p *pickler) emptyOrderedDict() {
	p.global("collections", "OrderedDict")
	p.op(')', 'R')
}

func (p *pickler) number(n int64) {
	switch {
	case n >= 0 && n < 1<<8:
		p.op('K', byte(n))
	case n >= 0 && n < 1<<16:
		p.b = binary.LittleEndian.AppendUint16(append(p.b, 'M'), uint16(n))
	case n >= math.MinInt32 && n <= math.MaxInt32:
		p.b = binary.LittleEndian.AppendUint32(append(p.b, 'J'), uint32(n))
	default:
		p.b = binary.LittleEndian.AppendUint64(append(p.b, 0x8a, 8), uint64(n))
	}
}

func (p *pickler) tuple(ns []int64) {
	p.op('(')
	for _, n := range ns {
		p.number(n)
	}
	p.op('t')
}

var storageName = func() map[DType]string {
	m := map[DType]string{}
	for name, d := range storageTypes {
		m[d] = name
	}
	return m
}()

// tensor writes _rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict()).
func (p *pickler) tensor(t Tensor, key string) {
	p.global("torch._utils", "_rebuild_tensor_v2")
	p.op('(', '(')
	p.text("storage")
	p.global("torch", storageName[t.As])
	p.text(key)
	p.text("cpu")
	p.number(int64(t.Tensor.Numel()))
	p.op('t', 'Q')
	p.number(0)
	shape := t.Tensor.Shape()
	size, stride := make([]int64, len(shape)), make([]int64, len(shape))
	step := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		size[i], stride[i] = int64(shape[i]), step
		step *= max(int64(shape[i]), 1)
	}
	p.tuple(size)
	p.tuple(stride)
	p.op(0x89)
	p.emptyOrderedDict()
	p.op('t', 'R')
}
