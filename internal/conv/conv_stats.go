package conv

import (
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// combineStats combines the statistics of parts, [part][2][K], of count rows
// each, in their order and in float64, into the mean [K] and the biased variance
// [K] of channels k0..k1-1 (Chan, Golub and LeVeque, "Updating Formulae and a
// Pairwise Algorithm for Computing Sample Variances", 1979).
func combineStats(stats []float32, parts int, count func(part int) int, mean, variance []float32, k0, k1 int) {
	var mu, m2 [vec.StatsColumns]float64
	n := 0.0
	kk := len(mean)
	for t := range parts {
		cnt := float64(count(t))
		n += cnt
		step, spread := cnt/n, cnt*(n-cnt)/n
		part := stats[2*t*kk:]
		means, squares := part[k0:k1], part[kk+k0:kk+k1]
		for j, m := range means {
			d := float64(m) - mu[j]
			mu[j] += d * step
			m2[j] += float64(squares[j]) + d*d*spread
		}
	}
	for j := range k1 - k0 {
		mean[k0+j] = float32(mu[j])
		variance[k0+j] = float32(m2[j] / n)
	}
}

// reduceStatsTasks returns the number of tasks that combine the statistics of k
// channels, reduceStatsRange the channels of one.
func reduceStatsTasks(k int) int { return isa.CeilDiv(k, vec.StatsColumns) }

func reduceStatsRange(task, k int) (k0, k1 int) { return isa.Span(task, vec.StatsColumns, k) }
