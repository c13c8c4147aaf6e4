package tensor

import (
	"slices"
	"sync"
)

// deferred is the elements of a tensor that are elsewhere, shared by those that
// Reshape makes of it.
type deferred struct {
	read func(dst []float32) error

	mu  sync.Mutex
	f32 []float32 // once they were read into memory
}

// Deferred returns a float32 tensor whose elements are elsewhere, such as in a
// file: read writes all of them to dst. It is called whenever they are needed,
// by any goroutine, until [Tensor.Load] or [Tensor.Float32s] keeps them in
// memory; it must give the same elements each time. A negative extent is an
// error.
func Deferred(read func(dst []float32) error, shape ...int) (*Tensor, error) {
	s, err := fits(Shape(shape).Numel(), shape)
	if err != nil {
		return nil, err
	}
	return &Tensor{shape: s, dtype: Float32, later: &deferred{read: read}}, nil
}

// Deferred reports whether the elements are not in memory.
func (t *Tensor) Deferred() bool {
	if t.later == nil {
		return false
	}
	t.later.mu.Lock()
	defer t.later.mu.Unlock()
	return t.later.f32 == nil
}

// Load reads the elements of a deferred tensor into memory, where they stay.
func (t *Tensor) Load() error {
	if t.later == nil {
		return nil
	}
	_, err := t.later.load(t.Numel())
	return err
}

// Read copies the elements to dst, which must have their number, without
// keeping those of a deferred tensor in memory. It panics if the tensor is not
// of float32 or dst has another length.
func (t *Tensor) Read(dst []float32) error {
	if t.dtype != Float32 || len(dst) != t.Numel() {
		panic("tensor: Read of " + t.String() + " into an array of another length or type")
	}
	if t.later == nil {
		copy(dst, t.f32)
		return nil
	}
	t.later.mu.Lock()
	x := t.later.f32
	t.later.mu.Unlock()
	if x != nil {
		copy(dst, x)
		return nil
	}
	return t.later.read(dst)
}

func (d *deferred) load(n int) ([]float32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.f32 != nil {
		return d.f32, nil
	}
	x := make([]float32, n)
	if err := d.read(x); err != nil {
		return nil, err
	}
	d.f32 = x
	return x, nil
}

func (d *deferred) clone() *deferred {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &deferred{read: d.read, f32: slices.Clone(d.f32)}
}
