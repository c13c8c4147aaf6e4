package enginetest

import (
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// maxRank is the highest rank of [RandomMoves], that of the engine's kernels.
const maxRank = 8

// RandomMoves applies n operators that change the rank or the order of a value, whose
// ranks go from 0 to 8, mixed with those that work on pictures, so that every layout
// meets every rank. Unlike in [RandomCase] each operator is made to fit. Outputs are
// some of the values, the last, and the gradients of a weighted sum of it.
func RandomMoves(bytes []byte, n int) Case {
	m := &mover{Choices: &Choices{bytes}, builder: &builder{g: &graph.Graph{}}}
	m.c = Case{Name: "moves", Graph: m.g, Steps: 1, Tol: 1e-3, Vars: map[string]*tensor.Tensor{}, Inputs: map[string]*tensor.Tensor{}}
	x := m.feed("x", m.numbers(m.extents(1+m.Below(maxRank), 2000)...))
	v := x
	for i := range n {
		y := m.move(v)
		if y == nil || y.Shape.Numel() > 4000 {
			continue
		}
		if v = y; m.Below(6) == 0 {
			m.out(fmt.Sprint(i), v)
		}
	}
	m.out("last", v)
	loss := m.op(graph.Reduce{Fn: graph.Sum}, m.mul(v, m.feed("dy", m.numbers(v.Shape...))))
	if grads, err := m.g.Gradients(loss, []*graph.Value{x}); err == nil {
		m.out("dx", grads[0])
	}
	return m.c
}

// mover makes operators that fit a value.
type mover struct {
	*Choices
	*builder
	// rounded is set once values are not exact: then two that are equal in the reference
	// may differ in the engine by their last bit, and the gradients of maxima and of
	// conditions by everything.
	rounded bool
}

// rounds notes that an operator rounds.
func (m *mover) rounds(v *graph.Value) *graph.Value {
	m.rounded = true
	return v
}

// numbers returns small numbers, many of which are equal.
func (m *mover) numbers(shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Float32s() {
		t.Float32s()[i] = float32(m.Below(33)-16) / 8
	}
	return t
}

// extents returns a shape of the given rank and at most limit elements.
func (m *mover) extents(rank, limit int) []int {
	s := make([]int, rank)
	for i := range s {
		s[i] = 1
		if d := 1 + m.Below(4); d <= limit {
			s[i] = d
			limit /= d
		}
	}
	return s
}

// some returns a part of 0..n-1 in order, at least one.
func (m *mover) some(n int) []int {
	var list []int
	for i := range n {
		if m.yes() {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		list = []int{m.Below(n)}
	}
	return list
}

// factored returns a shape of n elements and any rank.
func (m *mover) factored(n int) tensor.Shape {
	s := tensor.Shape{}
	for range 1 + m.Below(maxRank) {
		s = append(s, 1)
	}
	for p := 2; n > 1; {
		if n%p == 0 {
			s[m.Below(len(s))] *= p
			n /= p
		} else {
			p++
		}
	}
	return s
}

// move applies one operator to v; nil if none fits.
func (m *mover) move(v *graph.Value) *graph.Value {
	s := v.Shape
	rank := len(s)
	if rank == 0 {
		return m.op(graph.BroadcastTo{Shape: m.extents(1+m.Below(maxRank), 200)}, v)
	}
	axis := m.Below(rank)
	switch m.Below(18) {
	case 0, 1:
		o := graph.Reduce{Fn: graph.ReduceFn(m.Below(3)), Axes: m.some(rank), Keep: m.yes()}
		if o.Fn == graph.MaxOf && m.rounded {
			return nil
		}
		m.rounded = m.rounded || o.Fn == graph.Mean
		return m.op(o, v)
	case 2, 3:
		return m.op(graph.Reshape{Shape: m.factored(s.Numel())}, v)
	case 4, 5:
		perm := make([]int, 0, rank)
		for i := range rank {
			perm = slices.Insert(perm, m.Below(i+1), i)
		}
		return m.op(graph.Permute{Perm: perm}, v)
	case 6:
		to := append(tensor.Shape(m.extents(m.Below(maxRank+1-rank), 12)), s...)
		for i, d := range to {
			if d == 1 {
				to[i] = 1 + m.Below(3)
			}
		}
		return m.op(graph.BroadcastTo{Shape: to}, v)
	case 7:
		start, step := m.Below(s[axis]), 1+m.Below(2)
		return m.op(graph.Slice{Axis: axis, Start: start, Count: 1 + m.Below((s[axis]-1-start)/step+1), Step: step}, v)
	case 8:
		return m.op(graph.Pad{Axis: axis, Before: m.Below(3), After: m.Below(2), Between: m.Below(2), Value: 0.5}, v)
	case 9:
		return m.op(graph.Concat{Axis: axis}, v, m.op(graph.Affine{Scale: -2}, v))
	case 10, 11:
		// Another value that stretches to this one, or this to it.
		u := m.op(graph.Reduce{Fn: graph.Sum, Axes: m.some(rank), Keep: true}, v)
		if m.yes() && u.Shape[0] == 1 {
			u = m.op(graph.Reshape{Shape: u.Shape[1:]}, u)
		}
		fns := []graph.BinaryFn{graph.Add, graph.Sub, graph.Mul, graph.Max, graph.Min}
		if m.rounded {
			fns = fns[:2]
		}
		if k := m.Below(6); k < len(fns) {
			if fns[k] == graph.Mul {
				m.rounded = true
			}
			return m.op(graph.Binary{Fn: fns[k]}, u, v)
		}
		if m.rounded {
			return nil
		}
		return m.op(graph.Where{}, m.op(graph.Compare{Fn: graph.Greater}, v, u), u, v)
	case 12:
		if o := (graph.Unary{Fn: graph.Relu}); !m.rounded && m.yes() {
			return m.op(o, v)
		}
		return m.rounds(m.op([]graph.Op{graph.Unary{Fn: graph.Tanh}, graph.Softmax{}, graph.LogSoftmax{}, graph.Affine{Scale: 0.5, Shift: 0.25}}[m.Below(4)], v))
	case 13:
		index := tensor.NewInt64(m.extents(m.Below(maxRank+2-rank), 5)...)
		for i := range index.Int64s() {
			index.Int64s()[i] = int64(m.Below(s[axis]))
		}
		return m.op(graph.Gather{Axis: axis}, v, m.g.Const(index))
	case 14:
		if m.rounded {
			return nil
		}
		return m.g.Must(graph.TopK{K: 1 + m.Below(s[axis]), Axis: axis, Smallest: m.yes()}, v)[0]
	}
	return m.picture(v)
}

// picture applies an operator on images, matrices or stacks of them, whose result lies in
// an order of its own.
func (m *mover) picture(v *graph.Value) *graph.Value {
	s := v.Shape
	switch len(s) {
	case 2:
		return m.op(graph.Linear{}, m.rounds(v), m.g.Const(m.numbers(1+m.Below(4), s[1])))
	case 3:
		return m.op(graph.MatMul{TransB: true}, m.op(graph.Affine{Scale: 0.1}, m.rounds(v)), v)
	case 4:
		switch m.Below(4) {
		case 0:
			return m.op(square(1, 0), m.rounds(v), m.g.Const(m.numbers(1+m.Below(4), s[1], 1, 1)))
		case 1:
			if m.rounded {
				return nil
			}
			return m.g.Must(graph.MaxPool2d{Window: pooling(2, 1, 1)}, v)[0]
		case 2:
			return m.op(graph.Resize{OH: 1 + m.Below(4), OW: 1 + m.Below(4), Bilinear: m.yes()}, m.rounds(v))
		}
		if s[2]*s[3] > 1 {
			return m.g.Must(graph.GroupNorm{Groups: s[1], Eps: 0.5}, m.rounds(v), m.g.Const(m.numbers(s[1])), m.g.Const(m.numbers(s[1])))[0]
		}
	}
	return nil
}
