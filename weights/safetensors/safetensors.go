// Package safetensors reads and writes the safetensors format: eight bytes of
// header length, a JSON header that names each tensor's type, shape and place,
// and the tensors' bytes, little-endian and row-major.
//
// The reader trusts nothing: it checks every number of the header before it
// makes memory of that size, and refuses files that other implementations
// could read differently (duplicate names, overlaps, holes).
package safetensors

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// DType is an element type by its name in the format.
type DType string

// The element types that convert to and from tensors.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// size holds the bytes of an element of each type of the format. The types
// that are not constants above can be listed but not read.
var size = map[DType]int64{
	F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, Bool: 1,
	"U64": 8, "U32": 4, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "C64": 8,
}

// Size returns the bytes of one element, 0 if the type is unknown.
func (d DType) Size() int { return int(size[d]) }

// Entry describes one tensor of a file.
type Entry struct {
	Name  string
	DType DType
	Shape tensor.Shape
	// Begin and End are byte offsets into the data that follow the header.
	Begin, End int64
}

// Numel returns the number of elements.
func (e Entry) Numel() int { return e.Shape.Numel() }

// FormatError is a file that breaks the rules of the format.
type FormatError struct {
	Tensor  string // the tensor concerned, may be empty
	Problem string
}

// Error describes what is wrong, and with which tensor.
func (e *FormatError) Error() string {
	if e.Tensor == "" {
		return "safetensors: " + e.Problem
	}
	return fmt.Sprintf("safetensors: tensor %q: %s", e.Tensor, e.Problem)
}
