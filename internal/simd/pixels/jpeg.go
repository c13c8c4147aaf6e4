package pixels

import "github.com/resnet-go/resnet/internal/simd/isa"

// The functions of this file are steps of decoding a JPEG file in libjpeg's fixed
// point. Those over rows return how many values they have done, from the first on; the
// rest is the caller's. They do nothing without assembly for this machine.

func haveJPEG() bool { return isa.UseAVX2 || isa.UseNEON }

// IDCT8 transforms a block of 8x8 coefficients b, quantized by the steps q, both in natural
// order, writes its samples to rows of dst that begin stride apart, and clears b. It
// reports whether it has: without assembly for this machine it does nothing. It
// panics if dst is too short.
func IDCT8(dst []uint8, stride int, b, q *[64]int16) bool {
	if !haveJPEG() {
		return false
	}
	if stride < 8 || len(dst) < 7*stride+8 {
		panic(errPixels)
	}
	idct8(dst, stride, b, q)
	return true
}

// YCbCrToRGB converts a row of pixels, as many as y has, to three bytes of each in out. It
// panics if a slice is too short.
func YCbCrToRGB(out, y, cb, cr []uint8) (done int) {
	n := len(y) &^ 15
	if len(cb) < n || len(cr) < n || len(out) < 3*n {
		panic(errPixels)
	}
	if !haveJPEG() || n == 0 {
		return 0
	}
	ycbcrToRGB(out, y, cb, cr, n)
	return n
}

// Upsample2x1 writes two values for each of in but the first and the last, by the triangle
// filter:
//
//	out[2*i] = (3*in[i+1] + in[i] + 1) >> 2
//	out[2*i+1] = (3*in[i+1] + in[i+2] + 2) >> 2
//
// It panics if out is too short.
func Upsample2x1(out, in []uint8) (done int) {
	n := max(len(in)-2, 0) &^ 15
	if len(out) < 2*n {
		panic(errPixels)
	}
	if !haveJPEG() || n == 0 {
		return 0
	}
	upsample2x1(out, in[1:], n)
	return n
}

// Upsample2x2 writes two values for each column but the first and the last, by the triangle
// filter in both directions: with v[i] = 3*near[i] + far[i],
//
//	out[2*i] = (3*v[i+1] + v[i] + 8) >> 4
//	out[2*i+1] = (3*v[i+1] + v[i+2] + 7) >> 4
//
// It panics if a slice is too short.
func Upsample2x2(out, near, far []uint8) (done int) {
	n := max(len(near)-2, 0) &^ 15
	if len(out) < 2*n || len(far) < len(near) {
		panic(errPixels)
	}
	if !haveJPEG() || n == 0 {
		return 0
	}
	upsample2x2(out, near[1:], far[1:], n)
	return n
}

// Upsample1x2 writes the value between two rows that is nearer to the first, for the
// lower or the upper of the two pixels of near:
//
//	out[i] = (3*near[i] + far[i] + 1) >> 2, or + 2 for the lower one
//
// It panics if a slice is too short.
func Upsample1x2(out, near, far []uint8, lower bool) (done int) {
	n := len(near) &^ 15
	if len(out) < n || len(far) < n {
		panic(errPixels)
	}
	if !haveJPEG() || n == 0 {
		return 0
	}
	upsample1x2(out, near, far, n, lower)
	return n
}
