package glyphs

import "golang.org/x/image/font"

// eastern is nil: the font is 2.4 MB, too much for a web page.
var eastern font.Face
