package imaging

import (
	"fmt"
	"sync"
)

func checkInside(m *Image, r Rect) {
	if r.X < 0 || r.Y < 0 || r.W < 0 || r.H < 0 || r.X+r.W > m.W || r.Y+r.H > m.H {
		panic(fmt.Sprintf("imaging: part %+v is not inside a picture of %d x %d", r, m.W, m.H))
	}
}

// Crop writes the part r of src to dst, another picture. It panics if r is not
// inside src.
func Crop(dst, src *Image, r Rect) {
	checkInside(src, r)
	dst.Reset(r.W, r.H, src.C)
	for y := range r.H {
		at := ((r.Y+y)*src.W + r.X) * src.C
		copy(dst.Row(y), src.Pix[at:at+r.W*src.C])
	}
}

// CropPad writes the part r of src to dst, another picture; what lies outside
// src is black. It equals Pillow's Image.crop.
func CropPad(dst, src *Image, r Rect) {
	dst.Reset(r.W, r.H, src.C)
	x0, x1 := max(r.X, 0), min(r.X+r.W, src.W)
	for y := range r.H {
		out := dst.Row(y)
		sy := r.Y + y
		if sy < 0 || sy >= src.H || x0 >= x1 {
			clear(out)
			continue
		}
		lo, hi := (x0-r.X)*src.C, (x1-r.X)*src.C
		clear(out[:lo])
		copy(out[lo:hi], src.Pix[(sy*src.W+x0)*src.C:])
		clear(out[hi:])
	}
}

// CropReflect writes the part r of src to dst, another picture; what lies
// outside src is mirrored at the edge pixel, which is not repeated (NumPy's
// and torchvision's padding mode "reflect"). It panics if r reaches further
// out than src is wide or high.
func CropReflect(dst, src *Image, r Rect) {
	if r.X <= -src.W || r.Y <= -src.H || r.X+r.W > 2*src.W-1 || r.Y+r.H > 2*src.H-1 {
		panic(fmt.Sprintf("imaging: part %+v needs more than one reflection of a picture of %d x %d", r, src.W, src.H))
	}
	dst.Reset(r.W, r.H, src.C)
	c := src.C
	for y := range r.H {
		row, out := src.Row(mirror(r.Y+y, src.H)), dst.Row(y)
		for x := range r.W {
			from := mirror(r.X+x, src.W) * c
			copy(out[x*c:x*c+c], row[from:from+c])
		}
	}
}

func mirror(i, n int) int {
	if i < 0 {
		return -i
	}
	if i >= n {
		return 2*n - 2 - i
	}
	return i
}

// FlipH mirrors m left to right, in place.
func FlipH(m *Image) {
	c := m.C
	for y := range m.H {
		row := m.Row(y)
		for i, j := 0, (m.W-1)*c; i < j; i, j = i+c, j-c {
			for k := range c {
				row[i+k], row[j+k] = row[j+k], row[i+k]
			}
		}
	}
}

// FlipV mirrors m top to bottom, in place.
func FlipV(m *Image) {
	for i, j := 0, m.H-1; i < j; i, j = i+1, j-1 {
		a, b := m.Row(i), m.Row(j)
		for k := range a {
			a[k], b[k] = b[k], a[k]
		}
	}
}

// Orient turns m the right way up, given the value of its EXIF orientation tag
// (1 to 8; others change nothing), as Pillow's ImageOps.exif_transpose does.
func Orient(m *Image, orientation int) {
	switch orientation {
	case 2:
		FlipH(m)
	case 3:
		FlipH(m)
		FlipV(m)
	case 4:
		FlipV(m)
	case 5:
		transpose(m)
	case 6:
		transpose(m)
		FlipH(m)
	case 7:
		transpose(m)
		FlipH(m)
		FlipV(m)
	case 8:
		transpose(m)
		FlipV(m)
	}
}

func transpose(m *Image) {
	t := images.Get().(*Image)
	defer images.Put(t)
	c := m.C
	t.Reset(m.H, m.W, c)
	for y := range m.H {
		row := m.Row(y)
		for x := range m.W {
			copy(t.Pix[(x*t.W+y)*c:][:c], row[x*c:])
		}
	}
	*m, *t = *t, *m
}

// images is memory for intermediate pictures.
var images = sync.Pool{New: func() any { return new(Image) }}
