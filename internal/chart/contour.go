package chart

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// grid is a plotter.GridXYZ of the logarithm of heights.
type grid struct {
	x, y []float64
	z    [][]float64
}

func (g grid) Dims() (c, r int)   { return len(g.x), len(g.y) }
func (g grid) Z(c, r int) float64 { return math.Log10(g.z[r][c]) }
func (g grid) X(c int) float64    { return g.x[c] }
func (g grid) Y(r int) float64    { return g.y[r] }

// Contour returns a map of a landscape, z[row][column] over y[row] and
// x[column], all above 0, with lines at equal steps of the logarithm. Not
// finite heights are left white.
func Contour(title string, x, y []float64, z [][]float64) (*Chart, error) {
	if len(x) < 2 || len(y) < 2 || len(z) != len(y) {
		return nil, fmt.Errorf("chart: a landscape of %d rows over %d x %d", len(z), len(y), len(x))
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for i, row := range z {
		if len(row) != len(x) {
			return nil, fmt.Errorf("chart: row %d of the landscape has %d heights for %d", i, len(row), len(x))
		}
		for _, v := range row {
			if l := math.Log10(v); !math.IsNaN(l) && !math.IsInf(l, 0) {
				lo, hi = min(lo, l), max(hi, l)
			}
		}
	}
	if lo > hi {
		return nil, fmt.Errorf("chart: no height of the landscape is a number above 0")
	}
	if hi == lo {
		hi = lo + 1e-9
	}
	colors := moreland.Kindlmann()
	colors.SetMin(lo)
	colors.SetMax(hi)
	pl := plot.New()
	pl.Title.Text = title
	pl.X.Label.Text, pl.Y.Label.Text = "first direction", "second direction"
	heat := plotter.NewHeatMap(grid{x, y, z}, colors.Palette(64))
	heat.Min, heat.Max = lo, hi
	var levels []float64
	for i := range 15 {
		levels = append(levels, lo+(hi-lo)*float64(i+1)/16)
	}
	lines := plotter.NewContour(grid{x, y, z}, levels, nil)
	lines.LineStyles = []draw.LineStyle{{Color: palette[7], Width: vg.Points(0.6)}}
	pl.Add(heat, lines)
	return &Chart{width: 4.2 * vg.Inch, height: 4.2 * vg.Inch, draw: func(c draw.Canvas) error {
		pl.Draw(draw.Crop(c, vg.Points(6), -vg.Points(10), vg.Points(6), -vg.Points(6)))
		return nil
	}}, nil
}
