package jpeg

import "bytes"

const (
	maxCodeLength = 16
	maxValues     = 256
	// lookBits is how many bits are looked up at once.
	lookBits = 10
)

// entry is a code and, if there was room to look at it, the number that follows:
//
//   - a number other than zero, for which the upper 16 bits are it, the next 8 are the
//     value's run of zeros and 1, and the lower ones the bits of code and number;
//   - else, with zeros in the upper 16 bits, the value and the bits of the code;
//   - 0 for a longer code.
type entry uint32

// double is a number of [entry] and what follows it, where that is short, too: another
// number or the end of the block.
//
// From the lowest bit on it has: 8 bits for how many bits all that has; 8 for how far the
// first number is from the coefficient before, and 8 for the second, counted in zig-zag
// order; 8 for how far on the next code is, with blockSize added after the end of the
// block; 16 for the first number and 16 for the second. Without a second number, it is the
// first one once more. It is 0 if there is no first number.
type double uint64

const errNoTable = FormatError("uninitialized Huffman table")

// huffman is a Huffman decoder (annex C).
type huffman struct {
	defined bool
	// look has, for the next bits, the value << 8 | the code's length, or 0 if
	// the code is longer.
	look [1 << lookBits]uint16
	// quick is look with the number that follows the code, where both are short: for
	// sequential files, so as to have a coefficient by one step.
	quick [1 << lookBits]entry
	// twice is quick for AC coefficients, with the code behind the first one.
	twice [1 << lookBits]double
	ready bool // quick and twice are made

	vals     [maxValues]uint8 // sorted by code
	minCodes [maxCodeLength]int32
	maxCodes [maxCodeLength]int32 // -1 if there is none of the length
	first    [maxCodeLength]int32 // index into vals of minCodes

	spec []byte // what all this was made from
}

// huffmanTables reads Huffman tables (section B.2.4.2).
func (d *Decoder) huffmanTables(b []byte) error {
	for len(b) > 0 {
		if len(b) < 17 {
			return FormatError("DHT has wrong length")
		}
		class, th := b[0]>>4, b[0]&0x0f
		if class > maxTc {
			return FormatError("bad Tc value")
		}
		if th > maxTh {
			return FormatError("bad Th value")
		}
		n := 0
		for _, k := range b[1:17] {
			n += int(k)
		}
		if n > maxValues {
			return FormatError("Huffman table has excessive length")
		}
		if len(b) < 17+n {
			return FormatError("DHT has wrong length")
		}
		d.huff[class][th].build(b[1 : 17+n])
		b = b[17+n:]
	}
	return nil
}

// build makes the tables from the numbers of codes of each length and the
// values. Most files have the same ones.
func (h *huffman) build(spec []byte) {
	h.defined = true
	if bytes.Equal(spec, h.spec) {
		return
	}
	h.spec = append(h.spec[:0], spec...)
	h.ready = false
	counts := spec[:maxCodeLength]
	copy(h.vals[:], spec[maxCodeLength:])

	var code, index int32
	for i, k := range counts {
		h.minCodes[i], h.maxCodes[i], h.first[i] = code, -1, index
		if k > 0 {
			h.maxCodes[i] = code + int32(k) - 1
		}
		code = (code + int32(k)) << 1
		index += int32(k)
	}
	clear(h.look[:])
	at := 0
	for i := range lookBits {
		// All that begins with a code of i+1 bits, up to the largest one.
		shift := lookBits - 1 - i
		for end := min(int(h.maxCodes[i]+1)<<shift, len(h.look)); at < end; at++ {
			h.look[at] = uint16(h.value(i, int32(at>>shift)))<<8 | uint16(i+1)
		}
	}
}

// value returns the value of a code of i+1 bits. In a table with more codes
// than there is room for, which is no valid one, a code may be below the first
// of its length.
func (h *huffman) value(i int, code int32) uint8 {
	return h.vals[uint8(h.first[i]+code-h.minCodes[i])]
}

// prepare makes quick and, of a table of the class acTable, twice.
func (h *huffman) prepare(class uint8) {
	if h.ready {
		return
	}
	h.ready = true
	for bits, e := range h.look {
		length, value := uint(e&0xff), uint(e>>8)
		run, size := value>>4, value&0x0f
		h.quick[bits] = entry(e)
		if size > 0 && length+size <= lookBits {
			v := extend(uint32(bits)>>(lookBits-length-size)&(1<<size-1), size)
			h.quick[bits] = entry(uint32(v)<<16 | uint32((run+1)<<8|length+size))
		}
	}
	if class == dcTable {
		return
	}
	for bits, e := range h.quick {
		h.twice[bits] = 0
		if !e.number() {
			continue
		}
		n, at := uint64(e&0xff), uint64(e>>8&0xff)
		at2, next, v2 := at, at, e>>16
		second := h.quick[bits<<n&(1<<lookBits-1)]
		if n2 := uint64(second & 0xff); second != 0 && n+n2 <= lookBits {
			switch {
			case second.number():
				n += n2
				at2 += uint64(second >> 8 & 0xff)
				next, v2 = at2, second>>16
			case second>>8 == 0: // the end of the block
				n += n2
				next += blockSize
			}
		}
		h.twice[bits] = double(n | at<<8 | at2<<16 | next<<24 | uint64(e>>16)<<32 | uint64(v2)<<48)
	}
}

// number reports whether e has a number.
func (e entry) number() bool { return e>>16 != 0 }

// symbol returns the next Huffman-coded value.
func (r *reader) symbol(h *huffman) (uint8, error) {
	if !h.defined {
		return 0, errNoTable
	}
	if r.n < maxCodeLength {
		r.fill()
	}
	if e := h.look[r.acc>>(64-lookBits)]; e != 0 && uint(e&0xff) <= r.n {
		r.acc <<= e & 0xff
		r.n -= uint(e & 0xff)
		return uint8(e >> 8), nil
	}
	for i := range maxCodeLength {
		if uint(i) >= r.n {
			if err := r.short(); err != nil {
				return 0, err
			}
		}
		if code := int32(r.acc >> (63 - i)); code <= h.maxCodes[i] {
			r.acc <<= i + 1
			r.n -= uint(i + 1)
			return h.value(i, code), nil
		}
	}
	// No such code: libjpeg has then read 17 bits, warns and takes it for zero.
	_, err := r.get(maxCodeLength + 1)
	return 0, err
}
