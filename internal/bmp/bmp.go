// Package bmp decodes BMP files of all kinds that Windows and OS/2 have written:
// 1, 2, 4, 8, 16, 24 and 32 bits, run-length and bit-field coding, rows in both
// orders. Pixels are those of Pillow, which drops alpha of 32 bits unless a mask names it.
package bmp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
)

// The ways of coding (biCompression).
const (
	codeRGB       = 0
	codeRLE8      = 1
	codeRLE4      = 2
	codeBitFields = 3
	codeAlpha     = 6 // bit fields with alpha
)

var errEnd = errors.New("the BMP file is cut off")

// header describes the picture of a file.
type header struct {
	w, h    int
	topDown bool
	bits    int
	code    uint32
	colors  int
	// Bytes of a color of the palette, and where palette and pixels begin.
	entry, palette, pixels int
	masks                  [3]uint32 // of red, green and blue
}

// Size returns the size of a picture, reading only the header.
func Size(data []byte) (w, h int, err error) {
	d, err := readHeader(data)
	if err == nil && (d.w < 1 || d.h < 1) {
		err = fmt.Errorf("BMP of %d x %d pixels", d.w, d.h)
	}
	return d.w, d.h, err
}

func readHeader(data []byte) (header, error) {
	var d header
	if len(data) < 18+8 {
		return d, errEnd
	}
	if string(data[:2]) != "BM" {
		return d, errors.New("not a BMP file")
	}
	le := binary.LittleEndian
	offset, size := int64(le.Uint32(data[10:])), int64(le.Uint32(data[14:]))
	info := data[14:]
	if size > int64(len(info)) {
		if size > 124 {
			return d, fmt.Errorf("BMP header of %d bytes: this kind is not known", size)
		}
		return d, errEnd
	}
	switch size {
	case 12: // OS/2 1
		d.w, d.h = int(le.Uint16(info[4:])), int(le.Uint16(info[6:]))
		d.bits, d.entry = int(le.Uint16(info[10:])), 3
	case 16, 40, 52, 56, 64, 108, 124: // OS/2 2 short, Windows 3, with masks, OS/2 2, Windows 4 and 5
		w, h := int64(int32(le.Uint32(info[4:]))), int64(int32(le.Uint32(info[8:])))
		if h < 0 {
			d.topDown, h = true, -h
		}
		if w < 0 || h > 1<<31-1 {
			return d, fmt.Errorf("BMP of %d x %d pixels", w, h)
		}
		d.w, d.h = int(w), int(h)
		d.bits, d.entry = int(le.Uint16(info[14:])), 4
		if size >= 40 {
			d.code = le.Uint32(info[16:])
			d.colors = int(min(le.Uint32(info[32:]), 1<<16))
		}
	default:
		return d, fmt.Errorf("BMP header of %d bytes: this kind is not known", size)
	}
	at := 14 + size
	switch {
	case size == 64 && d.code >= codeBitFields: // OS/2 has other codes there
		return d, fmt.Errorf("BMP of OS/2 with compression %d (Huffman or RLE24), which is not read: save it without compression", d.code)
	case d.code == codeBitFields || d.code == codeAlpha:
		masks := info[40:]
		if size == 40 {
			if at += 12; d.code == codeAlpha {
				at += 4
			}
		}
		if len(masks) < 12 {
			return d, errEnd
		}
		for i := range d.masks {
			d.masks[i] = le.Uint32(masks[4*i:])
		}
	}
	d.palette = int(min(at, int64(len(data))))
	if err := d.check(); err != nil {
		return d, err
	}
	if d.bits <= 8 {
		if d.colors == 0 {
			d.colors = 1 << d.bits
		}
		at += int64(d.entry * d.colors)
	}
	if offset > 14+size { // else it is a fault of old programs, and the pixels follow
		at = offset
	}
	d.pixels = int(min(at, int64(len(data))))
	return d, nil
}

// check reports kinds that are not read, and sets the masks of those without.
func (d *header) check() error {
	switch d.bits {
	case 1, 2, 4, 8, 16, 24, 32:
	default:
		return fmt.Errorf("BMP of %d bits, must be 1, 2, 4, 8, 16, 24 or 32", d.bits)
	}
	switch {
	case d.code == codeRGB:
		d.masks = [3]uint32{0x7c00, 0x3e0, 0x1f}
		if d.bits != 16 {
			d.masks = [3]uint32{0xff0000, 0xff00, 0xff}
		}
		return nil
	case d.code == codeRLE8 && d.bits == 8, d.code == codeRLE4 && d.bits == 4:
		return nil
	case (d.code == codeBitFields || d.code == codeAlpha) && d.bits >= 16:
		if d.masks == [3]uint32{} {
			d.masks = [3]uint32{0xff0000, 0xff00, 0xff}
		}
		return nil
	case d.code == 4:
		return errors.New("BMP with a JPEG picture inside (compression 4), which is not read: save it without compression")
	case d.code == 5:
		return errors.New("BMP with a PNG picture inside (compression 5), which is not read: save it without compression")
	}
	return fmt.Errorf("BMP of %d bits with compression %d, which is not read: save it without compression", d.bits, d.code)
}

// Decode decodes a picture to an *image.Paletted or *image.NRGBA.
func Decode(data []byte) (image.Image, error) {
	d, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	pixels := data[d.pixels:]
	if coded := d.code == codeRLE8 || d.code == codeRLE4; !coded { // before memory is taken for it
		stride, used := d.stride()
		if len(pixels) < stride*(d.h-1)+used {
			return nil, errEnd
		}
	}
	if d.bits > 8 {
		return d.direct(pixels), nil
	}
	m := image.NewPaletted(image.Rect(0, 0, d.w, d.h), d.colorTable(data))
	if d.code == codeRGB {
		d.indexed(m, pixels)
		return m, nil
	}
	return m, d.runs(m, pixels)
}

// colorTable returns the palette. Colors beyond its end are black.
func (d *header) colorTable(data []byte) color.Palette {
	p := make(color.Palette, 256)
	table := data[d.palette:]
	for i := range p {
		c := color.NRGBA{A: 255}
		if at := i * d.entry; i < d.colors && at+3 <= len(table) {
			c.B, c.G, c.R = table[at], table[at+1], table[at+2]
		}
		p[i] = c
	}
	return p
}

// stride returns how many bytes there are from a row to the next, a multiple of 4,
// and how many of them have pixels.
func (d *header) stride() (stride, used int) { return (d.w*d.bits + 31) / 32 * 4, (d.w*d.bits + 7) / 8 }

// rows gives each row of pixels as stored and its place from the top.
func (d *header) rows(pixels []byte, f func(y int, row []byte)) {
	stride, used := d.stride()
	for i := range d.h {
		y := i
		if !d.topDown {
			y = d.h - 1 - i
		}
		f(y, pixels[i*stride:i*stride+used])
	}
}

func (d *header) indexed(m *image.Paletted, pixels []byte) {
	mask := byte(1<<d.bits - 1)
	d.rows(pixels, func(y int, row []byte) {
		for x := range d.w {
			bit := x * d.bits
			m.Pix[y*m.Stride+x] = row[bit/8] >> (8 - d.bits - bit%8) & mask
		}
	})
}

// direct reads pixels of 16 to 32 bits.
func (d *header) direct(pixels []byte) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, d.w, d.h))
	var shift [3]int
	var largest [3]uint64
	for c, mask := range d.masks {
		for mask != 0 && mask>>shift[c]&1 == 0 {
			shift[c]++
		}
		largest[c] = uint64(mask >> shift[c])
	}
	size := d.bits / 8
	d.rows(pixels, func(y int, row []byte) {
		out := m.Pix[y*m.Stride:]
		for x := range d.w {
			var v uint32
			for i := range size {
				v |= uint32(row[x*size+i]) << (8 * i)
			}
			for c, mask := range d.masks {
				if n := largest[c]; n > 0 {
					out[4*x+c] = uint8(uint64(v&mask>>shift[c]) * 255 / n)
				}
			}
			out[4*x+3] = 255
		}
	})
	return m
}

// runs reads run-length coded pixels. Those that are skipped have color 0.
func (d *header) runs(m *image.Paletted, in []byte) error {
	line := func(y int) []byte {
		if !d.topDown {
			y = d.h - 1 - y
		}
		return m.Pix[y*m.Stride : y*m.Stride+d.w]
	}
	x, y := 0, 0
	for y < d.h {
		if x == d.w && y == d.h-1 {
			return nil // complete; the last code may be missing
		}
		if len(in) < 2 {
			return errEnd
		}
		n, v := int(in[0]), int(in[1])
		in = in[2:]
		switch {
		case n > 0: // a run; what is too long for the row is dropped
			for i := range min(n, d.w-x) {
				line(y)[x+i] = d.nibble(v, i)
			}
			x = min(x+n, d.w)
		case v == 0: // the end of the row
			x, y = 0, y+1
		case v == 1: // the end of the picture, which Pillow does not accept here either
			return errors.New("the BMP file ends the picture before its last pixel: save it again")
		case v == 2: // skip
			if len(in) < 2 {
				return errEnd
			}
			x, y = x+int(in[0]), y+int(in[1])
			if x > d.w { // a row's end is still of that row
				x, y = (x-1)%d.w+1, y+(x-1)/d.w
			}
			in = in[2:]
		default: // pixels, as they are
			size := v
			if d.bits == 4 {
				size = (v + 1) / 2
			}
			if len(in) < size {
				return errEnd
			}
			for i := range v {
				if x == d.w { // goes on in the next row
					if x, y = 0, y+1; y == d.h {
						return nil
					}
				}
				at := i
				if d.bits == 4 {
					at = i / 2
				}
				line(y)[x] = d.nibble(int(in[at]), i)
				x++
			}
			in = in[min(size+size%2, len(in)):]
		}
	}
	return nil
}

// nibble returns color i of a byte, which has two colors of 4 bits or one of 8.
func (d *header) nibble(v, i int) uint8 {
	switch {
	case d.bits == 8:
		return uint8(v)
	case i%2 == 0:
		return uint8(v >> 4)
	}
	return uint8(v & 15)
}
