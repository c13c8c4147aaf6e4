package features

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/tensor"
)

// Clusters are groups of similar rows.
type Clusters struct {
	Of       []int          // the cluster of each row
	Centers  *tensor.Tensor // [K D]
	Distance []float64      // of each row to its center, squared
	Steps    int            // until no row changed its cluster, or the limit
}

// KMeans finds k clusters of the rows of x [N D] by Lloyd's algorithm, at most 100 steps,
// from rows that are drawn as k-means++ does (Arthur and Vassilvitskii 2007, section
// 2.2). Of 5 beginnings, the one with the smallest sum of distances is taken. There are
// fewer clusters where x has fewer distinct rows. The result depends on the seed, and not
// on the number of threads.
func KMeans(x *tensor.Tensor, k int, seed uint64, threads int) (*Clusters, error) {
	switch {
	case x == nil || x.DType() != tensor.Float32 || len(x.Shape()) != 2:
		return nil, fmt.Errorf("features: the features are %v, must be float32[N D]", x)
	case k < 1 || threads < 0:
		return nil, fmt.Errorf("features: k is %d, must be 1 or more, and threads %d, must not be negative", k, threads)
	}
	if err := finite("the features", x); err != nil {
		return nil, err
	}
	pool := parallel.NewPool(threads)
	defer pool.Close()
	var best *Clusters
	least := math.Inf(1)
	for start := range 5 {
		c := lloyd(x, k, philox.New(seed, uint64(start)), pool)
		sum := 0.0
		for _, v := range c.Distance {
			sum += v
		}
		if best == nil || sum < least {
			best, least = c, sum
		}
	}
	return best, nil
}

// block is the number of rows of a task.
const block = 256

func lloyd(x *tensor.Tensor, k int, r philox.Rand, pool *parallel.Pool) *Clusters {
	n, d := x.Shape()[0], x.Shape()[1]
	rows := x.Float32s()
	c := &Clusters{Of: make([]int, n), Distance: make([]float64, n)}
	each := func(f func(i int)) {
		pool.Run((n+block-1)/block, func(task, _ int) {
			for i := task * block; i < min(n, (task+1)*block); i++ {
				f(i)
			}
		})
	}
	for i := range c.Distance {
		c.Distance[i] = math.Inf(1)
	}
	var centers []float32
	for len(centers) < k*d && n > 0 {
		next := r.IntN(n)
		if len(centers) > 0 {
			sum := 0.0
			for _, v := range c.Distance {
				sum += v
			}
			if sum == 0 { // all rows are centers
				break
			}
			at := r.Float64() * sum
			for next = 0; next < n-1 && (at >= c.Distance[next] || c.Distance[next] == 0); next++ {
				at -= c.Distance[next]
			}
			for c.Distance[next] == 0 { // rounding went past the last
				next--
			}
		}
		center, number := rows[next*d:(next+1)*d], len(centers)/d
		centers = append(centers, center...)
		each(func(i int) {
			if s := squared(rows[i*d:(i+1)*d], center); s < c.Distance[i] {
				c.Distance[i], c.Of[i] = s, number
			}
		})
	}
	k = len(centers) / d
	sums, counts := make([]float64, k*d), make([]int, k)
	changed := make([]bool, (n+block-1)/block)
	for c.Steps < 100 && n > 0 {
		clear(sums)
		clear(counts)
		for i, at := range c.Of {
			counts[at]++
			for j, v := range rows[i*d : (i+1)*d] {
				sums[at*d+j] += float64(v)
			}
		}
		for at, count := range counts {
			for j := range d {
				if count > 0 { // an empty cluster stays where it was
					centers[at*d+j] = float32(sums[at*d+j] / float64(count))
				}
			}
		}
		c.Steps++
		clear(changed)
		each(func(i int) {
			row, to, least := rows[i*d:(i+1)*d], 0, math.Inf(1)
			for at := range k {
				if s := squared(row, centers[at*d:(at+1)*d]); s < least {
					to, least = at, s
				}
			}
			if to != c.Of[i] {
				changed[i/block] = true
			}
			c.Of[i], c.Distance[i] = to, least
		})
		any := false
		for _, b := range changed {
			any = any || b
		}
		if !any {
			break
		}
	}
	c.Centers = tensor.New(k, d)
	copy(c.Centers.Float32s(), centers)
	return c
}

func squared(a, b []float32) float64 {
	sum := float32(0)
	for i, v := range a {
		e := v - b[i]
		sum += float32(e * e)
	}
	return float64(sum)
}
