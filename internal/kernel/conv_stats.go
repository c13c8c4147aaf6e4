package kernel

// statsColumns is the largest number of columns of one call of columnStats.
const statsColumns = 4 * panelWidth

// statsSums is the state of the sums over the rows of neighbouring columns:
// sum of x-shift and of its square. The assembly knows the layout.
type statsSums struct {
	shift, sum, sq [statsColumns]float32
}

// columnStats computes the mean and the sum of squared differences from it of
// len(mean) ≤ statsColumns neighbouring columns of imgs matrices of rows rows,
// which lie pitch apart.
func columnStats(mean, m2, x []float32, imgs, imgPitch, rows, pitch int) {
	var s statsSums
	s.start(x, len(mean))
	for n := range imgs {
		s.add(x[n*imgPitch:], len(mean), rows, pitch)
	}
	s.finish(mean, m2, imgs*rows)
}

// start begins the sums of cols columns. They are taken of the differences from
// the first row, x, which keeps them small where the mean is large against the
// spread.
func (s *statsSums) start(x []float32, cols int) { copy(s.shift[:cols], x) }

// add adds rows that lie pitch apart.
func (s *statsSums) add(x []float32, cols, rows, pitch int) {
	_ = x[(rows-1)*pitch+cols-1] // the assembly does not check
	done := 0
	for cols-done >= panelWidth {
		n := columnSums(s, done, &x[done], (cols-done)/panelWidth, rows, pitch)
		if n == 0 {
			break
		}
		done += n
	}
	if done < cols {
		columnSumsGeneric(s, x, done, cols, rows, pitch)
	}
}

// finish returns the mean of all rows rows and the sum of squared differences.
func (s *statsSums) finish(mean, m2 []float32, rows int) {
	inv := 1 / float32(rows)
	for j := range mean {
		d := s.sum[j] * inv
		mean[j] = s.shift[j] + d
		m2[j] = max(0, s.sq[j]-s.sum[j]*d)
	}
}

// combineStats combines the statistics of parts, [part][2][K], of count rows
// each, in their order and in float64, into the mean [K] and the biased variance
// [K] of channels k0..k1-1 (Chan, Golub and LeVeque, "Updating Formulae and a
// Pairwise Algorithm for Computing Sample Variances", 1979).
func combineStats(stats []float32, parts int, count func(part int) int, mean, variance []float32, k0, k1 int) {
	var mu, m2 [statsColumns]float64
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
func reduceStatsTasks(k int) int { return ceilDiv(k, statsColumns) }

func reduceStatsRange(task, k int) (k0, k1 int) { return span(task, statsColumns, k) }

// columnSumsGeneric adds columns from to cols of rows of x to s.
func columnSumsGeneric(s *statsSums, x []float32, from, cols, rows, pitch int) {
	shift, sum, sq := s.shift[from:cols], s.sum[from:cols], s.sq[from:cols]
	for r := range rows {
		for j, v := range x[r*pitch+from:][:cols-from] {
			d := v - shift[j]
			sum[j] += d
			sq[j] += d * d
		}
	}
}
