package oip

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unsafe"
)

// setJSON gives the tensor its elements by their JSON: a list, flat or nested as the
// shape is, in row-major order.
func (t *Tensor) setJSON(text json.RawMessage) error {
	size := t.Type.Size()
	if size < 0 || t.Type == Float16 || t.Type == BFloat {
		if size > 0 {
			return fmt.Errorf("input %q: %s has no form in JSON: send the data as binary", t.Name, t.Type)
		}
		return t.check()
	}
	n, err := t.Count()
	if err != nil {
		return err
	}
	// An element takes at least two bytes of text, so a lying shape takes no memory.
	if n > int64(len(text)) {
		return fmt.Errorf("input %q: the data are too short for the shape %v", t.Name, t.Shape)
	}
	p := dataParser{t: t, text: text, want: n}
	if size > 0 {
		t.Raw = make([]byte, 0, n*int64(size))
	}
	if err := p.list(0); err != nil {
		return fmt.Errorf("input %q: %w", t.Name, err)
	}
	return t.check()
}

// dataParser reads the elements of a tensor from JSON that is known to be valid.
type dataParser struct {
	t    *Tensor
	text []byte
	at   int
	want int64 // elements by the shape
	have int64
	set  bool // an element was seen
	deep int  // the depth of the lists that hold elements: 0 if the data are flat
}

func (p *dataParser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// list reads a list that is within depth others.
func (p *dataParser) list(depth int) error {
	p.space()
	if p.at >= len(p.text) || p.text[p.at] != '[' {
		return fmt.Errorf(`"data" is not a list`)
	}
	p.at++
	count := int64(0)
	for {
		p.space()
		switch c := p.text[p.at]; c {
		case ']':
			p.at++
			return p.extent(depth, count)
		case ',':
			p.at++
			continue
		case '[':
			if p.set && depth >= p.deep || depth+1 >= len(p.t.Shape) {
				return fmt.Errorf("the lists of the data are nested deeper than the shape %v", p.t.Shape)
			}
			if err := p.list(depth + 1); err != nil {
				return err
			}
		default:
			if !p.set {
				p.set, p.deep = true, depth
				if depth != 0 && depth+1 != len(p.t.Shape) {
					return fmt.Errorf("the lists of the data are nested %d deep, must be flat or as deep as the shape %v", depth+1, p.t.Shape)
				}
			}
			if depth != p.deep {
				return fmt.Errorf("the data mix numbers and lists")
			}
			if p.have == p.want {
				return fmt.Errorf("the data have more elements than the shape %v", p.t.Shape)
			}
			if err := p.element(c); err != nil {
				return err
			}
			p.have++
		}
		count++
	}
}

// extent returns an error if a nested list is not as long as the shape asks for.
func (p *dataParser) extent(depth int, count int64) error {
	if depth == 0 && (p.deep == 0 || len(p.t.Shape) == 0) {
		return nil // flat: the number of all elements is checked
	}
	if count != p.t.Shape[depth] {
		return fmt.Errorf("a list of the data at depth %d has %d elements, but the shape is %v", depth+1, count, p.t.Shape)
	}
	return nil
}

func (p *dataParser) element(first byte) error {
	start := p.at
	if first == '"' {
		for p.at++; p.text[p.at] != '"'; p.at++ {
			if p.text[p.at] == '\\' {
				p.at++
			}
		}
		p.at++
		if p.t.Type != Bytes {
			return fmt.Errorf("element %d is %.40s, must be of the type %s", p.have, p.text[start:p.at], p.t.Type)
		}
		var s string
		if err := json.Unmarshal(p.text[start:p.at], &s); err != nil {
			return err
		}
		p.t.Elements = append(p.t.Elements, []byte(s))
		return nil
	}
	for p.at < len(p.text) {
		if c := p.text[p.at]; c == ',' || c == ']' || c == ' ' || c == '\n' || c == '\t' || c == '\r' {
			break
		}
		p.at++
	}
	word := p.text[start:p.at]
	raw, ok := appendNumber(p.t.Raw, p.t.Type, unsafe.String(unsafe.SliceData(word), len(word)))
	if !ok {
		return fmt.Errorf("element %d is %.40s, must be of the type %s", p.have, word, p.t.Type)
	}
	p.t.Raw = raw
	return nil
}

// appendNumber appends the little-endian bytes of a number or truth value; ok is false
// if the text is none of the type, or not within its range.
func appendNumber(b []byte, t DataType, text string) (out []byte, ok bool) {
	switch t {
	case Float32:
		v, err := strconv.ParseFloat(text, 32)
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v))), err == nil && isNumber(text)
	case Float64:
		v, err := strconv.ParseFloat(text, 64)
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(v)), err == nil && isNumber(text)
	case Bool:
		switch text {
		case "true", "1":
			return append(b, 1), true
		case "false", "0":
			return append(b, 0), true
		}
		return b, false
	case Int8, Int16, Int32, Int64:
		v, err := strconv.ParseInt(text, 10, 8*t.Size())
		return appendInt(b, uint64(v), t.Size()), err == nil
	case Uint8, Uint16, Uint32, Uint64:
		v, err := strconv.ParseUint(text, 10, 8*t.Size())
		return appendInt(b, v, t.Size()), err == nil
	}
	return b, false
}

// isNumber reports whether a text is a number of JSON: strconv also takes names such as
// Inf.
func isNumber(text string) bool {
	c := text[len(text)-1]
	return c >= '0' && c <= '9'
}

func appendInt(b []byte, v uint64, size int) []byte {
	for range size {
		b = append(b, byte(v))
		v >>= 8
	}
	return b
}
