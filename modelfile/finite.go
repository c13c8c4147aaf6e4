package modelfile

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/resnet-go/resnet/tensor"
)

// NonFiniteError is a file of weights that are NaN or infinite, as a training that
// diverged or a damaged file leaves them. A network with such a weight answers
// nonsense, or nothing.
type NonFiniteError struct {
	File    string
	Tensor  string // the first by name
	Index   int    // of the first such element
	Value   float32
	Tensors int // that have such elements
}

// Error names the tensor.
func (e *NonFiniteError) Error() string {
	more := ""
	if e.Tensors > 1 {
		more = fmt.Sprintf(", and %d more tensors have such numbers", e.Tensors-1)
	}
	return fmt.Sprintf("%s: tensor %q has the element %v at %d%s: not a finite number, so the network's answers would be meaningless. Use an earlier checkpoint, or --allow-nonfinite to go on", e.File, e.Tensor, e.Value, e.Index, more)
}

// checkFinite returns a *[NonFiniteError] if an element of the tensors is NaN or
// infinite. Tensors that are still in the file are read once, which is all that it
// costs.
func checkFinite(file string, tensors map[string]*tensor.Tensor) error {
	var found *NonFiniteError
	var buf []float32
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		t := tensors[name]
		if t.DType() != tensor.Float32 {
			continue
		}
		var x []float32
		if t.Deferred() {
			if n := t.Numel(); cap(buf) < n {
				buf = make([]float32, n)
			}
			x = buf[:t.Numel()]
			if err := t.Read(x); err != nil {
				return err
			}
		} else {
			x = t.Float32s()
		}
		i := nonFinite(x)
		if i < 0 {
			continue
		}
		if found == nil {
			found = &NonFiniteError{File: file, Tensor: name, Index: i, Value: x[i]}
		}
		found.Tensors++
	}
	if found == nil {
		return nil
	}
	return found
}

// nonFinite returns the index of the first element that is NaN or infinite, or -1.
func nonFinite(x []float32) int {
	const exponent, one = 0x7f800000, 0x00800000
	for at := 0; at < len(x); at += 1024 {
		// An exponent of all ones overflows into the sign's bit.
		var any uint32
		part := x[at:min(at+1024, len(x))]
		for _, v := range part {
			any |= math.Float32bits(v)&exponent + one
		}
		if any>>31 == 0 {
			continue
		}
		for i, v := range part {
			if math.Float32bits(v)&exponent == exponent {
				return at + i
			}
		}
	}
	return -1
}
