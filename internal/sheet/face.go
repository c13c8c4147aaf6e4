package sheet

import (
	"image"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"github.com/resnet-go/resnet/internal/glyphs"
)

// face is Go's font, and for the characters of Chinese, Japanese and Korean that it
// lacks a bitmap font of 12 pixels.
type face struct {
	font.Face
	outline *opentype.Font
	buf     sfnt.Buffer
}

// has reports whether one of the fonts has a character.
func (f *face) has(r rune) bool { return f.inOutline(r) || glyphs.IsEastern(r) }

func (f *face) inOutline(r rune) bool {
	i, err := f.outline.GlyphIndex(&f.buf, r)
	return err == nil && i != 0
}

// of returns the font for a character.
func (f *face) of(r rune) font.Face {
	if !f.inOutline(r) && glyphs.IsEastern(r) {
		return glyphs.Eastern()
	}
	return f.Face
}

// Glyph implements font.Face.
func (f *face) Glyph(dot fixed.Point26_6, r rune) (image.Rectangle, image.Image, image.Point, fixed.Int26_6, bool) {
	return f.of(r).Glyph(dot, r)
}

// GlyphBounds implements font.Face.
func (f *face) GlyphBounds(r rune) (fixed.Rectangle26_6, fixed.Int26_6, bool) {
	return f.of(r).GlyphBounds(r)
}

// GlyphAdvance implements font.Face.
func (f *face) GlyphAdvance(r rune) (fixed.Int26_6, bool) { return f.of(r).GlyphAdvance(r) }

// Kern implements font.Face.
func (f *face) Kern(a, b rune) fixed.Int26_6 {
	if f.of(a) != f.Face || f.of(b) != f.Face {
		return 0
	}
	return f.Face.Kern(a, b)
}
