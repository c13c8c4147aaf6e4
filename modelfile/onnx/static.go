package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// elemType is ONNX's TensorProto.DataType.
type elemType int32

const (
	elemFloat    elemType = 1
	elemUint8    elemType = 2
	elemInt8     elemType = 3
	elemUint16   elemType = 4
	elemInt16    elemType = 5
	elemInt32    elemType = 6
	elemInt64    elemType = 7
	elemString   elemType = 8
	elemBool     elemType = 9
	elemFloat16  elemType = 10
	elemDouble   elemType = 11
	elemUint32   elemType = 12
	elemUint64   elemType = 13
	elemBFloat16 elemType = 16
)

var elemNames = [...]string{"undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool",
	"float16", "double", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz",
	"float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1"}

// String returns ONNX's name of the type.
func (t elemType) String() string {
	if t >= 0 && int(t) < len(elemNames) {
		return elemNames[t]
	}
	return "type " + strconv.Itoa(int(t))
}

// isFloat reports whether the engine computes with values of the type, as
// float32 whatever their width in the file.
func (t elemType) isFloat() bool {
	return t == elemFloat || t == elemFloat16 || t == elemDouble || t == elemBFloat16
}

// bytes is the size of an element in raw data, 0 for types that are not read.
func (t elemType) bytes() int {
	switch t {
	case elemUint8, elemInt8, elemBool:
		return 1
	case elemUint16, elemInt16, elemFloat16, elemBFloat16:
		return 2
	case elemFloat, elemInt32, elemUint32:
		return 4
	case elemInt64, elemDouble, elemUint64:
		return 8
	}
	return 0
}

// static is a tensor known when the model is loaded: an initializer, or what is
// computed from shapes. Floating-point types are kept in f, as float32; integer
// types and booleans in i.
type static struct {
	elem  elemType
	shape tensor.Shape
	f     []float32
	i     []int64
}

func newStatic(elem elemType, shape tensor.Shape) *static {
	s := &static{elem: elem, shape: shape.Clone()}
	if elem.isFloat() {
		s.f = make([]float32, shape.Numel())
	} else {
		s.i = make([]int64, shape.Numel())
	}
	return s
}

func ints(x ...int64) *static { return &static{elem: elemInt64, shape: tensor.Shape{len(x)}, i: x} }

// floats converts the elements to float32.
func (s *static) floats() []float32 {
	if s.elem.isFloat() {
		return s.f
	}
	out := make([]float32, len(s.i))
	for i, x := range s.i {
		out[i] = float32(x)
	}
	return out
}

// tensor returns the value as float32, or as int64 for integer types.
func (s *static) tensor() (*tensor.Tensor, error) {
	if s.elem.isFloat() {
		return tensor.FromFloat32(s.f, s.shape...)
	}
	return tensor.FromInt64(s.i, s.shape...)
}

// as returns the same elements under another shape of the same size.
func (s *static) as(shape tensor.Shape) *static {
	return &static{s.elem, shape.Clone(), s.f, s.i}
}

// at copies element j of from to element i.
func (s *static) at(i int, from *static, j int) {
	if s.elem.isFloat() {
		s.f[i] = from.f[j]
	} else {
		s.i[i] = from.i[j]
	}
}

// maxElements is the size above which a tensor is refused: 1 GiB of float32.
const maxElements = 1 << 28

// sized returns the shape and the number of elements if both are sane.
func sized(dims []int64) (tensor.Shape, error) {
	shape, n := make(tensor.Shape, len(dims)), int64(1)
	for i, d := range dims {
		if d < 0 || d > maxElements {
			return nil, fmt.Errorf("an extent of %d in shape %v", d, dims)
		}
		shape[i] = int(d)
		if n *= d; n > maxElements {
			return nil, fmt.Errorf("a tensor of shape %v is larger than %d elements", dims, maxElements)
		}
	}
	return shape, nil
}

// decode converts a tensor of the file.
func (x *external) decode(t *tensorProto) (*static, error) {
	s, err := x.convert(t)
	if err != nil && t.name != "" {
		err = fmt.Errorf("tensor %q: %w", t.name, err)
	}
	return s, err
}

func (x *external) convert(t *tensorProto) (*static, error) {
	shape, err := sized(t.dims)
	if err != nil {
		return nil, err
	}
	size := t.elem.bytes()
	if size == 0 {
		return nil, fmt.Errorf("elements of type %v are not supported", t.elem)
	}
	raw, hasRaw := t.raw, t.hasRaw
	if t.location == 1 {
		if raw, err = x.read(t, int64(shape.Numel())*int64(size)); err != nil {
			return nil, err
		}
		hasRaw = true
	}
	n := shape.Numel()
	have := 0
	switch {
	case hasRaw:
		if len(raw) != n*size {
			return nil, fmt.Errorf("%d bytes are not %v elements of %v", len(raw), shape, t.elem)
		}
		have = n
	case t.elem == elemFloat:
		have = len(t.floats)
	case t.elem == elemDouble:
		have = len(t.doubles)
	default:
		have = len(t.ints)
	}
	if have != n {
		return nil, fmt.Errorf("%d elements do not fill shape %v", have, shape)
	}
	s := newStatic(t.elem, shape)
	if hasRaw {
		s.fill(raw)
		return s, nil
	}
	switch t.elem {
	case elemFloat:
		copy(s.f, t.floats)
	case elemDouble:
		for i, v := range t.doubles {
			s.f[i] = float32(v)
		}
	case elemFloat16, elemBFloat16:
		for i, v := range t.ints {
			s.f[i] = half(t.elem, uint16(v))
		}
	default:
		for i, v := range t.ints {
			s.i[i] = wrap(t.elem, v)
		}
	}
	return s, nil
}

// fill decodes raw data, which is little-endian.
func (s *static) fill(raw []byte) {
	le := binary.LittleEndian
	switch s.elem {
	case elemFloat:
		for i := range s.f {
			s.f[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		}
	case elemDouble:
		for i := range s.f {
			s.f[i] = float32(math.Float64frombits(le.Uint64(raw[8*i:])))
		}
	case elemFloat16, elemBFloat16:
		for i := range s.f {
			s.f[i] = half(s.elem, le.Uint16(raw[2*i:]))
		}
	case elemUint8, elemBool, elemInt8:
		for i := range s.i {
			s.i[i] = wrap(s.elem, int64(raw[i]))
		}
	case elemUint16, elemInt16:
		for i := range s.i {
			s.i[i] = wrap(s.elem, int64(le.Uint16(raw[2*i:])))
		}
	case elemUint32, elemInt32:
		for i := range s.i {
			s.i[i] = wrap(s.elem, int64(le.Uint32(raw[4*i:])))
		}
	default:
		for i := range s.i {
			s.i[i] = int64(le.Uint64(raw[8*i:]))
		}
	}
}

func half(t elemType, x uint16) float32 {
	if t == elemBFloat16 {
		return math.Float32frombits(uint32(x) << 16)
	}
	return safetensors.FromHalf(x)
}

// round returns x rounded to the precision of a floating-point type.
func round(t elemType, x float32) float32 {
	switch t {
	case elemFloat16:
		return safetensors.FromHalf(safetensors.ToHalf(x))
	case elemBFloat16:
		b := math.Float32bits(x)
		if x != x {
			return x
		}
		return math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff)
	}
	return x
}

// wrap reduces x to the range of an integer type, as its arithmetic does.
func wrap(t elemType, x int64) int64 {
	switch t {
	case elemUint8:
		return int64(uint8(x))
	case elemInt8:
		return int64(int8(x))
	case elemUint16:
		return int64(uint16(x))
	case elemInt16:
		return int64(int16(x))
	case elemInt32:
		return int64(int32(x))
	case elemUint32:
		return int64(uint32(x))
	case elemBool:
		if x != 0 {
			return 1
		}
	}
	return x
}
