//go:build !js

package glyphs

import (
	"github.com/hajimehoshi/bitmapfont/v3"
	"golang.org/x/image/font"
)

// eastern is the bitmap font.
var eastern font.Face = bitmapfont.Face
