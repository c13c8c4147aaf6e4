package masks

import "math"

// Align writes how much of each of size by size bins of a box is covered by a mask of h
// rows and w columns, the target of a mask head (He et al. 2017, "Mask R-CNN", section
// 3): the mean of regularly placed samples, each interpolated between four pixels, as
// torchvision.ops.roi_align with a sampling ratio of -1 computes it of a mask in
// float32. at returns the mask's pixel in row y and column x, 0 or 1. box is x1, y1,
// x2, y2 in pixels.
func Align(dst []float32, size int, box [4]float32, h, w int, at func(y, x int) float32) {
	width, height := max(box[2]-box[0], 1), max(box[3]-box[1], 1)
	binW, binH := width/float32(size), height/float32(size)
	nx, ny := int(math.Ceil(float64(width/float32(size)))), int(math.Ceil(float64(height/float32(size))))
	xs := alignSamples(box[0], binW, size, nx, w)
	ys := alignSamples(box[1], binH, size, ny, h)
	for py := range size {
		for px := range size {
			sum := float32(0)
			for _, y := range ys[py*ny : (py+1)*ny] {
				for _, x := range xs[px*nx : (px+1)*nx] {
					if y.out || x.out {
						continue
					}
					sum += float32(y.low*x.low*at(y.first, x.first)) + float32(y.low*x.high*at(y.first, x.second)) +
						float32(y.high*x.low*at(y.second, x.first)) + float32(y.high*x.high*at(y.second, x.second))
				}
			}
			dst[py*size+px] = sum / float32(max(nx*ny, 1))
		}
	}
}

// alignSample is a position between two pixels, and their shares.
type alignSample struct {
	first, second int
	low, high     float32
	out           bool // too far outside of the picture
}

func alignSamples(start, bin float32, size, n, extent int) []alignSample {
	all := make([]alignSample, 0, size*n)
	for p := range size {
		for i := range n {
			v := start + float32(float32(p)*bin) + float32((float32(i)+0.5)*bin)/float32(n)
			if v < -1 || v > float32(extent) {
				all = append(all, alignSample{out: true})
				continue
			}
			v = max(v, 0)
			first := int(v)
			second := first + 1
			if first >= extent-1 {
				first, second = extent-1, extent-1
				v = float32(first)
			}
			high := v - float32(first)
			all = append(all, alignSample{first, second, 1 - high, high, false})
		}
	}
	return all
}
