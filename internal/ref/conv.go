package ref

import "github.com/resnet-go/resnet/graph"

// starts returns where the windows along one axis start, in the coordinates of
// the unpadded input: all that end within the padded input.
func starts(size, before, after, kernel, stride, dilation int) []int {
	var s []int
	for at := -before; at+dilation*(kernel-1) < size+after; at += stride {
		s = append(s, at)
	}
	return s
}

// taps calls f for every product of a convolution, cut into runs along a row: n
// consecutive output elements from y on get the products of weight w with n input
// elements from x on, step apart. y, x and w are positions in the arrays.
func taps(o graph.Conv2d, xs, ws []int, f func(y, x, w, n, step int)) (oh, ow int) {
	rows := starts(xs[2], o.PadTop, o.PadBottom, ws[2], o.StrideH, o.DilationH)
	cols := starts(xs[3], o.PadLeft, o.PadRight, ws[3], o.StrideW, o.DilationW)
	oh, ow = len(rows), len(cols)
	if f == nil {
		return oh, ow
	}
	perGroup, outPerGroup := xs[1]/o.Groups, ws[0]/o.Groups
	for n := 0; n < xs[0]; n++ {
		for k := 0; k < ws[0]; k++ {
			for cg := 0; cg < perGroup; cg++ {
				c := k/outPerGroup*perGroup + cg
				for r := 0; r < ws[2]; r++ {
					for s := 0; s < ws[3]; s++ {
						w := ((k*perGroup+cg)*ws[2]+r)*ws[3] + s
						// The first and last column whose tap lies in the input.
						first, last := 0, ow-1
						for first <= last && cols[first]+s*o.DilationW < 0 {
							first++
						}
						for last >= first && cols[last]+s*o.DilationW >= xs[3] {
							last--
						}
						if first > last {
							continue
						}
						for i, top := range rows {
							h := top + r*o.DilationH
							if h < 0 || h >= xs[2] {
								continue
							}
							x := ((n*xs[1]+c)*xs[2]+h)*xs[3] + cols[first] + s*o.DilationW
							f(((n*ws[0]+k)*oh+i)*ow+first, x, w, last-first+1, o.StrideW)
						}
					}
				}
			}
		}
	}
	return oh, ow
}

func conv2d(o graph.Conv2d, in []array) array {
	x, w := in[0], in[1]
	oh, ow := taps(o, x.shape, w.shape, nil)
	y := zeros(x.shape[0], w.shape[0], oh, ow)
	taps(o, x.shape, w.shape, func(yi, xi, wi, n, step int) {
		wv := w.f[wi]
		for j, row := 0, y.f[yi:yi+n]; j < n; j++ {
			row[j] += wv * x.f[xi+j*step]
		}
	})
	if len(in) == 3 {
		for i := range y.f {
			y.f[i] += in[2].f[i/(oh*ow)%w.shape[0]]
		}
	}
	return y
}

func conv2dInputGrad(o graph.Conv2dInputGrad, dy, w array) array {
	dx := zeros(o.X...)
	taps(o.Conv, o.X, w.shape, func(yi, xi, wi, n, step int) {
		wv := w.f[wi]
		for j, row := 0, dy.f[yi:yi+n]; j < n; j++ {
			dx.f[xi+j*step] += wv * row[j]
		}
	})
	return dx
}

func conv2dWeightGrad(o graph.Conv2dWeightGrad, x, dy array) array {
	dw := zeros(o.W...)
	taps(o.Conv, x.shape, o.W, func(yi, xi, wi, n, step int) {
		sum := 0.0
		for j, row := 0, dy.f[yi:yi+n]; j < n; j++ {
			sum += row[j] * x.f[xi+j*step]
		}
		dw.f[wi] += sum
	})
	return dw
}
