package vec

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// PoolShape is the geometry of a pooling window over N x H x W x C arrays with
// an output of N x OH x OW x C. Output position (oh, ow) sees the input rows
// oh*SH-PadTop+kh*DH for kh in [0, KH), likewise columns; positions outside
// the input are padding. A dilation of 0 means 1.
type PoolShape struct {
	N, H, W, C      int
	KH, KW          int
	SH, SW          int
	PadTop, PadLeft int
	// PadBottom and PadRight matter to average pooling only: a last window may
	// reach beyond them (torch's ceil_mode), and what lies there never counts.
	PadBottom, PadRight int
	DH, DW              int
	OH, OW              int
}

// Check returns an error if an extent is not positive, if the window has more
// than 65536 taps (the index type of [MaxPool]), or if some window has no
// element of the input.
func (p *PoolShape) Check() error {
	for _, d := range [...]struct {
		name  string
		value int
	}{
		{"batch", p.N + 1}, {"height", p.H}, {"width", p.W}, {"channels", p.C}, {"kernel height", p.KH},
		{"kernel width", p.KW}, {"stride height", p.SH}, {"stride width", p.SW},
		{"output height", p.OH}, {"output width", p.OW},
		{"padding top", p.PadTop + 1}, {"padding left", p.PadLeft + 1}, {"dilation height", p.DH + 1}, {"dilation width", p.DW + 1},
	} {
		if d.value <= 0 {
			return fmt.Errorf("pool: %s is out of range in %+v", d.name, *p)
		}
	}
	if p.KH*p.KW > 1<<16 {
		return fmt.Errorf("pool: a window of %dx%d has more than 65536 positions", p.KH, p.KW)
	}
	for oh := 0; oh < p.OH; oh++ {
		if lo, hi := taps(oh*p.SH-p.PadTop, p.KH, max(p.DH, 1), p.H); lo >= hi {
			return fmt.Errorf("pool: the window of output row %d lies in the padding: input height %d, kernel %d, stride %d, padding %d", oh, p.H, p.KH, p.SH, p.PadTop)
		}
	}
	for ow := 0; ow < p.OW; ow++ {
		if lo, hi := taps(ow*p.SW-p.PadLeft, p.KW, max(p.DW, 1), p.W); lo >= hi {
			return fmt.Errorf("pool: the window of output column %d lies in the padding: input width %d, kernel %d, stride %d, padding %d", ow, p.W, p.KW, p.SW, p.PadLeft)
		}
	}
	return nil
}

// taps returns the range of k in [0, kernel) with 0 <= start+k*dilation < size.
func taps(start, kernel, dilation, size int) (lo, hi int) {
	if start < 0 {
		lo = (-start + dilation - 1) / dilation
	}
	if size > start {
		hi = min((size-start+dilation-1)/dilation, kernel)
	}
	return lo, hi
}

// interior returns the range of output positions whose whole window lies in
// the input.
func interior(out, stride, pad, kernel, dilation, size int) (lo, hi int) {
	lo = min((pad+stride-1)/stride, out)
	last := size - (kernel-1)*dilation - 1 + pad // the largest position*stride that fits
	if last < 0 {
		return lo, lo
	}
	return lo, max(min(last/stride+1, out), lo)
}

// MaxPool computes y[n][oh][ow][ch] = the largest x in the window, and arg (nil
// if not wanted) = its tap index kh*KW+kw. The first of equals wins; a NaN wins
// over any number, as in torch. It does the output rows n*OH+oh in [lo, hi); y,
// arg and x are the whole arrays.
func MaxPool(y []float32, arg []uint16, x []float32, p *PoolShape, lo, hi int) {
	dh, dw := max(p.DH, 1), max(p.DW, 1)
	inLo, inHi := interior(p.OW, p.SW, p.PadLeft, p.KW, dw, p.W)
	for r := lo; r < hi; r++ {
		img := x[r/p.OH*p.H*p.W*p.C:][:p.H*p.W*p.C]
		h0 := r%p.OH*p.SH - p.PadTop
		kh0, kh1 := taps(h0, p.KH, dh, p.H)
		for ow := 0; ow < p.OW; {
			w0 := ow*p.SW - p.PadLeft
			kw0, kw1 := taps(w0, p.KW, dw, p.W)
			n := 1
			if ow == inLo && inHi > inLo {
				n = inHi - inLo
			}
			out := y[(r*p.OW+ow)*p.C:][:n*p.C]
			var at []uint16
			if arg != nil {
				at = arg[(r*p.OW+ow)*p.C:][:n*p.C]
			}
			win := window{
				pixels: n, c: p.C, rows: kh1 - kh0, cols: kw1 - kw0,
				rowStep: dh * p.W * p.C, colStep: dw * p.C, pixelStep: p.SW * p.C,
				tap: kh0*p.KW + kw0, tapStep: p.KW,
			}
			if win.rows <= 0 || win.cols <= 0 {
				Fill(out, float32(math.Inf(-1)))
				clear(at)
			} else {
				maxPool(out, at, img[((h0+kh0*dh)*p.W+w0+kw0*dw)*p.C:], &win)
			}
			ow += n
		}
	}
}

// window describes a run of equal pooling windows: pixels outputs, each from
// rows x cols taps.
type window struct {
	pixels, c, rows, cols       int
	rowStep, colStep, pixelStep int // in floats of x
	tap, tapStep                int // index of the first tap; from row to row
}

// MaxPoolGrad computes dx[n][h][w][ch] (+)= the sum of dy over the windows whose
// maximum (arg of [MaxPool]) is this element. Every element of dx gathers its
// own terms in a fixed order. It does the input rows n*H+h in [lo, hi).
func MaxPoolGrad(dx, dy []float32, arg []uint16, p *PoolShape, lo, hi int, accumulate bool) {
	dh, dw := max(p.DH, 1), max(p.DW, 1)
	c := p.C
	for r := lo; r < hi; r++ {
		row := dx[r*p.W*c:][:p.W*c]
		if !accumulate {
			clear(row)
		}
		for kh := 0; kh < p.KH; kh++ {
			oh, ok := outputAt(r%p.H+p.PadTop-kh*dh, p.SH, p.OH)
			if !ok {
				continue
			}
			out := (r/p.H*p.OH + oh) * p.OW
			for kw := 0; kw < p.KW; kw++ {
				// Output ow has its tap kw at column ow*SW+off.
				off := kw*dw - p.PadLeft
				first, end := taps(off, p.OW, p.SW, p.W)
				if first >= end {
					continue
				}
				maxPoolGrad(row[(first*p.SW+off)*c:], dy[(out+first)*c:(out+end)*c], arg[(out+first)*c:(out+end)*c],
					uint16(kh*p.KW+kw), c, p.SW*c)
			}
		}
	}
}

// outputAt returns the output position with position*stride = at.
func outputAt(at, stride, out int) (int, bool) {
	if at < 0 || at%stride != 0 || at/stride >= out {
		return 0, false
	}
	return at / stride, true
}

// AvgPool computes y[n][oh][ow][ch] = the mean of x in the window, over all
// positions up to the far padding, padding included as zeros, if
// countIncludePad, else over the elements of the input. It does the output rows
// n*OH+oh in [lo, hi).
func AvgPool(y, x []float32, p *PoolShape, countIncludePad bool, lo, hi int) {
	dh, dw := max(p.DH, 1), max(p.DW, 1)
	c := p.C
	for r := lo; r < hi; r++ {
		img := x[r/p.OH*p.H*p.W*c:][:p.H*p.W*c]
		h0 := r%p.OH*p.SH - p.PadTop
		kh0, kh1 := taps(h0, p.KH, dh, p.H)
		rows := p.counted(h0, p.KH, dh, p.H, p.PadBottom, countIncludePad)
		for ow := 0; ow < p.OW; ow++ {
			w0 := ow*p.SW - p.PadLeft
			kw0, kw1 := taps(w0, p.KW, dw, p.W)
			out := y[(r*p.OW+ow)*c:][:c]
			clear(out)
			for kh := kh0; kh < kh1; kh++ {
				for kw := kw0; kw < kw1; kw++ {
					at := ((h0+kh*dh)*p.W + w0 + kw*dw) * c
					binary(OpAdd, out, out, img[at:at+c])
				}
			}
			cols := p.counted(w0, p.KW, dw, p.W, p.PadRight, countIncludePad)
			binaryScalar(OpMul, out, out, 1/float32(rows*cols))
		}
	}
}

// counted returns how many positions of a window that starts at start count in
// its mean along one axis, at least 1.
func (p *PoolShape) counted(start, kernel, dilation, size, padAfter int, countIncludePad bool) int {
	lo, hi := taps(start, kernel, dilation, size)
	if countIncludePad {
		_, hi = taps(start, kernel, dilation, size+padAfter)
		lo = 0
	}
	return max(hi-lo, 1)
}

// AvgPoolGrad computes dx[n][h][w][ch] (+)= the sum over the windows with this
// element of dy divided by what the window's mean was divided by. Every element
// gathers its own terms in a fixed order. It does the input rows n*H+h in
// [lo, hi).
func AvgPoolGrad(dx, dy []float32, p *PoolShape, countIncludePad bool, lo, hi int, accumulate bool) {
	dh, dw := max(p.DH, 1), max(p.DW, 1)
	c := p.C
	for r := lo; r < hi; r++ {
		row := dx[r*p.W*c:][:p.W*c]
		if !accumulate {
			clear(row)
		}
		for kh := 0; kh < p.KH; kh++ {
			oh, ok := outputAt(r%p.H+p.PadTop-kh*dh, p.SH, p.OH)
			if !ok {
				continue
			}
			rows := p.counted(oh*p.SH-p.PadTop, p.KH, dh, p.H, p.PadBottom, countIncludePad)
			for kw := 0; kw < p.KW; kw++ {
				off := kw*dw - p.PadLeft
				first, end := taps(off, p.OW, p.SW, p.W)
				for ow := first; ow < end; ow++ {
					cols := p.counted(ow*p.SW-p.PadLeft, p.KW, dw, p.W, p.PadRight, countIncludePad)
					at := (ow*p.SW + off) * c
					g := dy[((r/p.H*p.OH+oh)*p.OW+ow)*c:][:c]
					axpy(row[at:at+c], g, 1/float32(rows*cols))
				}
			}
		}
	}
}

// maxPool does a run of windows.
func maxPool(y []float32, arg []uint16, x []float32, w *window) {
	last := (w.pixels-1)*w.pixelStep + (w.rows-1)*w.rowStep + (w.cols-1)*w.colStep + w.c - 1
	_, _ = x[last], y[w.pixels*w.c-1]
	if arg != nil {
		_ = arg[w.pixels*w.c-1]
	}
	switch {
	case isa.Lanes() == 0:
	case arg != nil:
		maxPoolArgAsm(&y[0], &arg[0], &x[0], &w.pixels)
	default:
		maxPoolAsm(&y[0], &x[0], &w.pixels)
	}
	if done := isa.Vectorized(w.c); done < w.c {
		maxPoolChannels(y, arg, x, w, done)
	}
}

// maxPoolGrad adds dy to dx where arg is the tap; pixels of dx are step apart.
func maxPoolGrad(dx, dy []float32, arg []uint16, tap uint16, c, step int) {
	pixels := len(dy) / c
	if pixels == 0 {
		return
	}
	_, _ = dx[(pixels-1)*step+c-1], arg[pixels*c-1]
	if isa.Lanes() > 0 {
		maxPoolGradAsm(&dx[0], &dy[0], &arg[0], int(tap), pixels, c, step)
	}
	maxPoolGradChannels(dx, dy, arg, tap, c, step, isa.Vectorized(c))
}

// maxPoolChannels does the channels from the given one on.
func maxPoolChannels(y []float32, arg []uint16, x []float32, w *window, from int) {
	for i := 0; i < w.pixels; i++ {
		out := y[i*w.c:][:w.c]
		base := x[i*w.pixelStep:]
		for ch := from; ch < w.c; ch++ {
			best, at := base[ch], w.tap
			for kh := 0; kh < w.rows; kh++ {
				for kw := 0; kw < w.cols; kw++ {
					v := base[kh*w.rowStep+kw*w.colStep+ch]
					if v > best || v != v {
						best, at = v, w.tap+kh*w.tapStep+kw
					}
				}
			}
			out[ch] = best
			if arg != nil {
				arg[i*w.c+ch] = uint16(at)
			}
		}
	}
}

// maxPoolGradChannels does the channels from the given one on.
func maxPoolGradChannels(dx, dy []float32, arg []uint16, tap uint16, c, step, from int) {
	if from == c {
		return
	}
	for i := 0; i*c < len(dy); i++ {
		d, g, a := dx[i*step:][:c], dy[i*c:][:c], arg[i*c:][:c]
		for ch := from; ch < c; ch++ {
			if a[ch] == tap {
				d[ch] += g[ch]
			}
		}
	}
}
