package masks

import (
	"fmt"
	"math"
)

// Bitmap is a mask of a picture of H rows and W columns, of which only the part
// that starts at row Y and column X is stored: [Rows, Cols] in row-major order, 1
// inside the object and 0 outside. All pixels outside the part are 0.
type Bitmap struct {
	H, W       int // of the picture
	X, Y       int // of the part, inside the picture
	Rows, Cols int // of the part
	Pix        []uint8
}

// NewBitmap returns the mask of bits, [h, w] in row-major order, where any number
// but 0 is inside the object. It panics if the number of bits is not h times w.
func NewBitmap(bits []uint8, h, w int) *Bitmap {
	if len(bits) != h*w {
		panic(fmt.Sprintf("masks: %d bits for %d x %d pixels", len(bits), h, w))
	}
	b := &Bitmap{H: h, W: w}
	x0, x1, y0, y1 := w, -1, h, -1
	for y := range h {
		for x, v := range bits[y*w : (y+1)*w] {
			if v != 0 {
				x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), y
			}
		}
	}
	if x1 < 0 {
		return b
	}
	b.part(x0, y0, x1+1, y1+1)
	for y := range b.Rows {
		row := bits[(y0+y)*w+x0:]
		for x := range b.Cols {
			if row[x] != 0 {
				b.Pix[y*b.Cols+x] = 1
			}
		}
	}
	return b
}

// part makes b hold the part [x0, x1) by [y0, y1), empty.
func (b *Bitmap) part(x0, y0, x1, y1 int) {
	b.X, b.Y, b.Cols, b.Rows = x0, y0, max(x1-x0, 0), max(y1-y0, 0)
	b.Pix = make([]uint8, b.Rows*b.Cols)
}

// At returns the pixel in row y and column x: 1 inside the object, else 0.
func (b *Bitmap) At(y, x int) uint8 {
	y, x = y-b.Y, x-b.X
	if y < 0 || y >= b.Rows || x < 0 || x >= b.Cols {
		return 0
	}
	return b.Pix[y*b.Cols+x]
}

// Bits returns the whole mask, [H, W] in row-major order, in the memory of buf where
// that suffices.
func (b *Bitmap) Bits(buf []uint8) []uint8 {
	if cap(buf) < b.H*b.W {
		buf = make([]uint8, b.H*b.W)
	}
	buf = buf[:b.H*b.W]
	clear(buf)
	for y := range b.Rows {
		copy(buf[(b.Y+y)*b.W+b.X:], b.Pix[y*b.Cols:(y+1)*b.Cols])
	}
	return buf
}

// Area returns the number of pixels inside the object.
func (b *Bitmap) Area() int {
	n := 0
	for _, v := range b.Pix {
		n += int(v)
	}
	return n
}

// Box returns the smallest box that holds the object: x, y, width, height in
// pixels, all zero if the object has no pixels.
func (b *Bitmap) Box() [4]float64 {
	x0, x1, y0, y1 := b.Cols, -1, b.Rows, -1
	for y := range b.Rows {
		for x, v := range b.Pix[y*b.Cols : (y+1)*b.Cols] {
			if v != 0 {
				x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), y
			}
		}
	}
	if x1 < 0 {
		return [4]float64{}
	}
	return [4]float64{float64(b.X + x0), float64(b.Y + y0), float64(x1 - x0 + 1), float64(y1 - y0 + 1)}
}

// Bitmap returns the mask as a bitmap whose part is the object's box.
func (r RLE) Bitmap() *Bitmap {
	b := &Bitmap{H: r.H, W: r.W}
	box := r.Box()
	x0, y0 := int(box[0]), int(box[1])
	b.part(x0, y0, x0+int(box[2]), y0+int(box[3]))
	at := 0
	for i, c := range r.Counts {
		if i%2 == 1 {
			for p := at; p < at+int(c); p++ {
				b.Pix[(p%r.H-y0)*b.Cols+p/r.H-x0] = 1
			}
		}
		at += int(c)
	}
	return b
}

// RLE returns the mask as runs.
func (b *Bitmap) RLE() RLE {
	r := RLE{H: b.H, W: b.W}
	run, last := uint32(b.X*b.H), uint8(0)
	for x := range b.Cols {
		run = r.push(run+uint32(b.Y), &last, 0, uint32(b.Y))
		for y := range b.Rows {
			run = r.push(run+1, &last, b.Pix[y*b.Cols+x], 1)
		}
		below := uint32(b.H - b.Y - b.Rows)
		run = r.push(run+below, &last, 0, below)
	}
	if rest := uint32((b.W - b.X - b.Cols) * b.H); b.Cols == 0 || rest > 0 {
		run = r.push(run+rest, &last, 0, rest)
	}
	if b.H*b.W > 0 {
		r.Counts = append(r.Counts, run)
	}
	return r
}

// push ends the run before the last n pixels, whose value is v, if that differs
// from the run's. It returns the length of the run that is open.
func (r *RLE) push(run uint32, last *uint8, v uint8, n uint32) uint32 {
	if v == *last || n == 0 {
		return run
	}
	r.Counts = append(r.Counts, run-n)
	*last = v
	return n
}

// FlipH returns the mask mirrored left to right.
func (b *Bitmap) FlipH() *Bitmap {
	f := &Bitmap{H: b.H, W: b.W, X: b.W - b.X - b.Cols, Y: b.Y, Rows: b.Rows, Cols: b.Cols, Pix: make([]uint8, len(b.Pix))}
	for y := range b.Rows {
		from, to := b.Pix[y*b.Cols:(y+1)*b.Cols], f.Pix[y*b.Cols:(y+1)*b.Cols]
		for x, v := range from {
			to[b.Cols-1-x] = v
		}
	}
	return f
}

// Crop returns the part of h by w pixels that starts at row y and column x, which
// may reach outside the picture.
func (b *Bitmap) Crop(y, x, h, w int) *Bitmap {
	c := &Bitmap{H: h, W: w}
	x0, x1 := max(b.X, x), min(b.X+b.Cols, x+w)
	y0, y1 := max(b.Y, y), min(b.Y+b.Rows, y+h)
	if x0 >= x1 || y0 >= y1 {
		return c
	}
	c.part(x0-x, y0-y, x1-x, y1-y)
	for r := range c.Rows {
		copy(c.Pix[r*c.Cols:(r+1)*c.Cols], b.Pix[(y0-b.Y+r)*b.Cols+x0-b.X:])
	}
	return c
}

// Resize returns the mask resampled to h by w pixels by nearest neighbor, as
// PyTorch's interpolate does: pixel i comes from pixel floor(i * old / new), in
// float32.
func (b *Bitmap) Resize(h, w int) *Bitmap {
	c := &Bitmap{H: h, W: w}
	rows, y0, y1 := nearest(b.H, h, b.Y, b.Rows)
	cols, x0, x1 := nearest(b.W, w, b.X, b.Cols)
	if x0 >= x1 || y0 >= y1 {
		return c
	}
	c.part(x0, y0, x1, y1)
	for y := range c.Rows {
		from, to := b.Pix[(rows[y0+y]-b.Y)*b.Cols:], c.Pix[y*c.Cols:(y+1)*c.Cols]
		for x := range to {
			to[x] = from[cols[x0+x]-b.X]
		}
	}
	return c
}

// nearest returns, for each of n pixels, the pixel out of size that it comes from,
// and which of the n come from the part [first, first+count).
func nearest(size, n, first, count int) (from []int, lo, hi int) {
	from = make([]int, n)
	ratio := float32(size) / float32(n)
	lo = n
	for i := range from {
		from[i] = min(int(math.Floor(float64(float32(i)*ratio))), size-1)
		if from[i] >= first && from[i] < first+count {
			lo, hi = min(lo, i), i+1
		}
	}
	return from, lo, hi
}
