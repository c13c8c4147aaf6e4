// Package jpeg decodes JPEG files to the same values as libjpeg-turbo, and so Pillow,
// without garbage. On request it decodes only a part of the picture, or the picture at a
// half, a quarter or an eighth of its size, which skips most of the inverse transform
// (like libjpeg's scale_denom and Pillow's Image.draft).
//
// It reads what libjpeg-turbo reads of 8 bits: sequential and progressive files
// with Huffman or arithmetic coding, and lossless files with Huffman coding, in
// gray, YCbCr, RGB, CMYK and YCbCrK, with all sampling factors that are whole
// multiples. Damage is treated as libjpeg treats it: where the data of a scan make
// no sense, or a marker comes too early, the decoder goes on at the next restart
// marker, and what is missing is gray, or estimated from the blocks around if scans of a
// progressive file are missing. A file that ends before its data do is an
// error; one that lacks only its last marker is not.
//
// The reading of markers and scans is derived from image/jpeg, Copyright 2009 The Go
// Authors, under the license in LICENSE here. The inverse transforms compute the same as
// jidctint.c and jidctred.c of the Independent JPEG Group do in libjpeg-turbo on
// amd64, also of coefficients that are out of range.
package jpeg

import (
	"fmt"
	"image"
	"io"
)

// FormatError is the error for a file that is not a valid JPEG.
type FormatError string

func (e FormatError) Error() string { return "invalid JPEG format: " + string(e) }

// UnsupportedError is the error for a file with a feature that is not implemented.
type UnsupportedError string

func (e UnsupportedError) Error() string { return "unsupported JPEG feature: " + string(e) }

// errEnd is the error for a file that ends too early.
var errEnd = fmt.Errorf("the JPEG file is cut off: %w", io.ErrUnexpectedEOF)

// component is one plane (T.81, section B.2.2).
type component struct {
	h, v int   // sampling factors
	id   uint8 // component identifier
	tq   uint8 // quantization table

	side   int // pixels that a block is wide and high: 8, or less at a smaller scale
	stride int
	pix    []uint8
	coeffs []block // of a progressive file, between scans, or kept
	seen   bool    // a scan had it
	quant  block   // the quantization table as it was at the first scan
	// lowest is, in a progressive file, the lowest bit that is known of each
	// coefficient in zig-zag order, or -1.
	lowest [blockSize]int8
	before [blockSize]int8 // lowest before the last scan that had the component
	// Blocks in a row and in a column, without those that only fill up units.
	bw, bh int
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
	temMarker   = 0x01
	sof0Marker  = 0xc0 // baseline sequential
	sof1Marker  = 0xc1 // extended sequential
	sof2Marker  = 0xc2 // progressive
	sof3Marker  = 0xc3 // lossless
	dhtMarker   = 0xc4
	sof9Marker  = 0xc9 // extended sequential, arithmetic coding
	sof10Marker = 0xca // progressive, arithmetic coding
	dacMarker   = 0xcc
	sof15Marker = 0xcf
	rst0Marker  = 0xd0
	rst7Marker  = 0xd7
	soiMarker   = 0xd8
	eoiMarker   = 0xd9
	sosMarker   = 0xda
	dqtMarker   = 0xdb
	dnlMarker   = 0xdc
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
	quant  [maxTq + 1]block
	tables [maxTq + 1]bool // quant is defined
	eobRun uint16          // section G.1.2.2
	arith  arithmetic
	work   block // of a sequential file; zeros between blocks
	kept   bool  // there is a picture for Again

	picture Picture
	planes  [maxComponents]Plane
}

// frame is what is known of the file so far.
type frame struct {
	width, height int
	nComp         int
	hMax, vMax    int // the largest sampling factors
	ri            int // restart interval
	progressive   bool
	arithmetic    bool
	lossless      bool
	jfif          bool
	adobe         bool // there is an Adobe marker, which sets transform
	transform     uint8
	planes        bool // the planes are laid out
	cut           bool // a scan could not be read to its end
	scans         int
	lastGood      int // the last row of units for which the last scan had data
	shift         int // of Options, or 0 for files that ignore it
}

// Options choose what is decoded of a picture. The zero value is all of it.
type Options struct {
	// Shift, 0 to 3, gives the picture at 1/2^Shift of its size: ceil(width /
	// 2^Shift) by ceil(height / 2^Shift) pixels. Lossless files ignore it, as
	// [Picture.Shift] shows.
	Shift int
	// Part is the part of the picture, at the scale of Shift, whose pixels are
	// wanted: the others of the returned picture are undefined. The whole file
	// is read nevertheless, so that a damaged file is an error for every part.
	// An empty part stands for the whole. Lossless files are decoded whole.
	Part image.Rectangle
	// Keep keeps the coefficients, in 2 bytes for each sample, for [Decoder.Again].
	Keep bool
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

// Memory returns how many bytes the planes, and the coefficients of a progressive file,
// of the picture take whose size was read last.
func (d *Decoder) Memory() int64 {
	mxx, myy := d.units()
	each := int64(blockSize)
	if d.frame.progressive {
		each *= 3 // 2 more for each coefficient
	}
	n := int64(0)
	for i := range d.comp[:d.frame.nComp] {
		c := &d.comp[i]
		n += int64(mxx*c.h) * int64(myy*c.v) * each
	}
	if d.frame.lossless { // whose units are samples
		n /= blockSize
	}
	return n
}

// Decode decodes a file. The picture holds until the decoder's next use.
func (d *Decoder) Decode(data []byte, opt Options) (*Picture, error) {
	d.opt = opt
	if err := d.decode(data, false); err != nil {
		return nil, err
	}
	d.kept = opt.Keep
	return d.result(), nil
}

// Again decodes the file that was decoded last once more, for other options, to the
// same picture as Decode, which must have had Keep. Most of the work is done already. It
// panics without Keep or after an error. The picture holds until the decoder's next use.
func (d *Decoder) Again(opt Options) *Picture {
	if !d.kept {
		panic("jpeg: Again without a picture that was kept")
	}
	d.opt = opt
	d.opt.Keep = true
	if !d.frame.lossless { // which has whole planes
		d.layout(false)
		d.reconstruct()
		d.blank()
	}
	return d.result()
}

// stored reports whether the coefficients are stored before they become samples.
func (d *Decoder) stored() bool { return d.frame.progressive || d.opt.Keep && !d.frame.lossless }

// decode reads a file's segments. With configOnly, it stops when the size and the
// color model are known.
func (d *Decoder) decode(data []byte, configOnly bool) error {
	d.bits = reader{data: data}
	d.frame = frame{}
	d.kept = false
	d.work = block{}
	d.eobRun = 0
	d.tables = [maxTq + 1]bool{}
	for c := range d.huff {
		for h := range d.huff[c] {
			d.huff[c][h].defined = false
		}
	}
	d.arith.setDefaults()
	head, err := d.bits.take(2)
	if err != nil {
		return err
	}
	if head[0] != 0xff || head[1] != soiMarker {
		return FormatError("missing SOI marker")
	}
	for done := false; !done; {
		done, err = d.next(configOnly)
		if err != nil && (configOnly || !d.complete()) { // else what follows the picture does not matter
			return err
		}
		done = done || err != nil
	}
	if configOnly {
		return nil
	}
	if !d.frame.planes {
		return FormatError("missing SOS marker")
	}
	if d.stored() {
		d.reconstruct()
	}
	d.blank()
	return nil
}

// next reads the next marker with its segment and reports whether the picture is
// complete or, with configOnly, whether enough is known.
func (d *Decoder) next(configOnly bool) (done bool, err error) {
	r, f := &d.bits, &d.frame
	marker, err := r.marker()
	if err != nil {
		return false, err
	}
	switch {
	case marker == eoiMarker:
		return true, nil
	case rst0Marker <= marker && marker <= rst7Marker, marker == temMarker: // one too many at the end of a scan
		return false, nil
	}
	length, err := r.take(2)
	if err != nil {
		return false, err
	}
	n := int(length[0])<<8 + int(length[1]) - 2
	if n < 0 {
		return false, FormatError("short segment length")
	}
	if marker == sosMarker && configOnly {
		return true, nil
	}
	if err := d.segment(marker, n, configOnly); err != nil {
		return false, err
	}
	return configOnly && f.nComp != 0 && marker <= sof3Marker && f.jfif, nil
}

// complete reports whether all of the picture was read, so that a file without its
// last marker, or with garbage instead of it, is known not to be cut off between two
// scans.
func (d *Decoder) complete() bool {
	for i := range d.comp[:d.frame.nComp] {
		c := &d.comp[i]
		if !c.seen {
			return false
		}
		for _, low := range c.lowest {
			if d.frame.progressive && low != 0 {
				return false
			}
		}
	}
	return d.frame.planes && !d.frame.cut
}

// segment reads a marker's segment of n bytes.
func (d *Decoder) segment(marker uint8, n int, configOnly bool) error {
	r := &d.bits
	switch marker {
	case sosMarker: // the data begin after its header
		return d.scan(n)
	case dhtMarker, dqtMarker, driMarker, dacMarker:
		if configOnly {
			_, err := r.take(n)
			return err
		}
	}
	b, err := r.take(n)
	if err != nil {
		return err
	}
	switch marker {
	case sof0Marker, sof1Marker, sof2Marker, sof3Marker, sof9Marker, sof10Marker:
		return d.startOfFrame(marker, b)
	case dhtMarker:
		return d.huffmanTables(b)
	case dqtMarker:
		return d.quantTables(b)
	case dacMarker:
		return d.arith.conditioning(b)
	case driMarker:
		if n != 2 {
			return FormatError("DRI has wrong length")
		}
		d.frame.ri = int(b[0])<<8 + int(b[1])
		return nil
	case app0Marker:
		if n >= 5 && string(b[:5]) == "JFIF\x00" {
			d.frame.jfif = true
		}
		return nil
	case app14Marker:
		if n >= 12 && string(b[:5]) == "Adobe" {
			d.frame.adobe, d.frame.transform = true, b[11]
		}
		return nil
	}
	switch {
	case app0Marker <= marker && marker <= app15Marker, marker == comMarker, marker == dnlMarker:
		return nil
	case marker < sof0Marker:
		return FormatError(fmt.Sprintf("unknown marker 0x%02x", marker))
	case marker <= sof15Marker:
		return UnsupportedError(fmt.Sprintf("coding process SOF%d (%s)", marker-sof0Marker, processes[marker-sof0Marker]))
	}
	return UnsupportedError(fmt.Sprintf("marker 0x%02x", marker))
}

// processes are the coding processes that are not read, by the number of their
// marker (table B.1).
var processes = [16]string{
	5: "hierarchical", 6: "hierarchical", 7: "hierarchical", 8: "reserved", 11: "lossless with arithmetic coding",
	13: "hierarchical", 14: "hierarchical", 15: "hierarchical",
}

// startOfFrame reads the frame's header (section B.2.2).
func (d *Decoder) startOfFrame(marker uint8, b []byte) error {
	f := &d.frame
	if f.nComp != 0 { // which behind a whole picture does not matter, and must change nothing
		return FormatError("multiple SOF markers")
	}
	f.progressive = marker == sof2Marker || marker == sof10Marker
	f.arithmetic = marker == sof9Marker || marker == sof10Marker
	f.lossless = marker == sof3Marker
	n := (len(b) - 6) / 3
	if len(b) != 6+3*n || n < 1 {
		return FormatError("SOF has wrong length")
	}
	if n > maxComponents {
		return UnsupportedError(fmt.Sprintf("%d components, at most %d are read", n, maxComponents))
	}
	if b[0] != 8 {
		return UnsupportedError(fmt.Sprintf("samples of %d bits, only 8 bits are read", b[0]))
	}
	if int(b[5]) != n {
		return FormatError("SOF has wrong length")
	}
	f.height, f.width = int(b[1])<<8+int(b[2]), int(b[3])<<8+int(b[4])
	f.hMax, f.vMax = 1, 1
	for i := range n {
		c := &d.comp[i]
		c.id = b[6+3*i]
		if c.tq = b[8+3*i]; c.tq > maxTq {
			return FormatError("bad Tq value")
		}
		c.h, c.v = int(b[7+3*i]>>4), int(b[7+3*i]&0x0f)
		if c.h < 1 || 4 < c.h || c.v < 1 || 4 < c.v {
			return FormatError(fmt.Sprintf("sampling factors %d x %d, must be 1 to 4", c.h, c.v))
		}
		if n == 1 {
			// One component is not interleaved: its blocks come row by row whatever
			// the factors (sections A.2 and 4.8.2).
			c.h, c.v = 1, 1
		}
		f.hMax, f.vMax = max(f.hMax, c.h), max(f.vMax, c.v)
	}
	for i := range n {
		c := &d.comp[i]
		if f.hMax%c.h != 0 || f.vMax%c.v != 0 {
			return UnsupportedError("sampling factors that are not whole multiples of each other")
		}
		side := 8
		if f.lossless {
			side = 1
		}
		c.bw = (f.width*c.h + side*f.hMax - 1) / (side * f.hMax)
		c.bh = (f.height*c.v + side*f.vMax - 1) / (side * f.vMax)
		c.seen = false
		c.lowest = nothing
	}
	f.nComp = n
	return nil
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
		for i, at := range unzig[:blockSize] {
			if wide == 0 {
				d.quant[tq][at] = int16(b[i])
			} else {
				d.quant[tq][at] = int16(b[2*i])<<8 | int16(b[2*i+1])
			}
		}
		d.tables[tq] = true
		b = b[blockSize<<wide:]
	}
	return nil
}
