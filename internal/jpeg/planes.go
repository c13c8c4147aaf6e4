package jpeg

import "image"

// reconstruct computes the pixels of stored coefficients.
func (d *Decoder) reconstruct() {
	mxx, _ := d.units()
	smooths := d.smooths()
	for i := range d.comp[:d.frame.nComp] {
		c := &d.comp[i]
		if !c.seen {
			continue
		}
		for by := c.by0; by < min(c.by1, c.bh); by++ {
			for bx := c.bx0; bx < min(c.bx1, c.bw); bx++ {
				d.work = c.coeffs[by*mxx*c.h+bx]
				if smooths {
					d.smooth(c, &d.work, bx, by)
				}
				c.store(&d.work, false, bx, by)
			}
		}
	}
}

// blank makes components gray that no scan had.
func (d *Decoder) blank() {
	for i := range d.comp[:d.frame.nComp] {
		if c := &d.comp[i]; !c.seen {
			for j := range c.pix {
				c.pix[j] = 128
			}
		}
	}
}

// resized returns a slice of n elements, of the memory of s if that is enough.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// layout allocates the planes. full is set if the next scan has all of them, so
// that nothing of an earlier picture remains.
func (d *Decoder) layout(full bool) {
	f := &d.frame
	f.planes = true
	shift := min(max(d.opt.Shift, 0), 3)
	if f.lossless {
		shift = 0
	}
	f.shift = shift
	mxx, myy := d.units()
	w, h := (f.width+1<<shift-1)>>shift, (f.height+1<<shift-1)>>shift
	part := d.opt.Part.Intersect(image.Rect(0, 0, w, h))
	if d.opt.Part.Empty() {
		part = image.Rect(0, 0, w, h)
	}
	for i := range d.comp[:f.nComp] {
		c := &d.comp[i]
		if f.lossless {
			c.side, c.stride = 1, mxx*c.h
			c.pix = resized(c.pix, c.stride*myy*c.v)
			clear(c.pix)
			continue
		}
		// Chroma is made larger by its transform rather than afterwards, as in
		// libjpeg's jpeg_calc_output_dimensions.
		side := 8 >> shift
		for side < 8 && f.hMax*(8>>shift)%(c.h*side*2) == 0 && f.vMax*(8>>shift)%(c.v*side*2) == 0 {
			side *= 2
		}
		c.side = side
		c.stride = mxx * c.h * side
		c.pix = resized(c.pix, c.stride*myy*c.v*side)
		if !full {
			clear(c.pix)
		}
		// The blocks of the part, and of a sample around it, by which chroma is
		// interpolated.
		fx, fy := f.hMax*(8>>shift)/(c.h*side), f.vMax*(8>>shift)/(c.v*side)
		c.bx0, c.bx1 = max(part.Min.X/fx-1, 0)/side, ((part.Max.X-1)/fx+1)/side+1
		c.by0, c.by1 = max(part.Min.Y/fy-1, 0)/side, ((part.Max.Y-1)/fy+1)/side+1
	}
}
