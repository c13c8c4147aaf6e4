// Package sheet draws pictures with captions in a grid, heat maps over pictures,
// and numbers as pictures.
package sheet

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"slices"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/palette/moreland"

	"github.com/resnet-go/resnet/internal/glyphs"
)

// Tile is a picture of a sheet.
type Tile struct {
	Image   image.Image
	Caption []string // lines below the picture; what does not fit is cut off
}

// Sheet is a grid of pictures on white.
type Sheet struct {
	Title   string // above; "" for none
	Columns int
	Tiles   []Tile // row by row; one without an image leaves its place empty
	// Low and High, if not empty, are the ends of a color bar at the right.
	Low, High string
}

const (
	gap   = 8  // pixels between tiles
	line  = 17 // pixels a line of text
	size  = 13 // of the font, pixels
	bar   = 14 // width of the color bar
	ink   = 0x22
	widen = 64 // the narrowest column: room for a short caption
)

// Draw draws the sheet.
func (s Sheet) Draw() (*image.RGBA, error) {
	if s.Columns < 1 || len(s.Tiles) == 0 {
		return nil, fmt.Errorf("sheet: %d pictures in %d columns", len(s.Tiles), s.Columns)
	}
	face, err := newFace()
	if err != nil {
		return nil, err
	}
	defer face.Close()
	s.Title = readable(s.Title)
	columns := min(s.Columns, len(s.Tiles))
	rows := (len(s.Tiles) + columns - 1) / columns
	w, h, lines := widen, 1, 0
	for _, t := range s.Tiles {
		if t.Image != nil {
			w, h = max(w, t.Image.Bounds().Dx()), max(h, t.Image.Bounds().Dy())
		}
		lines = max(lines, len(t.Caption))
	}
	cell := h + lines*line + gap
	top := gap
	if s.Title != "" {
		top += line + 4
	}
	width := gap + columns*(w+gap)
	barWidth := 0
	if s.Low+s.High != "" {
		s.Low, s.High = readable(s.Low), readable(s.High)
		for _, text := range []string{s.Low, s.High} {
			barWidth = max(barWidth, font.MeasureString(face, text).Ceil())
		}
		barWidth += bar + 6 + gap
	}
	const most = 1 << 27
	if width+barWidth > most/(top+rows*cell) {
		return nil, fmt.Errorf("sheet: %d pictures of %d x %d make too large a sheet", len(s.Tiles), w, h)
	}
	// The title may be wider than the grid.
	total := max(width+barWidth, font.MeasureString(face, s.Title).Ceil()+2*gap)
	out := image.NewRGBA(image.Rect(0, 0, total, top+rows*cell))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	text := func(x, y, room int, s string) {
		d := font.Drawer{Dst: out, Src: image.NewUniform(color.Gray{ink}), Face: face, Dot: fixed.P(x, y+size-1)}
		d.DrawString(fit(face, s, room))
	}
	if s.Title != "" {
		text(gap, gap, total-2*gap, s.Title)
	}
	for i, t := range s.Tiles {
		x, y := gap+i%columns*(w+gap), top+i/columns*cell
		if t.Image == nil {
			continue
		}
		b := t.Image.Bounds()
		draw.Draw(out, image.Rect(x, y, x+b.Dx(), y+b.Dy()), t.Image, b.Min, draw.Over)
		for j, l := range t.Caption {
			text(x, y+b.Dy()+2+j*line, w, readable(l))
		}
	}
	if barWidth > 0 {
		x, length := width, max(h, 4*line)
		length = min(length, rows*cell-gap)
		for y := range length {
			c := heat(1 - float64(y)/float64(length-1))
			draw.Draw(out, image.Rect(x, top+y, x+bar, top+y+1), image.NewUniform(c), image.Point{}, draw.Src)
		}
		text(x+bar+6, top, barWidth, s.High)
		text(x+bar+6, top+length-line, barWidth, s.Low)
	}
	return out, nil
}

var parsed = sync.OnceValues(func() (*opentype.Font, error) { return opentype.Parse(goregular.TTF) })

func newFace() (*face, error) {
	f, err := parsed()
	if err != nil {
		return nil, fmt.Errorf("sheet: %w", err)
	}
	of, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, fmt.Errorf("sheet: %w", err)
	}
	return &face{Face: of, outline: f}, nil
}

// readable returns s with spellings of the characters that the fonts lack.
func readable(s string) string {
	f, err := parsed()
	if err != nil {
		return s // newFace returns the error
	}
	return glyphs.Readable(s, (&face{outline: f}).has)
}

// fit cuts s to a width.
func fit(face font.Face, s string, room int) string {
	if font.MeasureString(face, s).Ceil() <= room {
		return s
	}
	runes := []rune(s)
	for len(runes) > 0 && font.MeasureString(face, string(runes)+"…").Ceil() > room {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

var colors = sync.OnceValue(func() [256]color.RGBA {
	m := moreland.ExtendedBlackBody()
	m.SetMin(0)
	m.SetMax(1)
	var lut [256]color.RGBA
	for i := range lut {
		c, err := m.At(float64(i) / 255)
		if err != nil {
			panic(err) // only outside 0 to 1
		}
		lut[i] = color.RGBAModel.Convert(c).(color.RGBA)
	}
	return lut
})

// heat returns the color of v, 0 (black) to 1 (white). Brightness grows with v, so
// that color-blind readers see it too.
func heat(v float64) color.RGBA {
	lut := colors()
	return lut[int(min(max(v, 0), 1)*255+0.5)]
}

// Overlay mixes, half and half, the picture and the heat map of values [h w], which
// is enlarged to the picture (bilinear, pixel centers). The colors go from 0 to
// [Top].
func Overlay(m *image.RGBA, values []float32, w, h int) *image.RGBA {
	b := m.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	top := Top(values)
	for y := range b.Dy() {
		for x := range b.Dx() {
			v := 0.0
			if top > 0 {
				v = bilinear(values, w, h, (float64(x)+.5)*float64(w)/float64(b.Dx())-.5, (float64(y)+.5)*float64(h)/float64(b.Dy())-.5) / top
			}
			c, p := heat(v), m.RGBAAt(b.Min.X+x, b.Min.Y+y)
			mix := func(a, b uint8) uint8 { return uint8((int(a) + int(b) + 1) / 2) }
			out.SetRGBA(x, y, color.RGBA{mix(c.R, p.R), mix(c.G, p.G), mix(c.B, p.B), 255})
		}
	}
	return out
}

// Top is the value of the brightest color: the 99th percentile of the values, so
// that a few extremes do not darken the rest, or the largest value if it is 0.
func Top(values []float32) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if v := sorted[min(len(sorted)*99/100, len(sorted)-1)]; v > 0 {
		return float64(v)
	}
	return float64(max(sorted[len(sorted)-1], 0))
}

// bilinear interpolates values [h w] between their centers; outside, it repeats the
// edge.
func bilinear(values []float32, w, h int, x, y float64) float64 {
	x, y = min(max(x, 0), float64(w-1)), min(max(y, 0), float64(h-1))
	x0, y0 := int(x), int(y)
	x1, y1 := min(x0+1, w-1), min(y0+1, h-1)
	fx, fy := x-float64(x0), y-float64(y0)
	at := func(x, y int) float64 { return float64(values[y*w+x]) }
	return (1-fy)*((1-fx)*at(x0, y0)+fx*at(x1, y0)) + fy*((1-fx)*at(x0, y1)+fx*at(x1, y1))
}

// Gray draws values [h w] from low (black) to high (white), each scale by scale
// pixels.
func Gray(values []float32, w, h, scale int, low, high float32) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w*scale, h*scale))
	for i, v := range values {
		g := level(v, low, high)
		square(out, i%w, i/w, scale, color.RGBA{g, g, g, 255})
	}
	return out
}

// RGB draws values [3 h w] from low to high in each channel.
func RGB(values []float32, w, h, scale int, low, high float32) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w*scale, h*scale))
	for i := range w * h {
		c := func(k int) uint8 { return level(values[k*w*h+i], low, high) }
		square(out, i%w, i/w, scale, color.RGBA{c(0), c(1), c(2), 255})
	}
	return out
}

func level(v, low, high float32) uint8 {
	if !(high > low) {
		return 128
	}
	return uint8(min(max((v-low)/(high-low), 0), 1)*255 + 0.5)
}

func square(out *image.RGBA, x, y, scale int, c color.RGBA) {
	draw.Draw(out, image.Rect(x*scale, y*scale, (x+1)*scale, (y+1)*scale), image.NewUniform(c), image.Point{}, draw.Src)
}
