package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// StatsColumns is the largest number of columns of one call of [ColumnStats].
const StatsColumns = 4 * isa.PanelWidth

// StatsSums is the state of the sums over the rows of neighboring columns:
//
//	sum[j] += x[r][j]-shift[j]
//	sq[j]  += (x[r][j]-shift[j])^2
//
// The assembly reads it by its offsets.
type StatsSums struct {
	shift, sum, sq [StatsColumns]float32
}

// ColumnStats computes the mean and the sum of squared differences from it of
// len(mean) ≤ [StatsColumns] neighboring columns of imgs matrices. A matrix has rows
// rows, pitch floats apart; matrices start imgPitch floats apart.
func ColumnStats(mean, m2, x []float32, imgs, imgPitch, rows, pitch int) {
	var s StatsSums
	s.Start(x, len(mean))
	for n := range imgs {
		s.Add(x[n*imgPitch:], len(mean), rows, pitch)
	}
	s.Finish(mean, m2, imgs*rows)
}

// Start begins the sums of cols columns. They are taken of the differences from
// the first row, x, which keeps them small where the mean is large against the
// spread.
func (s *StatsSums) Start(x []float32, cols int) { copy(s.shift[:cols], x) }

// Add adds rows rows, which start pitch floats apart.
func (s *StatsSums) Add(x []float32, cols, rows, pitch int) {
	_ = x[(rows-1)*pitch+cols-1] // the assembly does not check
	done := 0
	for cols-done >= isa.PanelWidth {
		n := columnSums(s, done, &x[done], (cols-done)/isa.PanelWidth, rows, pitch)
		if n == 0 {
			break
		}
		done += n
	}
	if done < cols {
		columnSumsGeneric(s, x, done, cols, rows, pitch)
	}
}

// Finish returns the mean of all rows rows and the sum of squared differences.
func (s *StatsSums) Finish(mean, m2 []float32, rows int) {
	inv := 1 / float32(rows)
	for j := range mean {
		d := s.sum[j] * inv
		mean[j] = s.shift[j] + d
		m2[j] = max(0, s.sq[j]-s.sum[j]*d)
	}
}

// columnSums adds up to the given number of panels of 16 columns of rows of x to
// s, the columns from the first on. It returns how many columns it has done,
// none without assembly.
func columnSums(s *StatsSums, first int, x *float32, panels, rows, pitch int) (done int) {
	if isa.Lanes() == 0 {
		return 0
	}
	limit := 2 // three vectors of state for each vector of columns
	if isa.UseAVX512 {
		limit = 4
	}
	at := &s.shift[first]
	panels = min(panels, limit)
	switch panels {
	case 1:
		columnSums1Asm(at, x, rows, pitch*4)
	case 2:
		columnSums2Asm(at, x, rows, pitch*4)
	case 3:
		columnSums3Asm(at, x, rows, pitch*4)
	case 4:
		columnSums4Asm(at, x, rows, pitch*4)
	}
	return panels * isa.PanelWidth
}

// columnSumsGeneric adds columns from to cols of rows of x to s.
func columnSumsGeneric(s *StatsSums, x []float32, from, cols, rows, pitch int) {
	shift, sum, sq := s.shift[from:cols], s.sum[from:cols], s.sq[from:cols]
	for r := range rows {
		for j, v := range x[r*pitch+from:][:cols-from] {
			d := v - shift[j]
			sum[j] += d
			sq[j] += d * d
		}
	}
}
