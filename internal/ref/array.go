package ref

import (
	"github.com/resnet-go/resnet/tensor"
)

// array is a dense row-major array of float64 or, if i is not nil, int64.
type array struct {
	shape tensor.Shape
	f     []float64
	i     []int64
}

// zeros returns an array of zeros.
func zeros(shape ...int) array {
	s := append(tensor.Shape{}, shape...)
	return array{shape: s, f: make([]float64, s.Numel())}
}

func scalar(x float64) array { return array{shape: tensor.Shape{}, f: []float64{x}} }

func fromTensor(t *tensor.Tensor) array {
	if t.DType() == tensor.Int64 {
		return array{shape: t.Shape(), i: append([]int64{}, t.Int64s()...)}
	}
	a := zeros(t.Shape()...)
	for i, x := range t.Float32s() {
		a.f[i] = float64(x)
	}
	return a
}

func (a array) dtype() tensor.DType {
	if a.i != nil {
		return tensor.Int64
	}
	return tensor.Float32
}

func (a array) tensor() *tensor.Tensor {
	if a.i != nil {
		t := tensor.NewInt64(a.shape...)
		copy(t.Int64s(), a.i)
		return t
	}
	t := tensor.New(a.shape...)
	for i, x := range a.f {
		t.Float32s()[i] = float32(x)
	}
	return t
}

// apply returns f of each element.
func (a array) apply(f func(float64) float64) array {
	y := zeros(a.shape...)
	for i, x := range a.f {
		y.f[i] = f(x)
	}
	return y
}

// strides returns the distance in memory between neighbors along each axis.
func strides(s tensor.Shape) []int {
	st := make([]int, len(s))
	step := 1
	for a := len(s) - 1; a >= 0; a-- {
		st[a] = step
		step *= s[a]
	}
	return st
}

// stretched returns the strides with which an array of shape s is read when it
// is broadcast to shape to: 0 along the axes it lacks or has with extent 1.
func stretched(s, to tensor.Shape) []int {
	st := make([]int, len(to))
	own := strides(s)
	lead := len(to) - len(s)
	for a := range s {
		if s[a] != 1 {
			st[lead+a] = own[a]
		}
	}
	return st
}

// walk calls f for each index of shape in row-major order: at is its position
// there, pos[k] its position in an array with the strides st[k].
func walk(shape tensor.Shape, f func(at int, pos []int), st ...[]int) {
	idx := make([]int, len(shape))
	pos := make([]int, len(st))
	for at, n := 0, shape.Numel(); at < n; at++ {
		f(at, pos)
		for a := len(shape) - 1; a >= 0; a-- {
			idx[a]++
			for k := range st {
				pos[k] += st[k][a]
			}
			if idx[a] < shape[a] {
				break
			}
			for k := range st {
				pos[k] -= st[k][a] * idx[a]
			}
			idx[a] = 0
		}
	}
}

// around returns the extents of shape before and behind the axis, multiplied.
func around(shape tensor.Shape, axis int) (before, behind int) {
	return shape[:axis].Numel(), shape[axis+1:].Numel()
}
