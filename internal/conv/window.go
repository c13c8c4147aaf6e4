package conv

import "github.com/resnet-go/resnet/internal/simd/isa"

// window is a rectangle of rows and pixels that a kernel reads of one image, in
// scratch and with its borders:
//
//	dst[(i*cols+j)*pitch+k] = src[((y0+i*jumpH)*w+x0+j*jumpW)*pixel+k],   k < channels
//
// and the padding where that row or pixel lies outside of the image. What lies
// between the channels and the pitch becomes padding, too.
type window struct {
	h, w, pixel  int // of the image: rows, pixels of a row, elements between pixels
	y0, x0       int // the first row and pixel; may be outside
	jumpH, jumpW int // rows and pixels of the image between neighbors of the window
	rows, cols   int // of the window
	channels     int // elements of a pixel that are copied
	pitch        int // elements between pixels of the window
}

// inside returns the pixels of a row of the window that lie in the image, left
// to right-1.
func (w *window) inside() (left, right int) {
	if w.x0 < 0 {
		left = min(isa.CeilDiv(-w.x0, w.jumpW), w.cols)
	}
	right = left
	if first := w.x0 + left*w.jumpW; first < w.w {
		right = min(w.cols, left+isa.CeilDiv(w.w-first, w.jumpW))
	}
	return left, right
}

// row returns where the image's row under row i of the window begins; false
// outside of the image.
func (w *window) row(i int) (at int, ok bool) {
	y := w.y0 + i*w.jumpH
	return y * w.w * w.pixel, y >= 0 && y < w.h
}

// copyWindow fills dst with a window of src.
func copyWindow[T float32 | uint8](dst, src []T, w *window, padding T) {
	left, right := w.inside()
	rowLen := w.cols * w.pitch
	dense := w.jumpW == 1 && w.channels == w.pixel && w.channels == w.pitch
	for i := range w.rows {
		d := dst[i*rowLen:][:rowLen]
		at, ok := w.row(i)
		if !ok || left == right {
			fill(d, padding)
			continue
		}
		fill(d[:left*w.pitch], padding)
		fill(d[right*w.pitch:], padding)
		d = d[left*w.pitch : right*w.pitch]
		s := src[at+(w.x0+left*w.jumpW)*w.pixel:]
		if dense {
			copy(d, s)
			continue
		}
		copyPixels(d, s, right-left, w.channels, w.pitch, w.jumpW*w.pixel, padding)
	}
}

// copyPixels copies n pixels of some channels, which lie pitch elements apart in
// src, to dst, where they lie dpitch elements apart, the rest of it padding.
func copyPixels[T float32 | uint8](dst, src []T, n, channels, dpitch, pitch int, padding T) {
	for i := range n {
		d := dst[i*dpitch:][:dpitch]
		copy(d[:channels], src[i*pitch:])
		if channels < dpitch {
			fill(d[channels:], padding)
		}
	}
}

// fill sets all of d to v.
func fill[T float32 | uint8](d []T, v T) {
	if v == 0 {
		clear(d)
		return
	}
	if len(d) == 0 {
		return
	}
	d[0] = v
	for n := 1; n < len(d); n *= 2 {
		copy(d[n:], d[:n])
	}
}
