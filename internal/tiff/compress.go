package tiff

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"golang.org/x/image/tiff/lzw"
)

// raw returns the bytes of strip or tile i as they are in the file.
func (l *layout) raw(i int) ([]byte, error) {
	tag := uint16(tagStripBytes)
	if l.tiled {
		tag = tagTileBytes
	}
	at, n := l.value(l.offsets(), i, 0), l.value(tag, i, 0)
	if at > uint64(len(l.data)) {
		return nil, errEnd
	}
	rest := uint64(len(l.data)) - at
	if n == 0 { // old programs leave it out
		n = rest
	}
	// What is too short is found where it matters.
	raw := l.data[at : at+min(n, rest)]
	if l.number(tagFillOrder, 1) == 2 && l.compression != 7 {
		raw = bytes.Clone(raw)
		for j, b := range raw {
			raw[j] = bits.Reverse8(b)
		}
	}
	return raw, nil
}

// streams reports whether a strip or tile is decompressed row by row.
func (l *layout) streams() bool {
	return l.compression == 5 || l.compression == 8 || l.compression == 32946
}

// expand decompresses a strip or tile of h rows of stride bytes. next returns one row
// after the other, each of which may be changed and holds until the next; the caller
// calls end at last. A strip may be the whole picture, in more bits and samples than
// matter, and is not held as a whole where that is not needed.
func (l *layout) expand(raw []byte, stride, h int) (next func() ([]byte, error), end func(), err error) {
	if l.streams() {
		r, err := l.stream(raw)
		if err != nil {
			return nil, nil, err
		}
		row, left := make([]byte, stride), h
		return func() ([]byte, error) {
			_, err := io.ReadFull(r, row)
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = errEnd
			}
			if left--; err == nil && left == 0 && l.compression != 5 {
				// Deflate's checksum comes behind all that is packed, which may be more than
				// the rows: a last strip that has as many as the others.
				if _, err = io.CopyN(io.Discard, r, int64(stride)*int64(h)+1<<16); err == io.EOF {
					err = nil
				}
			}
			return row, err
		}, func() { r.Close() }, nil
	}
	size := stride * h
	var all []byte
	switch l.compression {
	case 1:
		if len(raw) < size {
			return nil, nil, errEnd
		}
		all = raw[:size]
	case 2, 3, 4:
		all, err = decodeFax(raw, l.cw, h, l.compression, l.value(tagT4Options, 0, 0))
	default:
		all, err = unpackBits(raw, size)
	}
	return func() ([]byte, error) {
		row := all[:stride]
		all = all[stride:]
		return row, nil
	}, func() {}, err
}

// stream decompresses LZW and Deflate.
func (l *layout) stream(raw []byte) (io.ReadCloser, error) {
	if l.compression != 5 {
		return zlib.NewReader(bytes.NewReader(raw))
	}
	if len(raw) >= 2 && raw[0] == 0 && raw[1]&1 == 1 {
		return nil, errors.New("LZW of before 1988, which is not read: save it anew")
	}
	return lzw.NewReader(bytes.NewReader(raw), lzw.MSB, 8), nil
}

// unpackBits undoes PackBits (TIFF 6.0, section 9).
func unpackBits(raw []byte, size int) ([]byte, error) {
	if size > 64*len(raw) { // two bytes give 128 at most
		return nil, errEnd
	}
	out := make([]byte, 0, size)
	for len(out) < size {
		if len(raw) < 2 {
			return nil, errEnd
		}
		n := int(int8(raw[0]))
		raw = raw[1:]
		switch {
		case n >= 0:
			n = min(n+1, size-len(out))
			if len(raw) < n {
				return nil, errEnd
			}
			out = append(out, raw[:n]...)
			raw = raw[n:]
		case n == -128: // nothing
		default:
			for range min(1-n, size-len(out)) {
				out = append(out, raw[0])
			}
			raw = raw[1:]
		}
	}
	return out, nil
}

// overhang is how many pixels a JPEG file may have beyond its strip or tile.
const overhang = 64

// jpeg decodes a strip or tile that is a JPEG file, whose tables may be in the
// directory.
func (l *layout) jpeg(pix, raw []byte, plane, x0, y0 int) error {
	if tables := l.entries[tagJPEGTables].value; len(tables) > 4 && len(raw) > 2 {
		// Without the end of the one and the start of the other.
		raw = append(bytes.TrimSuffix(bytes.Clone(tables), []byte{0xff, 0xd9}), raw[2:]...)
	}
	got, w, h, channels, err := l.decode(raw, l.photo == photoYCbCr && !l.planar, l.cw+overhang, l.ch+overhang)
	if err != nil {
		return err
	}
	used := min(l.used, channels)
	if want := min(l.used, l.samples); !l.planar && channels < want {
		return fmt.Errorf("JPEG with %d components, must be %d", channels, want)
	}
	if w < min(l.cw, l.w-x0) || h < min(l.ch, l.h-y0) {
		return fmt.Errorf("JPEG of %d x %d pixels, must be %d x %d", w, h, l.cw, l.ch)
	}
	for y := range min(l.ch, l.h-y0) {
		for x := range min(l.cw, l.w-x0) {
			copy(pix[((y0+y)*l.w+x0+x)*l.used+plane:][:used], got[(y*w+x)*channels:])
		}
	}
	return nil
}
