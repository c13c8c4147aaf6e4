package engine

import (
	"fmt"
	"sort"

	"github.com/resnet-go/resnet/tensor"
)

// Vars holds named tensors that live from run to run: parameters, running
// statistics, optimiser slots. Plans compiled over one Vars share it.
// It is not safe for use during a run that updates it.
type Vars struct{ m map[string]*tensor.Tensor }

// NewVars returns an empty store.
func NewVars() *Vars { return &Vars{m: map[string]*tensor.Tensor{}} }

// Set copies t into the store under name. An existing variable keeps its
// shape: another shape or type is an error.
func (v *Vars) Set(name string, t *tensor.Tensor) error {
	old, ok := v.m[name]
	if !ok {
		v.m[name] = t.Clone()
		return nil
	}
	if old.DType() != t.DType() || !old.Shape().Equal(t.Shape()) {
		return fmt.Errorf("engine: variable %q is %v, cannot become %v", name, old, t)
	}
	v.m[name] = t.Clone()
	return nil
}

// Get returns a copy of the variable.
func (v *Vars) Get(name string) (*tensor.Tensor, error) {
	t, ok := v.m[name]
	if !ok {
		return nil, fmt.Errorf("engine: no variable %q", name)
	}
	return t.Clone(), nil
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
