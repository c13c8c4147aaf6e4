package sheet

import (
	"image"
	"image/color"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// face is Go's font, and for the characters of Chinese, Japanese and Korean that it
// lacks a bitmap font of 12 pixels.
type face struct {
	font.Face
	outline *opentype.Font
	buf     sfnt.Buffer
}

// east are the scripts that are taken from the bitmap font. It has others, too, which
// are not written from left to right, or change with their neighbors.
var east = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul}

// bitmaps guards which characters the bitmap font has.
var bitmaps = struct {
	sync.Mutex
	known map[rune]bool
}{known: map[rune]bool{}}

// has reports whether one of the fonts has a character.
func (f *face) has(r rune) bool { return f.inOutline(r) || inBitmap(r) }

func (f *face) inOutline(r rune) bool {
	i, err := f.outline.GlyphIndex(&f.buf, r)
	return err == nil && i != 0
}

// inBitmap reports whether the bitmap font has a character: whether any of its pixels
// is set, as it draws others as nothing.
func inBitmap(r rune) bool {
	punctuation := r >= 0x3001 && r <= 0x301f || r == 'ー' || r == '・' || r >= 0xff01 && r <= 0xff5e
	if eastern == nil || r > 0xffff || !punctuation && !unicode.In(r, east...) {
		return false
	}
	bitmaps.Lock()
	defer bitmaps.Unlock()
	known, ok := bitmaps.known[r]
	if !ok {
		known = drawn(eastern, r)
		bitmaps.known[r] = known
	}
	return known
}

func drawn(f font.Face, r rune) bool {
	box, mask, at, _, ok := f.Glyph(fixed.P(0, 0), r)
	if !ok {
		return false
	}
	for y := range box.Dy() {
		for x := range box.Dx() {
			if c, _ := color.AlphaModel.Convert(mask.At(at.X+x, at.Y+y)).(color.Alpha); c.A > 0 {
				return true
			}
		}
	}
	return false
}

// of returns the font for a character.
func (f *face) of(r rune) font.Face {
	if !f.inOutline(r) && inBitmap(r) {
		return eastern
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
