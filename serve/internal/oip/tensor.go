// Package oip is the wire form of the Open Inference Protocol (version 2), which
// KServe, Triton and others speak: requests and answers as JSON, with Triton's
// extension for tensors as binary data behind the JSON.
// It is about bytes only; what a model does with the tensors is package serve's.
package oip

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/resnet-go/resnet/weights/safetensors"
)

// DataType is the name of an element type, such as FP32.
type DataType string

// The types of the protocol. BYTES are texts or files: elements of any length.
const (
	Bool    DataType = "BOOL"
	Uint8   DataType = "UINT8"
	Uint16  DataType = "UINT16"
	Uint32  DataType = "UINT32"
	Uint64  DataType = "UINT64"
	Int8    DataType = "INT8"
	Int16   DataType = "INT16"
	Int32   DataType = "INT32"
	Int64   DataType = "INT64"
	Float16 DataType = "FP16"
	BFloat  DataType = "BF16"
	Float32 DataType = "FP32"
	Float64 DataType = "FP64"
	Bytes   DataType = "BYTES"
)

// Size returns the bytes of an element; 0 for BYTES, and -1 for an unknown type.
func (t DataType) Size() int {
	switch t {
	case Bool, Uint8, Int8:
		return 1
	case Uint16, Int16, Float16, BFloat:
		return 2
	case Uint32, Int32, Float32:
		return 4
	case Uint64, Int64, Float64:
		return 8
	case Bytes:
		return 0
	}
	return -1
}

// otherNames are what the types are called elsewhere: by numpy, ONNX and in
// configurations of models.
var otherNames = map[string]DataType{
	"FLOAT": Float32, "FLOAT32": Float32, "F32": Float32, "DOUBLE": Float64, "FLOAT64": Float64, "F64": Float64,
	"HALF": Float16, "FLOAT16": Float16, "F16": Float16, "BFLOAT16": BFloat,
	"STRING": Bytes, "BYTE": Bytes, "OBJECT": Bytes, "BINARY": Bytes, "BOOLEAN": Bool, "INT": Int64, "LONG": Int64,
}

// unknown is the error for a type that the protocol does not have.
func (t DataType) unknown() string {
	if t == "" {
		return "there is no datatype, must be one of the protocol's, such as FP32 or BYTES"
	}
	name := strings.TrimPrefix(strings.ToUpper(string(t)), "TYPE_")
	meant, known := otherNames[name]
	if DataType(name).Size() >= 0 {
		meant, known = DataType(name), true
	}
	if known {
		return fmt.Sprintf("the datatype %.100q is none of the protocol's; did you mean %s?", t, meant)
	}
	return fmt.Sprintf("the datatype %.100q is none of the protocol's, such as FP32 or BYTES", t)
}

// Params are the parameters of a request, an answer or a tensor: bool, int64, uint64,
// float64 or string by name.
type Params map[string]any

// Bool returns a parameter that is true or false; false if there is none.
func (p Params) Bool(name string) (bool, error) {
	switch v := p[name].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	default:
		return false, fmt.Errorf("the parameter %s is %v, must be true or false", name, v)
	}
}

// Int returns a parameter that is a whole number, and whether there is one.
func (p Params) Int(name string) (n int64, ok bool, err error) {
	switch v := p[name].(type) {
	case nil:
		return 0, false, nil
	case int64:
		return v, true, nil
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v), true, nil
		}
	}
	return 0, false, fmt.Errorf("the parameter %s is %v, must be a whole number", name, p[name])
}

// Tensor is an input or output with its elements in row-major order: as little-endian
// bytes in Raw, or one by one in Elements if they are BYTES.
type Tensor struct {
	Name     string
	Type     DataType
	Shape    []int64
	Params   Params
	Raw      []byte
	Elements [][]byte
}

// maxElements limits the number of elements, so that products of shapes do not
// overflow.
const maxElements = 1 << 40

// Count returns the number of elements by the shape.
func (t *Tensor) Count() (int64, error) {
	n := int64(1)
	for _, d := range t.Shape {
		if d < 0 {
			return 0, fmt.Errorf("input %q: the shape %v has a negative extent", t.Name, t.Shape)
		}
		if d > 0 && n > maxElements/d {
			return 0, fmt.Errorf("input %q: the shape %v has too many elements", t.Name, t.Shape)
		}
		n *= d
	}
	return n, nil
}

// check returns an error unless the tensor has the elements that its shape and type
// ask for.
func (t *Tensor) check() error {
	size := t.Type.Size()
	if size < 0 {
		return fmt.Errorf("input %q: %s", t.Name, t.Type.unknown())
	}
	n, err := t.Count()
	if err != nil {
		return err
	}
	if size == 0 {
		if int64(len(t.Elements)) != n {
			return fmt.Errorf("input %q: there are %d elements, but the shape %v asks for %d", t.Name, len(t.Elements), t.Shape, n)
		}
		return nil
	}
	if have := int64(len(t.Raw)); have != n*int64(size) {
		return fmt.Errorf("input %q: there are %d bytes, but the shape %v of %s asks for %d", t.Name, have, t.Shape, t.Type, n*int64(size))
	}
	return nil
}

// SetRaw gives the tensor its elements as they are sent: little-endian numbers, or for
// BYTES a length of 4 bytes before each element. It checks their number.
func (t *Tensor) SetRaw(raw []byte) error {
	if t.Type != Bytes {
		t.Raw = raw
		return t.check()
	}
	n, err := t.Count()
	if err != nil {
		return err
	}
	if n > int64(len(raw)/4) {
		return fmt.Errorf("input %q: %d bytes cannot hold the %d elements of the shape %v, each with a length of 4 bytes before it", t.Name, len(raw), n, t.Shape)
	}
	t.Elements = make([][]byte, 0, n)
	for rest := raw; len(rest) > 0; {
		if len(rest) < 4 {
			return fmt.Errorf("input %q: the data end within the length of element %d", t.Name, len(t.Elements))
		}
		size := binary.LittleEndian.Uint32(rest)
		if rest = rest[4:]; uint64(size) > uint64(len(rest)) {
			return fmt.Errorf("input %q: element %d has %d bytes by its length, but %d follow", t.Name, len(t.Elements), size, len(rest))
		}
		if int64(len(t.Elements)) == n {
			return fmt.Errorf("input %q: the data go on behind the %d elements of the shape %v", t.Name, n, t.Shape)
		}
		t.Elements, rest = append(t.Elements, rest[:size:size]), rest[size:]
	}
	return t.check()
}

// AppendRaw appends the elements as [Tensor.SetRaw] takes them.
func (t *Tensor) AppendRaw(b []byte) []byte {
	if t.Type != Bytes {
		return append(b, t.Raw...)
	}
	for _, e := range t.Elements {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(e)))
		b = append(b, e...)
	}
	return b
}

// RawSize returns the number of bytes that [Tensor.AppendRaw] appends.
func (t *Tensor) RawSize() int {
	n := len(t.Raw)
	for _, e := range t.Elements {
		n += 4 + len(e)
	}
	return n
}

// Floats returns the elements of a tensor of FP16, BF16, FP32 or FP64, in n numbers
// from the one with index at.
func (t *Tensor) Floats(at, n int) ([]float32, error) {
	out := make([]float32, n)
	size := t.Type.Size()
	if size <= 0 || (at+n)*size > len(t.Raw) {
		return nil, fmt.Errorf("input %q of %s has no %d numbers from %d on", t.Name, t.Type, n, at)
	}
	raw := t.Raw[at*size : (at+n)*size]
	switch t.Type {
	case Float32:
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case Float64:
		for i := range out {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:])))
		}
	case BFloat:
		for i := range out {
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
		}
	case Float16:
		for i := range out {
			out[i] = safetensors.FromHalf(binary.LittleEndian.Uint16(raw[2*i:]))
		}
	default:
		return nil, fmt.Errorf("input %q: the datatype is %s, must be FP32, FP16, BF16 or FP64", t.Name, t.Type)
	}
	return out, nil
}

// SetFloats makes the tensor one of FP32 with these elements.
func (t *Tensor) SetFloats(v []float32) {
	t.Type, t.Raw = Float32, make([]byte, 4*len(v))
	for i, f := range v {
		binary.LittleEndian.PutUint32(t.Raw[4*i:], math.Float32bits(f))
	}
}

// SetInts makes the tensor one of INT64 with these elements.
func (t *Tensor) SetInts(v []int64) {
	t.Type, t.Raw = Int64, make([]byte, 8*len(v))
	for i, n := range v {
		binary.LittleEndian.PutUint64(t.Raw[8*i:], uint64(n))
	}
}

// SetElements gives a tensor of BYTES its elements and checks their number.
func (t *Tensor) SetElements(elements [][]byte) error {
	t.Elements = elements
	return t.check()
}
