package vec

import (
	"fmt"
	"math"
)

// ResizeMode names how [Resize] finds values between pixels.
type ResizeMode uint8

const (
	ResizeNearest  ResizeMode = iota // torch's "nearest": input pixel floor(i*in/out)
	ResizeBilinear                   // align_corners=False, no antialias
)

// Resize changes the height and width of N x H x W x C arrays as torch's
// interpolate with a given size: the center of output pixel i is at
// (i+1/2)*in/out - 1/2, and bilinear weights beyond the edge repeat it. A
// Resize may be used by many goroutines at once.
type Resize struct {
	h, w, oh, ow, c int
	rows, cols      resizeAxis
}

// resizeAxis holds, for each output position, the two input positions and the
// weight of the second; and for each input position the range of output
// positions that read it.
type resizeAxis struct {
	a, b     []int
	t        []float32
	from, to []int
}

// NewResize prepares the change of h x w pixels of c channels to oh x ow.
func NewResize(h, w, oh, ow, c int, mode ResizeMode) (*Resize, error) {
	return NewScaledResize(h, w, oh, ow, c, mode, 0, 0)
}

// NewScaledResize is [NewResize] with positions by the scales of the axes, as torch's
// interpolate with a scale factor, where they are not 0.
func NewScaledResize(h, w, oh, ow, c int, mode ResizeMode, scaleH, scaleW float64) (*Resize, error) {
	if h <= 0 || w <= 0 || oh <= 0 || ow <= 0 || c <= 0 {
		return nil, fmt.Errorf("resize: %dx%d to %dx%d of %d channels: every extent must be positive", h, w, oh, ow, c)
	}
	if mode > ResizeBilinear {
		return nil, fmt.Errorf("resize: unknown mode %d", mode)
	}
	return &Resize{h, w, oh, ow, c, newResizeAxis(h, oh, mode, scaleH), newResizeAxis(w, ow, mode, scaleW)}, nil
}

func newResizeAxis(in, out int, mode ResizeMode, scale float64) resizeAxis {
	x := resizeAxis{make([]int, out), make([]int, out), make([]float32, out), make([]int, in), make([]int, in)}
	// torch computes the positions in float32.
	ratio := float32(in) / float32(out)
	if scale != 0 && in != out {
		ratio = float32(1 / scale)
	}
	for i := range x.a {
		switch mode {
		case ResizeNearest:
			x.a[i] = int(min(math.Floor(float64(float32(i)*ratio)), float64(in-1)))
			x.b[i] = x.a[i]
		case ResizeBilinear:
			pos := max(float32((float32(i)+0.5)*ratio)-0.5, 0)
			x.a[i] = int(min(pos, float32(in-1)))
			x.b[i] = min(x.a[i]+1, in-1)
			// A scale may point beyond the last pixel, which then counts alone.
			x.t[i] = min(pos-float32(x.a[i]), 1)
		}
	}
	for i := range x.from {
		x.from[i] = out
	}
	for o := range x.a {
		for _, i := range [2]int{x.a[o], x.b[o]} {
			x.from[i] = min(x.from[i], o)
			x.to[i] = o + 1
		}
	}
	return x
}

// weight returns how much input i counts in output o.
func (x *resizeAxis) weight(o, i int) float32 {
	var w float32
	if x.a[o] == i {
		w += 1 - x.t[o]
	}
	if x.b[o] == i {
		w += x.t[o]
	}
	return w
}

// Forward computes the output rows n*OH+oh in [lo, hi) of the whole array y
// from the whole array x.
func (r *Resize) Forward(y, x []float32, lo, hi int) {
	c, line := r.c, r.w*r.c
	for o := lo; o < hi; o++ {
		img := x[o/r.oh*r.h*line:][:r.h*line]
		oh := o % r.oh
		top, bottom, t := img[r.rows.a[oh]*line:][:line], img[r.rows.b[oh]*line:][:line], r.rows.t[oh]
		for ow := 0; ow < r.ow; ow++ {
			out := y[(o*r.ow+ow)*c:][:c]
			a, b, u := r.cols.a[ow]*c, r.cols.b[ow]*c, r.cols.t[ow]
			if t == 0 && u == 0 {
				copy(out, top[a:a+c])
				continue
			}
			p, q := top[a:a+c], top[b:b+c]
			v, w := bottom[a:a+c], bottom[b:b+c]
			for ch := range out {
				out[ch] = (1-t)*((1-u)*p[ch]+u*q[ch]) + t*((1-u)*v[ch]+u*w[ch])
			}
		}
	}
}

// Backward computes dx (+)= the gradient of [Resize.Forward] for the input rows
// n*H+h in [lo, hi). Every element gathers its own terms in a fixed order.
func (r *Resize) Backward(dx, dy []float32, lo, hi int, accumulate bool) {
	c := r.c
	for i := lo; i < hi; i++ {
		h := i % r.h
		row := dx[i*r.w*c:][:r.w*c]
		if !accumulate {
			clear(row)
		}
		for oh := r.rows.from[h]; oh < r.rows.to[h]; oh++ {
			wh := r.rows.weight(oh, h)
			if wh == 0 {
				continue
			}
			line := dy[(i/r.h*r.oh+oh)*r.ow*c:][:r.ow*c]
			for w := 0; w < r.w; w++ {
				for ow := r.cols.from[w]; ow < r.cols.to[w]; ow++ {
					if k := wh * r.cols.weight(ow, w); k != 0 {
						axpy(row[w*c:w*c+c], line[ow*c:ow*c+c], k)
					}
				}
			}
		}
	}
}
