package masks

import "math"

// Paste writes the probabilities of one object, whose mask head gave mask, size by
// size in row-major order, for the box x0, y0, x1, y1 in pixels, into a picture of h
// by w pixels: dst, row-major, 0 where the mask does not reach. It follows torchvision's
// paste_masks_in_image: the mask gets a border of one pixel, the box grows by the
// same factor about its center and is truncated to whole pixels, and the mask is
// resampled to it bilinearly, without antialias. It panics if mask or dst is of
// another size; a box that is not finite or is far outside of the picture gives zeros.
func Paste(dst []float32, mask []float32, size int, box [4]float32, h, w int) {
	if len(mask) != size*size || len(dst) != h*w {
		panic("masks: Paste of a mask or into a picture of another size")
	}
	clear(dst)
	// All of this is float32, as in PyTorch. The conversions keep products and sums
	// from being fused.
	padded := size + 2
	grow := float32(Growth(size))
	halfW, halfH := float32(box[2]-box[0])*0.5, float32(box[3]-box[1])*0.5
	cx, cy := float32(box[2]+box[0])*0.5, float32(box[3]+box[1])*0.5
	halfW, halfH = float32(halfW*grow), float32(halfH*grow)
	edges := [4]float32{cx - halfW, cy - halfH, cx + halfW, cy + halfH}
	var e [4]int
	for i, v := range edges {
		if !(math.Abs(float64(v)) < 1<<30) {
			return
		}
		e[i] = int(v) // toward zero
	}
	bw, bh := max(e[2]-e[0]+1, 1), max(e[3]-e[1]+1, 1)
	x0, x1 := max(e[0], 0), min(e[2]+1, w)
	y0, y1 := max(e[1], 0), min(e[3]+1, h)
	if x0 >= x1 || y0 >= y1 {
		return
	}
	at := func(y, x int) float32 {
		if y < 1 || y > size || x < 1 || x > size {
			return 0
		}
		return mask[(y-1)*size+x-1]
	}
	cols := make([]tap, x1-x0)
	for i := range cols {
		cols[i] = newTap(x0-e[0]+i, padded, bw)
	}
	for y := y0; y < y1; y++ {
		ty := newTap(y-e[1], padded, bh)
		row := dst[y*w+x0 : y*w+x1]
		for i, tx := range cols {
			top := float32(at(ty.lo, tx.lo)*tx.wLo) + float32(at(ty.lo, tx.hi)*tx.wHi)
			low := float32(at(ty.hi, tx.lo)*tx.wLo) + float32(at(ty.hi, tx.hi)*tx.wHi)
			row[i] = float32(top*ty.wLo) + float32(low*ty.wHi)
		}
	}
}

// Growth is the factor by which [Paste] enlarges the box of a mask of size by size
// values, because it gives the mask a border.
func Growth(size int) float64 { return float64(size+2) / float64(size) }

// tap is where a pixel comes from in linear resampling with half-pixel centers.
type tap struct {
	lo, hi   int
	wLo, wHi float32
}

func newTap(i, in, out int) tap {
	ratio := float32(in) / float32(out)
	at := max(float32(ratio*(float32(i)+0.5))-0.5, 0)
	lo := min(int(at), in-1)
	f := min(max(at-float32(lo), 0), 1)
	return tap{lo, min(lo+1, in-1), 1 - f, f}
}

// Threshold returns the mask of the pixels whose probability is above t; p is
// row-major, h by w pixels. torchvision's evaluation takes 0.5. It panics if p is of
// another size.
func Threshold(p []float32, h, w int, t float32) RLE {
	if len(p) != h*w {
		panic("masks: Threshold of probabilities of another size")
	}
	r := RLE{H: h, W: w}
	run, last := uint32(0), uint8(0)
	for x := range w {
		for y := range h {
			v := uint8(0)
			if p[y*w+x] > t {
				v = 1
			}
			run = r.push(run+1, &last, v, 1)
		}
	}
	if h*w > 0 {
		r.Counts = append(r.Counts, run)
	}
	return r
}

// Align writes the mask inside the box x0, y0, x1, y1 in pixels, sampled down to
// size by size values from 0 to 1, to dst: the target of a mask head. It is RoIAlign
// (He et al., arXiv 1703.06870, section 3) of the mask as torchvision's
// project_masks_on_boxes calls it: without the half-pixel shift, ceil(side / size)
// samples per bin in each direction. It panics if dst is not of size*size.
func (b *Bitmap) Align(dst []float32, box [4]float32, size int) {
	if len(dst) != size*size {
		panic("masks: Align to a target of another size")
	}
	clear(dst)
	for _, v := range box {
		if !(math.Abs(float64(v)) < 1<<24) {
			return
		}
	}
	binW := max(box[2]-box[0], 1) / float32(size)
	binH := max(box[3]-box[1], 1) / float32(size)
	nx, ny := int(math.Ceil(float64(binW))), int(math.Ceil(float64(binH)))
	count := float32(nx * ny)
	for i := range size {
		for j := range size {
			var sum float32
			for iy := range ny {
				y := box[1] + float32(float32(i)*binH) + float32((float32(iy)+0.5)*binH)/float32(ny)
				ty, ok := alignTap(y, b.H)
				if !ok {
					continue
				}
				for ix := range nx {
					x := box[0] + float32(float32(j)*binW) + float32((float32(ix)+0.5)*binW)/float32(nx)
					tx, ok := alignTap(x, b.W)
					if !ok {
						continue
					}
					sum += float32(float32(ty.wLo*tx.wLo)*float32(b.At(ty.lo, tx.lo))) +
						float32(float32(ty.wLo*tx.wHi)*float32(b.At(ty.lo, tx.hi))) +
						float32(float32(ty.wHi*tx.wLo)*float32(b.At(ty.hi, tx.lo))) +
						float32(float32(ty.wHi*tx.wHi)*float32(b.At(ty.hi, tx.hi)))
				}
			}
			dst[i*size+j] = sum / count
		}
	}
}

// alignTap returns where RoIAlign samples at v among n pixels, and whether it does:
// more than a pixel outside the picture it takes nothing.
func alignTap(v float32, n int) (tap, bool) {
	if v < -1 || v > float32(n) {
		return tap{}, false
	}
	v = max(v, 0)
	lo := int(v)
	if lo >= n-1 {
		return tap{n - 1, n - 1, 1, 0}, true
	}
	f := v - float32(lo)
	return tap{lo, lo + 1, 1 - f, f}, true
}
