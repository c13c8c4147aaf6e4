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

func (r *reader) byte() (uint8, error) {
	b, err := r.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// align returns unread whole bytes to the input and drops the bits of a byte that
// was read in part.
func (r *reader) align() {
	for ; r.n >= 8; r.n -= 8 {
		r.pos--
		if r.data[r.pos] == 0 && r.pos > 0 && r.data[r.pos-1] == 0xff { // an escaped 0xff
			r.pos--
		}
	}
	r.acc, r.n = 0, 0
}

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
	for r.n <= 56 && r.pos < len(r.data) {
		c := r.data[r.pos]
		if c == 0xff {
			if r.pos+1 >= len(r.data) || r.data[r.pos+1] != 0 {
				return
			}
			r.pos++
		}
		r.pos++
		r.acc |= uint64(c) << (56 - r.n)
		r.n += 8
	}
}

// short is the error where bits are missing.
func (r *reader) short() error {
	if r.pos+1 >= len(r.data) {
		return FormatError("short Huffman data")
	}
	return FormatError("missing 0xff00 sequence")
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

func extend(v uint32, n uint) int32 {
	x, half := int32(v), int32(1)<<n>>1
	if x < half {
		x += -1<<n + 1
	}
	return x
}
