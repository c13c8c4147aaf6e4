package hdf5

import (
	"errors"
	"fmt"
	"math"
)

// Class is the kind of a data type.
type Class uint8

// The classes. Other stands for every class that is not read: compounds, opaque
// bytes, references and more.
const (
	Other     Class = iota
	Integer         // and enumerations
	Float           // binary floating point
	String          // of a fixed number of bytes
	VarString       // of any length
)

// String returns the class's name.
func (c Class) String() string {
	return [...]string{"another type", "integer", "float", "string", "string of variable length"}[c]
}

// Type is the data type of an element.
type Type struct {
	Class     Class
	Size      int // bytes in the file
	BigEndian bool
	Signed    bool // integers

	expBits, manBits uint8 // floats
	bias             uint32
}

// String names the type as in "float 32".
func (t Type) String() string {
	if t.Class == Integer || t.Class == Float {
		return fmt.Sprintf("%v of %d bits", t.Class, 8*t.Size)
	}
	return t.Class.String()
}

const varElement = 16 // bytes of a variable-length element: length, heap, index

func parseType(b []byte) (Type, error) {
	c := cursor{b: b}
	head := c.u8()
	bits := uint32(c.uint(3))
	size := c.u32()
	if c.err != nil {
		return Type{}, fmt.Errorf("data type: %w", c.err)
	}
	if v := head >> 4; v < 1 || v > 5 {
		return Type{}, fmt.Errorf("data type of version %d, known are 1 to 5", v)
	}
	if size == 0 || size > math.MaxInt32 {
		return Type{}, fmt.Errorf("data type with elements of %d bytes", size)
	}
	t := Type{Size: int(size)}
	switch head & 15 {
	case 0:
		offset, precision := c.u16(), c.u16()
		if offset == 0 && int(precision) == 8*t.Size && t.Size <= 8 {
			t.Class, t.BigEndian, t.Signed = Integer, bits&1 != 0, bits&8 != 0
		}
	case 1:
		offset, precision := c.u16(), c.u16()
		expAt, expBits, manAt, manBits := c.u8(), c.u8(), c.u8(), c.u8()
		bias := c.u32()
		whole := offset == 0 && int(precision) == 8*t.Size && manAt == 0 && expAt == manBits &&
			int(expBits)+int(manBits)+1 == 8*t.Size && int(bits>>8&255) == 8*t.Size-1
		implied := bits>>4&3 == 2 && bits>>6&1 == 0
		if whole && implied && t.Size <= 8 && expBits >= 2 && expBits <= 11 && manBits <= 52 && bias == 1<<(expBits-1)-1 {
			t.Class, t.BigEndian = Float, bits&1 != 0
			t.expBits, t.manBits, t.bias = expBits, manBits, bias
		}
	case 3:
		t.Class = String
	case 8: // an enumeration is stored as its base
		base, err := parseType(c.b)
		if err == nil && base.Class == Integer && base.Size == t.Size {
			t = base
		}
	case 9:
		if bits&15 == 1 && t.Size == varElement {
			t.Class = VarString
		}
	}
	if c.err != nil {
		return Type{}, fmt.Errorf("data type: %w", c.err)
	}
	return t, nil
}

const maxRank = 32 // HDF5's own

// parseSpace returns a dataspace's shape; scalar spaces have the shape [].
// null is set for a dataspace without elements.
func parseSpace(b []byte) (shape []int, null bool, err error) {
	c := cursor{b: b}
	version := c.version(1, 2)
	rank, flags := int(c.u8()), c.u8()
	if version == 1 {
		c.skip(5)
	} else if kind := c.u8(); kind == 2 {
		null = true
	} else if kind > 2 {
		return nil, false, fmt.Errorf("dataspace of the unknown kind %d", kind)
	}
	if c.err == nil && rank > maxRank {
		return nil, false, fmt.Errorf("dataspace of rank %d", rank)
	}
	if c.err == nil && version == 1 && flags&2 != 0 {
		return nil, false, errors.New("dataspace with permuted axes")
	}
	shape = make([]int, 0, rank)
	n := uint64(1)
	for range rank {
		d := c.u64()
		if d > math.MaxInt32 || n*max(d, 1) > math.MaxInt64/varElement/64 {
			return nil, false, errors.New("dataspace with too many elements")
		}
		n *= max(d, 1)
		shape = append(shape, int(d))
	}
	if c.err != nil {
		return nil, false, fmt.Errorf("dataspace: %w", c.err)
	}
	return shape, null, nil
}

func numel(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
