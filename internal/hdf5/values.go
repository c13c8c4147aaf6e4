package hdf5

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// word takes one element of up to 8 bytes as a number.
func (t Type) word(b []byte) uint64 {
	var v uint64
	for i := range t.Size {
		k := i
		if t.BigEndian {
			k = t.Size - 1 - i
		}
		v |= uint64(b[k]) << (8 * i)
	}
	return v
}

// float decodes one element as float64, which holds every supported float.
func (t Type) float(b []byte) float64 {
	w := t.word(b)
	man := w & (1<<t.manBits - 1)
	exp := w >> t.manBits & (1<<t.expBits - 1)
	sign := w >> (8*t.Size - 1) << 63
	frac := man << (52 - t.manBits)
	switch {
	case t.expBits == 11:
		return math.Float64frombits(sign | exp<<52 | frac)
	case exp == 1<<t.expBits-1:
		return math.Float64frombits(sign | 0x7ff<<52 | frac)
	case exp == 0:
		v := math.Ldexp(float64(man), 1-int(t.bias)-int(t.manBits))
		return math.Float64frombits(sign | math.Float64bits(v))
	}
	return math.Float64frombits(sign | (exp+1023-uint64(t.bias))<<52 | frac)
}

// float32s decodes elements. The bits of 32-bit floats are kept, also of NaNs;
// wider numbers are rounded.
func (t Type) float32s(dst []float32, b []byte) error {
	switch {
	case t.Class == Float && t.Size == 4 && t.expBits == 8:
		if t.BigEndian {
			for i := range dst {
				dst[i] = math.Float32frombits(binary.BigEndian.Uint32(b[4*i:]))
			}
			break
		}
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case t.Class == Float:
		for i := range dst {
			dst[i] = float32(t.float(b[i*t.Size:]))
		}
	case t.Class == Integer:
		for i := range dst {
			w := t.word(b[i*t.Size:])
			if t.Signed {
				dst[i] = float32(signed(w, t.Size))
			} else {
				dst[i] = float32(w)
			}
		}
	default:
		return fmt.Errorf("elements are of %v, not numbers", t)
	}
	return nil
}

func signed(w uint64, size int) int64 {
	shift := 64 - 8*size
	return int64(w<<shift) >> shift
}

func (t Type) int64s(dst []int64, b []byte) error {
	if t.Class != Integer {
		return fmt.Errorf("elements are of %v, not integers", t)
	}
	for i := range dst {
		w := t.word(b[i*t.Size:])
		if t.Signed {
			dst[i] = signed(w, t.Size)
		} else if dst[i] = int64(w); dst[i] < 0 {
			return fmt.Errorf("element %d is %d, too large for a signed integer", i, w)
		}
	}
	return nil
}

// strings decodes n elements.
func (f *File) strings(t Type, n int, b []byte) ([]string, error) {
	out := make([]string, n)
	for i := range out {
		e := b[i*t.Size : (i+1)*t.Size]
		switch t.Class {
		case String: // ends at a zero byte or is padded
			s, _, _ := strings.Cut(string(e), "\x00")
			out[i] = s
		case VarString:
			c := cursor{b: e}
			length, heap, index := c.u32(), c.u64(), c.u32()
			if length == 0 {
				continue
			}
			s, err := f.heapString(heap, index)
			if err != nil {
				return nil, err
			}
			if uint64(length) > uint64(len(s)) {
				return nil, fmt.Errorf("a string of %d bytes in an object of %d", length, len(s))
			}
			out[i], _, _ = strings.Cut(s[:length], "\x00")
		default:
			return nil, fmt.Errorf("elements are of %v, not strings", t)
		}
	}
	return out, nil
}

// Attr is an attribute of a group or dataset: a small array with a name.
type Attr struct {
	Name  string
	Shape []int // [] for a scalar
	Type  Type

	f    *File
	null bool
	data []byte
	err  error // why it cannot be read, though it exists
}

func (a *Attr) fail(err error) error { return fmt.Errorf("attribute %s: %w", a.Name, err) }

func (a *Attr) ready() (n int, err error) {
	if a.err != nil {
		return 0, a.err
	}
	if a.null {
		return 0, nil
	}
	n = numel(a.Shape)
	if n > len(a.data)/a.Type.Size {
		return 0, fmt.Errorf("%d elements in %d bytes", n, len(a.data))
	}
	return n, nil
}

// Strings returns the elements, row by row.
func (a *Attr) Strings() ([]string, error) {
	n, err := a.ready()
	if err != nil {
		return nil, a.fail(err)
	}
	s, err := a.f.strings(a.Type, n, a.data)
	if err != nil {
		return nil, a.fail(err)
	}
	return s, nil
}

// Text returns the only element, a string.
func (a *Attr) Text() (string, error) {
	s, err := a.Strings()
	if err != nil {
		return "", err
	}
	if len(s) != 1 {
		return "", a.fail(fmt.Errorf("%d strings, want one", len(s)))
	}
	return s[0], nil
}

// Int64s returns the elements, row by row; they must be integers.
func (a *Attr) Int64s() ([]int64, error) {
	n, err := a.ready()
	if err != nil {
		return nil, a.fail(err)
	}
	out := make([]int64, n)
	if err := a.Type.int64s(out, a.data); err != nil {
		return nil, a.fail(err)
	}
	return out, nil
}

// Float32s returns the elements, row by row, as float32.
func (a *Attr) Float32s() ([]float32, error) {
	n, err := a.ready()
	if err != nil {
		return nil, a.fail(err)
	}
	out := make([]float32, n)
	if err := a.Type.float32s(out, a.data); err != nil {
		return nil, a.fail(err)
	}
	return out, nil
}

// parseAttr reads an attribute message. What is wrong with the value is kept
// in the attribute: only who asks for it is concerned.
func (f *File) parseAttr(m message) (*Attr, error) {
	if m.flags&flagShared != 0 {
		return nil, fmt.Errorf("attribute: %w", errShared)
	}
	c := cursor{b: m.data}
	version := c.version(1, 2, 3)
	flags := c.u8()
	nameLen, typeLen, spaceLen := int(c.u16()), int(c.u16()), int(c.u16())
	if version == 3 {
		c.skip(1) // ASCII or UTF-8
	}
	part := func(n int) []byte {
		b := c.take(n)
		if version == 1 && n%8 != 0 {
			c.skip(8 - n%8)
		}
		return b
	}
	name, _, _ := strings.Cut(string(part(nameLen)), "\x00")
	a := &Attr{Name: name, f: f}
	typ, space := part(typeLen), part(spaceLen)
	if c.err != nil {
		return nil, fmt.Errorf("attribute %q: %w", name, c.err)
	}
	a.data = c.b
	if version > 1 && flags&3 != 0 {
		a.err = errShared
		return a, nil
	}
	if a.Type, a.err = parseType(typ); a.err == nil {
		a.Shape, a.null, a.err = parseSpace(space)
	}
	return a, nil
}
