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
// which lie pitch apart. The sums are taken of the differences from the first
// row, which keeps them small where the mean is large against the spread.
func columnStats(mean, m2, x []float32, imgs, imgPitch, rows, pitch int) {
	var s statsSums
	cols := len(mean)
	copy(s.shift[:cols], x)
	for n := range imgs {
		at := x[n*imgPitch:]
		_ = at[(rows-1)*pitch+cols-1] // the assembly does not check
		done := 0
		for cols-done >= panelWidth {
			n := columnSums(&s, done, &at[done], (cols-done)/panelWidth, rows, pitch)
			if n == 0 {
				break
			}
			done += n
		}
		if done < cols {
			columnSumsGeneric(&s, at, done, cols, rows, pitch)
		}
	}
	inv := 1 / float32(imgs*rows)
	for j := range cols {
		d := s.sum[j] * inv
		mean[j] = s.shift[j] + d
		m2[j] = max(0, s.sq[j]-s.sum[j]*d)
	}
}

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
