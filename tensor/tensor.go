// Package tensor holds dense host arrays: a shape, a data type, the elements,
// and the [Layout] in which they lie in memory. Shapes of pictures are given as
// N, C, H, W in either layout.
package tensor

import (
	"fmt"
	"strconv"
	"strings"
)

// Shape lists the extent of each dimension, outermost first. An empty Shape is
// a scalar.
type Shape []int

// Numel returns the number of elements of a tensor of this shape; 1 for a scalar.
func (s Shape) Numel() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether both shapes have the same rank and extents.
func (s Shape) Equal(o Shape) bool {
	if len(s) != len(o) {
		return false
	}
	for i, d := range s {
		if d != o[i] {
			return false
		}
	}
	return true
}

// Clone returns a copy that shares no memory with s.
func (s Shape) Clone() Shape { return append(Shape{}, s...) }

// String prints the shape as "[64 3 7 7]", the form used in error messages.
func (s Shape) String() string {
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = strconv.Itoa(d)
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// DType is the type of a tensor's elements.
type DType uint8

// The element types that the engine computes with. Half precision and float64
// exist in files only and are converted when read.
const (
	Float32 DType = iota
	Int64
)

// String returns the NumPy name of the type.
func (d DType) String() string {
	switch d {
	case Float32:
		return "float32"
	case Int64:
		return "int64"
	}
	return "dtype(" + strconv.Itoa(int(d)) + ")"
}

// Tensor is a dense array, in row-major order unless its [Layout] is NHWC. The
// zero Tensor is not valid; use [New], [NewInt64], [FromFloat32], [FromInt64],
// [NewNHWC] or [FromNHWC].
type Tensor struct {
	shape  Shape
	dtype  DType
	layout Layout
	f32    []float32
	i64    []int64
	later  *deferred // of elements that are not in memory yet; else nil
}

// New returns a float32 tensor of zeros. It panics if an extent is negative.
func New(shape ...int) *Tensor {
	s := checked(shape)
	return &Tensor{shape: s, dtype: Float32, f32: make([]float32, s.Numel())}
}

// NewInt64 returns an int64 tensor of zeros. It panics if an extent is negative.
func NewInt64(shape ...int) *Tensor {
	s := checked(shape)
	return &Tensor{shape: s, dtype: Int64, i64: make([]int64, s.Numel())}
}

// FromFloat32 wraps data, without copying, as a tensor of the given shape. It
// returns an error if the number of elements does not fit the shape.
func FromFloat32(data []float32, shape ...int) (*Tensor, error) {
	s, err := fits(len(data), shape)
	if err != nil {
		return nil, err
	}
	return &Tensor{shape: s, dtype: Float32, f32: data}, nil
}

// FromInt64 wraps data, without copying, as a tensor of the given shape. It
// returns an error if the number of elements does not fit the shape.
func FromInt64(data []int64, shape ...int) (*Tensor, error) {
	s, err := fits(len(data), shape)
	if err != nil {
		return nil, err
	}
	return &Tensor{shape: s, dtype: Int64, i64: data}, nil
}

// Shape returns the extents; the caller must not change them.
func (t *Tensor) Shape() Shape { return t.shape }

// DType returns the element type.
func (t *Tensor) DType() DType { return t.dtype }

// Numel returns the number of elements.
func (t *Tensor) Numel() int { return t.shape.Numel() }

// Float32s returns the elements themselves, not a copy, in the order of the
// tensor's [Layout]. It panics if the
// tensor holds another type, or if it is deferred and its elements cannot be
// read: [Tensor.Load] comes before, where that is possible.
func (t *Tensor) Float32s() []float32 {
	if t.dtype != Float32 {
		panic("tensor: Float32s of " + t.dtype.String())
	}
	if t.later != nil {
		x, err := t.later.load(t.Numel())
		if err != nil {
			panic(fmt.Sprintf("tensor: the elements of a deferred %v: %v", t, err))
		}
		return x
	}
	return t.f32
}

// Int64s returns the elements themselves, not a copy. It panics if the tensor
// holds another type.
func (t *Tensor) Int64s() []int64 {
	if t.dtype != Int64 {
		panic("tensor: Int64s of " + t.dtype.String())
	}
	return t.i64
}

// Clone returns a deep copy. The clone of a deferred tensor is deferred.
func (t *Tensor) Clone() *Tensor {
	if t.later != nil {
		return &Tensor{shape: t.shape.Clone(), dtype: t.dtype, later: t.later.clone()}
	}
	return &Tensor{
		shape: t.shape.Clone(), dtype: t.dtype, layout: t.layout,
		f32: append([]float32(nil), t.f32...), i64: append([]int64(nil), t.i64...),
	}
}

// Reshape returns a tensor of another shape over the same elements. It returns
// an error if the number of elements differs, or if the elements do not lie in
// row-major order: [Tensor.In] comes first then.
func (t *Tensor) Reshape(shape ...int) (*Tensor, error) {
	if t.layout != NCHW {
		return nil, fmt.Errorf("tensor: %v cannot be reshaped; lay it out as NCHW first", t)
	}
	s, err := fits(t.Numel(), shape)
	if err != nil {
		return nil, err
	}
	return &Tensor{shape: s, dtype: t.dtype, f32: t.f32, i64: t.i64, later: t.later}, nil
}

// String describes the tensor without its elements, such as "float32[8 3 32 32]"
// or "float32[8 3 32 32] NHWC".
func (t *Tensor) String() string {
	s := t.dtype.String() + t.shape.String()
	if t.layout != NCHW {
		s += " " + t.layout.String()
	}
	return s
}

func checked(shape []int) Shape {
	for _, d := range shape {
		if d < 0 {
			panic("tensor: negative extent in shape " + Shape(shape).String())
		}
	}
	return append(Shape{}, shape...)
}

func fits(n int, shape []int) (Shape, error) {
	s := Shape(shape)
	for _, d := range s {
		if d < 0 {
			return nil, fmt.Errorf("tensor: negative extent in shape %v", s)
		}
	}
	if s.Numel() != n {
		return nil, fmt.Errorf("tensor: %d elements do not fill shape %v (%d)", n, s, s.Numel())
	}
	return s.Clone(), nil
}
