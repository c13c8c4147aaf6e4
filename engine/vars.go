package engine

import (
	"fmt"
	"sort"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Vars holds named tensors that live from run to run: parameters, running
// statistics, optimiser slots. Plans compiled over one Vars share it: what a
// training plan learns, an inference plan compiled later reads.
//
// A plan reads the variables that it does not update when it is compiled, and
// must be compiled again to see later changes of them. Vars must not be used
// during a run that updates it.
type Vars struct{ m map[string]*variable }

type variable struct {
	graph.Type
	f32 []float32 // in variableLayout order
	i64 []int64
}

// NewVars returns an empty store.
func NewVars() *Vars { return &Vars{m: map[string]*variable{}} }

// Set copies t into the store under name. A variable keeps its type: another
// shape or element type is an error.
func (v *Vars) Set(name string, t *tensor.Tensor) error {
	typ := graph.Type{DType: t.DType(), Shape: t.Shape().Clone()}
	x, ok := v.m[name]
	if !ok {
		x = &variable{Type: typ}
		if typ.DType == tensor.Float32 {
			x.f32 = make([]float32, t.Numel())
		} else {
			x.i64 = make([]int64, t.Numel())
		}
		v.m[name] = x
	}
	if x.DType != typ.DType || !x.Shape.Equal(typ.Shape) {
		return fmt.Errorf("engine: variable %q is %s, cannot become %s", name, x.Type, typ)
	}
	if typ.DType == tensor.Float32 {
		relayout(x.f32, t.Float32s(), x.Shape, rowMajor, variableLayout(x.Type))
	} else {
		copy(x.i64, t.Int64s())
	}
	return nil
}

// Get returns a copy of the variable.
func (v *Vars) Get(name string) (*tensor.Tensor, error) {
	x, ok := v.m[name]
	if !ok {
		return nil, fmt.Errorf("engine: no variable %q", name)
	}
	return x.tensor(), nil
}

// Names returns the variables' names in order.
func (v *Vars) Names() []string {
	names := make([]string, 0, len(v.m))
	for n := range v.m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// tensor returns the value in the public order.
func (x *variable) tensor() *tensor.Tensor {
	if x.DType == tensor.Int64 {
		t := tensor.NewInt64(x.Shape...)
		copy(t.Int64s(), x.i64)
		return t
	}
	t := tensor.New(x.Shape...)
	relayout(t.Float32s(), x.f32, x.Shape, variableLayout(x.Type), rowMajor)
	return t
}
