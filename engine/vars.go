package engine

import (
	"fmt"
	"sort"
	"sync"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Vars holds named tensors that live from run to run: parameters, running
// statistics, optimizer slots. Plans compiled over one Vars share it: what a
// training plan learns, an inference plan compiled later reads.
//
// A plan reads the variables that it does not update when it is compiled, and
// must be compiled again to see later changes of them. Vars must not be used
// during a run that updates it.
type Vars struct {
	m map[string]*variable

	mu    sync.Mutex // guards what compiling for different batch sizes shares
	home  *home      // where plans update them; nil if none does
	owned map[*tensor.Tensor]bool
	packs map[sharedPack]pack

	arenas arenas

	away sync.Mutex // guards variable.remote
}

type variable struct {
	graph.Type
	own *tensor.Tensor // the value of an adopted variable, in the public order
	f32 []float32      // else, in variableLayout order
	i64 []int64

	remote remote // the value on a device
}

// NewVars returns an empty store.
func NewVars() *Vars {
	return &Vars{m: map[string]*variable{}, owned: map[*tensor.Tensor]bool{}, packs: map[sharedPack]pack{}}
}

// Set copies t into the store under name. A variable keeps its type: another
// shape or element type is an error.
func (v *Vars) Set(name string, t *tensor.Tensor) error {
	x, err := v.named(name, t)
	if err != nil {
		return err
	}
	if err := v.forget(x); err != nil {
		return err
	}
	if x.DType == tensor.Float32 {
		v.release(x)
		if x.f32 == nil {
			x.f32 = make([]float32, t.Numel())
		}
		relayout(x.f32, t.Float32s(), x.Shape, rowMajor, variableLayout(x.Type))
	} else {
		if x.i64 == nil {
			x.i64 = make([]int64, t.Numel())
		}
		copy(x.i64, t.Int64s())
	}
	return nil
}

// Adopt is [Vars.Set] without a copy: t must not be changed afterwards. It suits
// networks that are only run: plans for several batch sizes then share what
// they make of t, too. A deferred t is read when a plan is compiled, and not
// kept where the plan has its elements in a form of its own.
func (v *Vars) Adopt(name string, t *tensor.Tensor) error {
	if t.DType() != tensor.Float32 {
		return v.Set(name, t)
	}
	x, err := v.named(name, t)
	if err != nil {
		return err
	}
	if err := v.forget(x); err != nil {
		return err
	}
	v.release(x)
	v.mu.Lock()
	defer v.mu.Unlock()
	x.own, x.f32 = t, nil
	v.owned[t] = true
	return nil
}

// named returns the variable to hold t, a new one if there is none.
func (v *Vars) named(name string, t *tensor.Tensor) (*variable, error) {
	if l := t.Layout(); l != tensor.NCHW {
		return nil, fmt.Errorf("engine: variable %q: the value is laid out as %v, must be %v", name, l, tensor.NCHW)
	}
	typ := graph.Type{DType: t.DType(), Shape: t.Shape().Clone()}
	x, ok := v.m[name]
	if !ok {
		x = &variable{Type: typ}
		v.m[name] = x
	}
	if x.DType != typ.DType || !x.Shape.Equal(typ.Shape) {
		return nil, fmt.Errorf("engine: variable %q is %s, cannot become %s", name, x.Type, typ)
	}
	return x, nil
}

// release forgets the adopted value of x and what was made of any.
func (v *Vars) release(x *variable) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if x.own != nil {
		delete(v.owned, x.own)
		clear(v.packs)
		x.own = nil
	}
}

// forget frees the value on a device, which the one here replaces.
func (v *Vars) forget(x *variable) error {
	v.away.Lock()
	defer v.away.Unlock()
	return x.remote.drop()
}

// updatable returns the memory of a variable that a plan updates.
func (v *Vars) updatable(x *variable) []float32 {
	if own := x.own; own != nil {
		v.release(x)
		x.f32 = make([]float32, own.Numel())
		relayout(x.f32, own.Float32s(), x.Shape, rowMajor, variableLayout(x.Type))
	}
	return x.f32
}

// Get returns a copy of the variable.
func (v *Vars) Get(name string) (*tensor.Tensor, error) {
	x, ok := v.m[name]
	if !ok {
		return nil, fmt.Errorf("engine: no variable %q", name)
	}
	v.away.Lock()
	defer v.away.Unlock()
	if x.remote.newer {
		t := Port{Type: x.Type}.NewTensor()
		return t, x.remote.buf.Download(t)
	}
	if x.own != nil {
		t := x.own.Clone()
		return t, t.Load()
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

// tensor returns the value in the public order, to be read only.
func (x *variable) tensor() *tensor.Tensor {
	if x.DType == tensor.Int64 {
		t := tensor.NewInt64(x.Shape...)
		copy(t.Int64s(), x.i64)
		return t
	}
	if x.own != nil {
		return x.own
	}
	t := tensor.New(x.Shape...)
	relayout(t.Float32s(), x.f32, x.Shape, variableLayout(x.Type), rowMajor)
	return t
}
