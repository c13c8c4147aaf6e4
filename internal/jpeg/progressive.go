package jpeg

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
		b[0] = int16(c.last << s.al)
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
		zig += int32(run)
		v, err := r.extended(size)
		if err != nil {
			return err
		}
		b[unzig[zig]] = int16(v << s.al)
	}
	return nil
}

// refine reads one more bit of a band of a block (section G.1.2).
func (d *Decoder) refine(b *block, h *huffman, zig, zigEnd int32, delta int16) error {
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
			run, size, z := uint(value>>4), value&0x0f, int16(0)
			switch size {
			case 0:
				if run != 0x0f {
					if err := d.endOfBand(run); err != nil {
						return err
					}
					d.eobRun++ // this block is yet to be refined
					break loop
				}
			default: // 1 unless it is damaged
				bit, err := r.get(1)
				if err != nil {
					return err
				}
				if z = delta; bit == 0 {
					z = -z
				}
			}
			if zig, err = d.refineNonZeroes(b, zig, zigEnd, int32(run), delta); err != nil {
				return err
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
func (d *Decoder) refineNonZeroes(b *block, zig, zigEnd, zeros int32, delta int16) (int32, error) {
	r := &d.bits
	acc, n := r.acc, r.n
	for ; zig <= zigEnd; zig++ {
		c := &b[unzig[zig&127]&63]
		v := *c
		if v == 0 {
			if zeros == 0 {
				break
			}
			zeros--
			continue
		}
		if n == 0 {
			r.acc, r.n = acc, n
			if err := r.need(1); err != nil {
				return 0, err
			}
			acc, n = r.acc, r.n
		}
		// What cannot be predicted is no branch: delta is added with v's sign if the next
		// bit is set, and v has not got it already, in a damaged file.
		bit, unset, sign := int16(int64(acc)>>63), (v&delta-1)>>15, v>>15
		*c = v + (delta^sign-sign)&bit&unset
		acc <<= 1
		n--
	}
	r.acc, r.n = acc, n
	return zig, nil
}
