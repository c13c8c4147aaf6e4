package boxes

import "math"

// Anchors are the shapes of the boxes that lie at each position of each level of
// a feature pyramid (Ren et al. 2015, section 3.1; Lin et al. 2017, "Feature
// Pyramid Networks", section 4.1).
type Anchors struct {
	// Sizes of each level, in pixels: the side of the square anchor.
	Sizes [][]float32 `json:"sizes"`
	// Ratios of height to width, the same on all levels. A ratio keeps the area.
	Ratios []float32 `json:"ratios"`
}

// RetinaNetAnchors returns nine anchors for each position of five levels: 32 to
// 512 pixels, each times 1, 2^(1/3) and 2^(2/3), rounded down, in three ratios
// (Lin et al. 2017, "Focal Loss for Dense Object Detection", section 4).
func RetinaNetAnchors() Anchors {
	a := Anchors{Ratios: []float32{0.5, 1, 2}}
	for s := 32.; s <= 512; s *= 2 {
		third := math.Floor(s * math.Pow(2, 1./3))
		a.Sizes = append(a.Sizes, []float32{float32(s), float32(third), float32(math.Floor(s * math.Pow(2, 2./3)))})
	}
	return a
}

// ProposalAnchors returns three anchors for each position of five levels: 32 to
// 512 pixels in three ratios (Lin et al. 2017, "Feature Pyramid Networks", section
// 4.1).
func ProposalAnchors() Anchors {
	return Anchors{Sizes: [][]float32{{32}, {64}, {128}, {256}, {512}}, Ratios: []float32{0.5, 1, 2}}
}

// PerPosition returns the number of anchors at each position of a level.
func (a Anchors) PerPosition(level int) int { return len(a.Sizes[level]) * len(a.Ratios) }

// Cell returns the anchors of a level around the origin: ratio by ratio, and for
// each ratio size by size. Their corners are rounded to whole pixels, halves to
// even.
func (a Anchors) Cell(level int) []Box {
	var cell []Box
	for _, r := range a.Ratios {
		h := float32(math.Sqrt(float64(r)))
		w := 1 / h
		for _, s := range a.Sizes[level] {
			x, y := roundEven(float32(w*s)/2), roundEven(float32(h*s)/2)
			cell = append(cell, Box{-x, -y, x, y})
		}
	}
	return cell
}

func roundEven(x float32) float32 { return float32(math.RoundToEven(float64(x))) }

// Level is the size of a level's features.
type Level struct{ H, W int }

// Grid returns the anchors of all levels, for a padded input of that height and
// width: level by level, row by row, position by position, the anchors of
// [Anchors.Cell]. The position (y, x) of a level is the pixel (y*stride, x*stride),
// where stride is the input's extent over the level's, rounded down.
func (a Anchors) Grid(height, width int, levels []Level) []Box {
	n := 0
	for i, l := range levels {
		n += l.H * l.W * a.PerPosition(i)
	}
	grid := make([]Box, 0, n)
	for i, l := range levels {
		cell := a.Cell(i)
		sy, sx := height/l.H, width/l.W
		for y := range l.H {
			for x := range l.W {
				dx, dy := float32(x*sx), float32(y*sy)
				for _, c := range cell {
					grid = append(grid, Box{dx + c.X1, dy + c.Y1, dx + c.X2, dy + c.Y2})
				}
			}
		}
	}
	return grid
}
