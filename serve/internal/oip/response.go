package oip

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Response is an answer to a [Request].
type Response struct {
	Model, Version, ID string
	Outputs            []Tensor
	Binary             []bool // of each output: whether its data are sent as binary
}

// Append appends the body of the answer and returns the size of its JSON, which the
// header Inference-Header-Content-Length has if binary data follow.
func (r *Response) Append(b []byte) (body []byte, jsonSize int) {
	start := len(b)
	b = append(b, `{"model_name":`...)
	b = appendText(b, r.Model)
	b = append(b, `,"model_version":`...)
	b = appendText(b, r.Version)
	if r.ID != "" {
		b = append(b, `,"id":`...)
		b = appendText(b, r.ID)
	}
	b = append(b, `,"outputs":[`...)
	for i := range r.Outputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.Outputs[i].appendJSON(b, r.Binary[i])
	}
	b = append(b, "]}"...)
	jsonSize = len(b) - start
	for i := range r.Outputs {
		if r.Binary[i] {
			b = r.Outputs[i].AppendRaw(b)
		}
	}
	return b, jsonSize
}

// AnyBinary reports whether binary data follow the JSON.
func (r *Response) AnyBinary() bool { return slices.Contains(r.Binary, true) }

func (t *Tensor) appendJSON(b []byte, isBinary bool) []byte {
	b = append(b, `{"name":`...)
	b = appendText(b, t.Name)
	b = append(b, `,"datatype":"`...)
	b = append(b, t.Type...)
	b = append(b, `","shape":[`...)
	for i, d := range t.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, d, 10)
	}
	b = append(b, ']')
	if isBinary {
		b = append(b, `,"parameters":{"binary_data_size":`...)
		b = strconv.AppendInt(b, int64(t.RawSize()), 10)
		return append(b, "}}"...)
	}
	b = append(b, `,"data":[`...)
	size := max(t.Type.Size(), 1)
	for i := range max(len(t.Elements), len(t.Raw)/size) {
		if i > 0 {
			b = append(b, ',')
		}
		b = t.appendElement(b, i)
	}
	return append(b, "]}"...)
}

// appendElement appends an element of a type that answers have.
func (t *Tensor) appendElement(b []byte, i int) []byte {
	switch t.Type {
	case Bytes:
		return appendText(b, string(t.Elements[i]))
	case Float32:
		return strconv.AppendFloat(b, float64(math.Float32frombits(binary.LittleEndian.Uint32(t.Raw[4*i:]))), 'g', -1, 32)
	case Int64:
		return strconv.AppendInt(b, int64(binary.LittleEndian.Uint64(t.Raw[8*i:])), 10)
	case Uint8:
		return strconv.AppendUint(b, uint64(t.Raw[i]), 10)
	}
	panic("oip: no answer has elements of the type " + string(t.Type))
}

// appendText appends a text as JSON.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, err := json.Marshal(s)
			if err != nil {
				panic(err) // a text always has a JSON form
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
