//go:build !purego

package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// columnSums adds up to the given number of panels of 16 columns of rows of x to
// s, the columns from the first on. It returns how many columns it has done,
// none without assembly.
func columnSums(s *StatsSums, first int, x *float32, panels, rows, pitch int) (done int) {
	at := &s.shift[first]
	switch {
	case !isa.UseNEON:
		return 0
	case panels == 1:
		columnSums1NEON(at, x, rows, pitch*4)
		return isa.PanelWidth
	default:
		columnSums2NEON(at, x, rows, pitch*4)
		return 2 * isa.PanelWidth
	}
}
