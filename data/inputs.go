package data

import (
	"fmt"
	"maps"
	"slices"

	"github.com/resnet-go/resnet/tensor"
)

// WithInputs returns ds with numbers beside its pictures, for a network that takes
// other inputs too (see nn.Context.Input), or for a loss that learns more than
// classes: tensors by name, float32 or int64, whose first axis counts the samples of
// ds. The loader gives the rows of a batch's samples as [Batch].Inputs. Such data
// cannot be mixed by MixUp or CutMix.
func WithInputs(ds Dataset, inputs map[string]*tensor.Tensor) (Dataset, error) {
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		t := inputs[name]
		switch {
		case t == nil:
			return nil, fmt.Errorf("data: the input %q is nil", name)
		case len(t.Shape()) == 0 || t.Shape()[0] != ds.Len():
			return nil, fmt.Errorf("data: the input %q is %v, but there are %d samples: its first axis must count them", name, t, ds.Len())
		case t.Layout() != tensor.NCHW:
			return nil, fmt.Errorf("data: the input %q is %v, must be in row-major order", name, t)
		}
	}
	return &withInputs{ds, inputs}, nil
}

// withInputs is a dataset with other inputs.
type withInputs struct {
	Dataset
	inputs map[string]*tensor.Tensor
}

func (w *withInputs) Content(i int, buf []byte) ([]byte, error) { return content(w.Dataset, i, buf) }
func (w *withInputs) inMemory() bool                            { return inMemory(w.Dataset) }

// InputType is the type of an input beside pictures, for one sample.
type InputType struct {
	DType tensor.DType
	Shape tensor.Shape
}

// Inputs returns the types, for one sample, of what [WithInputs] added to a dataset;
// nil if there is nothing.
func Inputs(ds Dataset) map[string]InputType {
	if ds.Len() == 0 {
		return nil
	}
	tensors, _ := inputsOf(ds, 0)
	if len(tensors) == 0 {
		return nil
	}
	types := map[string]InputType{}
	for name, t := range tensors {
		types[name] = InputType{DType: t.DType(), Shape: t.Shape()[1:].Clone()}
	}
	return types
}

// inputsOf returns the other inputs of sample i and the row that it has in each; nil
// if the dataset has none.
func inputsOf(ds Dataset, i int) (map[string]*tensor.Tensor, int) {
	for {
		switch s := ds.(type) {
		case *withInputs:
			return s.inputs, i
		case *subset:
			ds, i = s.of, s.indexes[i]
		case *relabeled:
			ds = s.Dataset
		default:
			return nil, 0
		}
	}
}

// gatherInputs fills in the other inputs of a batch whose Index is settled.
func (l *Loader) gatherInputs(b *Batch) {
	if l.inputs == nil {
		return
	}
	if b.Inputs == nil {
		b.Inputs = map[string]*tensor.Tensor{}
	}
	for name, t := range l.inputs {
		shape := append(tensor.Shape{b.N}, t.Shape()[1:]...)
		switch old := b.Inputs[name]; {
		case old != nil && old.Shape().Equal(shape):
		case t.DType() == tensor.Int64:
			b.Inputs[name] = tensor.NewInt64(shape...)
		default:
			b.Inputs[name] = tensor.New(shape...)
		}
		for row, i := range b.Index {
			if i < 0 { // padding
				copyRow(b.Inputs[name], row, nil, 0)
				continue
			}
			from, at := inputsOf(l.ds, i)
			copyRow(b.Inputs[name], row, from[name], at)
		}
	}
}

// copyRow copies a row; a nil source is zeros.
func copyRow(dst *tensor.Tensor, row int, src *tensor.Tensor, at int) {
	n := dst.Shape()[1:].Numel()
	if dst.DType() == tensor.Int64 {
		to := dst.Int64s()[row*n : (row+1)*n]
		if clear(to); src != nil {
			copy(to, src.Int64s()[at*n:])
		}
		return
	}
	to := dst.Float32s()[row*n : (row+1)*n]
	if clear(to); src != nil {
		copy(to, src.Float32s()[at*n:])
	}
}
