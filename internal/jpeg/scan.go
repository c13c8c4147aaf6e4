package jpeg

import "fmt"

// unzig is where in a block the n-th coefficient in zig-zag order lies. Damaged files
// go beyond the last one, which libjpeg then overwrites.
var unzig = [2 * blockSize]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
}

// maxScans is far above what encoders write: 10 by libjpeg's, some dozens by those that
// optimize.
const maxScans = 500

// scanComponent is a component of a scan.
type scanComponent struct {
	*component
	dc, ac *huffman
	last   int32 // DC value of the block before

	// Of arithmetic coding: the numbers of the tables and the category of the last
	// DC difference (section F.1.4.4.1.2).
	td, ta  uint8
	context int
}

// maxLowBit is the most bits that a scan of a progressive file leaves for later.
const maxLowBit = 13

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
	// Each scan goes through the whole picture, however few its data are.
	if f.scans++; f.scans > maxScans {
		return UnsupportedError(fmt.Sprintf("more than %d scans", maxScans))
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
	if nComp > 1 && blocks > 10 {
		return FormatError("total sampling factors too large")
	}
	tail := head[1+2*nComp:]
	b := band{0, blockSize - 1, 0, 0}
	if f.progressive || f.lossless {
		b = band{int32(tail[0]), int32(tail[1]), uint32(tail[2] >> 4), uint32(tail[2] & 0x0f)}
	}
	if f.progressive {
		switch {
		case b.zigStart == 0 && b.zigEnd != 0 || b.zigStart > b.zigEnd || blockSize <= b.zigEnd:
			return FormatError("bad spectral selection bounds")
		case b.zigStart != 0 && nComp != 1:
			return FormatError("progressive AC coefficients for more than one component")
		case b.ah != 0 && b.ah != b.al+1, b.al > maxLowBit:
			return FormatError("bad successive approximation values")
		}
	}
	if !f.planes {
		d.layout(nComp == f.nComp && !d.stored())
	}
	if err := d.begin(comps, b); err != nil {
		return err
	}
	d.bits.drop()
	d.bits.starved = false
	switch {
	case f.lossless:
		err = d.samples(comps, int(b.zigStart), b.al)
	case nComp == 1:
		err = d.single(&comps[0], b)
	default:
		err = d.interleaved(comps, b)
	}
	d.bits.drop()
	f.cut = f.cut || err != nil
	return err
}

// selectComponent fills in comps[i], which the first two bytes of b choose. Of
// components with the same identifier, it is the first one that libjpeg takes.
func (d *Decoder) selectComponent(comps []scanComponent, i int, b []byte) error {
	s := &comps[i]
	for j := range d.comp[:d.frame.nComp] {
		if d.comp[j].id == b[0] && (j >= len(comps) || comps[j].component == nil) {
			s.component = &d.comp[j]
			break
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
	s.td, s.ta = b[1]>>4, b[1]&0x0f
	if d.frame.arithmetic {
		return nil // which has as many tables as can be named
	}
	if s.td > maxTh {
		return FormatError("bad Td value")
	}
	if s.ta > maxTh {
		return FormatError("bad Ta value")
	}
	s.dc, s.ac = &d.huff[dcTable][s.td], &d.huff[acTable][s.ta]
	return nil
}

// begin makes the components of a scan and their tables ready.
func (d *Decoder) begin(comps []scanComponent, b band) error {
	f := &d.frame
	mxx, myy := d.units()
	for i := range comps {
		c := &comps[i]
		if !c.seen && !f.lossless {
			if !d.tables[c.tq] {
				return FormatError("missing quantization table")
			}
			// A table that is defined anew later is not for this component.
			c.quant = d.quant[c.tq]
		}
		if d.stored() && !c.seen {
			c.coeffs = resized(c.coeffs, mxx*myy*c.h*c.v)
			clear(c.coeffs)
		}
		if f.arithmetic {
			continue
		}
		if !f.progressive && !f.lossless {
			// A frame of Motion JPEG means the tables of annex K.
			c.dc.setDefault(dcTable, c.td)
			c.ac.setDefault(acTable, c.ta)
			c.dc.prepare(dcTable)
			c.ac.prepare(acTable)
		}
		if needDC := f.lossless || b.zigStart == 0 && b.ah == 0; needDC && !c.dc.defined {
			return errNoTable
		}
		if needAC := !f.lossless && b.zigEnd > 0; needAC && !c.ac.defined {
			return errNoTable
		}
	}
	// Only now, as a scan without its tables gives nothing.
	for i := range comps {
		c := &comps[i]
		c.seen = true
		if !f.progressive {
			continue
		}
		if c.before = c.lowest; f.scans == 1 { // libjpeg-turbo has zeros there
			c.before = [blockSize]int8{}
		}
		for k := b.zigStart; k <= b.zigEnd; k++ {
			c.lowest[k] = int8(b.al)
		}
	}
	if f.arithmetic {
		d.arith.restart(comps, b, f.progressive)
	}
	return nil
}

// units returns how many units (MCUs) there are in a row and in a column.
func (d *Decoder) units() (mxx, myy int) {
	f, side := &d.frame, 8
	if f.lossless {
		side = 1
	}
	return (f.width + side*f.hMax - 1) / (side * f.hMax), (f.height + side*f.vMax - 1) / (side * f.vMax)
}

// interleaved reads a scan of several components: units of some blocks of each.
func (d *Decoder) interleaved(comps []scanComponent, b band) error {
	mxx, myy := d.units()
	left, rst := d.frame.ri, uint8(0)
	for my := range myy {
		for mx := range mxx {
			if d.frame.ri > 0 {
				if left == 0 {
					if err := d.restart(comps, b, rst); err != nil {
						return err
					}
					left, rst = d.frame.ri, (rst+1)&7
				}
				left--
			}
			blank := d.bits.starved
			if !blank {
				d.frame.lastGood = my
			}
			for i := range comps {
				c := &comps[i]
				for y := range c.v {
					for x := range c.h {
						if err := d.block(c, b, c.h*mx+x, c.v*my+y, c.h*mxx, blank); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	return nil
}

// single reads a scan of one component: its blocks row by row, without the blocks
// that only fill up units. Restart intervals count blocks.
func (d *Decoder) single(c *scanComponent, b band) error {
	mxx, _ := d.units()
	left, rst := d.frame.ri, uint8(0)
	for by := range c.bh {
		for bx := range c.bw {
			if d.frame.ri > 0 {
				if left == 0 {
					one := [1]scanComponent{*c}
					if err := d.restart(one[:], b, rst); err != nil {
						return err
					}
					*c, left, rst = one[0], d.frame.ri, (rst+1)&7
				}
				left--
			}
			if !d.bits.starved {
				d.frame.lastGood = by / c.v
			}
			if err := d.block(c, b, bx, by, mxx*c.h, d.bits.starved); err != nil {
				return err
			}
		}
	}
	return nil
}

// restart reads the restart marker of number rst and makes the decoder ready for what
// follows it.
func (d *Decoder) restart(comps []scanComponent, b band, rst uint8) error {
	d.bits.drop()
	if err := d.resync(rst); err != nil {
		return err
	}
	d.eobRun = 0
	for i := range comps {
		comps[i].last = 0
	}
	if d.frame.arithmetic {
		d.arith.restart(comps, b, d.frame.progressive)
	}
	return nil
}

// resync goes to the restart marker of number want. Where another marker comes first,
// it does as libjpeg's jpeg_resync_to_restart: a marker that seems to be one of the
// next two stays for later, and so does one of another kind, so that the data
// up to it are missing; a marker of before is skipped, and any other is taken
// for the one that is wanted.
func (d *Decoder) resync(want uint8) error {
	r := &d.bits
	for first := true; ; first = false {
		marker, err := r.marker()
		if err != nil {
			return err
		}
		if first && marker == rst0Marker+want {
			r.starved = false
			return nil
		}
		ahead := (marker - rst0Marker - want) & 7
		switch {
		case marker < sof0Marker: // not valid
		case marker < rst0Marker, marker > rst7Marker, ahead == 1, ahead == 2:
			r.pos -= 2 // before the marker, where nothing is left to read
			return nil
		case ahead == 6, ahead == 7:
		default:
			r.starved = false
			return nil
		}
	}
}

// block reads the block in column bx and row by of a component with perRow blocks
// in a row. With blank, no data are left for it.
func (d *Decoder) block(c *scanComponent, s band, bx, by, perRow int, blank bool) error {
	if d.frame.progressive {
		if blank && !d.frame.arithmetic {
			return nil // the coefficients stay as they are
		}
		b := &c.coeffs[by*perRow+bx]
		switch {
		case d.frame.arithmetic:
			d.arith.progressive(&d.bits, b, c, s)
			return d.arith.err(&d.bits)
		case s.ah != 0:
			return d.refine(b, c.ac, s.zigStart, s.zigEnd, 1<<s.al)
		}
		return d.progressive(b, c, s)
	}
	b := &d.work
	if d.opt.Keep {
		b = &c.coeffs[by*perRow+bx]
		*b = block{}
	}
	flat := blank
	var err error
	switch {
	case d.frame.arithmetic:
		d.arith.sequential(&d.bits, b, c)
		flat, err = false, d.arith.err(&d.bits)
	case !blank:
		flat, err = d.sequential(b, c)
	}
	if d.opt.Keep {
		return err
	}
	if err == nil && bx >= c.bx0 && bx < c.bx1 && by >= c.by0 && by < c.by1 {
		c.store(b, flat, bx, by)
		return nil
	}
	*b = block{}
	return err
}
