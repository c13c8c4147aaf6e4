package ref

import (
	"math"

	"github.com/resnet-go/resnet/graph"
)

// windowStarts is [starts] of a pooling axis: with ceil the last window may
// reach beyond the padded input by less than a stride, if it starts within the
// input or the padding before it.
func windowStarts(size, before, after, kernel, stride int, ceil bool) []int {
	if ceil {
		after += stride - 1
	}
	s := starts(size, before, after, kernel, stride, 1)
	for ceil && len(s) > 0 && s[len(s)-1] >= size {
		s = s[:len(s)-1]
	}
	return s
}

// windows calls f for every window with its position in the output, the
// position in the input of the picture it lies in, and its first row and
// column there. It returns the extents of the output.
func windows(w graph.Window, xs []int, f func(out, picture, top, left int)) (oh, ow int) {
	rows := windowStarts(xs[2], w.PadTop, w.PadBottom, w.KernelH, w.StrideH, w.Ceil)
	cols := windowStarts(xs[3], w.PadLeft, w.PadRight, w.KernelW, w.StrideW, w.Ceil)
	out := 0
	for p := 0; f != nil && p < xs[0]*xs[1]; p++ {
		for _, top := range rows {
			for _, left := range cols {
				f(out, p*xs[2]*xs[3], top, left)
				out++
			}
		}
	}
	return len(rows), len(cols)
}

// inside calls f for each element of a window that lies in the input, with its
// place in the window and its position within the picture.
func inside(w graph.Window, xs []int, top, left int, f func(place, at int)) {
	for r := 0; r < w.KernelH; r++ {
		for s := 0; s < w.KernelW; s++ {
			h, v := top+r, left+s
			if h >= 0 && h < xs[2] && v >= 0 && v < xs[3] {
				f(r*w.KernelW+s, h*xs[3]+v)
			}
		}
	}
}

func maxPool2d(o graph.MaxPool2d, x array) []array {
	oh, ow := windows(o.Window, x.shape, nil)
	y, winner := zeros(x.shape[0], x.shape[1], oh, ow), zeros(x.shape[0], x.shape[1], oh, ow)
	windows(o.Window, x.shape, func(out, picture, top, left int) {
		best, place := math.Inf(-1), -1
		inside(o.Window, x.shape, top, left, func(p, at int) {
			if v := x.f[picture+at]; place < 0 || v > best || (math.IsNaN(v) && !math.IsNaN(best)) {
				best, place = v, p
			}
		})
		y.f[out], winner.f[out] = best, float64(place)
	})
	return []array{y, winner}
}

func maxPool2dGrad(o graph.MaxPool2dGrad, dy, winner array) array {
	dx := zeros(o.X...)
	windows(o.Window, o.X, func(out, picture, top, left int) {
		inside(o.Window, o.X, top, left, func(p, at int) {
			if float64(p) == winner.f[out] {
				dx.f[picture+at] += dy.f[out]
			}
		})
	})
	return dx
}

// divisor is the number of elements that the mean over a window is taken of.
// Padding counts if CountPad is set; what lies beyond the padding, where a
// window of Ceil may reach, never does.
func divisor(o graph.AvgPool2d, xs []int, top, left int) float64 {
	lowH, highH, lowW, highW := 0, xs[2], 0, xs[3]
	if o.CountPad {
		lowH, highH, lowW, highW = -o.PadTop, xs[2]+o.PadBottom, -o.PadLeft, xs[3]+o.PadRight
	}
	h := min(top+o.KernelH, highH) - max(top, lowH)
	w := min(left+o.KernelW, highW) - max(left, lowW)
	return float64(h * w)
}

func avgPool2d(o graph.AvgPool2d, x array) array {
	oh, ow := windows(o.Window, x.shape, nil)
	y := zeros(x.shape[0], x.shape[1], oh, ow)
	windows(o.Window, x.shape, func(out, picture, top, left int) {
		sum := 0.0
		inside(o.Window, x.shape, top, left, func(_, at int) { sum += x.f[picture+at] })
		y.f[out] = sum / divisor(o, x.shape, top, left)
	})
	return y
}

func avgPool2dGrad(o graph.AvgPool2dGrad, dy array) array {
	dx := zeros(o.X...)
	windows(o.Pool.Window, o.X, func(out, picture, top, left int) {
		share := dy.f[out] / divisor(o.Pool, o.X, top, left)
		inside(o.Pool.Window, o.X, top, left, func(_, at int) { dx.f[picture+at] += share })
	})
	return dx
}

// blend makes an output position of the input positions a and b, with weight t for
// b and 1-t for a.
type blend struct {
	a, b int
	t    float64
}

// blends returns how each of out positions along an axis is made of in. As PyTorch
// does, it computes positions in float32.
func blends(in, out int, bilinear bool, scale float64) []blend {
	bl := make([]blend, out)
	ratio := float32(in) / float32(out)
	if scale != 0 && in != out {
		ratio = float32(1 / scale)
	}
	last := float64(in - 1)
	for i := range bl {
		if !bilinear {
			bl[i].a = int(min(math.Floor(float64(float32(i)*ratio)), last))
			bl[i].b = bl[i].a
			continue
		}
		pos := min(max(float64(float32(float32(i)+0.5)*ratio)-0.5, 0), last)
		a := int(pos)
		bl[i] = blend{a, min(a+1, in-1), pos - float64(a)}
	}
	return bl
}

// corners calls f for each weight with which an input element of x counts in
// an output element of y.
func corners(o graph.Resize, xs []int, f func(y, x int, weight float64)) {
	rows, cols := blends(xs[2], o.OH, o.Bilinear, o.ScaleH), blends(xs[3], o.OW, o.Bilinear, o.ScaleW)
	y := 0
	for p := 0; p < xs[0]*xs[1]; p++ {
		picture := p * xs[2] * xs[3]
		for _, r := range rows {
			for _, c := range cols {
				f(y, picture+r.a*xs[3]+c.a, (1-r.t)*(1-c.t))
				f(y, picture+r.a*xs[3]+c.b, (1-r.t)*c.t)
				f(y, picture+r.b*xs[3]+c.a, r.t*(1-c.t))
				f(y, picture+r.b*xs[3]+c.b, r.t*c.t)
				y++
			}
		}
	}
}

func resize(o graph.Resize, x array) array {
	y := zeros(x.shape[0], x.shape[1], o.OH, o.OW)
	corners(o, x.shape, func(yi, xi int, w float64) { y.f[yi] += w * x.f[xi] })
	return y
}

func resizeGrad(o graph.ResizeGrad, dy array) array {
	dx := zeros(o.X...)
	corners(o.Resize, o.X, func(yi, xi int, w float64) { dx.f[xi] += w * dy.f[yi] })
	return dx
}
