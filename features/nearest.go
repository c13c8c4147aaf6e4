package features

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/tensor"
)

// Near is a row that is similar to another.
type Near struct {
	Row        int
	Similarity float32 // the cosine of the angle between the two, -1 to 1
}

// Nearest returns for each row of x [N D] the k rows, or all others, that are most
// similar to it, the most similar first. Of equally similar rows, the first ones of x are
// taken. All pairs are compared, by matrix products: of 10,000 rows of 512 numbers in half
// the time of an approximate index in Go (github.com/coder/hnsw: to build it and to ask it
// for 90 neighbors of each row), which would be faster from about 20,000 rows.
func Nearest(x *tensor.Tensor, k, threads int) ([][]Near, error) {
	switch {
	case x == nil || x.DType() != tensor.Float32 || len(x.Shape()) != 2:
		return nil, fmt.Errorf("features: the features are %v, must be float32[N D]", x)
	case k < 0 || threads < 0:
		return nil, fmt.Errorf("features: k is %d and threads %d, must not be negative", k, threads)
	}
	if err := finite("the features", x); err != nil {
		return nil, err
	}
	out := make([][]Near, x.Shape()[0])
	err := search(x, x, k+1, threads, func(query int, w *nearest) {
		row := make([]Near, 0, len(w.row))
		for i, r := range w.row {
			if r != query {
				row = append(row, Near{r, w.sim[i]})
			}
		}
		slices.SortFunc(row, func(a, b Near) int { return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.Row, b.Row)) })
		out[query] = row[:min(k, len(row))]
	})
	return out, err
}

// Centered returns the rows of x less their mean, each of length 1: features of networks
// that end in ReLU and pooling are all of one quadrant, so that only this shows how they
// differ. A row that is the mean itself is zeros.
func Centered(x *tensor.Tensor) *tensor.Tensor {
	n, d := x.Shape()[0], x.Shape()[1]
	mean := make([]float64, d)
	for i, v := range x.Float32s() {
		mean[i%d] += float64(v) / float64(n)
	}
	out := tensor.New(n, d)
	for i, v := range x.Float32s() {
		out.Float32s()[i] = float32(float64(v) - mean[i%d])
	}
	copy(out.Float32s(), unit(out.Float32s(), d))
	return out
}
