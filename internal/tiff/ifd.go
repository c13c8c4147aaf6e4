// Package tiff decodes the first picture of TIFF files: strips and tiles, both byte
// orders, BigTIFF; gray, palette, RGB, CMYK and YCbCr of 1 to 16 bits, interleaved
// or in planes; without compression or with LZW, Deflate, PackBits, CCITT or JPEG.
// Pixels are those of Pillow.
package tiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
)

var (
	errEnd    = errors.New("the TIFF file is cut off")
	errFormat = errors.New("not a TIFF file")
)

// The tags that are read (TIFF 6.0).
const (
	tagNewSubfileType    = 254
	tagWidth             = 256
	tagHeight            = 257
	tagBits              = 258
	tagCompression       = 259
	tagPhotometric       = 262
	tagFillOrder         = 266
	tagMake              = 271
	tagStripOffsets      = 273
	tagOrientation       = 274
	tagSamples           = 277
	tagRowsPerStrip      = 278
	tagStripBytes        = 279
	tagPlanar            = 284
	tagT4Options         = 292
	tagPredictor         = 317
	tagColorMap          = 320
	tagTileWidth         = 322
	tagTileHeight        = 323
	tagTileOffsets       = 324
	tagTileBytes         = 325
	tagSubDirectories    = 330
	tagExtraSamples      = 338
	tagSampleFormat      = 339
	tagJPEGTables        = 347
	tagYCbCrCoefficients = 529
	tagYCbCrSubsampling  = 530
	tagReferenceBW       = 532
	tagXMP               = 700
	tagDNGVersion        = 50706
)

// Is reports whether data begin as a TIFF file.
func Is(data []byte) bool {
	if len(data) < 8 {
		return false
	}
	switch string(data[:4]) {
	case "II*\x00", "MM\x00*", "II+\x00", "MM\x00+":
		return true
	}
	return false
}

// directory is the first directory of a file: entries by tag.
type directory struct {
	data    []byte
	order   binary.ByteOrder
	big     bool
	entries map[uint16]entry
}

type entry struct {
	kind  uint16
	count uint64
	value []byte // of count elements
}

// sizes are the bytes of an element by its type.
var sizes = [19]uint64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

// find finds the first directory.
func find(data []byte) (d directory, at uint64, err error) {
	if !Is(data) {
		return d, 0, errFormat
	}
	d = directory{data: data, order: binary.LittleEndian}
	if data[0] == 'M' {
		d.order = binary.BigEndian
	}
	d.big = data[2]+data[3] == '+'
	if !d.big {
		return d, uint64(d.order.Uint32(data[4:])), nil
	}
	if len(data) < 16 {
		return d, 0, errEnd
	}
	return d, d.order.Uint64(data[8:]), nil
}

// open finds the first directory and reads its entries. Those that point outside
// of the file are left out.
func open(data []byte) (*directory, error) {
	d, at, err := find(data)
	if err != nil {
		return nil, err
	}
	d.entries = map[uint16]entry{}
	for tag, e := range d.read(at) {
		if _, ok := d.entries[tag]; !ok {
			d.entries[tag] = e
		}
	}
	if len(d.entries) == 0 {
		return nil, errEnd
	}
	return &d, nil
}

// read returns the entries of the directory at a place of the file.
func (d *directory) read(at uint64) iter.Seq2[uint16, entry] {
	return func(yield func(uint16, entry) bool) {
		head, size, inline := uint64(2), uint64(12), uint64(4)
		if d.big {
			head, size, inline = 8, 20, 8
		}
		b := d.bytes(at, head)
		if b == nil {
			return
		}
		n := uint64(d.order.Uint16(b))
		if d.big {
			n = d.order.Uint64(b)
		}
		for i := range min(n, 1<<16) {
			b := d.bytes(at+head+i*size, size)
			if b == nil {
				return
			}
			e := entry{kind: d.order.Uint16(b[2:])}
			if d.big {
				e.count = d.order.Uint64(b[4:])
			} else {
				e.count = uint64(d.order.Uint32(b[4:]))
			}
			if int(e.kind) >= len(sizes) || sizes[e.kind] == 0 || e.count > uint64(len(d.data)) {
				continue
			}
			length := e.count * sizes[e.kind]
			if e.value = b[size-inline:]; length > inline {
				where := uint64(d.order.Uint32(e.value))
				if d.big {
					where = d.order.Uint64(e.value)
				}
				if e.value = d.bytes(where, length); e.value == nil {
					continue
				}
			}
			e.value = e.value[:length]
			if !yield(d.order.Uint16(b), e) {
				return
			}
		}
	}
}

// bytes returns a part of the file, or nil if it is not inside.
func (d *directory) bytes(at, n uint64) []byte {
	if size := uint64(len(d.data)); at > size || n > size-at {
		return nil
	}
	return d.data[at : at+n : at+n]
}

// count returns how many values a tag has.
func (d *directory) count(tag uint16) int { return int(d.entries[tag].count) }

// value returns value i of a tag, or def if there is none.
func (d *directory) value(tag uint16, i int, def uint64) uint64 {
	e, ok := d.entries[tag]
	if !ok || uint64(i) >= e.count {
		return def
	}
	switch sizes[e.kind] {
	case 1:
		return uint64(e.value[i])
	case 2:
		return uint64(d.order.Uint16(e.value[2*i:]))
	case 4:
		return uint64(d.order.Uint32(e.value[4*i:]))
	}
	return d.order.Uint64(e.value[8*i:])
}

// number is value for numbers that must be small.
func (d *directory) number(tag uint16, def uint64) int {
	return int(min(d.value(tag, 0, def), math.MaxInt32))
}

// rationals returns the values of a tag of fractions, or def if it has not as many.
func (d *directory) rationals(tag uint16, def ...float64) []float64 {
	e := d.entries[tag]
	if e.kind != 5 || int(e.count) < len(def) {
		return def
	}
	out := make([]float64, len(def))
	for i := range out {
		a, b := d.order.Uint32(e.value[8*i:]), d.order.Uint32(e.value[8*i+4:])
		if b == 0 {
			return def
		}
		out[i] = float64(a) / float64(b)
	}
	return out
}

// Orientation returns the orientation (1 to 8) of a file or of EXIF data, which
// have the same form, or 0 if it has none, and the file's XMP data, if any.
func Orientation(data []byte) (orientation int, xmp []byte) {
	d, at, err := find(data)
	if err != nil {
		return 0, nil
	}
	for tag, e := range d.read(at) {
		switch {
		case tag == tagXMP:
			xmp = e.value
		case tag == tagOrientation && e.count == 1 && (e.kind == 3 || e.kind == 4):
			v := uint32(d.order.Uint16(e.value))
			if e.kind == 4 {
				v = d.order.Uint32(e.value)
			}
			if orientation == 0 && v >= 1 && v <= 8 {
				orientation = int(v)
			}
		}
	}
	return orientation, xmp
}

// Size returns the size of a picture, reading only the directory.
func Size(data []byte) (w, h int, err error) {
	d, err := open(data)
	if err != nil {
		return 0, 0, err
	}
	w, h = d.number(tagWidth, 0), d.number(tagHeight, 0)
	if w < 1 || h < 1 {
		return 0, 0, fmt.Errorf("TIFF of %d x %d pixels", w, h)
	}
	return w, h, nil
}

// RawCamera returns the name of the raw camera format of a file that has the form of
// TIFF and holds at first a small preview, or "".
func RawCamera(data []byte) string {
	d, err := open(data)
	if err != nil {
		return ""
	}
	if _, ok := d.entries[tagDNGVersion]; ok {
		return "DNG"
	}
	_, sub := d.entries[tagSubDirectories]
	if preview := d.value(tagNewSubfileType, 0, 0)&1 == 1; !preview || !sub {
		return ""
	}
	switch maker := string(d.entries[tagMake].value); {
	case strings.HasPrefix(strings.ToUpper(maker), "NIKON"):
		return "NEF"
	case strings.HasPrefix(strings.ToUpper(maker), "SONY"):
		return "ARW"
	case strings.HasPrefix(strings.ToUpper(maker), "PENTAX"):
		return "PEF"
	}
	return ""
}
