package ref

import (
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

func compare(o graph.Compare, a, b array) array {
	shape, _ := graph.Broadcast(a.shape, b.shape)
	y := zeros(shape...)
	at := func(x array, i int) float64 {
		if x.i != nil {
			return float64(x.i[i])
		}
		return x.f[i]
	}
	walk(shape, func(i int, pos []int) {
		x, z := at(a, pos[0]), at(b, pos[1])
		holds := false
		switch o.Fn {
		case graph.Less:
			holds = x < z
		case graph.LessOrEqual:
			holds = x <= z
		case graph.Greater:
			holds = x > z
		case graph.GreaterOrEqual:
			holds = x >= z
		case graph.Equal:
			holds = x == z
		case graph.NotEqual:
			holds = x != z
		}
		if holds {
			y.f[i] = 1
		}
	}, stretched(a.shape, shape), stretched(b.shape, shape))
	return y
}

func where(c, a, b array) array {
	shape, _ := graph.Broadcast(c.shape, a.shape)
	shape, _ = graph.Broadcast(shape, b.shape)
	y := zeros(shape...)
	walk(shape, func(i int, pos []int) {
		if y.f[i] = b.f[pos[2]]; c.f[pos[0]] != 0 {
			y.f[i] = a.f[pos[1]]
		}
	}, stretched(c.shape, shape), stretched(a.shape, shape), stretched(b.shape, shape))
	return y
}

func toFloat(x array) array {
	y := zeros(x.shape...)
	for i, v := range x.i {
		y.f[i] = float64(float32(v))
	}
	return y
}

func toInt(x array) ([]array, error) {
	y := array{shape: x.shape, i: make([]int64, len(x.f))}
	for i, v := range x.f {
		if !(math.Abs(v) < 1<<63) {
			return nil, fmt.Errorf("%w: %g at %d is no int64", ErrValue, v, i)
		}
		y.i[i] = int64(v)
	}
	return []array{y}, nil
}

// gathered calls f with the positions in the output and in an input of shape x of each
// element that Gather reads.
func gathered(axis int, x tensor.Shape, index array, f func(out, in int)) error {
	before, behind := around(x, axis)
	for k, v := range index.i {
		if v < 0 || v >= int64(x[axis]) {
			return fmt.Errorf("%w: index %d at %d is not in 0..%d", ErrValue, v, k, x[axis]-1)
		}
		for b := range before {
			for j := range behind {
				f((b*len(index.i)+k)*behind+j, (b*x[axis]+int(v))*behind+j)
			}
		}
	}
	return nil
}

func gather(o graph.Gather, x, index array) ([]array, error) {
	y := zeros(slices.Concat(x.shape[:o.Axis], index.shape, x.shape[o.Axis+1:])...)
	err := gathered(o.Axis, x.shape, index, func(out, in int) { y.f[out] = x.f[in] })
	return []array{y}, err
}

func gatherGrad(o graph.GatherGrad, dy, index array) ([]array, error) {
	dx := zeros(o.X...)
	err := gathered(o.Axis, o.X, index, func(out, in int) { dx.f[in] += dy.f[out] })
	return []array{dx}, err
}

// elements is gathered of GatherElements.
func elements(axis int, x tensor.Shape, index array, f func(out, in int)) (err error) {
	st := strides(x)
	own := slices.Clone(st)
	own[axis] = 0
	walk(index.shape, func(at int, pos []int) {
		v := index.i[at]
		if v < 0 || v >= int64(x[axis]) {
			err = fmt.Errorf("%w: index %d at %d is not in 0..%d", ErrValue, v, at, x[axis]-1)
			return
		}
		f(at, pos[0]+int(v)*st[axis])
	}, own)
	return err
}

func gatherElements(o graph.GatherElements, x, index array) ([]array, error) {
	y := zeros(index.shape...)
	err := elements(o.Axis, x.shape, index, func(out, in int) { y.f[out] = x.f[in] })
	return []array{y}, err
}

func gatherElementsGrad(o graph.GatherElementsGrad, dy, index array) ([]array, error) {
	dx := zeros(o.X...)
	err := elements(o.Axis, o.X, index, func(out, in int) { dx.f[in] += dy.f[out] })
	return []array{dx}, err
}

// order returns the positions along the axis in the order of their elements, for each
// line of x: largest first, NaN before all, the lower position among equals.
func order(x array, axis int, smallest bool, f func(before, j int, sorted []int, at func(k int) float64)) {
	before, behind := around(x.shape, axis)
	n := x.shape[axis]
	for b := range before {
		for j := range behind {
			at := func(k int) float64 { return x.f[(b*n+k)*behind+j] }
			sorted := make([]int, n)
			for k := range sorted {
				sorted[k] = k
			}
			slices.SortStableFunc(sorted, func(p, q int) int {
				u, v := at(p), at(q)
				if smallest {
					p, q, u, v = q, p, v, u
				}
				switch {
				case u > v || math.IsNaN(u) && !math.IsNaN(v):
					return -1
				case u < v || math.IsNaN(v) && !math.IsNaN(u):
					return 1
				}
				return 0
			})
			f(b, j, sorted, at)
		}
	}
}

func topK(o graph.TopK, x array) []array {
	shape := x.shape.Clone()
	shape[o.Axis] = o.K
	_, behind := around(x.shape, o.Axis)
	values := zeros(shape...)
	index := array{shape: shape, i: make([]int64, shape.Numel())}
	order(x, o.Axis, o.Smallest, func(b, j int, sorted []int, at func(int) float64) {
		for k := range o.K {
			i := (b*o.K+k)*behind + j
			values.f[i], index.i[i] = at(sorted[k]), int64(sorted[k])
		}
	})
	return []array{values, index}
}

func argMax(o graph.ArgMax, x array) array {
	shape := x.shape[:o.Axis].Clone()
	if o.Keep {
		shape = append(shape, 1)
	}
	shape = append(shape, x.shape[o.Axis+1:]...)
	_, behind := around(x.shape, o.Axis)
	y := array{shape: shape, i: make([]int64, shape.Numel())}
	order(x, o.Axis, false, func(b, j int, sorted []int, _ func(int) float64) { y.i[b*behind+j] = int64(sorted[0]) })
	return y
}
