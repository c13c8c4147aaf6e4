package ref

import (
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// reduced returns the shape of x with the reduced axes as 1, and without them.
func reduced(o graph.Reduce, x tensor.Shape) (kept, gone tensor.Shape) {
	kept, gone = x.Clone(), tensor.Shape{}
	for a, d := range x {
		if len(o.Axes) == 0 || slices.Contains(o.Axes, a) {
			kept[a] = 1
		} else {
			gone = append(gone, d)
		}
	}
	return kept, gone
}

func reduce(o graph.Reduce, x array) ([]array, error) {
	kept, gone := reduced(o, x.shape)
	y := zeros(kept...)
	to := stretched(kept, x.shape)
	switch o.Fn {
	case graph.Sum, graph.Mean:
		share := 1.0
		if o.Fn == graph.Mean {
			share = float64(len(x.f) / len(y.f))
		}
		walk(x.shape, func(at int, pos []int) { y.f[pos[0]] += x.f[at] }, to)
		for i := range y.f {
			y.f[i] /= share
		}
	case graph.MaxOf:
		for i := range y.f {
			y.f[i] = math.Inf(-1)
		}
		walk(x.shape, func(at int, pos []int) { y.f[pos[0]] = max(y.f[pos[0]], x.f[at]) }, to)
	default:
		return nil, fmt.Errorf("the interpreter has no function %v", o.Fn)
	}
	if !o.Keep {
		y.shape = gone
	}
	return one(y)
}

func reduceMaxGrad(o graph.ReduceMaxGrad, x, y, dy array) array {
	kept, _ := reduced(o.Of, x.shape)
	to := stretched(kept, x.shape)
	winners := make([]float64, len(y.f))
	walk(x.shape, func(at int, pos []int) {
		if x.f[at] == y.f[pos[0]] {
			winners[pos[0]]++
		}
	}, to)
	dx := zeros(x.shape...)
	walk(x.shape, func(at int, pos []int) {
		if x.f[at] == y.f[pos[0]] {
			dx.f[at] = dy.f[pos[0]] / winners[pos[0]]
		}
	}, to)
	return dx
}

func broadcastTo(x array, shape tensor.Shape) array {
	y := zeros(shape...)
	walk(shape, func(at int, pos []int) { y.f[at] = x.f[pos[0]] }, stretched(x.shape, shape))
	return y
}

func softmax(x array) array { return logSoftmax(x).apply(math.Exp) }

func logSoftmax(x array) array {
	y := zeros(x.shape...)
	c := x.shape[len(x.shape)-1]
	for r := 0; r < len(x.f); r += c {
		row := x.f[r : r+c]
		top := slices.Max(row)
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(v - top)
		}
		for j, v := range row {
			y.f[r+j] = v - top - math.Log(sum)
		}
	}
	return y
}
