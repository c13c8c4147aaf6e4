package jpeg

import "encoding/binary"

// reader reads a file's bytes, and bits of the entropy-coded segments.
type reader struct {
	data []byte
	pos  int // the next byte to go into acc
	// The next n bits, the first of them uppermost. What lies below them is the
	// beginning of what comes next, or zero.
	acc uint64
	n   uint
	// starved is set when a marker came before the end of what should be decoded:
	// zeros are read instead.
	starved bool
}

// take returns the next n bytes, which are not entropy-coded.
func (r *reader) take(n int) ([]byte, error) {
	if n > len(r.data)-r.pos {
		r.pos = len(r.data)
		return nil, errEnd
	}
	b := r.data[r.pos : r.pos+n]
	r.pos += n
	return b, nil
}

// marker returns the next marker. As libjpeg, it skips what comes before it.
func (r *reader) marker() (uint8, error) {
	for ; r.pos < len(r.data); r.pos++ {
		if r.data[r.pos] != 0xff {
			continue
		}
		for r.pos < len(r.data) && r.data[r.pos] == 0xff { // fill bytes, section B.1.1.2
			r.pos++
		}
		if r.pos < len(r.data) && r.data[r.pos] != 0 { // else an escaped 0xff
			r.pos++
			return r.data[r.pos-1], nil
		}
	}
	r.pos = len(r.data)
	return 0, errEnd
}

// drop forgets the bits of an entropy-coded segment that were not used. What was
// read ahead is of the same segment, so that no marker is lost with it.
func (r *reader) drop() { r.acc, r.n = 0, 0 }

// fill makes n at least 57, unless a marker or the end of the data comes first.
func (r *reader) fill() {
	if r.pos+8 <= len(r.data) {
		w := binary.BigEndian.Uint64(r.data[r.pos:])
		// Does a byte of w equal 0xff, one of ^w zero?
		if (^w-0x0101010101010101)&w&0x8080808080808080 == 0 {
			r.acc |= w >> r.n
			k := (64 - r.n) / 8
			r.pos += int(k)
			r.n += 8 * k
			return
		}
	}
	for r.n <= 56 {
		c, ok := r.codedByte()
		if !ok {
			return
		}
		r.acc |= uint64(c) << (56 - r.n)
		r.n += 8
	}
}

// codedByte returns the next byte of an entropy-coded segment, or false before a
// marker or the end of the data.
func (r *reader) codedByte() (uint8, bool) {
	if r.pos >= len(r.data) {
		return 0, false
	}
	c := r.data[r.pos]
	if c == 0xff {
		next := r.pos + 1
		for next < len(r.data) && r.data[next] == 0xff { // fill bytes
			next++
		}
		if next >= len(r.data) || r.data[next] != 0 {
			return 0, false
		}
		r.pos = next // the zero that escapes 0xff
	}
	r.pos++
	return c, true
}

// atEnd reports whether no marker follows where [reader.codedByte] has no more.
func (r *reader) atEnd() bool {
	for _, c := range r.data[r.pos:] {
		if c != 0xff {
			return false
		}
	}
	return true
}

// short makes up for missing bits: before a marker they are zeros, as in libjpeg.
func (r *reader) short() error {
	if r.atEnd() {
		return errEnd
	}
	// Below the n bits that there are, acc is zero.
	r.starved, r.n = true, 57
	return nil
}

// need makes sure that there are n bits, up to 32.
func (r *reader) need(n uint) error {
	if r.n < n {
		if r.fill(); r.n < n {
			return r.short()
		}
	}
	return nil
}

// get returns the next n bits, up to 16.
func (r *reader) get(n uint) (uint32, error) {
	if err := r.need(n); err != nil {
		return 0, err
	}
	v := uint32(r.acc >> 32 >> (32 - n))
	r.acc <<= n
	r.n -= n
	return v, nil
}

// extended returns the next n bits, up to 16, as a signed number (RECEIVE and
// EXTEND of section F.2.2.1).
func (r *reader) extended(n uint) (int32, error) {
	v, err := r.get(n)
	return extend(v, n), err
}

// extend returns a number of n bits, whose uppermost tells the sign. Which it is
// cannot be predicted, so that it is no branch.
func extend(v uint32, n uint) int32 {
	negative := int32(v<<1>>n) - 1 // -1 if the uppermost bit is 0
	return int32(v) + negative&(-1<<n+1)
}
