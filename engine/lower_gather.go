package engine

import (
	"fmt"
	"slices"
	"sync"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

// badIndex is the error of an index outside of its axis.
func badIndex(path string, index int64, at, extent int) error {
	return fmt.Errorf("engine: %s: index %d at %d is not in 0..%d", path, index, at, extent-1)
}

// around returns the extents before and behind an axis, multiplied.
func around(s tensor.Shape, axis int) (outer, inner int) { return s[:axis].Numel(), s[axis+1:].Numel() }

// gather copies one slice for each index and place before the axis.
func (c *compiler) gather(n *graph.Node, o graph.Gather) error {
	slot, err := c.intsOf(n.In[1])
	if err != nil {
		return err
	}
	s := n.In[0].Shape
	outer, inner := around(s, o.Axis)
	count, size := n.In[1].Shape.Numel(), s[o.Axis]
	x := c.in(n.In[0], rowMajor)
	y := c.out(n.Out[0], rowMajor)
	path := n.String()
	c.rows("", outer*count, inner, func(r *run, lo, hi int) {
		for i := lo; i < hi; i++ {
			at := r.i64[slot][i%count]
			if at < 0 || at >= int64(size) {
				r.fail(badIndex(path, at, i%count, size))
				return
			}
			copy(r.b[y.id][i*inner:(i+1)*inner], r.b[x.id][(i/count*size+int(at))*inner:])
		}
	}, reads(x), writes(y))
	return nil
}

// gatherBand is how many elements of a slice a task of gatherGrad adds up, so that a
// table of embeddings has several tasks.
const gatherBand = 64

// gatherGrad cuts the result into bands of columns, in which each task goes through all
// indices in their order.
func (c *compiler) gatherGrad(n *graph.Node, o graph.GatherGrad) error {
	slot, err := c.intsOf(n.In[1])
	if err != nil {
		return err
	}
	outer, inner := around(o.X, o.Axis)
	size := o.X[o.Axis]
	count := n.In[1].Shape.Numel()
	dy := c.in(n.In[0], rowMajor)
	dx := c.out(n.Out[0], rowMajor)
	bands := vec.Pieces(inner, gatherBand)
	path := n.String()
	c.step("", outer*bands, func(r *run, task, _ int) {
		lo, hi := vec.PieceBounds(task%bands, gatherBand, inner)
		to, from := r.b[dx.id][task/bands*size*inner:], r.b[dy.id][task/bands*count*inner:]
		for i := range size {
			clear(to[i*inner+lo : i*inner+hi])
		}
		for i, at := range r.i64[slot] {
			if at < 0 || at >= int64(size) {
				r.fail(badIndex(path, at, i, size))
				return
			}
			vec.AddTo(to[int(at)*inner+lo:int(at)*inner+hi], from[i*inner+lo:i*inner+hi])
		}
	}, reads(dy), writes(dx))
	return nil
}

// elements prepares the walk of gatherElements: each call of the result goes through the
// indices of one of n slices and passes their places in the indices and in an array of
// shape x.
func (c *compiler) elements(axis int, x tensor.Shape, index *graph.Value) (walk func(r *run, slice int, f func(out, in int)), n int, err error) {
	slot, err := c.intsOf(index)
	if err != nil {
		return nil, 0, err
	}
	st := strides(x, x)
	along := st[axis]
	own := slices.Clone(st)
	own[axis] = 0
	shape, walked := twoAxes(index.Shape, own)
	path, size, length, step := c.node.String(), x[axis], last(shape), last(walked[0])
	return func(r *run, slice int, f func(out, in int)) {
		lines(shape, slice, walked, func(at int, pos []int) {
			for i, v := range r.i64[slot][at : at+length] {
				if v < 0 || v >= int64(size) {
					r.fail(badIndex(path, v, at+i, size))
					return
				}
				f(at+i, pos[0]+i*step+int(v)*along)
			}
		})
	}, shape[0], nil
}

func (c *compiler) gatherElements(n *graph.Node, o graph.GatherElements) error {
	walk, parts, err := c.elements(o.Axis, n.In[0].Shape, n.In[1])
	if err != nil {
		return err
	}
	x := c.in(n.In[0], rowMajor)
	y := c.out(n.Out[0], rowMajor)
	c.step("", parts, func(r *run, task, _ int) {
		to, from := r.b[y.id], r.b[x.id]
		walk(r, task, func(out, in int) { to[out] = from[in] })
	}, reads(x), writes(y))
	return nil
}

// gatherElementsGrad has one task for each slice of the first axis, whose places no other
// task adds to, or one for all if that is the axis of the indices.
func (c *compiler) gatherElementsGrad(n *graph.Node, o graph.GatherElementsGrad) error {
	walk, parts, err := c.elements(o.Axis, o.X, n.In[1])
	if err != nil {
		return err
	}
	dy := c.in(n.In[0], rowMajor)
	dx := c.out(n.Out[0], rowMajor)
	c.pieces("clear", dx.size, func(r *run, lo, hi int) { clear(r.b[dx.id][lo:hi]) }, nil, writes(dx))
	tasks, each := parts, 1
	if o.Axis == 0 {
		tasks, each = 1, parts
	}
	c.step("", tasks, func(r *run, task, _ int) {
		to, from := r.b[dx.id], r.b[dy.id]
		for i := task * each; i < (task+1)*each; i++ {
			walk(r, i, func(out, in int) { to[in] += from[out] })
		}
	}, reads(dy, dx), writes(dx))
	return nil
}

// ranked is an element with its place, in a heap of the best so far.
type ranked struct {
	value float32
	at    int32
}

// precedes reports whether a comes before b: the larger value first, NaN before all
// numbers, the lower place among equals; the smaller value first, NaN last, for smallest.
func (a ranked) precedes(b ranked, smallest bool) bool {
	x, y := a.value, b.value
	if smallest {
		x, y = y, x
	}
	switch {
	case x > y || x != x && y == y:
		return true
	case x < y || y != y && x == x:
		return false
	}
	return a.at < b.at
}

// heap keeps the k elements that precede all others; its root is the last of them.
type heap struct{ list []ranked }

func (h *heap) push(x ranked, k int, smallest bool) {
	if len(h.list) < k {
		h.list = append(h.list, x)
		for i := len(h.list) - 1; i > 0 && h.list[(i-1)/2].precedes(h.list[i], smallest); i = (i - 1) / 2 {
			h.list[i], h.list[(i-1)/2] = h.list[(i-1)/2], h.list[i]
		}
		return
	}
	if !x.precedes(h.list[0], smallest) {
		return
	}
	h.list[0] = x
	for i := 0; ; {
		last := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < k && h.list[last].precedes(h.list[child], smallest) {
				last = child
			}
		}
		if last == i {
			return
		}
		h.list[i], h.list[last] = h.list[last], h.list[i]
		i = last
	}
}

func (c *compiler) topK(n *graph.Node, o graph.TopK) {
	s := n.In[0].Shape
	outer, inner := around(s, o.Axis)
	size := s[o.Axis]
	x := c.in(n.In[0], rowMajor)
	values, index := c.out(n.Out[0], rowMajor), c.outInts(n.Out[1])
	heaps := sync.Pool{New: func() any { return &heap{} }}
	c.rows("", outer*inner, size, func(r *run, lo, hi int) {
		h := heaps.Get().(*heap)
		defer heaps.Put(h)
		for line := lo; line < hi; line++ {
			from := r.b[x.id][line/inner*size*inner+line%inner:]
			h.list = h.list[:0]
			for i := range size {
				h.push(ranked{from[i*inner], int32(i)}, o.K, o.Smallest)
			}
			slices.SortFunc(h.list, func(a, b ranked) int {
				if a.precedes(b, o.Smallest) {
					return -1
				}
				return 1
			})
			first := line/inner*o.K*inner + line%inner
			for i, v := range h.list {
				r.b[values.id][first+i*inner], r.i64[index][first+i*inner] = v.value, int64(v.at)
			}
		}
	}, reads(x), writes(values))
}

func (c *compiler) argMax(n *graph.Node, o graph.ArgMax) {
	s := n.In[0].Shape
	outer, inner := around(s, o.Axis)
	size := s[o.Axis]
	x, index := c.in(n.In[0], rowMajor), c.outInts(n.Out[0])
	c.rows("", outer*inner, size, func(r *run, lo, hi int) {
		for line := lo; line < hi; line++ {
			from := r.b[x.id][line/inner*size*inner+line%inner:]
			best := ranked{from[0], 0}
			for i := 1; i < size; i++ {
				if v := (ranked{from[i*inner], int32(i)}); v.precedes(best, false) {
					best = v
				}
			}
			r.i64[index][line] = int64(best.at)
		}
	}, reads(x), nil)
}
