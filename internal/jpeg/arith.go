package jpeg

// arithmetic decodes the entropy-coded segments of arithmetic coding (annexes D,
// F.2.4 and G.2). A statistics bin is the state of its estimate << 1 | the more
// probable symbol.
type arithmetic struct {
	// The registers of figure D.20 and following: the interval, the code, of which
	// the upper 16 bits are compared, and the bits until the next byte.
	a, c uint32
	ct   int
	// bad is set where the data make no sense, which libjpeg then ignores up to the
	// next restart marker.
	bad bool
	// past counts bytes that were wanted after the end of the file.
	past int

	dc [16][64]uint8
	ac [16][256]uint8

	lower, upper [16]uint8 // conditioning of DC tables: L and U
	kx           [16]uint8 // conditioning of AC tables
}

// setDefaults sets the conditioning of a file that has none (section F.1.4.4).
func (d *arithmetic) setDefaults() {
	for i := range 16 {
		d.lower[i], d.upper[i], d.kx[i] = 0, 1, 5
	}
	d.past = 0
}

// conditioning reads a DAC segment (section B.2.4.3).
func (d *arithmetic) conditioning(b []byte) error {
	if len(b)%2 != 0 {
		return FormatError("DAC has wrong length")
	}
	for ; len(b) > 0; b = b[2:] {
		class, table, v := b[0]>>4, b[0]&0x0f, b[1]
		switch {
		case class > maxTc:
			return FormatError("bad Tc value")
		case class == acTable:
			d.kx[table] = v
		case v&0x0f > v>>4:
			return FormatError("DAC has a lower bound above the upper one")
		default:
			d.lower[table], d.upper[table] = v&0x0f, v>>4
		}
	}
	return nil
}

// restart begins an entropy-coded segment (sections D.2.7 and F.2.4.4).
func (d *arithmetic) restart(comps []scanComponent, s band, progressive bool) {
	for i := range comps {
		c := &comps[i]
		if !progressive || s.zigStart == 0 && s.ah == 0 {
			d.dc[c.td] = [64]uint8{}
			c.last, c.context = 0, 0
		}
		if !progressive || s.zigStart > 0 {
			d.ac[c.ta] = [256]uint8{}
		}
	}
	// The first decision reads three bytes, of which one is shifted out.
	d.a, d.c, d.ct = 0, 0, -16
	d.bad = false
}

// byte returns the next byte, or zeros before a marker, which are the rest of each
// segment.
func (d *arithmetic) byte(r *reader) uint32 {
	c, ok := r.codedByte()
	if !ok && r.atEnd() {
		d.past++
	}
	return uint32(c)
}

// err is an error if the file ended too early. Some bytes may be read that do not
// matter.
func (d *arithmetic) err(r *reader) error {
	if d.past > 4 {
		return errEnd
	}
	return nil
}

// bit decodes a decision (section D.2.4).
func (d *arithmetic) bit(r *reader, bin *uint8) int {
	if d.ct < 0 { // figure D.22
		d.c = d.byte(r) << 16
		d.c |= d.byte(r) << 8
		d.c <<= 8
		d.a, d.ct = 0x10000, 0
	}
	state, mps := *bin>>1, *bin&1
	e := &estimates[state]
	qe := uint32(e.qe)
	d.a -= qe
	below := d.a < qe // the intervals are exchanged
	if d.c>>16 < d.a {
		if d.a >= 0x8000 {
			return int(mps)
		}
	} else {
		d.c -= d.a << 16
		d.a = qe
		below = !below
	}
	symbol := mps
	if below {
		symbol ^= 1
		*bin = e.afterL<<1 | mps ^ e.exchange
	} else {
		*bin = e.afterM<<1 | mps
	}
	for d.a < 0x8000 {
		if d.ct == 0 {
			d.c += d.byte(r) << 8
			d.ct = 8
		}
		d.a <<= 1
		d.c <<= 1
		d.ct--
	}
	return int(symbol)
}

// fixed decodes a bit that is as often 0 as 1.
func (d *arithmetic) fixed(r *reader) int {
	bin := uint8(even << 1)
	return d.bit(r, &bin)
}

// magnitude decodes the size of a value, of which it is known that it is above 1
// more than first says, and its lower bits (figures F.23 and F.24). The bins
// begin at x, those of the lower bits 14 further.
func (d *arithmetic) magnitude(r *reader, bins []uint8, x, m int) int {
	for d.bit(r, &bins[x]) == 1 {
		if m <<= 1; m == 0x8000 {
			d.bad = true
			return 0
		}
		x++
	}
	return d.lowBits(r, &bins[x+14], m)
}

// lowBits decodes the bits below m.
func (d *arithmetic) lowBits(r *reader, bin *uint8, m int) int {
	v := m
	for m >>= 1; m > 0; m >>= 1 {
		if d.bit(r, bin) == 1 {
			v |= m
		}
	}
	return v
}

// nextDC decodes a DC difference and adds it (section F.2.4.1).
func (d *arithmetic) nextDC(r *reader, c *scanComponent) {
	bins := &d.dc[c.td]
	at := c.context
	c.context = 0
	if d.bit(r, &bins[at]) == 0 {
		return
	}
	sign := d.bit(r, &bins[at+1])
	at += 2 + sign
	m, v := 0, 0
	if d.bit(r, &bins[at]) == 1 {
		const x1 = 20
		m, v = 1, 1
		for x := x1; ; x++ {
			if d.bit(r, &bins[x]) == 0 {
				at = x
				break
			}
			if m <<= 1; m == 0x8000 {
				d.bad = true
				return
			}
		}
		v = d.lowBits(r, &bins[at+14], m)
	}
	switch { // figure F.10
	case m < 1<<d.lower[c.td]>>1:
	case m > 1<<d.upper[c.td]>>1:
		c.context = 12 + 4*sign
	default:
		c.context = 4 + 4*sign
	}
	if v++; sign == 1 {
		v = -v
	}
	c.last += int32(v)
}

// sequential decodes a block.
func (d *arithmetic) sequential(r *reader, b *block, c *scanComponent) {
	if d.bad {
		return
	}
	if d.nextDC(r, c); d.bad {
		return
	}
	b[0] = int16(c.last)
	d.nextAC(r, c, 1, blockSize-1, func(zig, v int) { b[unzig[zig]] = int16(v) })
}

// nextAC decodes the coefficients from zig to last, giving those that are not zero
// (section F.2.4.2).
func (d *arithmetic) nextAC(r *reader, c *scanComponent, zig, last int, found func(zig, v int)) {
	bins := &d.ac[c.ta]
	for ; zig <= last; zig++ {
		at := 3 * (zig - 1)
		if d.bit(r, &bins[at]) == 1 { // the end of the block
			return
		}
		for d.bit(r, &bins[at+1]) == 0 {
			at += 3
			if zig++; zig > last {
				d.bad = true
				return
			}
		}
		sign := d.fixed(r)
		at += 2
		v := 0
		if d.bit(r, &bins[at]) == 1 {
			if d.bit(r, &bins[at]) == 0 {
				v = d.lowBits(r, &bins[at+14], 1)
			} else {
				x := 217
				if zig <= int(d.kx[c.ta]) {
					x = 189
				}
				if v = d.magnitude(r, bins[:], x, 2); d.bad {
					return
				}
			}
		}
		if v++; sign == 1 {
			v = -v
		}
		found(zig, v)
	}
}

// progressive decodes a band of a block (section G.2).
func (d *arithmetic) progressive(r *reader, b *block, c *scanComponent, s band) {
	delta := int16(1) << s.al
	switch {
	case s.zigStart == 0 && s.ah != 0: // of which libjpeg reads all, bad or not
		if d.fixed(r) == 1 {
			b[0] |= delta
		}
	case d.bad:
	case s.zigStart == 0:
		if d.nextDC(r, c); !d.bad {
			b[0] = int16(c.last << s.al)
		}
	case s.ah == 0:
		d.nextAC(r, c, int(s.zigStart), int(s.zigEnd), func(zig, v int) { b[unzig[zig]] = int16(v << s.al) })
	default:
		d.refine(r, b, c, s, delta)
	}
}

// refine decodes one more bit of the coefficients of a band (section G.1.3.3).
func (d *arithmetic) refine(r *reader, b *block, c *scanComponent, s band, delta int16) {
	bins := &d.ac[c.ta]
	end := s.zigEnd // the last coefficient that is not zero
	for end > 0 && b[unzig[end]] == 0 {
		end--
	}
	for zig := s.zigStart; zig <= s.zigEnd; zig++ {
		at := 3 * (zig - 1)
		if zig > end && d.bit(r, &bins[at]) == 1 {
			return
		}
		for {
			v := &b[unzig[zig]]
			if *v != 0 {
				if d.bit(r, &bins[at+2]) == 1 {
					if *v < 0 {
						*v -= delta
					} else {
						*v += delta
					}
				}
				break
			}
			if d.bit(r, &bins[at+1]) == 1 {
				if *v = delta; d.fixed(r) == 1 {
					*v = -delta
				}
				break
			}
			at += 3
			if zig++; zig > s.zigEnd {
				d.bad = true
				return
			}
		}
	}
}
