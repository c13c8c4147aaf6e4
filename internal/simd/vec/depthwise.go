package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// Depthwise is the geometry of a depthwise convolution of N x H x W x C arrays: each
// channel has a filter of its own. The window is that of [PoolShape].
type Depthwise struct{ PoolShape }

// Run computes
//
//	y[n][oh][ow][ch] = min(max(bias[ch] + Σ_{kh,kw} x[n][oh*SH-PadTop+kh*DH][ow*SW-PadLeft+kw*DW][ch] * w[kh][kw][ch], lo), hi)
//
// for the output rows n*OH+oh in [from, to), which are what y has. The taps are added
// in their order, those in the padding left out. NaN passes through. x, w and bias are
// the whole arrays.
func (d *Depthwise) Run(y, x, w, bias []float32, lo, hi float32, from, to int) {
	p, c := &d.PoolShape, d.C
	isa.CheckLen(len(y), (to-from)*p.OW*c, "Depthwise y")
	isa.CheckLen(len(w), p.KH*p.KW*c, "Depthwise w")
	isa.CheckLen(len(bias), c, "Depthwise bias")
	dh, dw := max(p.DH, 1), max(p.DW, 1)
	inLo, inHi := interior(p.OW, p.SW, p.PadLeft, p.KW, dw, p.W)
	for r := from; r < to; r++ {
		img := x[r/p.OH*p.H*p.W*c:][:p.H*p.W*c]
		h0 := r%p.OH*p.SH - p.PadTop
		kh0, kh1 := taps(h0, p.KH, dh, p.H)
		for ow := 0; ow < p.OW; {
			w0 := ow*p.SW - p.PadLeft
			kw0, kw1 := taps(w0, p.KW, dw, p.W)
			n := 1
			if ow == inLo && inHi > inLo {
				n = inHi - inLo
			}
			f := filters{
				pixels: n, c: c, rows: kh1 - kh0, cols: kw1 - kw0,
				colStep: 4 * dw * c, pixelStep: 4 * p.SW * c, outStep: 4 * c,
			}
			f.rowSkip = 4*dh*p.W*c - f.cols*f.colStep
			f.weightSkip = 4 * (p.KW - f.cols) * c
			out := y[((r-from)*p.OW+ow)*c:][:n*c]
			if f.rows <= 0 || f.cols <= 0 {
				for i := range out {
					out[i] = clamp(bias[i%c], lo, hi)
				}
			} else {
				f.run(out, img[((h0+kh0*dh)*p.W+w0+kw0*dw)*c:], w[(kh0*p.KW+kw0)*c:], bias, lo, hi)
			}
			ow += n
		}
	}
}

// filters describes a run of equal windows of a depthwise convolution: pixels
// outputs, each from rows x cols taps. The steps are in bytes, as kernels add them to
// addresses; the assembly counts pixels down.
type filters struct {
	pixels, c, rows, cols       int
	colStep, pixelStep, outStep int // of x from a tap and an output to the next, and of y
	rowSkip, weightSkip         int // of x and w from after a row of taps to the next row
}

func (f *filters) run(y, x, w, bias []float32, lo, hi float32) {
	_ = x[((f.pixels-1)*f.pixelStep+(f.rows-1)*f.rowSkip+(f.rows*f.cols-1)*f.colStep)/4+f.c-1]
	_ = w[(f.rows-1)*f.weightSkip/4+f.rows*f.cols*f.c-1]
	_, _ = y[f.pixels*f.c-1], bias[f.c-1]
	if done := isa.Vectorized(f.c); done < f.c {
		f.channels(y, x, w, bias, lo, hi, done)
	}
	if isa.Lanes() > 0 {
		depthwiseAsm(&y[0], &x[0], &w[0], &bias[0], &f.pixels, lo, hi)
	}
}

// channels does the channels from the given one on.
func (f *filters) channels(y, x, w, bias []float32, lo, hi float32, from int) {
	for i := range f.pixels {
		for ch := from; ch < f.c; ch++ {
			sum, at, tap := float32(0), i*f.pixelStep/4+ch, ch
			for range f.rows {
				for range f.cols {
					sum += x[at] * w[tap]
					at += f.colStep / 4
					tap += f.c
				}
				at += f.rowSkip / 4
				tap += f.weightSkip / 4
			}
			y[i*f.c+ch] = clamp(sum+bias[ch], lo, hi)
		}
	}
}
