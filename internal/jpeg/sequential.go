package jpeg

import "encoding/binary"

// enough is how many bits the longest code has with the longest number behind it.
const enough = maxCodeLength + 16

// sequential reads a whole block (section F.2.2) into b, which is zeros. flat is set if
// all coefficients but the first are zero.
//
// What is not near a marker goes through the loop here, by one look-up for one or two
// coefficients and the end of the block; the rest, and codes that are in no table, through slow.
func (d *Decoder) sequential(b *block, c *scanComponent) (flat bool, err error) {
	r := &d.bits
	if r.n < enough {
		if r.fill(); r.n < enough {
			return d.slow(b, c, 0)
		}
	}
	acc, n := r.acc, r.n
	e := c.dc.quick[acc>>(64-lookBits)]
	diff := int32(e) >> 16
	if diff == 0 {
		length, size, ok := c.dc.long(e, acc)
		if !ok || size > 16 {
			return d.slow(b, c, 0)
		}
		acc <<= length & 63
		diff = extend(uint32(acc>>32>>(32-size)), size)
		acc <<= size
		n -= length + size
	} else {
		acc <<= e & 31
		n -= uint(e & 31)
	}
	c.last += diff
	b[0] = int16(c.last)

	ac, data, pos := c.ac, r.data, r.pos
	const last = blockSize - 1
	zig := uint(0)
block:
	for zig < last {
		// As fill does, which also takes what is near a marker. It is done more often
		// than necessary, since a processor cannot predict when it is.
		w := uint64(0xff)
		if pos+8 <= len(data) {
			w = binary.BigEndian.Uint64(data[pos:])
		}
		looks := 1 + (56-enough)/lookBits
		switch {
		case (^w-0x0101010101010101)&w&0x8080808080808080 == 0:
			acc |= w >> (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		case n < enough:
			r.acc, r.n, r.pos = acc, n, pos
			if r.fill(); r.n < enough {
				return d.slow(b, c, zig+1)
			}
			acc, n, pos = r.acc, r.n, r.pos
			looks = 1
		default:
			looks = 1
		}
		for ; looks > 0; looks-- {
			e := uint64(ac.twice[acc>>(64-lookBits)])
			first := zig + uint(e>>8&31)
			if e == 0 || first >= last { // behind the last coefficient is another block
				break
			}
			acc <<= e & 31
			n -= uint(e & 31)
			b[unzig[first&127]&63] = int16(e >> 32)
			b[unzig[(zig+uint(e>>16&63))&127]&63] = int16(e >> 48)
			if zig += uint(e >> 24 & 127); zig >= last {
				break block
			}
		}
		if looks == 0 {
			continue
		}
		e := ac.quick[acc>>(64-lookBits)]
		if e.number() {
			acc <<= e & 31
			n -= uint(e & 31)
			zig += uint(e >> 8 & 31)
			b[unzig[zig&127]&63] = int16(e >> 16)
			continue
		}
		length, value, ok := ac.long(e, acc)
		if !ok {
			r.acc, r.n, r.pos = acc, n, pos
			return d.slow(b, c, zig+1)
		}
		acc <<= length & 63
		n -= length
		run, size := value>>4, value&0x0f
		if size == 0 {
			if run == 0x0f { // sixteen zeros
				zig += 16
				continue
			}
			break
		}
		v := extend(uint32(acc>>32>>(32-size)), size)
		acc <<= size
		n -= size
		zig += run + 1
		b[unzig[zig&127]&63] = int16(v)
	}
	r.acc, r.n, r.pos = acc, n, pos
	return zig == 0, nil
}

// long returns the length of the code that the bits begin with, and its value, of what
// quick has for it. ok is not set if there is no such code.
func (h *huffman) long(e entry, bits uint64) (length, value uint, ok bool) {
	if e != 0 {
		return uint(e & 31), uint(e >> 8), true
	}
	for i := lookBits; i < maxCodeLength; i++ {
		if code := int32(bits >> (63 - i)); code <= h.maxCodes[i] {
			return uint(i + 1), uint(h.value(i, code)), true
		}
	}
	return 0, 0, false
}

// slow reads the rest of a block from coefficient zig on.
func (d *Decoder) slow(b *block, c *scanComponent, zig uint) (flat bool, err error) {
	r := &d.bits
	flat = zig <= 1
	if zig == 0 {
		size, err := r.symbol(c.dc)
		if err != nil {
			return false, err
		}
		if size > 16 {
			return false, UnsupportedError("excessive DC component")
		}
		diff, err := r.extended(uint(size))
		if err != nil {
			return false, err
		}
		c.last += diff
		b[0] = int16(c.last)
		zig = 1
	}
	for ; zig < blockSize; zig++ {
		value, err := r.symbol(c.ac)
		if err != nil {
			return false, err
		}
		run, size := uint(value>>4), uint(value&0x0f)
		if size == 0 && run != 0x0f {
			return flat, nil
		}
		if zig += run; size == 0 {
			continue
		}
		v, err := r.extended(size)
		if err != nil {
			return false, err
		}
		b[unzig[zig]] = int16(v)
		flat = false
	}
	return flat, nil
}
