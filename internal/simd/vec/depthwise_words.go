package vec

import (
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// DepthwiseWords is a depthwise convolution of unsigned bytes by signed ones with sums of
// 32 bits. Neighboring taps of a row of the filter lie in one word for each channel,
//
//	word = tap 0 | tap 1 << (32/Taps) | …
//
// of four bytes, or of two integers of 16 bits, whose products are summed by one
// instruction (VPDPBUSD, VPMADDWD). Where a row of the filter ends within a word, its
// weights are 0.
type DepthwiseWords struct {
	Taps      int // in a word: 4, or 2
	C         int // channels
	OW        int // pixels of an output row
	Rows      int // of the filter
	Words     int // of a row of the filter
	WordStep  int // pixels of x from a word of a row to the next
	PixelStep int // pixels of x from an output to the next
	RowStep   int // pixels of x from a row of the filter to the next
}

// Join makes the words of pixels, which are step pixels of c channels of x apart, as the
// taps of a word are tapStep pixels apart:
//
//	dst[p][ch] = Σ_t x[p*step + t*tapStep][ch] << (32/taps*t)
func Join(dst []uint32, x []uint8, c, pixels, step, tapStep, taps int) {
	isa.CheckLen(len(dst), pixels*c, "words")
	isa.CheckMinBytes(len(x), ((pixels-1)*step+(taps-1)*tapStep+1)*c)
	done := 0
	switch {
	case taps == 4 && isa.UseAVX512 && isa.UseVNNI:
		joinBytesAsm(&dst[0], &x[0], c, pixels, step*c, tapStep*c)
		return
	case taps == 2 && isa.UseAVX2:
		joinPairsAsm(&dst[0], &x[0], c, pixels, step*c, tapStep*c)
		done = isa.Vectorized(c)
	}
	if done == c {
		return
	}
	for p := range pixels {
		row := dst[p*c:][:c]
		for ch := done; ch < c; ch++ {
			word := uint32(0)
			for t := range taps {
				word |= uint32(x[(p*step+t*tapStep)*c+ch]) << (32 / taps * t)
			}
			row[ch] = word
		}
	}
}

// Run sums a row of outputs:
//
//	y[ow][ch] = bias[ch] + Σ_{r,j} products of x[ow*PixelStep + r*RowStep + j*WordStep][ch] and w[r][j][ch]
//
// x begins with the first pixel of the row.
func (d *DepthwiseWords) Run(y []int32, x, w []uint32, bias []int32) {
	isa.CheckLen(len(y), d.OW*d.C, "sums")
	isa.CheckLen(len(w), d.Rows*d.Words*d.C, "words of weights")
	isa.CheckLen(len(bias), d.C, "biases")
	f := filters{
		pixels: d.OW, c: d.C, rows: d.Rows, cols: d.Words,
		colStep: 4 * d.WordStep * d.C, pixelStep: 4 * d.PixelStep * d.C, outStep: 4 * d.C,
	}
	f.rowSkip = 4*d.RowStep*d.C - f.cols*f.colStep
	_ = x[((f.pixels-1)*f.pixelStep+(f.rows-1)*f.rowSkip+(f.rows*f.cols-1)*f.colStep)/4+f.c-1]
	done := 0
	switch {
	case d.Taps == 4 && isa.UseAVX512 && isa.UseVNNI:
		depthwiseBytesAsm(&y[0], &x[0], &w[0], &bias[0], &f.pixels)
		return
	case d.Taps == 2 && isa.UseAVX2:
		if done = isa.Vectorized(f.c); done < f.c {
			f.sumWords(y, x, w, bias, done, d.Taps)
		}
		depthwisePairsAsm(&y[0], &x[0], &w[0], &bias[0], &f.pixels)
		return
	}
	f.sumWords(y, x, w, bias, 0, d.Taps)
}

// sumWords does the channels from the given one on.
func (f *filters) sumWords(y []int32, x, w []uint32, bias []int32, from, taps int) {
	dot := dotBytes
	if taps == 2 {
		dot = dotPairs
	}
	for i := range f.pixels {
		for ch := from; ch < f.c; ch++ {
			sum, at, tap := bias[ch], i*f.pixelStep/4+ch, ch
			for range f.rows {
				for range f.cols {
					sum += dot(x[at], w[tap])
					at += f.colStep / 4
					tap += f.c
				}
				at += f.rowSkip / 4
			}
			y[i*f.c+ch] = sum
		}
	}
}

// dotBytes sums the products of four unsigned and four signed bytes.
func dotBytes(x, w uint32) (sum int32) {
	for i := 0; i < 32; i += 8 {
		sum += int32(uint8(x>>i)) * int32(int8(w>>i))
	}
	return sum
}

// dotPairs sums the products of two integers of 16 bits.
func dotPairs(x, w uint32) int32 {
	return int32(int16(x))*int32(int16(w)) + int32(int16(x>>16))*int32(int16(w>>16))
}
