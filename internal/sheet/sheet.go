// Package sheet puts pictures, heat maps and planes of numbers with captions
// onto one sheet.
package sheet

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/resnet-go/resnet/data/imaging"
)

// Cell is a picture with lines of text under it.
type Cell struct {
	Picture image.Image
	Caption []string
}

const (
	gap        = 10
	lineHeight = 15
	glyph      = 7 // pixels a character
)

// Grid puts the cells in rows under each other, white as paper, with a title
// above, if any.
func Grid(title string, rows [][]Cell) *image.RGBA {
	columns := 0
	for _, r := range rows {
		columns = max(columns, len(r))
	}
	widths, heights := make([]int, columns), make([]int, len(rows))
	for i, r := range rows {
		for j, c := range r {
			b := c.Picture.Bounds()
			widths[j] = max(widths[j], b.Dx())
			heights[i] = max(heights[i], b.Dy()+lineHeight*len(c.Caption))
		}
	}
	w, h := gap, gap
	if title != "" {
		h += lineHeight + gap
	}
	for _, v := range widths {
		w += v + gap
	}
	for _, v := range heights {
		h += v + gap
	}
	w = max(w, 2*gap+glyph*len([]rune(title)))
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	y := gap
	if title != "" {
		Text(out, gap, y, title)
		y += lineHeight + gap
	}
	for i, r := range rows {
		x := gap
		for j, c := range r {
			b := c.Picture.Bounds()
			draw.Draw(out, image.Rect(x, y, x+b.Dx(), y+b.Dy()), c.Picture, b.Min, draw.Src)
			for k, line := range c.Caption {
				Text(out, x, y+b.Dy()+2+k*lineHeight, fit(line, widths[j]))
			}
			x += widths[j] + gap
		}
		y += heights[i] + gap
	}
	return out
}

// fit shortens a line to a width in pixels.
func fit(line string, width int) string {
	r := []rune(line)
	if n := width / glyph; len(r) > n && n > 1 {
		return string(r[:n-1]) + "~"
	}
	return line
}

// Text writes a line with its upper left corner at x, y.
func Text(dst draw.Image, x, y int, line string) {
	d := font.Drawer{Dst: dst, Src: image.NewUniform(color.Gray{0x20}), Face: basicfont.Face7x13, Dot: fixed.P(x, y+11)}
	d.DrawString(line)
}

// Picture returns a picture as large as side by its longer edge: pixels stay
// visible where it was smaller.
func Picture(m *imaging.Image, side int) *image.RGBA {
	src := image.NewRGBA(image.Rect(0, 0, m.W, m.H))
	for i := range m.W * m.H {
		p := m.Pix[i*m.C:]
		c := color.RGBA{p[0], p[0], p[0], 255}
		if m.C == 3 {
			c.G, c.B = p[1], p[2]
		}
		src.SetRGBA(i%m.W, i/m.W, c)
	}
	return scale(src, side)
}

func scale(src *image.RGBA, side int) *image.RGBA {
	b := src.Bounds()
	f := float64(side) / float64(max(b.Dx(), b.Dy()))
	dst := image.NewRGBA(image.Rect(0, 0, max(1, int(float64(b.Dx())*f+0.5)), max(1, int(float64(b.Dy())*f+0.5))))
	var s xdraw.Scaler = xdraw.NearestNeighbor
	if f < 1 {
		s = xdraw.CatmullRom
	}
	s.Scale(dst, dst.Bounds(), src, b, xdraw.Src, nil)
	return dst
}

// inferno, at nine points, from dark to bright.
var inferno = [][3]float64{{0, 0, 4}, {31, 12, 72}, {85, 15, 109}, {136, 34, 106}, {186, 54, 85}, {227, 89, 51}, {249, 140, 10}, {249, 201, 50}, {252, 255, 164}}

// Colour returns the colour of a number from 0 to 1.
func Colour(t float32) color.RGBA {
	p := min(max(float64(t), 0), 1) * float64(len(inferno)-1)
	i := min(int(p), len(inferno)-2)
	u := p - float64(i)
	var c [3]uint8
	for k := range c {
		c[k] = uint8(inferno[i][k] + (inferno[i+1][k]-inferno[i][k])*u + 0.5)
	}
	return color.RGBA{c[0], c[1], c[2], 255}
}

// Overlay lays a heat map of w by h numbers from 0 to 1 over a picture: the
// hotter, the less the picture shows through.
func Overlay(under *image.RGBA, heat []float32, w, h int) *image.RGBA {
	b := under.Bounds()
	out := image.NewRGBA(b)
	for y := range b.Dy() {
		for x := range b.Dx() {
			t := sample(heat, w, h, (float64(x)+0.5)/float64(b.Dx()), (float64(y)+0.5)/float64(b.Dy()))
			c, p := Colour(t), under.RGBAAt(b.Min.X+x, b.Min.Y+y)
			a := 0.25 + 0.5*float64(t)
			mix := func(u, v uint8) uint8 { return uint8(float64(u)*(1-a) + float64(v)*a + 0.5) }
			out.SetRGBA(b.Min.X+x, b.Min.Y+y, color.RGBA{mix(p.R, c.R), mix(p.G, c.G), mix(p.B, c.B), 255})
		}
	}
	return out
}

// sample reads a map at u, v from 0 to 1, bilinear between the middles of its
// cells.
func sample(m []float32, w, h int, u, v float64) float32 {
	x, y := min(max(u*float64(w)-0.5, 0), float64(w-1)), min(max(v*float64(h)-0.5, 0), float64(h-1))
	i, j := int(x), int(y)
	i1, j1 := min(i+1, w-1), min(j+1, h-1)
	a, b := float32(x-float64(i)), float32(y-float64(j))
	return (m[j*w+i]*(1-a)+m[j*w+i1]*a)*(1-b) + (m[j1*w+i]*(1-a)+m[j1*w+i1]*a)*b
}

// Plane draws w by h numbers from the least, dark, to the greatest, bright; a
// plane of one value is dark.
func Plane(v []float32, w, h, side int) *image.RGBA {
	lo, hi := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, x := range v {
		lo, hi = min(lo, x), max(hi, x)
	}
	src := image.NewRGBA(image.Rect(0, 0, w, h))
	for i, x := range v {
		t := float32(0)
		if hi > lo {
			t = (x - lo) / (hi - lo)
		}
		src.SetRGBA(i%w, i/w, Colour(t))
	}
	return scale(src, side)
}

// RGB draws three planes of w by h numbers, red, green and blue, scaled
// together so that 0 is middle grey.
func RGB(v []float32, w, h, side int) *image.RGBA {
	top := float32(0)
	for _, x := range v {
		top = max(top, max(x, -x))
	}
	if top == 0 {
		top = 1
	}
	src := image.NewRGBA(image.Rect(0, 0, w, h))
	at := func(k, i int) uint8 { return uint8(127.5 + 127*v[k*w*h+i]/top) }
	for i := range w * h {
		src.SetRGBA(i%w, i/w, color.RGBA{at(0, i), at(1, i), at(2, i), 255})
	}
	return scale(src, side)
}

// Bar is a scale of the colours with its ends named.
func Bar(height int, low, high string) *image.RGBA {
	width := 14 + 4 + glyph*max(len(low), len(high))
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	for y := range height {
		c := Colour(1 - float32(y)/float32(height-1))
		for x := range 14 {
			out.SetRGBA(x, y, c)
		}
	}
	Text(out, 18, 0, high)
	Text(out, 18, height-lineHeight, low)
	return out
}
