package sheet

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"

	"github.com/resnet-go/resnet/masks"
)

// Mark is an object in a picture.
type Mark struct {
	Box   [4]float64 // x1, y1, x2, y2 in pixels
	Kind  int        // decides the color
	Label string
	Mask  *masks.RLE // of the picture's size; nil for none
}

// Marks returns the picture with marks on it, the last one on top.
func Marks(m *image.RGBA, marks []Mark) (*image.RGBA, error) {
	face, err := newFace()
	if err != nil {
		return nil, err
	}
	defer face.Close()
	b := m.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(out, out.Bounds(), m, b.Min, draw.Src)
	for _, k := range marks { // below all boxes, so that none is hidden
		if k.Mask != nil && k.Mask.W == b.Dx() && k.Mask.H == b.Dy() {
			tint(out, k.Mask, KindColor(k.Kind))
		}
	}
	thick := max(1, min(b.Dx(), b.Dy())/250)
	for _, k := range marks {
		c := KindColor(k.Kind)
		r := image.Rect(pixel(k.Box[0], b.Dx()), pixel(k.Box[1], b.Dy()), pixel(k.Box[2], b.Dx()), pixel(k.Box[3], b.Dy()))
		frame(out, r, thick, c)
		caption(out, face, r, k.Label, c)
	}
	return out, nil
}

// pixel returns the pixel of a coordinate, within a picture of n.
func pixel(v float64, n int) int {
	if math.IsNaN(v) {
		return 0
	}
	return int(min(max(math.Round(v), 0), float64(n)))
}

// KindColor returns one of many colors of equal brightness that differ for
// neighboring numbers: hues at steps of the golden angle.
func KindColor(kind int) color.RGBA {
	hue := math.Mod(float64(kind)*137.50776, 360) / 60
	// HSV with full value and a saturation of 0.8.
	f := func(n float64) uint8 {
		k := math.Mod(n+hue, 6)
		return uint8(math.Round(255 * (1 - 0.8*max(0, min(k, 4-k, 1)))))
	}
	return color.RGBA{f(5), f(3), f(1), 255}
}

// tint mixes a color into the pixels of a mask.
func tint(out *image.RGBA, mask *masks.RLE, c color.RGBA) {
	at := 0
	for i, run := range mask.Counts {
		for p := at; i%2 == 1 && p < at+int(run); p++ { // runs go down the columns
			q := out.Pix[out.PixOffset(p/mask.H, p%mask.H):][:3]
			q[0], q[1], q[2] = uint8((int(q[0])+int(c.R))/2), uint8((int(q[1])+int(c.G))/2), uint8((int(q[2])+int(c.B))/2)
		}
		at += int(run)
	}
}

// frame draws the border of a rectangle inside of it.
func frame(out *image.RGBA, r image.Rectangle, thick int, c color.RGBA) {
	fill := func(x0, y0, x1, y1 int) {
		draw.Draw(out, image.Rect(x0, y0, x1, y1).Intersect(r), image.NewUniform(c), image.Point{}, draw.Src)
	}
	fill(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+thick)
	fill(r.Min.X, r.Max.Y-thick, r.Max.X, r.Max.Y)
	fill(r.Min.X, r.Min.Y, r.Min.X+thick, r.Max.Y)
	fill(r.Max.X-thick, r.Min.Y, r.Max.X, r.Max.Y)
}

// caption writes the label of a rectangle above it or, where there is no room,
// inside.
func caption(out *image.RGBA, face font.Face, r image.Rectangle, label string, c color.RGBA) {
	b := out.Bounds()
	label = fit(face, readable(label), b.Dx()-4)
	width := font.MeasureString(face, label).Ceil() + 4
	x, y := max(min(r.Min.X, b.Dx()-width), 0), r.Min.Y-line
	if y < 0 {
		y = min(r.Min.Y, max(b.Dy()-line, 0))
	}
	draw.Draw(out, image.Rect(x, y, x+width, y+line), image.NewUniform(c), image.Point{}, draw.Src)
	d := font.Drawer{Dst: out, Src: image.NewUniform(color.Gray{ink}), Face: face, Dot: fixed.P(x+2, y+size)}
	d.DrawString(label)
}
