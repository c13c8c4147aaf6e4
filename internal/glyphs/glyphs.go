// Package glyphs prepares text for being drawn with a font that has few
// characters.
package glyphs

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Readable returns text in which the font has every character. A character that it
// lacks becomes its compatibility form without marks if the font has that (Ａ is
// drawn as A), else its code as in JSON: \u732b, or \U0001f431 above 16 bits. So
// different names stay different, and none is drawn as nothing or as boxes. has
// reports whether the font has a character.
func Readable(text string, has func(rune) bool) string {
	drawn := func(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Mn, r) && has(r) }
	var b strings.Builder
	for _, r := range norm.NFC.String(text) {
		if drawn(r) {
			b.WriteRune(r)
			continue
		}
		if plain := compatible(r, drawn); plain != "" {
			b.WriteString(plain)
			continue
		}
		if r > 0xffff {
			fmt.Fprintf(&b, `\U%08x`, r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// compatible returns the compatibility form of r without marks; "" if it is r, or has
// characters that cannot be drawn.
func compatible(r rune, drawn func(rune) bool) string {
	var b strings.Builder
	for _, c := range norm.NFKD.String(string(r)) {
		if unicode.Is(unicode.Mn, c) {
			continue
		}
		if !drawn(c) {
			return ""
		}
		b.WriteRune(c)
	}
	return b.String()
}
