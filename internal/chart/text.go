package chart

import (
	"math"
	"slices"
	"strings"

	"golang.org/x/image/font/sfnt"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"

	"github.com/resnet-go/resnet/internal/glyphs"
)

// outlined returns a function that reports whether the charts' font has a character.
func outlined() func(rune) bool {
	face := font.DefaultCache.Lookup(plot.DefaultFont, vg.Points(9)).Face
	var buf sfnt.Buffer
	return func(r rune) bool {
		i, err := face.GlyphIndex(&buf, r)
		return err == nil && i != 0
	}
}

// readable returns s with spellings of the characters that the font lacks.
func readable(s string) string { return glyphs.Readable(s, outlined()) }

// readableEast is readable for text that [eastText] draws.
func readableEast(s string) string {
	has := outlined()
	return glyphs.Readable(s, func(r rune) bool { return has(r) || glyphs.IsEastern(r) })
}

func readableAll(names []string) []string {
	out := make([]string, len(names))
	for i, s := range names {
		out[i] = readableEast(s)
	}
	return out
}

// eastText draws lines of text with characters of Chinese, Japanese and Korean, which
// the charts' font lacks, from the pixels of a bitmap font. Other text is drawn as by
// the handler in it.
type eastText struct{ text.Handler }

// run is a part of a line that is drawn with one font.
type run struct {
	text string
	east bool
}

func runs(line string) []run {
	var all []run
	has := outlined()
	for _, r := range line {
		east := !has(r) && glyphs.IsEastern(r)
		if n := len(all); n == 0 || all[n-1].east != east {
			all = append(all, run{"", east})
		}
		all[len(all)-1].text += string(r)
	}
	return all
}

func isEast(r run) bool { return r.east }

// eastWidth returns the advance of characters of the bitmap font, and the side of its
// pixels, where it is as large as other text of that size.
func eastWidth(s string, size vg.Length) (width, pixel vg.Length) {
	pixel = size / glyphs.EasternSize
	for _, r := range s {
		if a, ok := glyphs.Eastern().GlyphAdvance(r); ok {
			width += pixel * vg.Length(a) / 64
		}
	}
	return width, pixel
}

// Box implements text.Handler.
func (h eastText) Box(line string, f font.Font) (width, height, depth vg.Length) {
	all := runs(line)
	if !slices.ContainsFunc(all, isEast) {
		return h.Handler.Box(line, f)
	}
	_, height, depth = h.Handler.Box("", f)
	for _, r := range all {
		width += h.width(r, f)
	}
	return width, height, depth
}

func (h eastText) width(r run, f font.Font) vg.Length {
	if r.east {
		w, _ := eastWidth(r.text, f.Size)
		return w
	}
	w, _, _ := h.Handler.Box(r.text, f)
	return w
}

// Draw implements text.Handler. Text with characters of the bitmap font is one line.
func (h eastText) Draw(c vg.Canvas, line string, sty text.Style, pt vg.Point) {
	all := runs(line)
	if !slices.ContainsFunc(all, isEast) || strings.Contains(line, "\n") {
		h.Handler.Draw(c, line, sty, pt)
		return
	}
	width, height, depth := h.Box(line, sty.Font)
	c.SetColor(sty.Color)
	c.Push()
	c.Translate(pt)
	c.Rotate(sty.Rotation)
	at := vg.Point{X: width * vg.Length(sty.XAlign), Y: (height+depth)*vg.Length(sty.YAlign) + depth}
	face := h.Cache().Lookup(sty.Font, sty.Font.Size)
	for _, r := range all {
		if !r.east {
			c.FillString(face, at, r.text)
		} else {
			fillPixels(c, r.text, sty.Font.Size, at)
		}
		at.X += h.width(r, sty.Font)
	}
	c.Pop()
}

// fillPixels draws characters of the bitmap font as one path, so that no seams show
// between pixels.
func fillPixels(c vg.Canvas, s string, size vg.Length, at vg.Point) {
	var path vg.Path
	for _, r := range s {
		width, px := eastWidth(string(r), size)
		from, until, row := 0, 0, math.MinInt // a run of pixels
		flush := func() {
			if until > from {
				x0, x1, y := at.X+px*vg.Length(from), at.X+px*vg.Length(until), at.Y-px*vg.Length(row)
				path.Move(vg.Point{X: x0, Y: y})
				path.Line(vg.Point{X: x1, Y: y})
				path.Line(vg.Point{X: x1, Y: y - px})
				path.Line(vg.Point{X: x0, Y: y - px})
				path.Close()
			}
		}
		glyphs.EasternPixels(r, func(x, y int) {
			if y != row || x != until {
				flush()
				from, row = x, y
			}
			until = x + 1
		})
		flush()
		at.X += width
	}
	c.Fill(path)
}
