package vec

// maxDims is the highest rank of the general strided kernels.
const maxDims = 8

// walk steps through a shape of at most maxDims dimensions and keeps the
// offsets of two arrays, each with its own strides.
type walk struct {
	n      int
	shape  [maxDims]int
	stride [2][maxDims]int
	index  [maxDims]int
	at     [2]int // the offsets of the current element
}

func (w *walk) init(shape, stride0, stride1 []int) {
	if len(shape) > maxDims {
		panic(badRank)
	}
	if len(stride0) != len(shape) || len(stride1) != len(shape) {
		panic(badArgs)
	}
	w.n = len(shape)
	copy(w.shape[:], shape)
	copy(w.stride[0][:], stride0)
	copy(w.stride[1][:], stride1)
}

// collapse drops dimensions of extent 1 and joins neighbors that both arrays
// run through evenly, so that the innermost loop is as long as can be. At
// least one dimension is left. It keeps the order of the elements.
func (w *walk) collapse() {
	k := 0
	for d := 0; d < w.n; d++ {
		if w.shape[d] == 1 {
			continue
		}
		if k > 0 && w.stride[0][k-1] == w.stride[0][d]*w.shape[d] &&
			w.stride[1][k-1] == w.stride[1][d]*w.shape[d] {
			w.shape[k-1] *= w.shape[d]
			w.stride[0][k-1], w.stride[1][k-1] = w.stride[0][d], w.stride[1][d]
			continue
		}
		w.shape[k], w.stride[0][k], w.stride[1][k] = w.shape[d], w.stride[0][d], w.stride[1][d]
		k++
	}
	if k == 0 {
		w.shape[0], w.stride[0][0], w.stride[1][0] = 1, 1, 1
		k = 1
	}
	w.n = k
}

// next moves to the next element of the dimensions [0, d), row-major, and
// reports whether there was one.
func (w *walk) next(d int) bool {
	for d--; d >= 0; d-- {
		w.index[d]++
		w.at[0] += w.stride[0][d]
		w.at[1] += w.stride[1][d]
		if w.index[d] < w.shape[d] {
			return true
		}
		w.at[0] -= w.stride[0][d] * w.shape[d]
		w.at[1] -= w.stride[1][d] * w.shape[d]
		w.index[d] = 0
	}
	return false
}
