package vec

import "math"

// ReduceOp names a reduction.
type ReduceOp uint8

// The reductions of [Reduce].
const (
	ReduceSum ReduceOp = iota
	ReduceMean
	ReduceMax // NaN if there is one
	ReduceMin // NaN if there is one
	ReduceProd
	reduceOps
)

// Reduce reduces the dimensions of x whose bits are set in axes (bit d for
// dimension d; at most 8). y holds what is left, contiguous; Reduce computes
// its elements [lo, hi). Sums and products are in float64, over all reduced
// elements in row-major order, except that the reduction of the dimensions
// before a kept innermost one goes through [SumRows].
func Reduce(op ReduceOp, y, x []float32, shape []int, axes uint, lo, hi int) {
	if op >= reduceOps {
		panic(badOp)
	}
	if hi <= lo {
		return
	}
	var kept, red walk
	count := splitAxes(&kept, &red, shape, axes)
	scale := 1.0
	if op == ReduceMean {
		scale = 1 / float64(count)
	}
	// rows x channels -> channels, the pattern of N,H,W and H,W.
	if c := kept.shape[kept.n-1]; red.n == 1 && count > 0 && red.stride[0][0] == c &&
		kept.stride[0][kept.n-1] == 1 && c > 1 && lo%c == 0 && hi%c == 0 && op != ReduceProd {
		kept.seek(kept.n-1, lo/c)
		for i := lo; i < hi; i += c {
			block := x[kept.at[0] : kept.at[0]+count*c]
			switch op {
			case ReduceMax:
				MaxRows(y[i:i+c], block, c)
			case ReduceMin:
				MinRows(y[i:i+c], block, c)
			default:
				SumRows(y[i:i+c], block, c, float32(scale))
			}
			kept.next(kept.n - 1)
		}
		return
	}
	kept.seek(kept.n, lo)
	for i := lo; i < hi; i++ {
		y[i] = float32(reduce1(op, x, kept.at[0], &red, count) * scale)
		kept.next(kept.n)
	}
}

// ReduceMaxGrad computes the gradient of [Reduce] by [ReduceMax] for the elements
// [lo, hi) of dy (and y): it sets all elements of dx that were reduced into them.
// Equal maxima share the gradient evenly, as in torch.amax.
func ReduceMaxGrad(dx, dy, x, y []float32, shape []int, axes uint, lo, hi int) {
	if hi <= lo {
		return
	}
	var kept, red walk
	count := splitAxes(&kept, &red, shape, axes)
	kept.seek(kept.n, lo)
	for i := lo; i < hi; i++ {
		base := kept.at[0]
		ties := 0
		red.seek(red.n, 0)
		for range count {
			if x[base+red.at[0]] == y[i] {
				ties++
			}
			red.next(red.n)
		}
		g := float32(float64(dy[i]) / float64(max(ties, 1)))
		red.seek(red.n, 0)
		for range count {
			at := base + red.at[0]
			dx[at] = 0
			if x[at] == y[i] {
				dx[at] = g
			}
			red.next(red.n)
		}
		kept.next(kept.n)
	}
}

// splitAxes sets up walks over the kept and the reduced dimensions of a
// contiguous array and returns the number of reduced elements.
func splitAxes(kept, red *walk, shape []int, axes uint) int {
	if len(shape) > maxDims {
		panic(badRank)
	}
	count, stride := 1, 1
	var strides [maxDims]int
	for d := len(shape) - 1; d >= 0; d-- {
		strides[d] = stride
		stride *= shape[d]
	}
	for d, n := range shape {
		w := kept
		if axes>>d&1 != 0 {
			w = red
			count *= n
		}
		w.shape[w.n], w.stride[0][w.n] = n, strides[d]
		w.stride[1][w.n] = strides[d]
		w.n++
	}
	kept.collapse()
	red.collapse()
	return count
}

// seek moves to element i of the dimensions [0, d), row-major.
func (w *walk) seek(d, i int) {
	w.at = [2]int{}
	for d--; d >= 0; d-- {
		w.index[d] = i % w.shape[d]
		i /= w.shape[d]
		w.at[0] += w.index[d] * w.stride[0][d]
		w.at[1] += w.index[d] * w.stride[1][d]
	}
}

func reduce1(op ReduceOp, x []float32, base int, red *walk, count int) float64 {
	red.seek(red.n, 0)
	switch op {
	case ReduceMax, ReduceMin:
		pick, m := OpMax, float32(math.Inf(-1))
		if op == ReduceMin {
			pick, m = OpMin, float32(math.Inf(1))
		}
		for range count {
			m = binary1(pick, m, x[base+red.at[0]])
			red.next(red.n)
		}
		return float64(m)
	case ReduceProd:
		p := 1.0
		for range count {
			p *= float64(x[base+red.at[0]])
			red.next(red.n)
		}
		return p
	}
	if red.n == 1 && red.stride[0][0] == 1 {
		return sum64(x[base : base+count])
	}
	s := 0.0
	for range count {
		s += float64(x[base+red.at[0]])
		red.next(red.n)
	}
	return s
}
