// Package jpeg decodes JPEG files to the same values as image/jpeg of the standard
// library, but faster and without garbage. On request it decodes only a part of
// the picture, or the picture at a half, a quarter or an eighth of its size, which
// skips most of the inverse transform (like libjpeg's scale_denom and Pillow's
// Image.draft).
//
// It reads sequential and progressive files of 8 bits with Huffman coding in
// gray, YCbCr, RGB, CMYK and YCbCrK, as image/jpeg does.
//
// The reading of markers, scans and the 8x8 inverse transform are derived from
// image/jpeg, Copyright 2009 The Go Authors, under the license in LICENSE here.
// The smaller inverse transforms compute the same as jidctred.c of the Independent
// JPEG Group.
package jpeg

import (
	"image"
	"io"
)

// FormatError is the error for a file that is not a valid JPEG.
type FormatError string

func (e FormatError) Error() string { return "invalid JPEG format: " + string(e) }

// UnsupportedError is the error for a file with a feature that is not implemented.
type UnsupportedError string

func (e UnsupportedError) Error() string { return "unsupported JPEG feature: " + string(e) }

const errSubsampling = UnsupportedError("luma/chroma subsampling ratio")

// component is one plane (T.81, section B.2.2).
type component struct {
	h, v int   // sampling factors
	id   uint8 // component identifier
	tq   uint8 // quantization table

	side   int // pixels that a block is wide and high: 8, or less at a smaller scale
	stride int
	pix    []uint8
	coeffs []block // of a progressive file, between scans
	seen   bool    // a progressive scan had it
	// The blocks that are wanted: columns bx0 to below bx1, rows by0 to below by1.
	bx0, bx1, by0, by1 int
}

const (
	dcTable = 0
	acTable = 1
	maxTc   = 1
	maxTh   = 3
	maxTq   = 3

	maxComponents = 4
)

// The markers (T.81, table B.1).
const (
	sof0Marker  = 0xc0 // baseline sequential
	sof1Marker  = 0xc1 // extended sequential
	sof2Marker  = 0xc2 // progressive
	dhtMarker   = 0xc4
	rst0Marker  = 0xd0
	rst7Marker  = 0xd7
	soiMarker   = 0xd8
	eoiMarker   = 0xd9
	sosMarker   = 0xda
	dqtMarker   = 0xdb
	driMarker   = 0xdd
	comMarker   = 0xfe
	app0Marker  = 0xe0
	app14Marker = 0xee
	app15Marker = 0xef
)

// Decoder decodes files one after the other, keeping its memory. The zero value
// is ready. It must not be used by two goroutines at once.
type Decoder struct {
	bits  reader
	frame frame
	opt   Options

	comp   [maxComponents]component
	huff   [maxTc + 1][maxTh + 1]huffman
	quant  [maxTq + 1]block // in zig-zag order
	eobRun uint16           // section G.1.2.2

	gray image.Gray
	ycc  image.YCbCr
}

// frame is what is known of the file so far.
type frame struct {
	width, height int
	nComp         int
	ri            int // restart interval
	baseline      bool
	progressive   bool
	jfif          bool
	adobe         bool // there is an Adobe marker, which sets transform
	transform     uint8
	planes        bool // the planes are laid out
	shift         int  // of Options, or 0 for files that ignore it
}

// Options choose what is decoded of a picture. The zero value is all of it.
type Options struct {
	// Shift, 0 to 3, gives the picture at 1/2^Shift of its size: ceil(width /
	// 2^Shift) by ceil(height / 2^Shift) pixels. RGB and CMYK files ignore it, as
	// the size of the returned picture shows.
	Shift int
	// Part is the part of the picture, at the scale of Shift, whose pixels are
	// wanted: the others of the returned picture are undefined. The whole file
	// is read nevertheless, so that a damaged file is an error for every part.
	// An empty part stands for the whole. RGB and CMYK files are decoded whole.
	Part image.Rectangle
}

// Size returns the size of a picture, reading only the headers.
func (d *Decoder) Size(data []byte) (width, height int, err error) {
	if err := d.decode(data, true); err != nil {
		return 0, 0, err
	}
	if d.frame.nComp == 0 {
		return 0, 0, FormatError("missing SOF marker")
	}
	return d.frame.width, d.frame.height, nil
}

// Decode decodes a file to an *image.Gray, *image.YCbCr, *image.RGBA (RGB files)
// or *image.CMYK. The picture holds until the decoder's next use.
func (d *Decoder) Decode(data []byte, opt Options) (image.Image, error) {
	d.opt = opt
	if err := d.decode(data, false); err != nil {
		return nil, err
	}
	return d.picture()
}

// decode reads a file's segments. With configOnly, it stops when the size and the
// color model are known.
func (d *Decoder) decode(data []byte, configOnly bool) error {
	d.bits = reader{data: data}
	d.frame = frame{}
	d.eobRun = 0
	d.quant = [maxTq + 1]block{}
	for c := range d.huff {
		for h := range d.huff[c] {
			d.huff[c][h].defined = false
		}
	}
	for i := range d.comp {
		d.comp[i].seen = false
	}
	r := &d.bits

	head, err := r.take(2)
	if err != nil {
		return err
	}
	if head[0] != 0xff || head[1] != soiMarker {
		return FormatError("missing SOI marker")
	}
	for {
		head, err := r.take(2)
		if err != nil {
			return err
		}
		first, marker := head[0], head[1]
		for first != 0xff { // as libjpeg, skip what does not belong here
			first = marker
			if marker, err = r.byte(); err != nil {
				return err
			}
		}
		if marker == 0 { // so is an escaped 0xff
			continue
		}
		for marker == 0xff { // fill bytes, section B.1.1.2
			if marker, err = r.byte(); err != nil {
				return err
			}
		}
		if marker == eoiMarker {
			break
		}
		if rst0Marker <= marker && marker <= rst7Marker { // one too many at the end of a scan
			continue
		}
		length, err := r.take(2)
		if err != nil {
			return err
		}
		n := int(length[0])<<8 + int(length[1]) - 2
		if n < 0 {
			return FormatError("short segment length")
		}
		if marker == sosMarker && configOnly {
			return nil
		}
		if err := d.segment(marker, n, configOnly); err != nil {
			return err
		}
		if d.frame.nComp != 0 && marker <= sof2Marker && configOnly && d.frame.jfif {
			return nil
		}
	}
	if configOnly {
		return nil
	}
	if !d.frame.planes {
		return FormatError("missing SOS marker")
	}
	if d.frame.progressive {
		d.reconstruct()
	}
	return nil
}

// segment reads a marker's segment of n bytes.
func (d *Decoder) segment(marker uint8, n int, configOnly bool) error {
	r := &d.bits
	switch marker {
	case sosMarker: // the data begin after its header
		return d.scan(n)
	case dhtMarker, dqtMarker, driMarker:
		if configOnly {
			_, err := r.take(n)
			return err
		}
	}
	b, err := r.take(n)
	switch marker {
	case sof0Marker, sof1Marker, sof2Marker:
		if err != nil {
			return err
		}
		d.frame.baseline = marker == sof0Marker
		d.frame.progressive = marker == sof2Marker
		return d.startOfFrame(b)
	case dhtMarker:
		if err != nil {
			return err
		}
		return d.huffmanTables(b)
	case dqtMarker:
		if err != nil {
			return err
		}
		return d.quantTables(b)
	case driMarker:
		if n != 2 {
			return FormatError("DRI has wrong length")
		}
		if err != nil {
			return err
		}
		d.frame.ri = int(b[0])<<8 + int(b[1])
		return nil
	case app0Marker:
		if err == nil && n >= 5 {
			d.frame.jfif = string(b[:5]) == "JFIF\x00"
		}
		return err
	case app14Marker:
		if err == nil && n >= 12 && string(b[:5]) == "Adobe" {
			d.frame.adobe, d.frame.transform = true, b[11]
		}
		return err
	}
	switch {
	case app0Marker <= marker && marker <= app15Marker || marker == comMarker:
		return err
	case marker < 0xc0:
		return FormatError("unknown marker")
	}
	return UnsupportedError("unknown marker")
}

// startOfFrame reads the frame's header (section B.2.2).
func (d *Decoder) startOfFrame(b []byte) error {
	f := &d.frame
	if f.nComp != 0 {
		return FormatError("multiple SOF markers")
	}
	switch len(b) {
	case 6 + 3*1, 6 + 3*3, 6 + 3*4: // gray; YCbCr or RGB; YCbCrK or CMYK
	default:
		return UnsupportedError("number of components")
	}
	n := (len(b) - 6) / 3
	if b[0] != 8 {
		return UnsupportedError("precision")
	}
	f.nComp = n
	f.height, f.width = int(b[1])<<8+int(b[2]), int(b[3])<<8+int(b[4])
	if int(b[5]) != n {
		return FormatError("SOF has wrong length")
	}
	for i := range n {
		c := &d.comp[i]
		c.id = b[6+3*i]
		for j := range i {
			if c.id == d.comp[j].id {
				return FormatError("repeated component identifier")
			}
		}
		if c.tq = b[8+3*i]; c.tq > maxTq {
			return FormatError("bad Tq value")
		}
		hv := b[7+3*i]
		c.h, c.v = int(hv>>4), int(hv&0x0f)
		if c.h < 1 || 4 < c.h || c.v < 1 || 4 < c.v {
			return FormatError("luma/chroma subsampling ratio")
		}
		if c.h == 3 || c.v == 3 || !d.sampling(i, hv) {
			return errSubsampling
		}
	}
	return nil
}

// sampling reports whether component i may have its sampling factors.
func (d *Decoder) sampling(i int, hv uint8) bool {
	c, first := &d.comp[i], &d.comp[0]
	switch d.frame.nComp {
	case 1:
		// One component is not interleaved: its blocks come row by row whatever
		// the factors (sections A.2 and 4.8.2).
		c.h, c.v = 1, 1
	case 3:
		// 4:4:4, 4:4:0, 4:2:2, 4:2:0, 4:1:1 and 4:1:0, both chroma planes equal.
		switch i {
		case 0:
			return c.v != 4
		case 1:
			return first.h%c.h == 0 && first.v%c.v == 0
		case 2:
			return d.comp[1].h == c.h && d.comp[1].v == c.v
		}
	case 4:
		// All planes equal, or the middle two halved in both directions.
		switch i {
		case 0:
			return hv == 0x11 || hv == 0x22
		case 1, 2:
			return hv == 0x11
		case 3:
			return first.h == c.h && first.v == c.v
		}
	}
	return true
}

// quantTables reads quantization tables (section B.2.4.1).
func (d *Decoder) quantTables(b []byte) error {
	for len(b) > 0 {
		tq, wide := b[0]&0x0f, int(b[0]>>4)
		b = b[1:]
		if tq > maxTq {
			return FormatError("bad Tq value")
		}
		if wide > 1 {
			return FormatError("bad Pq value")
		}
		if len(b) < blockSize<<wide {
			return FormatError("DQT has wrong length")
		}
		for i := range d.quant[tq] {
			if wide == 0 {
				d.quant[tq][i] = int32(b[i])
			} else {
				d.quant[tq][i] = int32(b[2*i])<<8 | int32(b[2*i+1])
			}
		}
		b = b[blockSize<<wide:]
	}
	return nil
}

var errEnd = io.ErrUnexpectedEOF
