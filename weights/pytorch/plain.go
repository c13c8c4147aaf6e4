package pytorch

import (
	"slices"

	"github.com/resnet-go/resnet/tensor"
)

// Array is a NumPy array of a pickle: elements in row-major order, little-endian.
type Array struct {
	DType DType
	Shape tensor.Shape
	Data  []byte
}

// ReadDict reads a pickle, made by Python itself or NumPy and not by torch.save, that
// is a dictionary of plain data, as datasets are distributed. Its values are nil,
// bool, int64, float64, string, []byte, []any and [Array]; others are left out. Keys
// are texts, also those that Python 3 has as bytes. Nothing is executed, and memory is
// bounded by a multiple of the pickle's length. An error is a *[FormatError] or a
// *[GlobalError].
func ReadDict(b []byte) (map[string]any, error) {
	p := &unpickler{b: b, persID: noID}
	v, err := p.next()
	if err != nil {
		return nil, err
	}
	d, ok := v.(*dict)
	if !ok {
		return nil, badf("it holds %s, not a dictionary", describe(v))
	}
	out := map[string]any{}
	for k, v := range d.all() {
		key, isText := k.(string)
		if b, isBytes := k.(rawBuf); isBytes {
			key, isText = string(b), true
		}
		if !isText {
			continue
		}
		if v, ok := plainValue(v); ok {
			out[key] = v
		}
	}
	return out, nil
}

// plainValue returns a value for callers, false if it is not one of plain data.
func plainValue(v any) (any, bool) {
	switch v := v.(type) {
	case nil, bool, int64, float64, string:
		return v, true
	case rawBuf:
		return []byte(v), true
	case *list:
		return plainItems(v.items)
	case tuple:
		return plainItems(v)
	case *object:
		return plainArray(v)
	}
	return nil, false
}

// plainItems returns a list of texts and numbers. Lists in lists are none, so that one
// that holds itself has an end.
func plainItems(items []any) (any, bool) {
	out := make([]any, len(items))
	for i, v := range items {
		switch v := v.(type) {
		case bool, int64, float64, string:
			out[i] = v
		case rawBuf:
			out[i] = []byte(v)
		default:
			return nil, false
		}
	}
	return out, true
}

// plainArray returns a NumPy array that is in row-major order.
func plainArray(o *object) (any, bool) {
	v := o.array()
	if v == nil || v.storage.big {
		return nil, false
	}
	step := int64(1)
	for a := range slices.Backward(v.shape) {
		if v.shape[a] > 1 && v.stride[a] != step {
			return nil, false
		}
		step *= int64(v.shape[a])
	}
	n := step * sizes[v.dtype]
	if n < 0 || n > int64(len(v.storage.inline)) {
		return nil, false
	}
	return Array{v.dtype, v.shape, v.storage.inline[:n]}, true
}
