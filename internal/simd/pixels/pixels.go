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

// PixelMixer makes pixels of three bytes that are weighted sums of others, in rows of one
// length. The zero value makes none.
type PixelMixer struct {
	src, n int     // bytes of a row, pixels that are made
	quads  int     // of weights, for each pixel
	offset []int32 // of the first byte that is read
	// For each quad the upper parts of its weights, in the order of the products, and
	// then the lower ones.
	weight []int16
}

// A weight is a part of 16 bits << mixLow, and one below that.
const mixLow = 11

// Init prepares the mixer for rows of src bytes: pixel i of the result is the sum of
// count[i] pixels from number start[i] on, with the weights w[i*stride:], rounded and
// limited as in [MixRows]. It panics if a pixel is not inside a row, or w is too short.
func (m *PixelMixer) Init(src int, start, count []int, w []int32, stride int) {
	most := 1
	for i, k := range count {
		if k < 0 || k > stride || start[i] < 0 || 3*(start[i]+k) > src || i*stride+k > len(w) {
			panic(errPixels)
		}
		most = max(most, k)
	}
	m.src, m.n = src, 0
	m.quads = (most + 3) / 4
	reach := 4 * m.quads // pixels that are read of a row, and 4 bytes
	if !isa.UseAVX2 || 3*reach+4 > src {
		return
	}
	m.offset = grow(m.offset, len(count))
	m.weight = grow(m.weight, len(count)*m.quads*32)
	clear(m.weight)
	for i, k := range count {
		// Not beyond the end of the row: there are zeros before the weights then.
		first := min(start[i], (src-4)/3-reach)
		if start[i]+k > first+reach {
			return // and the pixels from here on are the caller's
		}
		m.offset[i] = int32(3 * first)
		for j, v := range w[i*stride : i*stride+k] {
			high := v >> mixLow
			if high != int32(int16(high)) {
				return // by far too large for a weight
			}
			at := start[i] - first + j
			q := m.weight[(i*m.quads+at/4)*32:][:32]
			for c := range 4 { // the fourth product is of zeros
				lane := at%4/2*8 + 2*c + at%2
				q[lane], q[16+lane] = int16(high), int16(v&(1<<mixLow-1))
			}
		}
		m.n = i + 1
	}
}

// Mix writes a row to dst and returns how many pixels it has done, from the first on; the
// rest is the caller's. It does none without assembly for this machine. It panics if
// src has another length than was said.
func (m *PixelMixer) Mix(dst, src []uint8) (done int) {
	if m.n == 0 {
		return 0
	}
	if len(src) != m.src {
		panic(errPixels)
	}
	n := max(min(m.n, (len(dst)-4)/3), 0) &^ 3
	if n > 0 {
		mixPixels(dst, src, n, m.offset, m.weight, m.quads)
	}
	return n
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

const errPixels = "pixels: pixels or weights are missing"
