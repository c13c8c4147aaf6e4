package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// before reports whether value a at index i ranks before value b at index j:
// larger first, then the lower index; NaN after all numbers.
func before(a float32, i int, b float32, j int) bool {
	switch {
	case a > b:
		return true
	case a < b:
		return false
	case a == b || (a != a && b != b):
		return i < j
	}
	return b != b
}

// TopKCorrect counts the rows of x (rows x c) whose label is among the k
// highest ranks: larger values first, the lower index first among equals. A row
// whose value at the label is NaN does not count, nor does a label outside
// [0, c).
func TopKCorrect(x []float32, labels []int64, c, k int) int {
	isa.CheckLen(len(x), len(labels)*c, "TopKCorrect x")
	correct := 0
	for r, label := range labels {
		if label < 0 || label >= int64(c) {
			continue
		}
		row, t := x[r*c:r*c+c], int(label)
		v := row[t]
		if v != v {
			continue
		}
		rank := 0
		for j, u := range row {
			if j != t && before(u, j, v, t) {
				rank++
			}
		}
		if rank < k {
			correct++
		}
	}
	return correct
}

// ArgMax sets idx[r] to the index of the largest value of row r of x (rows x
// c): the lowest index among equals, 0 if all are NaN.
func ArgMax(idx []int64, x []float32, c int) {
	isa.CheckLen(len(x), len(idx)*c, "ArgMax x")
	for r := range idx {
		best, at := float32(math.Inf(-1)), 0
		first := true
		for j, v := range x[r*c : r*c+c] {
			if v > best || (first && v == v) {
				best, at, first = v, j, false
			}
		}
		idx[r] = int64(at)
	}
}

// TopK finds the k highest ranks of each row of x (rows x c; k <= c) in order:
// larger values first, the lower index first among equals, NaN last. idx and
// val are rows x k.
func TopK(idx []int64, val, x []float32, c, k int) {
	if k <= 0 || k > c {
		panic(badArgs)
	}
	rows := len(x) / c
	isa.CheckLen(len(idx), rows*k, "TopK idx")
	isa.CheckLen(len(val), rows*k, "TopK val")
	for r := 0; r < rows; r++ {
		row, ri, rv := x[r*c:r*c+c], idx[r*k:r*k+k], val[r*k:r*k+k]
		n := 0
		for j, v := range row {
			if n == k && !before(v, j, rv[k-1], int(ri[k-1])) {
				continue
			}
			if n < k {
				n++
			}
			i := n - 1
			for ; i > 0 && before(v, j, rv[i-1], int(ri[i-1])); i-- {
				rv[i], ri[i] = rv[i-1], ri[i-1]
			}
			rv[i], ri[i] = v, int64(j)
		}
	}
}
