package jpeg

// samples reads a scan of a lossless file (annex H): differences from a prediction,
// whose number is that of table H.1, of samples without their lowest bits.
func (d *Decoder) samples(comps []scanComponent, predictor int, low uint32) error {
	if predictor < 1 || predictor > 7 || low > 7 {
		return FormatError("bad predictor of a lossless scan")
	}
	width, height := d.units()
	if len(comps) == 1 {
		width, height = comps[0].bw, comps[0].bh
	}
	ri := d.frame.ri
	if ri%width != 0 {
		return FormatError("restart interval of a lossless scan that is not whole rows")
	}
	rows := make([]lossless, len(comps))
	for i := range comps {
		c := &comps[i]
		rows[i] = lossless{h: c.h, v: c.v, width: c.bw}
		if len(comps) == 1 {
			rows[i].h, rows[i].v = 1, 1
		}
		rows[i].diff = make([]int32, rows[i].v*rows[i].h*width)
		rows[i].above = make([]int32, c.bw)
		rows[i].first = true
	}
	for my := range height {
		if ri > 0 && my > 0 && my%(ri/width) == 0 {
			if err := d.restart(comps, band{}, uint8(my/(ri/width)-1)&7); err != nil {
				return err
			}
			for i := range rows {
				rows[i].first = true
			}
		}
		for mx := range width {
			blank := d.bits.starved
			for i := range comps {
				if err := rows[i].read(&d.bits, comps[i].dc, mx, width, blank); err != nil {
					return err
				}
			}
		}
		for i := range comps {
			c := &comps[i]
			for y := range rows[i].v {
				by := my*rows[i].v + y
				rows[i].predict(c.pix[by*c.stride:], y, width, predictor, low)
			}
		}
	}
	return nil
}

// lossless is a component of a lossless scan.
type lossless struct {
	h, v, width int     // samples of a unit, and of a row
	diff        []int32 // of a row of units
	above       []int32 // the row above
	first       bool    // there is none
}

// read reads the differences of a unit.
func (l *lossless) read(r *reader, h *huffman, mx, units int, blank bool) error {
	for y := range l.v {
		for x := range l.h {
			diff := int32(0)
			if !blank {
				size, err := r.symbol(h)
				if err != nil {
					return err
				}
				switch {
				case size > 16:
					return FormatError("bad difference of a lossless scan")
				case size == 16:
					diff = 1 << 15
				default:
					if diff, err = r.extended(uint(size)); err != nil {
						return err
					}
				}
			}
			l.diff[y*l.h*units+mx*l.h+x] = diff
		}
	}
	return nil
}

// predict turns a row of differences into samples.
func (l *lossless) predict(dst []uint8, y, units, predictor int, low uint32) {
	diff := l.diff[y*l.h*units:][:l.width]
	var ra, rc int32 // the samples to the left and above that
	for x, v := range diff {
		rb := l.above[x]
		p := ra
		switch {
		case l.first:
			if x == 0 {
				p = 1 << (7 - low)
			}
		case x == 0:
			p = rb
		default:
			switch predictor {
			case 2:
				p = rb
			case 3:
				p = rc
			case 4:
				p = ra + rb - rc
			case 5:
				p = ra + (rb-rc)>>1
			case 6:
				p = rb + (ra-rc)>>1
			case 7:
				p = (ra + rb) >> 1
			}
		}
		ra, rc = (p+v)&0xffff, rb
		l.above[x] = ra
		dst[x] = uint8(ra << low)
	}
	l.first = false
}
