//go:build !purego

package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

//go:noescape
func columnSums1AVX512(s *float32, x *float32, rows, pitch int)

//go:noescape
func columnSums2AVX512(s *float32, x *float32, rows, pitch int)

//go:noescape
func columnSums3AVX512(s *float32, x *float32, rows, pitch int)

//go:noescape
func columnSums4AVX512(s *float32, x *float32, rows, pitch int)

//go:noescape
func columnSums1AVX2(s *float32, x *float32, rows, pitch int)

//go:noescape
func columnSums2AVX2(s *float32, x *float32, rows, pitch int)

// columnSums adds up to the given number of panels of 16 columns of rows of x to
// s, the columns from the first on. It returns how many columns it has done,
// none without assembly.
func columnSums(s *StatsSums, first int, x *float32, panels, rows, pitch int) (done int) {
	at := &s.shift[first]
	switch {
	case isa.UseAVX512:
		switch panels {
		case 1:
			columnSums1AVX512(at, x, rows, pitch*4)
		case 2:
			columnSums2AVX512(at, x, rows, pitch*4)
		case 3:
			columnSums3AVX512(at, x, rows, pitch*4)
		default:
			columnSums4AVX512(at, x, rows, pitch*4)
			panels = 4
		}
	case isa.UseAVX2 && panels == 1:
		columnSums1AVX2(at, x, rows, pitch*4)
	case isa.UseAVX2:
		columnSums2AVX2(at, x, rows, pitch*4)
		panels = 2
	default:
		return 0
	}
	return panels * isa.PanelWidth
}
