package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/memory"
	"github.com/resnet-go/resnet/tensor"
)

// Constants may be deferred: what they hold is in a file (tensor.Deferred). A
// weight that is packed is read into memory that all weights share while the
// plan is compiled, and only its panels stay. Any other constant is loaded.

// constant makes b the constant of source s. One that is deferred has no data.
func (b *buf) constant(s source) {
	b.kind, b.source = constant, s
	if !s.w.Deferred() {
		b.data = s.w.Float32s()
	}
}

// keep loads a deferred constant that a step is to read as it is. A failure is
// found in c.err; the steps then made are of no use.
func (c *compiler) keep(b *buf) {
	w := b.source.w
	if b.kind != constant || b.data != nil || w == nil {
		return
	}
	if err := w.Load(); err != nil {
		c.fail(fmt.Errorf("read a constant: %w", err))
		b.data = make([]float32, b.size)
		return
	}
	b.data = w.Float32s()
}

// read returns the elements of a constant, of a deferred one until the next
// call. A failure is found in c.err.
func (c *compiler) read(b *buf) []float32 {
	if b.data != nil {
		return b.data
	}
	x, err := c.reading.of(b.source.w, c.g, c.vars)
	if err != nil {
		c.fail(err)
	}
	return x
}

func (c *compiler) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// reading is the memory into which deferred constants are read, one after
// another.
type reading struct {
	x     []float32
	block *memory.Block
}

// of returns the elements of t, of a deferred one until the next call. After an
// error they are unspecified.
func (r *reading) of(t *tensor.Tensor, g *graph.Graph, vars *Vars) ([]float32, error) {
	if !t.Deferred() {
		return t.Float32s(), nil
	}
	x := r.floats(t.Numel(), g, vars)
	if err := t.Read(x); err != nil {
		return x, fmt.Errorf("read a constant: %w", err)
	}
	return x, nil
}

// floats returns n floats. The first call makes room for the largest of the
// graph's deferred constants.
func (r *reading) floats(n int, g *graph.Graph, vars *Vars) []float32 {
	if n > len(r.x) {
		r.release()
		most := n
		for _, node := range g.Nodes {
			if w := deferredOf(node.Op, vars); w != nil {
				most = max(most, w.Numel())
			}
		}
		r.x, r.block = memory.Floats(most)
	}
	return r.x[:n]
}

// release gives the memory back.
func (r *reading) release() {
	if r.block != nil {
		r.block.Free()
	}
	*r = reading{}
}

// deferredOf returns the deferred constant that an operator is, or nil.
func deferredOf(op graph.Op, vars *Vars) *tensor.Tensor {
	var w *tensor.Tensor
	switch op := op.(type) {
	case graph.Variable:
		w = vars.m[op.Label].own
	case scaledWeight:
		w = op.w
	case graph.Const:
		w = op.Tensor
	}
	if w == nil || w.DType() != tensor.Float32 || !w.Deferred() {
		return nil
	}
	return w
}

// loadUpdated loads the deferred variables that g updates: they get memory of
// their own, in the order in which the plan keeps them.
func loadUpdated(g *graph.Graph, vars *Vars) error {
	for _, u := range g.Updates {
		op, ok := u.Variable.Node.Op.(graph.Variable)
		if !ok {
			continue
		}
		if w := vars.m[op.Label].own; w != nil {
			if err := w.Load(); err != nil {
				return fmt.Errorf("engine: variable %q: %w", op.Label, err)
			}
		}
	}
	return nil
}
