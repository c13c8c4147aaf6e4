package pixels

import "github.com/resnet-go/resnet/internal/simd/isa"

// PixelFraction is how many bits of a weight for bytes are its fraction: 8 bits
// of result, a sign and room for overshoot leave 22 of 32, as in Pillow.
const PixelFraction = 22

// MixRows writes to out the weighted sums of rows of bytes, in[t*stride+i] for
// row t, rounded and limited to 8 bits:
//
//	out[i] = clip8((1<<21 + sum over t of w[t]*in[t*stride+i]) >> PixelFraction)
//
// It returns how many values it has done, from the first on; the rest is the
// caller's. It does none without assembly for this machine, or without weights.
// It panics if a row is not inside in.
func MixRows(out, in []uint8, stride int, w []int32) (done int) {
	n := len(out) &^ 15
	if !isa.UseAVX2 || n == 0 || len(w) == 0 {
		return 0
	}
	if stride < 0 || (len(w)-1)*stride+n > len(in) {
		panic(errPixels)
	}
	mixRows(out, in, n, stride, w)
	return n
}

// MixPixels writes to dst pixels of three bytes that are weighted sums of pixels
// of src: of pixel i, count[i] of them from start[i] on, with the weights
// w[i*stride:], rounded and limited as in [MixRows]. Both start and start+count
// must rise with i. It returns how many pixels it has done, from the first on; the
// rest is the caller's. It panics if a pixel is not inside src, or w is too short.
func MixPixels(dst, src []uint8, start, count []int, w []int32, stride int) (done int) {
	// A pixel is read and written as four bytes: the last ones must be others'.
	n := min(len(dst)/3-1, len(start), len(count))
	for n > 0 && 3*(start[n-1]+count[n-1])+1 > len(src) {
		n--
	}
	if !isa.UseAVX2 || n <= 0 {
		return 0
	}
	for i, k := range count[:n] {
		if k > stride || start[i] < 0 || 3*(start[i]+k)+1 > len(src) {
			panic(errPixels)
		}
		if k < 1 { // a sum of nothing
			n = i
			break
		}
	}
	if n == 0 {
		return 0
	}
	if (n-1)*stride+count[n-1] > len(w) {
		panic(errPixels)
	}
	mixPixels(dst, src, n, start, count, w, stride)
	return n
}

const errPixels = "pixels: pixels or weights are missing"
