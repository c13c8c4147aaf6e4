package imaging

import "math"

// GaussianBlur blurs m by a kernel x kernel window, an odd number, of standard deviation
// sigma in pixels: torchvision's gaussian_blur, whose pixels outside the picture mirror
// those inside. Half of the kernel must be smaller than the picture's sides. tmp is
// memory for it.
func GaussianBlur(m *Image, tmp *[]float32, kernel int, sigma float64) {
	half := kernel / 2
	weights := make([]float32, kernel)
	sum := float32(0)
	for i := range weights {
		x := float32(i-half) / float32(sigma)
		weights[i] = float32(math.Exp(float64(-0.5 * x * x)))
		sum += weights[i]
	}
	for i := range weights {
		weights[i] /= sum
	}
	// Rows first, then columns: the window is a product of two.
	c, stride := m.C, m.W*m.C
	if cap(*tmp) < len(m.Pix) {
		*tmp = make([]float32, len(m.Pix))
	}
	rows := (*tmp)[:len(m.Pix)]
	for y := range m.H {
		in, out := m.Row(y), rows[y*stride:(y+1)*stride]
		for x := range m.W {
			for ch := range c {
				v := float32(0)
				for k, w := range weights {
					v += float32(w * float32(in[mirror(x+k-half, m.W)*c+ch]))
				}
				out[x*c+ch] = v
			}
		}
	}
	for y := range m.H {
		out := m.Row(y)
		for i := range out {
			v := float32(0)
			for k, w := range weights {
				v += float32(w * rows[mirror(y+k-half, m.H)*stride+i])
			}
			out[i] = uint8(min(max(math.RoundToEven(float64(v)), 0), 255))
		}
	}
}
