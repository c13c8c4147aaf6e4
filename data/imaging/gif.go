package imaging

import (
	"compress/lzw"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// gifFrame is the first picture of a GIF file. The standard library's decoder forgets
// the color of transparent pixels, which Pillow shows.
type gifFrame struct {
	w, h        int // of the screen, as large as the frame needs
	at          Rect
	interlaced  bool
	palette     []byte // red, green, blue of each color
	transparent int    // -1 if no color is
	data        []byte // from the code size on
}

var errGIFEnd = fmt.Errorf("the GIF file is cut off: %w", io.ErrUnexpectedEOF)

// gifFirst finds the first frame.
func gifFirst(data []byte) (gifFrame, error) {
	f := gifFrame{transparent: -1}
	if len(data) < 13 {
		return f, errGIFEnd
	}
	u16 := func(b []byte) int { return int(binary.LittleEndian.Uint16(b)) }
	f.w, f.h = u16(data[6:]), u16(data[8:])
	flags := data[10]
	data = data[13:]
	colors := func(flags byte) error {
		if flags&0x80 == 0 {
			return nil
		}
		n := 3 << (flags&7 + 1)
		if len(data) < n {
			return errGIFEnd
		}
		f.palette, data = data[:n], data[n:]
		return nil
	}
	if err := colors(flags); err != nil {
		return f, err
	}
	for len(data) > 0 {
		kind := data[0]
		data = data[1:]
		switch kind {
		case 0x3b:
			return f, errors.New("GIF file without a picture")
		case 0x21: // extension
			if len(data) < 2 {
				return f, errGIFEnd
			}
			if size := int(data[1]); data[0] == 0xf9 && size >= 4 && len(data) >= 2+size && data[2]&1 == 1 {
				f.transparent = int(data[5])
			}
			for data = data[1:]; len(data) > 0 && data[0] != 0; {
				data = data[min(1+int(data[0]), len(data)):]
			}
			data = data[min(1, len(data)):]
		case 0x2c:
			if len(data) < 9 {
				return f, errGIFEnd
			}
			f.at = Rect{u16(data), u16(data[2:]), u16(data[4:]), u16(data[6:])}
			flags := data[8]
			data = data[9:]
			f.interlaced = flags&0x40 != 0
			if err := colors(flags); err != nil {
				return f, err
			}
			f.w, f.h = max(f.w, f.at.X+f.at.W), max(f.h, f.at.Y+f.at.H)
			f.data = data
			return f, nil
		}
	}
	return f, errGIFEnd
}

func gifSize(data []byte) (w, h int, err error) {
	f, err := gifFirst(data)
	return f.w, f.h, err
}

// decodeGIF decodes the first frame at its place on the screen. Around it is, as in
// Pillow, the transparent color or the first one.
func decodeGIF(dst *Image, data []byte) error {
	f, err := gifFirst(data)
	if err != nil {
		return err
	}
	if len(f.data) == 0 {
		return errGIFEnd
	}
	bits := int(f.data[0])
	if bits < 2 || bits > 8 {
		return fmt.Errorf("GIF file with a code size of %d bits, must be 2 to 8", bits)
	}
	const most = 3000 // pixels that LZW makes of a byte
	if f.at.W*f.at.H > most*len(data) {
		return errGIFEnd
	}
	indices := make([]byte, f.at.W*f.at.H)
	z := lzw.NewReader(&gifBlocks{data: f.data[1:]}, lzw.LSB, bits)
	defer z.Close()
	if _, err := io.ReadFull(z, indices); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errGIFEnd
		}
		return err
	}
	colors := f.colors()
	dst.Reset(f.w, f.h, 3)
	if f.at != (Rect{0, 0, f.w, f.h}) {
		around := colors[max(f.transparent, 0)]
		for i := range f.w * f.h {
			copy(dst.Pix[3*i:], around[:])
		}
	}
	for i, y := range f.rows() {
		out := dst.Row(f.at.Y + y)[3*f.at.X:]
		for x, v := range indices[i*f.at.W : (i+1)*f.at.W] {
			copy(out[3*x:3*x+3], colors[v][:])
		}
	}
	return nil
}

// colors returns the palette. Without one, colors are grays; those beyond its end are
// black.
func (f *gifFrame) colors() (colors [256][3]uint8) {
	for i := range colors {
		if f.palette == nil {
			colors[i] = [3]uint8{uint8(i), uint8(i), uint8(i)}
		} else if 3*i < len(f.palette) {
			colors[i] = [3]uint8(f.palette[3*i:])
		}
	}
	return colors
}

// rows returns the rows in the order of the file.
func (f *gifFrame) rows() []int {
	passes := [][2]int{{0, 1}}
	if f.interlaced {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	rows := make([]int, 0, f.at.H)
	for _, p := range passes {
		for y := p[0]; y < f.at.H; y += p[1] {
			rows = append(rows, y)
		}
	}
	return rows
}

// gifBlocks reads the contents of blocks, each of which begins with its length.
type gifBlocks struct{ block, data []byte }

func (b *gifBlocks) Read(p []byte) (int, error) {
	if len(b.block) == 0 {
		if len(b.data) == 0 || b.data[0] == 0 {
			return 0, io.EOF
		}
		end := min(1+int(b.data[0]), len(b.data))
		b.block, b.data = b.data[1:end], b.data[end:]
	}
	n := copy(p, b.block)
	b.block = b.block[n:]
	return n, nil
}
