package imaging

import "math"

// The functions of this file change colors in place. Factors are those of
// torchvision's adjust_* functions and Pillow's ImageEnhance: 1 changes
// nothing.

// Brightness scales all values: factor 0 gives black.
func Brightness(m *Image, factor float64) {
	var lut [256]uint8
	for v := range lut {
		lut[v] = blend(0, uint8(v), float32(factor))
	}
	apply(m, &lut)
}

// Contrast moves all values away from the mean gray: factor 0 gives a gray area.
func Contrast(m *Image, factor float64) {
	mean := meanGray(m)
	var lut [256]uint8
	for v := range lut {
		lut[v] = blend(mean, uint8(v), float32(factor))
	}
	apply(m, &lut)
}

// Saturation moves colors away from their gray: factor 0 gives a gray
// picture. A gray picture stays as it is.
func Saturation(m *Image, factor float64) {
	if m.C != 3 {
		return
	}
	f := float32(factor)
	for p := m.Pix; len(p) >= 3; p = p[3:] {
		g := luma(p[0], p[1], p[2])
		p[0], p[1], p[2] = blend(g, p[0], f), blend(g, p[1], f), blend(g, p[2], f)
	}
}

// Hue turns the hue by factor times the whole circle, -0.5 to 0.5, in Pillow's
// 8-bit HSV. A gray picture stays as it is.
func Hue(m *Image, factor float64) {
	if m.C != 3 {
		return
	}
	turn := uint8(int(factor * 255))
	for p := m.Pix; len(p) >= 3; p = p[3:] {
		h, s, v := rgbToHSV(p[0], p[1], p[2])
		p[0], p[1], p[2] = hsvToRGB(h+turn, s, v)
	}
}

// Grayscale makes all channels the luma.
func Grayscale(m *Image) {
	if m.C != 3 {
		return
	}
	for p := m.Pix; len(p) >= 3; p = p[3:] {
		g := luma(p[0], p[1], p[2])
		p[0], p[1], p[2] = g, g, g
	}
}

// Sharpness moves every pixel away from a smoothed picture (the 3x3 average
// with weight 5 of 13 in the middle; edge pixels stay): factor 0 gives the
// smoothed picture. tmp is memory for it.
func Sharpness(m, tmp *Image, factor float64) {
	if m.W < 3 || m.H < 3 {
		return
	}
	tmp.CopyFrom(m)
	var side, middle float32 = 1.0 / 13, 5.0 / 13
	f := float32(factor)
	c, stride := m.C, m.W*m.C
	for y := 1; y < m.H-1; y++ {
		up, row, down := tmp.Row(y-1), tmp.Row(y), tmp.Row(y+1)
		out := m.Row(y)
		for i := c; i < stride-c; i++ {
			sum := float32(0.5)
			sum += third(down, i, c, side, side)
			sum += third(row, i, c, side, middle)
			sum += third(up, i, c, side, side)
			out[i] = blend(truncate(sum), row[i], f)
		}
	}
}

// third is one row of a 3x3 average. Every product is rounded explicitly, so that
// the compiler does not fuse it with the sum (FMA) on some machines.
func third(p []uint8, i, c int, side, middle float32) float32 {
	return float32(float32(float32(p[i-c])*side)+float32(float32(p[i])*middle)) + float32(float32(p[i+c])*side)
}

// Invert gives the negative.
func Invert(m *Image) {
	for i, v := range m.Pix {
		m.Pix[i] = 255 - v
	}
}

// Posterize keeps the upper bits (0 to 8) of every value. It panics if bits is
// out of range.
func Posterize(m *Image, bits int) {
	if bits < 0 || bits > 8 {
		panic("imaging: Posterize to a number of bits that is not within 0 to 8")
	}
	mask := uint8(0xff << (8 - bits))
	for i, v := range m.Pix {
		m.Pix[i] = v & mask
	}
}

// Solarize inverts all values of at least threshold.
func Solarize(m *Image, threshold float64) {
	for i, v := range m.Pix {
		if float64(v) >= threshold {
			m.Pix[i] = 255 - v
		}
	}
}

// AutoContrast stretches each channel so that its values reach from 0 to 255.
func AutoContrast(m *Image) {
	for c := range m.C {
		h := histogram(m, c)
		lo, hi := 0, 255
		for lo < 255 && h[lo] == 0 {
			lo++
		}
		for hi > 0 && h[hi] == 0 {
			hi--
		}
		if hi <= lo {
			continue
		}
		scale := 255 / float64(hi-lo)
		offset := -float64(lo) * scale
		var lut [256]uint8
		for v := range lut {
			lut[v] = uint8(min(max(int(float64(float64(v)*scale)+offset), 0), 255))
		}
		applyChannel(m, c, &lut)
	}
}

// Equalize makes the values of each channel as equally frequent as possible.
func Equalize(m *Image) {
	for c := range m.C {
		h := histogram(m, c)
		last, used := 0, 0
		for _, n := range h {
			if n > 0 {
				last, used = n, used+1
			}
		}
		step := (m.W*m.H - last) / 255
		if used <= 1 || step == 0 {
			continue
		}
		var lut [256]uint8
		n := step / 2
		for v := range lut {
			lut[v] = uint8(min(n/step, 255))
			n += h[v]
		}
		applyChannel(m, c, &lut)
	}
}

func histogram(m *Image, c int) (h [256]int) {
	for i := c; i < len(m.Pix); i += m.C {
		h[m.Pix[i]]++
	}
	return h
}

func apply(m *Image, lut *[256]uint8) {
	for i, v := range m.Pix {
		m.Pix[i] = lut[v]
	}
}

func applyChannel(m *Image, c int, lut *[256]uint8) {
	for i := c; i < len(m.Pix); i += m.C {
		m.Pix[i] = lut[m.Pix[i]]
	}
}

// meanGray is the mean luma, rounded; 0 for a picture without pixels.
func meanGray(m *Image) uint8 {
	n := m.W * m.H
	if n == 0 {
		return 0
	}
	sum := 0
	if m.C == 1 {
		for _, v := range m.Pix {
			sum += int(v)
		}
	} else {
		for p := m.Pix; len(p) >= 3; p = p[3:] {
			sum += int(luma(p[0], p[1], p[2]))
		}
	}
	return uint8(float64(sum)/float64(n) + 0.5)
}

// blend is a + f*(b-a) in single precision, clipped to 8 bits.
func blend(a, b uint8, f float32) uint8 {
	return truncate(float32(a) + float32(f*float32(int(b)-int(a))))
}

func truncate(v float32) uint8 {
	switch {
	case !(v > 0):
		return 0
	case v >= 255:
		return 255
	}
	return uint8(v)
}

// rgbToHSV and hsvToRGB are Pillow's conversions: the first truncates, the second
// rounds, and single and double precision alternate as in Pillow.
func rgbToHSV(r, g, b uint8) (h, s, v uint8) {
	hi, lo := max(r, g, b), min(r, g, b)
	if hi == lo {
		return 0, 0, hi
	}
	cr := float32(hi - lo)
	rc, gc, bc := float32(hi-r)/cr, float32(hi-g)/cr, float32(hi-b)/cr
	var hue float32
	switch hi {
	case r:
		hue = bc - gc
	case g:
		hue = float32(2 + float64(rc) - float64(bc))
	default:
		hue = float32(4 + float64(gc) - float64(rc))
	}
	hue = float32(math.Mod(float64(hue)/6+1, 1))
	return uint8(float64(hue) * 255), uint8(float64(cr/float32(hi)) * 255), hi
}

func hsvToRGB(h, s, v uint8) (r, g, b uint8) {
	if s == 0 {
		return v, v, v
	}
	at := float64(h) * 6 / 255
	i := math.Floor(at)
	f := float32(at - i)
	fs := float32(float64(s) / 255)
	p := uint8(math.Round(float64(v) * (1 - float64(fs))))
	q := uint8(math.Round(float64(v) * (1 - float64(fs*f))))
	t := uint8(math.Round(float64(v) * (1 - float64(float64(fs)*(1-float64(f))))))
	switch int(i) % 6 {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	default:
		return v, p, q
	}
}
