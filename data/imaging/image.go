// Package imaging decodes pictures and changes them the way Pillow and
// torchvision do, so that a network sees the same pixels here as in Python.
//
// A picture is an [Image]: 8-bit gray or RGB. Geometry, resampling and color
// operations give Pillow's result exactly, or within one gray level where
// Pillow computes in floating point; each function names the Pillow or
// torchvision function that it equals.
package imaging

import "fmt"

// Image is an 8-bit picture: rows from top to bottom, channels interleaved
// (H, W, C). One channel is gray, three are red, green, blue.
type Image struct {
	W, H, C int
	Pix     []uint8 // pixel (x, y), channel c is Pix[(y*W+x)*C+c]
}

// New returns a black picture. It panics if a size is negative or c is neither
// 1 nor 3.
func New(w, h, c int) *Image {
	m := new(Image)
	m.Reset(w, h, c)
	return m
}

// Reset gives m another size and keeps its memory when that is large enough.
// The pixels are undefined unless the memory is new. It panics if a size is
// negative or c is neither 1 nor 3.
func (m *Image) Reset(w, h, c int) {
	if w < 0 || h < 0 || (c != 1 && c != 3) {
		panic(fmt.Sprintf("imaging: no picture of %d x %d with %d channels", w, h, c))
	}
	n := w * h * c
	if cap(m.Pix) < n {
		m.Pix = make([]uint8, n)
	}
	m.W, m.H, m.C, m.Pix = w, h, c, m.Pix[:n]
}

// CopyFrom makes m equal to src, reusing the memory of m.
func (m *Image) CopyFrom(src *Image) {
	m.Reset(src.W, src.H, src.C)
	copy(m.Pix, src.Pix)
}

// Clone returns a copy that shares no memory with m.
func (m *Image) Clone() *Image {
	c := new(Image)
	c.CopyFrom(m)
	return c
}

// Row returns the pixels of row y.
func (m *Image) Row(y int) []uint8 { return m.Pix[y*m.W*m.C : (y+1)*m.W*m.C] }

// Convert writes src with c channels to dst: gray becomes RGB by repeating it,
// RGB becomes gray by Pillow's ITU-R 601-2 luma. dst must not be src unless
// the channels are right already. It panics if c is neither 1 nor 3.
func Convert(dst, src *Image, c int) {
	if src.C == c {
		if dst != src {
			dst.CopyFrom(src)
		}
		return
	}
	dst.Reset(src.W, src.H, c)
	if c == 3 {
		for i, v := range src.Pix {
			p := dst.Pix[3*i : 3*i+3 : 3*i+3]
			p[0], p[1], p[2] = v, v, v
		}
		return
	}
	for i := range dst.Pix {
		p := src.Pix[3*i : 3*i+3 : 3*i+3]
		dst.Pix[i] = luma(p[0], p[1], p[2])
	}
}

// luma is Pillow's L24: 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point.
func luma(r, g, b uint8) uint8 {
	return uint8((uint32(r)*19595 + uint32(g)*38470 + uint32(b)*7471 + 0x8000) >> 16)
}

func clip8(v int32) uint8 {
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return uint8(v)
}
