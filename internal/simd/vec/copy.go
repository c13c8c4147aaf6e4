package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// CopyStrided copies, or with accumulate adds, an array of the given shape (at
// most 8 dimensions) between two places with strides of their own; a stride of
// 0 in the source broadcasts. Padding, cropping, slicing, concatenation and
// their gradients are calls of it on subslices: dst and src begin at the first
// element. They must not overlap.
func CopyStrided(dst []float32, dstStride []int, src []float32, srcStride []int, shape []int, accumulate bool) {
	var w walk
	w.init(shape, dstStride, srcStride)
	for _, d := range shape {
		if d == 0 {
			return
		}
	}
	w.collapse()
	d := w.n - 1
	n, ds, ss := w.shape[d], w.stride[0][d], w.stride[1][d]
	// Two strided dimensions with the source contiguous in the outer one are a
	// transposition; tiles spare the cache.
	if d > 0 && !accumulate && ds == 1 && ss > 1 && w.stride[1][d-1] == 1 && w.stride[0][d-1] > 1 {
		rows := w.shape[d-1]
		for more := true; more; more = w.next(d - 1) {
			TransposeStrided(dst[w.at[0]:], w.stride[0][d-1], src[w.at[1]:], ss, n, rows)
		}
		return
	}
	for more := true; more; more = w.next(d) {
		to, from := dst[w.at[0]:], src[w.at[1]:]
		switch {
		case ds == 1 && ss == 1 && accumulate:
			binary(OpAdd, to[:n], to[:n], from[:n])
		case ds == 1 && ss == 1:
			copy(to[:n], from[:n])
		case ds == 1 && ss == 0 && !accumulate:
			Fill(to[:n], from[0])
		case accumulate:
			for i := 0; i < n; i++ {
				to[i*ds] += from[i*ss]
			}
		default:
			for i := 0; i < n; i++ {
				to[i*ds] = from[i*ss]
			}
		}
	}
}

// CopyRows copies, or with accumulate adds, cols values of each of rows rows;
// rows start dstStride and srcStride apart. Concatenation of channels is one
// call for each input, with dst beginning at its first channel.
func CopyRows(dst []float32, dstStride int, src []float32, srcStride, cols, rows int, accumulate bool) {
	if cols == dstStride && cols == srcStride {
		cols, rows = cols*rows, min(rows, 1)
	}
	for r := 0; r < rows; r++ {
		to, from := dst[r*dstStride:][:cols], src[r*srcStride:][:cols]
		if accumulate {
			binary(OpAdd, to, to, from)
		} else {
			copy(to, from)
		}
	}
}

// Permute computes dst with its dimension i being dimension perm[i] of src, a
// contiguous array of the given shape (at most 8 dimensions), for [lo, hi) of
// dst's dimension 0; dst and src are the whole arrays.
func Permute(dst, src []float32, shape, perm []int, lo, hi int) {
	n := len(shape)
	if n > maxDims {
		panic(badRank)
	}
	if len(perm) != n {
		panic(badArgs)
	}
	if n == 0 {
		dst[0] = src[0]
		return
	}
	var srcStride, dstStride, from, out [maxDims]int
	s := 1
	for d := n - 1; d >= 0; d-- {
		srcStride[d] = s
		s *= shape[d]
	}
	isa.CheckLen(len(src), s, "Permute src")
	isa.CheckLen(len(dst), s, "Permute dst")
	s = 1
	for d := n - 1; d >= 0; d-- {
		out[d], from[d] = shape[perm[d]], srcStride[perm[d]]
		dstStride[d] = s
		s *= out[d]
	}
	if s == 0 || hi <= lo {
		return
	}
	out[0] = hi - lo
	CopyStrided(dst[lo*dstStride[0]:], dstStride[:n], src[lo*from[0]:], from[:n], out[:n], false)
}
