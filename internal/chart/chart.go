// Package chart draws the figures of training and evaluation, curves and
// confusion matrices, as PNG and SVG.
package chart

import (
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/ownpng"
)

// Series is one curve: X and Y of one length. Points that are not finite are
// left out and break the line.
type Series struct {
	Name   string
	X, Y   []float64
	Dashed bool
	Color  int // of the palette, from 1; 0 takes the next one
}

// Panel is one diagram of a chart.
type Panel struct {
	Title, XLabel, YLabel string
	Series                []Series
	LogY                  bool     // logarithmic; values must be above 0
	XNames                []string // names of X = 0, 1, …
	Points                bool     // dots without lines
}

// Chart is a drawing of a fixed size that can be written in several formats.
type Chart struct {
	width, height vg.Length
	draw          func(c draw.Canvas) error
}

// The colors of curves: Okabe and Ito's set, which color-blind readers can
// distinguish.
var palette = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	color.RGBA{0x00, 0x9e, 0x73, 0xff}, color.RGBA{0xcc, 0x79, 0xa7, 0xff},
	color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	color.RGBA{0x6b, 0x4f, 0xa3, 0xff}, color.RGBA{0x7a, 0x7a, 0x7a, 0xff},
}

// Lines returns panels of curves side by side. It returns an error if there is
// no panel or a series has X and Y of different lengths.
func Lines(panels ...Panel) (*Chart, error) {
	if len(panels) == 0 {
		return nil, fmt.Errorf("chart: no panels")
	}
	plots := make([]*plot.Plot, len(panels))
	for i, p := range panels {
		var err error
		if plots[i], err = p.plot(); err != nil {
			return nil, fmt.Errorf("chart: %s: %w", p.Title, err)
		}
	}
	return &Chart{
		width: vg.Length(len(plots)) * 4.2 * vg.Inch, height: 3.2 * vg.Inch,
		draw: func(c draw.Canvas) error {
			tiles := draw.Tiles{Rows: 1, Cols: len(plots), PadX: vg.Points(14),
				PadTop: vg.Points(6), PadBottom: vg.Points(6), PadLeft: vg.Points(6), PadRight: vg.Points(10)}
			for i, p := range plots {
				p.Draw(tiles.At(c, i, 0))
			}
			return nil
		},
	}, nil
}

func (p Panel) plot() (*plot.Plot, error) {
	pl := plot.New()
	pl.Title.Text, pl.X.Label.Text, pl.Y.Label.Text = readable(p.Title), readable(p.XLabel), readable(p.YLabel)
	pl.Title.Padding = vg.Points(4)
	pl.Legend.Top = true
	grid := plotter.NewGrid()
	grid.Horizontal.Color = color.Gray{0xe0}
	grid.Vertical.Color = color.Gray{0xe0}
	pl.Add(grid)
	if p.LogY {
		pl.Y.Scale, pl.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: 2}
	}
	if len(p.XNames) > 0 {
		pl.NominalX(readableAll(p.XNames)...)
		if len(p.XNames) > 4 {
			pl.X.Tick.Label.Rotation, pl.X.Tick.Label.XAlign, pl.X.Tick.Label.YAlign = math.Pi/6, draw.XRight, draw.YTop
		}
	}
	rises := 0.0
	for i, s := range p.Series {
		if len(s.X) != len(s.Y) {
			return nil, fmt.Errorf("series %q has %d X and %d Y", s.Name, len(s.X), len(s.Y))
		}
		color := i
		if s.Color > 0 {
			color = s.Color - 1
		}
		style := draw.LineStyle{Color: palette[color%len(palette)], Width: vg.Points(1.5)}
		if s.Dashed {
			style.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		for _, run := range finiteRuns(s, p.LogY) {
			if len(run) == 1 || p.Points { // a line of one point would not be seen
				dots, err := plotter.NewScatter(run)
				if err != nil {
					return nil, err
				}
				dots.GlyphStyle = draw.GlyphStyle{Color: style.Color, Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}
				pl.Add(dots)
				continue
			}
			line, err := plotter.NewLine(run)
			if err != nil {
				return nil, err
			}
			line.LineStyle = style
			pl.Add(line)
			rises += run[len(run)-1].Y - run[0].Y
		}
		if s.Name != "" {
			pl.Legend.Add(readable(s.Name), &plotter.Line{LineStyle: style})
		}
	}
	// Put the legend where rising or falling curves end, not where they pass.
	pl.Legend.Top = rises < 0
	widen(&pl.X)
	switch {
	case !p.LogY:
		widen(&pl.Y)
	case !(pl.Y.Min > 0) || math.IsInf(pl.Y.Min, 0): // nothing is drawn
		pl.Y.Scale, pl.Y.Tick.Marker = plot.LinearScale{}, plot.DefaultTicks{}
	case pl.Y.Max <= pl.Y.Min*(1+1e-9):
		pl.Y.Min, pl.Y.Max = pl.Y.Min/10, pl.Y.Max*10
	}
	return pl, nil
}

// widen gives an axis whose values are all the same, up to rounding, a range around
// them. The plotting library adds and subtracts 1, which is lost in large values.
func widen(a *plot.Axis) {
	size := max(math.Abs(a.Min), math.Abs(a.Max))
	if size > 1e6 && !math.IsInf(size, 0) && a.Max-a.Min <= 1e-9*size {
		a.Min, a.Max = a.Min-size/10, a.Max+size/10
	}
}

// largest and smallest bound what is drawn: labels of larger values, and of ranges
// that are smaller, take the plotting library for ever.
const largest, smallest = 1e30, 1e-30

// drawable returns a value as it is drawn, and whether it is.
func drawable(v float64) (float64, bool) {
	if math.Abs(v) < smallest {
		return 0, true
	}
	return v, math.Abs(v) <= largest // not if it is NaN
}

func finiteRuns(s Series, positive bool) []plotter.XYs {
	var runs []plotter.XYs
	open := false
	for i := range s.X {
		x, okX := drawable(s.X[i])
		y, okY := drawable(s.Y[i])
		if !okX || !okY || positive && y <= 0 {
			open = false
			continue
		}
		if !open {
			runs, open = append(runs, nil), true
		}
		last := len(runs) - 1
		runs[last] = append(runs[last], plotter.XY{X: x, Y: y})
	}
	return runs
}

// Confusion returns a confusion matrix: counts[truth][prediction], colored by
// each row's shares. Up to 30 classes the counts are written into the cells.
// It returns an error if counts is not square or not as long as classes.
func Confusion(title string, classes []string, counts [][]int) (*Chart, error) {
	n := len(classes)
	if n == 0 || len(counts) != n {
		return nil, fmt.Errorf("chart: %d rows of counts for %d classes", len(counts), n)
	}
	for i, row := range counts {
		if len(row) != n {
			return nil, fmt.Errorf("chart: row %d has %d counts for %d classes", i, len(row), n)
		}
	}
	cell := vg.Points(26)
	switch {
	case n > 100: // a picture of a fixed size, down to little more than a pixel a cell
		cell = vg.Points(max(400/float64(n), 0.6))
	case n > 30:
		cell = vg.Points(10)
	}
	labels := n <= 100
	title, classes = readableEast(title), readableAll(classes)
	var longest vg.Length
	textFont := font.From(plot.DefaultFont, vg.Points(min(9, cell.Points()*0.8)))
	style := draw.TextStyle{Color: color.Black, Font: textFont, Handler: eastText{plot.DefaultTextHandler}}
	if labels {
		for _, c := range classes {
			longest = max(longest, style.Width(shorten(c)))
		}
	}
	pad := longest + vg.Points(34)
	side := cell * vg.Length(n)
	return &Chart{
		width: pad + side + vg.Points(20), height: pad + side + vg.Points(34),
		draw: func(c draw.Canvas) error {
			drawConfusion(c, title, classes, counts, style, cell, pad, labels)
			return nil
		},
	}, nil
}

func drawConfusion(c draw.Canvas, title string, classes []string, counts [][]int, style draw.TextStyle, cell, pad vg.Length, labels bool) {
	n := len(classes)
	top := c.Max.Y - vg.Points(28)
	left := c.Min.X + pad
	heading := style
	heading.Font.Size = vg.Points(12)
	heading.XAlign = draw.XCenter
	c.FillText(heading, vg.Point{X: left + cell*vg.Length(n)/2, Y: top + vg.Points(10)}, title)

	right, up, mid := style, style, style
	right.XAlign, right.YAlign = draw.XRight, draw.YCenter
	up.XAlign, up.YAlign, up.Rotation = draw.XRight, draw.YCenter, math.Pi/2
	mid.XAlign, mid.YAlign = draw.XCenter, draw.YCenter
	for i, row := range counts {
		total := 0
		for _, k := range row {
			total += k
		}
		y := top - cell*vg.Length(i)
		for j, k := range row {
			if k == 0 { // white as the paper; of 1,000 classes nearly all are
				continue
			}
			share := float64(k) / float64(total)
			x := left + cell*vg.Length(j)
			c.FillPolygon(shade(share), []vg.Point{{X: x, Y: y - cell}, {X: x + cell, Y: y - cell}, {X: x + cell, Y: y}, {X: x, Y: y}})
			if n <= 30 {
				ink := mid
				if share > 0.5 {
					ink.Color = color.White
				}
				c.FillText(ink, vg.Point{X: x + cell/2, Y: y - cell/2}, strconv.Itoa(k))
			}
		}
		if labels {
			at := cell*vg.Length(i) + cell/2
			c.FillText(right, vg.Point{X: left - vg.Points(4), Y: top - at}, shorten(classes[i]))
			c.FillText(up, vg.Point{X: left + at, Y: top - cell*vg.Length(n) - vg.Points(4)}, shorten(classes[i]))
		}
	}
	side := cell * vg.Length(n)
	frame := draw.LineStyle{Color: color.Gray{0x80}, Width: vg.Points(0.75)}
	c.StrokeLines(frame, []vg.Point{{X: left, Y: top}, {X: left + side, Y: top}, {X: left + side, Y: top - side}, {X: left, Y: top - side}, {X: left, Y: top}})
	axis := mid
	axis.Font.Size = vg.Points(10)
	c.FillText(axis, vg.Point{X: left + side/2, Y: c.Min.Y + vg.Points(10)}, "predicted")
	axis.Rotation = math.Pi / 2
	c.FillText(axis, vg.Point{X: c.Min.X + vg.Points(10), Y: top - side/2}, "true")
}

// shade goes from white to dark blue.
func shade(share float64) color.Color {
	mix := func(a, b float64) uint8 { return uint8(a + (b-a)*share + 0.5) }
	return color.RGBA{mix(0xff, 0x08), mix(0xff, 0x30), mix(0xff, 0x6b), 0xff}
}

// shorten keeps labels from filling the picture.
func shorten(s string) string {
	const limit = 24
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}

// PNG writes the chart as PNG, 150 pixels an inch.
func (ch *Chart) PNG(w io.Writer) error {
	c := vgimg.NewWith(vgimg.UseWH(ch.width, ch.height), vgimg.UseDPI(150))
	if err := ch.draw(draw.New(c)); err != nil {
		return err
	}
	return ownpng.Encode(w, c.Image(), png.DefaultCompression)
}

// SVG writes the chart as SVG.
func (ch *Chart) SVG(w io.Writer) error {
	c := vgsvg.New(ch.width, ch.height)
	if err := ch.draw(draw.New(c)); err != nil {
		return err
	}
	_, err := c.WriteTo(w)
	return err
}

// Save writes the chart to a file whose name ends in .png or .svg, replacing
// it as a whole.
func (ch *Chart) Save(path string) error {
	write := ch.PNG
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".png":
	case ".svg":
		write = ch.SVG
	default:
		return fmt.Errorf("chart: %s: cannot write %q files, only .png and .svg", path, ext)
	}
	return atomicfile.Write(path, write)
}
