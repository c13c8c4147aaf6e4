package safetensors

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/tensor"
)

// Tensor is a tensor to be written.
type Tensor struct {
	Name   string
	Tensor *tensor.Tensor
	// As is the type in the file: F32 (the default) or F16 for float32, I64
	// (the default) for int64.
	As DType
}

// Write writes a file. The same tensors and metadata always give the same
// bytes: tensors are placed by descending element size, then by name, so that
// each is aligned to its element size. Metadata may be nil.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	ts := slices.Clone(tensors)
	for i := range ts {
		t := &ts[i]
		switch {
		case t.Name == "__metadata__":
			return fmt.Errorf("safetensors: a tensor cannot be named __metadata__")
		case t.As == "" && t.Tensor.DType() == tensor.Float32:
			t.As = F32
		case t.As == "" && t.Tensor.DType() == tensor.Int64:
			t.As = I64
		}
		float := t.As == F32 || t.As == F16
		if float != (t.Tensor.DType() == tensor.Float32) || (!float && t.As != I64) {
			return fmt.Errorf("safetensors: tensor %q is %s and cannot be written as %s", t.Name, t.Tensor.DType(), t.As)
		}
	}
	slices.SortFunc(ts, func(a, b Tensor) int {
		if d := b.As.Size() - a.As.Size(); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	header, err := header(ts, metadata)
	if err != nil {
		return err
	}
	bw := bufio.NewWriterSize(w, 1<<16)
	var lead [8]byte
	binary.LittleEndian.PutUint64(lead[:], uint64(len(header)))
	if _, err := bw.Write(lead[:]); err != nil {
		return err
	}
	if _, err := bw.Write(header); err != nil {
		return err
	}
	for _, t := range ts {
		if err := encode(bw, t); err != nil {
			return err
		}
	}
	return bw.Flush()
}

func header(ts []Tensor, metadata map[string]string) ([]byte, error) {
	if _, ok := metadata[checksumKey]; ok {
		return nil, fmt.Errorf("safetensors: the metadata %s is reserved for checksums", checksumKey)
	}
	entries, sums := make([]Entry, len(ts)), make(map[string]string, len(ts))
	at := int64(0)
	for i, t := range ts {
		if sums[t.Name] != "" {
			return nil, fmt.Errorf("safetensors: tensor %q is given twice", t.Name)
		}
		end := at + int64(t.Tensor.Numel()*t.As.Size())
		entries[i] = Entry{Name: t.Name, DType: t.As, Shape: append(tensor.Shape{}, t.Tensor.Shape()...), Begin: at, End: end}
		sum, err := sum(t)
		if err != nil {
			return nil, err
		}
		sums[t.Name], at = sumText(sum), end
	}
	checks, err := marshal(checksums{Header: headerSum(entries, metadata, sums), Tensors: sums})
	if err != nil {
		return nil, err
	}
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[checksumKey] = string(checks)
	m, err := marshal(metadata) // sorted by key
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(`{"__metadata__":`)
	b.Write(m)
	for _, e := range entries {
		name, err := marshal(e.Name)
		if err != nil {
			return nil, err
		}
		entry, err := marshal(struct {
			DType   DType        `json:"dtype"`
			Shape   tensor.Shape `json:"shape"`
			Offsets [2]int64     `json:"data_offsets"`
		}{e.DType, e.Shape, [2]int64{e.Begin, e.End}})
		if err != nil {
			return nil, err
		}
		b.WriteByte(',')
		b.Write(name)
		b.WriteByte(':')
		b.Write(entry)
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 { // so that the data begin aligned
		b.WriteByte(' ')
	}
	if b.Len() > maxHeader {
		return nil, fmt.Errorf("safetensors: the header has %d bytes, the limit is %d", b.Len(), maxHeader)
	}
	return b.Bytes(), nil
}

// marshal is json.Marshal without the escaping for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func encode(w io.Writer, t Tensor) error {
	var buf [8192]byte
	le := binary.LittleEndian
	n, step := t.Tensor.Numel(), t.As.Size()
	var floats []float32
	var ints []int64
	if t.As == I64 {
		ints = t.Tensor.Int64s()
	} else {
		if err := t.Tensor.Load(); err != nil {
			return fmt.Errorf("safetensors: tensor %q: %w", t.Name, err)
		}
		floats = t.Tensor.Float32s()
	}
	for i := 0; i < n; {
		b := buf[:0]
		for ; i < n && len(b) <= len(buf)-step; i++ {
			switch t.As {
			case F32:
				b = le.AppendUint32(b, math.Float32bits(floats[i]))
			case F16:
				b = le.AppendUint16(b, ToHalf(floats[i]))
			default:
				b = le.AppendUint64(b, uint64(ints[i]))
			}
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}
