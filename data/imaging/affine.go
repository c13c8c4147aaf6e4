package imaging

import "math"

// The functions of this file move pixels by an affine map to dst, another
// picture of the same size, taking the nearest pixel. Pixels from outside are
// black. They equal torchvision's functions on Pillow pictures, which
// TrivialAugment and RandAugment use.

// ShearX moves every row sideways by slope times its distance from the top
// edge (torchvision's autoaugment ShearX).
func ShearX(dst, src *Image, slope float64) {
	affine(dst, src, [6]float64{1, slope, 0, 0, 1, 0})
}

// ShearY moves every column up or down by slope times its distance from the
// left edge (torchvision's autoaugment ShearY).
func ShearY(dst, src *Image, slope float64) {
	affine(dst, src, [6]float64{1, 0, 0, slope, 1, 0})
}

// Translate moves the picture dx pixels to the right and dy down.
func Translate(dst, src *Image, dx, dy int) {
	CropPad(dst, src, Rect{X: -dx, Y: -dy, W: src.W, H: src.H})
}

// Rotate turns the picture counterclockwise by degrees around its center; the
// corners are cut off (Pillow's Image.rotate).
func Rotate(dst, src *Image, degrees float64) {
	degrees = math.Mod(degrees, 360)
	if degrees < 0 {
		degrees += 360
	}
	switch {
	case degrees == 0:
		dst.CopyFrom(src)
		return
	case degrees == 180:
		dst.CopyFrom(src)
		FlipH(dst)
		FlipV(dst)
		return
	case src.W == src.H && degrees == 90:
		dst.CopyFrom(src)
		Orient(dst, 8)
		return
	case src.W == src.H && degrees == 270:
		dst.CopyFrom(src)
		Orient(dst, 6)
		return
	}
	angle := -degrees * math.Pi / 180
	sin, cos := round15(math.Sin(angle)), round15(math.Cos(angle))
	cx, cy := float64(src.W)/2, float64(src.H)/2
	affine(dst, src, [6]float64{
		cos, sin, float64(cos*-cx) + float64(sin*-cy) + cx,
		-sin, cos, float64(-sin*-cx) + float64(cos*-cy) + cy,
	})
}

// round15 rounds to 15 decimals, which makes the cosine of a right angle zero.
func round15(v float64) float64 { return math.Round(v*1e15) / 1e15 }

// affine sets pixel (x, y) of dst to the pixel of src at (a0 x + a1 y + a2,
// a3 x + a4 y + a5), taken at pixel centers, in Pillow's 16.16 fixed point.
func affine(dst, src *Image, a [6]float64) {
	dst.Reset(src.W, src.H, src.C)
	fix := func(v float64) int { return int(math.Floor(float64(v*65536) + 0.5)) }
	a0, a1, a3, a4 := fix(a[0]), fix(a[1]), fix(a[3]), fix(a[4])
	x0 := fix(a[2] + float64(a[0]*0.5) + float64(a[1]*0.5))
	y0 := fix(a[5] + float64(a[3]*0.5) + float64(a[4]*0.5))
	c := src.C
	for y := range dst.H {
		out := dst.Row(y)
		xx, yy := x0, y0
		for x := range dst.W {
			sx, sy := xx>>16, yy>>16
			o := out[x*c : x*c+c]
			if sx >= 0 && sx < src.W && sy >= 0 && sy < src.H {
				copy(o, src.Pix[(sy*src.W+sx)*c:])
			} else {
				clear(o)
			}
			xx += a0
			yy += a3
		}
		x0 += a1
		y0 += a4
	}
}
