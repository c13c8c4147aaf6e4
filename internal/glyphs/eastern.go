package glyphs

import (
	"image/color"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"
)

// east are the scripts that are taken from the bitmap font. It has others, too, which
// are not written from left to right, or change with their neighbors.
var east = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul}

// bitmaps guards which characters the bitmap font has.
var bitmaps = struct {
	sync.Mutex
	known map[rune]bool
}{known: map[rune]bool{}}

// EasternSize is the height of the characters of [Eastern], in pixels.
const EasternSize = 12

// Eastern returns a bitmap font with the characters for which [IsEastern] is true, of
// Chinese, Japanese and Korean; nil in a web page, for which it is too large.
func Eastern() font.Face { return eastern }

// IsEastern reports whether [Eastern] has a character of Chinese, Japanese or Korean:
// whether any of its pixels is set, as it draws others as nothing.
func IsEastern(r rune) bool {
	punctuation := r >= 0x3001 && r <= 0x301f || r == 'ー' || r == '・' || r >= 0xff01 && r <= 0xff5e
	if eastern == nil || r > 0xffff || !punctuation && !unicode.In(r, east...) {
		return false
	}
	bitmaps.Lock()
	defer bitmaps.Unlock()
	known, ok := bitmaps.known[r]
	if !ok {
		easternPixels(r, func(int, int) { known = true })
		bitmaps.known[r] = known
	}
	return known
}

// EasternPixels calls set for each pixel of a character of [Eastern], row by row, with
// its place right of and below the start of the line on which the text stands.
func EasternPixels(r rune, set func(x, y int)) {
	bitmaps.Lock() // faces are not safe for concurrent use
	defer bitmaps.Unlock()
	easternPixels(r, set)
}

func easternPixels(r rune, set func(x, y int)) {
	box, mask, at, _, ok := eastern.Glyph(fixed.P(0, 0), r)
	if !ok {
		return
	}
	for y := range box.Dy() {
		for x := range box.Dx() {
			if c, _ := color.AlphaModel.Convert(mask.At(at.X+x, at.Y+y)).(color.Alpha); c.A > 0 {
				set(box.Min.X+x, box.Min.Y+y)
			}
		}
	}
}
