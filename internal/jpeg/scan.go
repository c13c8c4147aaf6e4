package jpeg

import "image"

// unzig is where in a block the n-th coefficient in zig-zag order lies. It is
// longer than a block so that an index of 7 bits is within it.
var unzig = [2 * blockSize]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
}

// scanComponent is a component of a scan.
type scanComponent struct {
	*component
	dc, ac *huffman
	last   int32 // DC value of the block before
}

// band is what of the coefficients a scan has (section G.1.1.1): from zigStart
// to zigEnd in zig-zag order, the bits from al up, the first time (ah is 0) or
// one more bit.
type band struct {
	zigStart, zigEnd int32
	ah, al           uint32
}

// scan reads a scan whose header has n bytes (section B.2.3).
func (d *Decoder) scan(n int) error {
	f := &d.frame
	if f.nComp == 0 {
		return FormatError("missing SOF marker")
	}
	if n < 6 || 4+2*f.nComp < n || n%2 != 0 {
		return FormatError("SOS has wrong length")
	}
	head, err := d.bits.take(n)
	if err != nil {
		return err
	}
	nComp := int(head[0])
	if n != 4+2*nComp {
		return FormatError("SOS length inconsistent with number of components")
	}
	var all [maxComponents]scanComponent
	comps, blocks := all[:nComp], 0
	for i := range comps {
		if err := d.selectComponent(comps, i, head[1+2*i:]); err != nil {
			return err
		}
		blocks += comps[i].h * comps[i].v
	}
	if f.nComp > 1 && blocks > 10 {
		return FormatError("total sampling factors too large")
	}
	b := band{0, blockSize - 1, 0, 0}
	if f.progressive {
		tail := head[1+2*nComp:]
		b = band{int32(tail[0]), int32(tail[1]), uint32(tail[2] >> 4), uint32(tail[2] & 0x0f)}
		switch {
		case b.zigStart == 0 && b.zigEnd != 0 || b.zigStart > b.zigEnd || blockSize <= b.zigEnd:
			return FormatError("bad spectral selection bounds")
		case b.zigStart != 0 && nComp != 1:
			return FormatError("progressive AC coefficients for more than one component")
		case b.ah != 0 && b.ah != b.al+1:
			return FormatError("bad successive approximation values")
		}
	}
	if !f.planes {
		d.layout(nComp == f.nComp && !f.progressive)
	}
	mxx, myy := d.units()
	for i := range comps {
		if c := comps[i]; f.progressive && !c.seen {
			c.seen = true
			c.coeffs = resized(c.coeffs, mxx*myy*c.h*c.v)
			clear(c.coeffs)
		}
		if !f.progressive {
			comps[i].ac.prepare()
		}
	}
	d.bits.acc, d.bits.n = 0, 0
	if nComp == 1 {
		return d.single(&comps[0], b)
	}
	return d.interleaved(comps, b)
}

// selectComponent fills in comps[i], which the first two bytes of b choose.
func (d *Decoder) selectComponent(comps []scanComponent, i int, b []byte) error {
	s := &comps[i]
	for j := range d.comp[:d.frame.nComp] {
		if d.comp[j].id == b[0] {
			s.component = &d.comp[j]
		}
	}
	if s.component == nil {
		return FormatError("unknown component selector")
	}
	for _, o := range comps[:i] {
		if o.component == s.component {
			return FormatError("repeated component selector")
		}
	}
	td, ta := b[1]>>4, b[1]&0x0f
	if td > maxTh || d.frame.baseline && td > 1 {
		return FormatError("bad Td value")
	}
	if ta > maxTh || d.frame.baseline && ta > 1 {
		return FormatError("bad Ta value")
	}
	s.dc, s.ac = &d.huff[dcTable][td], &d.huff[acTable][ta]
	return nil
}

// units returns how many units (MCUs) there are in a row and in a column.
func (d *Decoder) units() (mxx, myy int) {
	h, v := d.comp[0].h, d.comp[0].v
	return (d.frame.width + 8*h - 1) / (8 * h), (d.frame.height + 8*v - 1) / (8 * v)
}

// interleaved reads a scan of several components: units of some blocks of each.
func (d *Decoder) interleaved(comps []scanComponent, b band) error {
	mxx, myy := d.units()
	left, rst := d.frame.ri, uint8(rst0Marker)
	for my := range myy {
		for mx := range mxx {
			for i := range comps {
				c := &comps[i]
				for y := range c.v {
					for x := range c.h {
						if err := d.block(c, b, c.h*mx+x, c.v*my+y, c.h*mxx); err != nil {
							return err
						}
					}
				}
			}
			if left--; left == 0 && !(mx == mxx-1 && my == myy-1) {
				if err := d.restart(&rst); err != nil {
					return err
				}
				for i := range comps {
					comps[i].last = 0
				}
				left = d.frame.ri
			}
		}
	}
	d.bits.align()
	return nil
}

// single reads a scan of one component: its blocks row by row, without the blocks
// that only fill up units. Restart intervals still count the units of several
// components, as in image/jpeg.
func (d *Decoder) single(c *scanComponent, b band) error {
	mxx, myy := d.units()
	perRow := mxx * c.h
	left, rst, done := d.frame.ri, uint8(rst0Marker), 0
	for unit := range mxx * myy {
		for range c.h * c.v {
			bx, by := done%perRow, done/perRow
			done++
			if bx*8 >= d.frame.width || by*8 >= d.frame.height {
				continue
			}
			if err := d.block(c, b, bx, by, perRow); err != nil {
				return err
			}
		}
		if left--; left == 0 && unit != mxx*myy-1 {
			if err := d.restart(&rst); err != nil {
				return err
			}
			c.last = 0
			left = d.frame.ri
		}
	}
	d.bits.align()
	return nil
}

// restart reads a restart marker, of the number rst. Of what is damaged it
// skips data up to the marker, but no other marker.
func (d *Decoder) restart(rst *uint8) error {
	r := &d.bits
	r.align()
	b, err := r.take(2)
	if err != nil {
		return err
	}
	for first, second := b[0], b[1]; first != 0xff || second != *rst; {
		if first == 0xff && second != 0 && second != 0xff {
			return FormatError("bad RST marker")
		}
		if second == 0xff {
			first = second
			if second, err = r.byte(); err != nil {
				return err
			}
			continue
		}
		if b, err = r.take(2); err != nil {
			return err
		}
		first, second = b[0], b[1]
	}
	if *rst++; *rst == rst7Marker+1 {
		*rst = rst0Marker
	}
	d.eobRun = 0
	return nil
}

// block reads the block in column bx and row by of a component with perRow blocks
// in a row.
func (d *Decoder) block(c *scanComponent, s band, bx, by, perRow int) error {
	if d.frame.progressive {
		b := &c.coeffs[by*perRow+bx]
		if s.ah != 0 {
			return d.refine(b, c.ac, s.zigStart, s.zigEnd, 1<<s.al)
		}
		return d.progressive(b, c, s)
	}
	var b block
	rows, err := d.sequential(&b, c)
	if err == nil && bx >= c.bx0 && bx < c.bx1 && by >= c.by0 && by < c.by1 {
		c.store(&b, rows, bx, by)
	}
	return err
}

// sequential reads and dequantizes a whole block (section F.2.2). Bit i of rows is
// set if row i may have coefficients.
func (d *Decoder) sequential(b *block, c *scanComponent) (rows uint, err error) {
	r, q := &d.bits, &d.quant[c.tq]
	size, err := r.symbol(c.dc)
	if err != nil {
		return 0, err
	}
	if size > 16 {
		return 0, UnsupportedError("excessive DC component")
	}
	delta, err := r.extended(uint(size))
	if err != nil {
		return 0, err
	}
	c.last += delta
	b[0] = c.last * q[0]
	rows = 1
	if d.eobRun > 0 {
		d.eobRun--
		return rows, nil
	}
	ac := c.ac
	if !ac.defined {
		return 0, errNoTable
	}
	acc, n := r.acc, r.n
	for zig := uint(1); zig < blockSize; zig++ {
		if n < 32 {
			r.acc, r.n = acc, n
			r.fill()
			acc, n = r.acc, r.n
		}
		e := ac.quick[acc>>(64-lookBits)]
		k, to := uint(e&0xff), zig+uint(e>>8&0xff)
		if k != 0 && k <= n && (to < blockSize || e>>8&0xff == blockSize) {
			acc <<= k
			n -= k
			if zig = to; zig >= blockSize {
				break
			}
			at := unzig[zig]
			b[at&63] = int32(e) >> 16 * q[zig]
			rows |= 1 << (at >> 3)
			continue
		}
		r.acc, r.n = acc, n
		value, err := r.symbol(ac)
		if err != nil {
			return 0, err
		}
		run, size := uint(value>>4), uint(value&0x0f)
		if size == 0 && run != 0x0f {
			if err := d.endOfBand(run); err != nil {
				return 0, err
			}
			return rows, nil
		}
		if zig += run; size == 0 { // sixteen zeros
			acc, n = r.acc, r.n
			continue
		}
		if zig >= blockSize {
			return rows, nil
		}
		v, err := r.extended(size)
		if err != nil {
			return 0, err
		}
		acc, n = r.acc, r.n
		at := unzig[zig]
		b[at&63] = v * q[zig]
		rows |= 1 << (at >> 3)
	}
	r.acc, r.n = acc, n
	return rows, nil
}

// endOfBand begins a run of blocks without further coefficients, this one
// among them (section G.1.2.2).
func (d *Decoder) endOfBand(run uint) error {
	d.eobRun = 1 << run
	more, err := d.bits.get(run)
	d.eobRun |= uint16(more)
	d.eobRun--
	return err
}

// progressive reads the first bits of a band of a block.
func (d *Decoder) progressive(b *block, c *scanComponent, s band) error {
	r := &d.bits
	zig := s.zigStart
	if zig == 0 {
		zig++
		size, err := r.symbol(c.dc)
		if err != nil {
			return err
		}
		if size > 16 {
			return UnsupportedError("excessive DC component")
		}
		delta, err := r.extended(uint(size))
		if err != nil {
			return err
		}
		c.last += delta
		b[0] = c.last << s.al
	}
	if zig <= s.zigEnd && d.eobRun > 0 {
		d.eobRun--
		return nil
	}
	for ; zig <= s.zigEnd; zig++ {
		value, err := r.symbol(c.ac)
		if err != nil {
			return err
		}
		run, size := uint(value>>4), uint(value&0x0f)
		if size == 0 {
			if run != 0x0f {
				return d.endOfBand(run)
			}
			zig += 0x0f
			continue
		}
		if zig += int32(run); zig > s.zigEnd {
			return nil
		}
		v, err := r.extended(size)
		if err != nil {
			return err
		}
		b[unzig[zig]] = v << s.al
	}
	return nil
}

// refine reads one more bit of a band of a block (section G.1.2).
func (d *Decoder) refine(b *block, h *huffman, zig, zigEnd, delta int32) error {
	r := &d.bits
	if zig == 0 {
		bit, err := r.get(1)
		if bit != 0 {
			b[0] |= delta
		}
		return err
	}
	if d.eobRun == 0 {
	loop:
		for ; zig <= zigEnd; zig++ {
			value, err := r.symbol(h)
			if err != nil {
				return err
			}
			run, size, z := uint(value>>4), value&0x0f, int32(0)
			switch size {
			case 0:
				if run != 0x0f {
					if err := d.endOfBand(run); err != nil {
						return err
					}
					d.eobRun++ // this block is yet to be refined
					break loop
				}
			case 1:
				bit, err := r.get(1)
				if err != nil {
					return err
				}
				if z = delta; bit == 0 {
					z = -z
				}
			default:
				return FormatError("unexpected Huffman code")
			}
			if zig, err = d.refineNonZeroes(b, zig, zigEnd, int32(run), delta); err != nil {
				return err
			}
			if zig > zigEnd {
				return FormatError("too many coefficients")
			}
			if z != 0 {
				b[unzig[zig]] = z
			}
		}
	}
	if d.eobRun > 0 {
		d.eobRun--
		_, err := d.refineNonZeroes(b, zig, zigEnd, -1, delta)
		return err
	}
	return nil
}

// refineNonZeroes refines coefficients that are not zero, in zig-zag order, up
// to the zero after zeros others, or to the end if zeros is below 0.
func (d *Decoder) refineNonZeroes(b *block, zig, zigEnd, zeros, delta int32) (int32, error) {
	for ; zig <= zigEnd; zig++ {
		at := unzig[zig]
		if b[at] == 0 {
			if zeros == 0 {
				break
			}
			zeros--
			continue
		}
		bit, err := d.bits.get(1)
		if err != nil {
			return 0, err
		}
		switch {
		case bit == 0:
		case b[at] >= 0:
			b[at] += delta
		default:
			b[at] -= delta
		}
	}
	return zig, nil
}

// reconstruct computes the pixels of a progressive file.
func (d *Decoder) reconstruct() {
	mxx, _ := d.units()
	for i := range d.comp[:d.frame.nComp] {
		c := &d.comp[i]
		if !c.seen {
			continue
		}
		// Blocks that only fill up units have no pixels.
		w := (d.frame.width*c.h + 8*d.comp[0].h - 1) / (8 * d.comp[0].h)
		h := (d.frame.height*c.v + 8*d.comp[0].v - 1) / (8 * d.comp[0].v)
		q := &d.quant[c.tq]
		for by := c.by0; by < min(c.by1, h); by++ {
			for bx := c.bx0; bx < min(c.bx1, w); bx++ {
				b := &c.coeffs[by*mxx*c.h+bx]
				rows := uint(0)
				for zig := range blockSize {
					if at := unzig[zig]; b[at] != 0 {
						b[at] *= q[zig]
						rows |= 1 << (at >> 3)
					}
				}
				c.store(b, rows|1, bx, by)
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
	shift := d.opt.Shift
	if f.nComp == 4 || f.nComp == 3 && d.isRGB() {
		shift, d.opt.Part = 0, image.Rectangle{}
	}
	shift = min(max(shift, 0), 3)
	f.shift = shift
	mxx, myy := d.units()
	first := &d.comp[0]
	w, h := (f.width+1<<shift-1)>>shift, (f.height+1<<shift-1)>>shift
	part := d.opt.Part.Intersect(image.Rect(0, 0, w, h))
	if d.opt.Part.Empty() {
		part = image.Rect(0, 0, w, h)
	}
	for i := range d.comp[:f.nComp] {
		c := &d.comp[i]
		// Chroma is made larger by its transform rather than afterwards, as in
		// libjpeg's jpeg_calc_output_dimensions.
		side := 8 >> shift
		for side < 8 && first.h*(8>>shift)%(c.h*side*2) == 0 && first.v*(8>>shift)%(c.v*side*2) == 0 {
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
		fx, fy := first.h*(8>>shift)/(c.h*side), first.v*(8>>shift)/(c.v*side)
		c.bx0, c.bx1 = max(part.Min.X/fx-1, 0)/side, ((part.Max.X-1)/fx+1)/side+1
		c.by0, c.by1 = max(part.Min.Y/fy-1, 0)/side, ((part.Max.Y-1)/fy+1)/side+1
	}
}
