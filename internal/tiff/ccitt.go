package tiff

import (
	"errors"
	"sync"
)

// faxTables are made when the first fax is read.
var faxTables = sync.OnceValue(func() [3]*codeTable {
	return [3]*codeTable{newCodeTable(whiteCodes), newCodeTable(blackCodes), newCodeTable(modeCodes)}
})

var errFax = errors.New("invalid code in CCITT data")

// fax decodes rows of ITU-T T.4 and T.6.
type fax struct {
	in     []byte
	bit    int // position in bits
	width  int
	tables [3]*codeTable
	// The columns at which the color changes, of the row above and of this one; both
	// begin with white and end with two changes at the right edge.
	above, row []int
}

// decodeFax decodes strips of compression 2 (runs, rows begin at a byte), 3 (T.4,
// with an end of line before each row, two-dimensional if options has bit 0 set)
// and 4 (T.6). A set bit of the result is black.
func decodeFax(in []byte, width, height, compression int, options uint64) ([]byte, error) {
	stride := (width + 7) / 8
	out := make([]byte, stride*height)
	f := &fax{in: in, width: width, tables: faxTables(), above: []int{width, width}}
	for y := range height {
		twoD := compression == 4
		switch compression {
		case 2:
			f.bit = (f.bit + 7) &^ 7
		case 3:
			f.endOfLine()
			if options&1 != 0 {
				twoD = f.peek(1) == 0
				f.bit++
			}
		}
		if f.bit >= 8*len(in) {
			return nil, errEnd
		}
		if err := f.line(twoD); err != nil {
			return nil, err
		}
		paint(out[y*stride:(y+1)*stride], f.row)
		f.above, f.row = f.row, f.above
	}
	return out, nil
}

// peek returns the next n bits, up to 16, which are 0 after the end.
func (f *fax) peek(n int) int {
	v := 0
	for i := range 4 {
		v <<= 8
		if at := f.bit/8 + i; at < len(f.in) {
			v |= int(f.in[at])
		}
	}
	return v << (f.bit % 8) >> (32 - n) & (1<<n - 1)
}

// endOfLine skips an end of line and the zeros that fill up before it, if there is
// one.
func (f *fax) endOfLine() {
	if f.peek(11) != 0 {
		return
	}
	at := f.bit
	for at < 8*len(f.in) && f.in[at/8]>>(7-at%8)&1 == 0 {
		at++
	}
	f.bit = at + 1
}

// code reads a code of a table.
func (f *fax) code(table int) (int, error) {
	e := f.tables[table][f.peek(maxCode)]
	if e == 0 {
		if f.bit+maxCode > 8*len(f.in) {
			return 0, errEnd
		}
		return 0, errFax
	}
	if f.bit += int(e & 15); f.bit > 8*len(f.in) {
		return 0, errEnd
	}
	return int(e >> 4), nil
}

// run reads the length of a run of a color, 0 for white and 1 for black.
func (f *fax) run(color int) (int, error) {
	n := 0
	for {
		code, err := f.code(color)
		if err != nil {
			return 0, err
		}
		if code < 64 {
			return n + code, nil
		}
		if n += (code - 63) * 64; n > f.width {
			return 0, errFax
		}
	}
}

// line reads a row.
func (f *fax) line(twoD bool) error {
	f.row = f.row[:0]
	x, color := 0, 0
	// change ends a run at column to.
	change := func(to int) {
		x = min(max(to, x), f.width)
		f.row = append(f.row, x)
		color ^= 1
	}
	b := 0 // of the row above, the change of number b and its color are looked at
	for x < f.width {
		if !twoD {
			n, err := f.run(color)
			if err != nil {
				return err
			}
			change(x + n)
			continue
		}
		// The first change to the right whose color is the opposite of this one.
		for b > 0 && f.above[b-1] > x {
			b--
		}
		for b < len(f.above)-1 && (b%2 != color || f.above[b] <= x && (x > 0 || len(f.row) > 0)) && f.above[b] < f.width {
			b++
		}
		mode, err := f.code(2)
		if err != nil {
			return err
		}
		switch mode {
		case 0: // pass: the color goes on below the next change
			x = f.above[min(b+1, len(f.above)-1)]
		case 1:
			for range 2 {
				n, err := f.run(color)
				if err != nil {
					return err
				}
				change(x + n)
			}
		default:
			change(f.above[b] + mode - 5)
		}
		if len(f.row) > 2*f.width+4 {
			return errFax
		}
	}
	f.row = append(f.row, f.width, f.width)
	return nil
}

// paint sets the bits of every second run.
func paint(dst []byte, changes []int) {
	for i := 0; i+1 < len(changes); i += 2 {
		for x := changes[i]; x < changes[i+1]; {
			if x%8 == 0 && changes[i+1]-x >= 8 {
				dst[x/8] = 0xff
				x += 8
				continue
			}
			dst[x/8] |= 0x80 >> (x % 8)
			x++
		}
	}
}
