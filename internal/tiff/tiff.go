package tiff

import (
	"errors"
	"fmt"
	"image"
	"math"
)

// The meanings of samples (PhotometricInterpretation).
const (
	whiteIsZero = 0
	blackIsZero = 1
	photoRGB    = 2
	photoMap    = 3
	photoCMYK   = 5
	photoYCbCr  = 6
)

// JPEG decodes a JPEG file of at most the given size to interleaved samples. ycc is
// set if YCbCr is to become RGB; other components stay as they are.
type JPEG func(file []byte, ycc bool, maxW, maxH int) (pix []byte, w, h, channels int, err error)

// layout is how a picture is stored.
type layout struct {
	*directory
	w, h        int
	photo       int
	compression int
	samples     int // of a pixel
	bits        int // of a sample
	planar      bool
	tiled       bool
	cw, ch      int // size of a strip or tile
	across      int // strips or tiles in a row
	down        int
	used        int // samples of a pixel that matter
	alpha       bool
	stepX       int // of chroma of YCbCr that is not JPEG
	stepY       int
	decode      JPEG
}

func newLayout(data []byte, decode JPEG) (*layout, error) {
	w, h, err := Size(data)
	if err != nil {
		return nil, err
	}
	d, err := open(data)
	if err != nil {
		return nil, err
	}
	l := &layout{directory: d, w: w, h: h, decode: decode, stepX: 1, stepY: 1}
	l.compression = d.number(tagCompression, 1)
	l.photo = d.number(tagPhotometric, 0)
	l.samples, l.bits = d.number(tagSamples, 1), d.number(tagBits, 1)
	l.planar = d.number(tagPlanar, 1) == 2 && l.samples > 1
	if err := l.check(); err != nil {
		return nil, err
	}
	l.cw, l.ch = w, min(d.number(tagRowsPerStrip, uint64(h)), h)
	if _, l.tiled = d.entries[tagTileOffsets]; l.tiled {
		l.cw, l.ch = d.number(tagTileWidth, 0), d.number(tagTileHeight, 0)
	}
	if l.cw < 1 || l.ch < 1 || l.cw*l.ch > 4*w*h+1<<22 {
		return nil, fmt.Errorf("TIFF of %d x %d pixels in parts of %d x %d", w, h, l.cw, l.ch)
	}
	l.across, l.down = (w+l.cw-1)/l.cw, (h+l.ch-1)/l.ch
	need := l.across * l.down
	if l.planar {
		need *= l.samples
	}
	if n := d.count(l.offsets()); n < need {
		return nil, fmt.Errorf("TIFF with %d strips or tiles, must be %d", n, need)
	}
	return l, nil
}

func (l *layout) offsets() uint16 {
	if l.tiled {
		return tagTileOffsets
	}
	return tagStripOffsets
}

// kinds name what is not read, by compression.
var kinds = map[int]string{
	6: "old-style JPEG", 9: "JBIG", 10: "JBIG", 32809: "ThunderScan", 34661: "JBIG", 34676: "SGILog", 34677: "SGILog", 34712: "JPEG 2000",
	34887: "LERC", 34892: "lossy JPEG of DNG", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
}

// check reports kinds that are not read.
func (l *layout) check() error {
	switch l.compression {
	case 1, 2, 3, 4, 5, 7, 8, 32946, 32773:
	default:
		name := kinds[l.compression]
		if name == "" {
			name = "unknown"
		}
		return fmt.Errorf("TIFF with compression %d (%s), which is not read: save it with LZW or Deflate", l.compression, name)
	}
	if l.samples < 1 || l.samples > 16 {
		return fmt.Errorf("TIFF with %d samples in a pixel, must be 1 to 16", l.samples)
	}
	for i := range l.count(tagBits) {
		if v := l.value(tagBits, i, 0); i < l.samples && v != uint64(l.bits) {
			return fmt.Errorf("TIFF whose samples have different sizes, %d and %d bits, which is not read", l.bits, v)
		}
	}
	switch f := l.number(tagSampleFormat, 1); {
	case f == 3:
		return fmt.Errorf("TIFF of floating-point samples (%d bits), which is not read: scale it to 8 bits", l.bits)
	case f == 2 && l.bits != 8, f > 4, f > 2 && f != 4:
		return fmt.Errorf("TIFF of signed or complex samples (%d bits), which is not read: scale it to 8 bits", l.bits)
	}
	deep := l.bits == 8 || l.bits == 16
	l.used = 1
	switch l.photo {
	case whiteIsZero, blackIsZero:
		deep = deep || l.bits == 1 || l.bits == 2 || l.bits == 4 || l.bits == 12
		l.premultiplied(2)
	case photoMap:
		deep = l.bits == 1 || l.bits == 2 || l.bits == 4 || l.bits == 8
		if n := l.count(tagColorMap); n < 3<<l.bits && deep {
			return fmt.Errorf("TIFF with a palette of %d values, must be %d", n, 3<<l.bits)
		}
	case photoRGB:
		l.used = 3
		l.premultiplied(4)
	case photoCMYK:
		l.used = 4
	case photoYCbCr:
		if l.samples == 1 {
			l.photo = blackIsZero
			break
		}
		l.used, deep = 3, l.bits == 8
		if l.compression != 7 {
			l.stepX, l.stepY = int(l.value(tagYCbCrSubsampling, 0, 2)), int(l.value(tagYCbCrSubsampling, 1, 2))
			for _, s := range [2]int{l.stepX, l.stepY} {
				if s != 1 && s != 2 && s != 4 {
					return errors.New("TIFF with a chroma subsampling that is not 1, 2 or 4")
				}
			}
			if l.planar && l.stepX*l.stepY > 1 {
				return errors.New("TIFF with subsampled chroma in planes, which is not read: save it as RGB")
			}
			if l.samples != 3 {
				return fmt.Errorf("TIFF in YCbCr with %d samples in a pixel, must be 3", l.samples)
			}
		}
	case 8, 9, 10:
		return errors.New("TIFF in CIE L*a*b*, which is not read: save it as RGB")
	case 32803, 34892:
		return errors.New("a raw camera file (color filter array), which is not read: convert it to JPEG or PNG")
	default:
		return fmt.Errorf("TIFF with photometric interpretation %d, which is not read: save it as RGB", l.photo)
	}
	if !deep {
		return fmt.Errorf("TIFF of %d bits in a sample with photometric interpretation %d, which is not read: scale it to 8 bits", l.bits, l.photo)
	}
	if l.samples < l.used {
		return fmt.Errorf("TIFF with %d samples in a pixel, must be %d", l.samples, l.used)
	}
	if fax := l.compression >= 2 && l.compression <= 4; fax && (l.bits != 1 || l.samples != 1) {
		return errors.New("TIFF with CCITT compression must have one bit in a pixel")
	}
	switch p := l.number(tagPredictor, 1); {
	case p > 2:
		return fmt.Errorf("TIFF with predictor %d, which is not read: save it with another", p)
	case p == 2 && l.bits < 8:
		return fmt.Errorf("TIFF with predictor 2 and %d bits, which is not read: save it without", l.bits)
	}
	return nil
}

// premultiplied makes room for alpha by which colors were multiplied, the sample
// of number n.
func (l *layout) premultiplied(n int) {
	if l.samples >= n && l.count(tagExtraSamples) > 0 && l.value(tagExtraSamples, 0, 0) == 1 && l.bits >= 8 {
		l.used, l.alpha = n, true
	}
}

// Memory returns how many bytes [Decode] takes for the first picture.
func Memory(data []byte) (int64, error) {
	l, err := newLayout(data, nil)
	if err != nil {
		return 0, err
	}
	samples := l.samples
	if l.planar {
		samples = 1
	}
	pixels, part, row := int64(l.w)*int64(l.h), int64(l.cw)*int64(l.ch), (int64(l.cw)*int64(samples*l.bits)+7)/8
	switch {
	case l.compression == 7: // planes, coefficients and interleaved samples
		part *= int64(4 * min(samples, 4))
	case l.streams():
		part = 3 * row // of subsampled YCbCr, it has more than one line
	case l.compression == 1: // is in the file
		part = 0
	default:
		part = row * int64(l.ch)
	}
	n := pixels * int64(l.used)
	switch l.photo {
	case whiteIsZero, blackIsZero:
		return n + max(part, pixels), nil
	case photoCMYK:
		return n + part, nil
	}
	return n + max(part, 4*pixels), nil
}

// Decode decodes the first picture to an *image.Gray, *image.NRGBA, *image.CMYK.
func Decode(data []byte, decode JPEG) (image.Image, error) {
	l, err := newLayout(data, decode)
	if err != nil {
		return nil, err
	}
	if l.tooLarge() {
		return nil, errEnd
	}
	// The samples that matter, 8 bits each.
	pix := make([]byte, l.w*l.h*l.used)
	planes := 1
	if l.planar {
		planes = l.used
	}
	for plane := range planes {
		for y := range l.down {
			for x := range l.across {
				i := (plane*l.down+y)*l.across + x
				if err := l.part(pix, i, plane, x*l.cw, y*l.ch); err != nil {
					return nil, fmt.Errorf("strip or tile %d: %w", i, err)
				}
			}
		}
	}
	return l.picture(pix), nil
}

// tooLarge reports whether the file is too short for its pixels, so that no memory is
// taken for them. Deflate and LZW make of a byte at most some thousand.
func (l *layout) tooLarge() bool {
	times := 1
	switch l.compression {
	case 2, 3, 4, 7:
		return false
	case 5, 8, 32946, 32773:
		times = 3000
	}
	samples := l.samples
	if l.subsampled() {
		samples = 1
	}
	return l.w*l.h*samples*l.bits/8 > times*len(l.data)
}

// part decodes strip or tile i, whose upper left corner is (x0, y0), into pix.
func (l *layout) part(pix []byte, i, plane, x0, y0 int) error {
	h := l.ch
	if !l.tiled {
		h = min(h, l.h-y0)
	}
	samples := l.samples
	if l.planar {
		samples = 1
	}
	raw, err := l.raw(i)
	if err != nil {
		return err
	}
	if l.compression == 7 {
		return l.jpeg(pix, raw, plane, x0, y0)
	}
	stride := (l.cw*samples*l.bits + 7) / 8
	if l.subsampled() {
		// Units of stepX x stepY pixels: luma, Cb, Cr.
		units := (l.cw + l.stepX - 1) / l.stepX
		stride, h = units*(l.stepX*l.stepY+2), (h+l.stepY-1)/l.stepY
	}
	next, end, err := l.expand(raw, stride, h)
	if err != nil {
		return err
	}
	defer end()
	for y := range h {
		row, err := next()
		if err != nil {
			return err
		}
		if l.compression != 1 && l.number(tagPredictor, 1) == 2 {
			l.unpredict(row, samples)
		}
		if l.subsampled() {
			l.units(pix, row, x0, y0+y*l.stepY)
		} else if y0+y < l.h {
			l.row(pix, row, samples, plane, x0, y0+y)
		}
	}
	return nil
}

func (l *layout) subsampled() bool { return l.stepX*l.stepY > 1 }

// row stores a row of samples.
func (l *layout) row(pix, row []byte, samples, plane, x0, y int) {
	used := min(l.used, samples)
	for x := range min(l.cw, l.w-x0) {
		out := pix[(y*l.w+x0+x)*l.used+plane:]
		for c := range used {
			out[c] = l.sample(row, x*samples+c)
		}
	}
}

// sample returns sample i of a row in 8 bits; an index of a palette stays.
func (l *layout) sample(row []byte, i int) uint8 {
	switch l.bits {
	case 8:
		return row[i]
	case 16: // the upper byte
		if l.order.Uint16([]byte{1, 0}) == 1 {
			return row[2*i+1]
		}
		return row[2*i]
	case 12:
		at := 3 * i / 2
		if i%2 == 0 {
			return row[at]
		}
		return row[at]<<4 | row[at+1]>>4
	}
	bit := i * l.bits
	v := row[bit/8] >> (8 - l.bits - bit%8) & (1<<l.bits - 1)
	if l.photo == photoMap {
		return v
	}
	return v * (255 / (1<<l.bits - 1))
}

// units stores a row of units of subsampled YCbCr.
func (l *layout) units(pix, row []byte, x0, y0 int) {
	size := l.stepX*l.stepY + 2
	for i := range len(row) / size {
		unit := row[i*size : (i+1)*size]
		for j, luma := range unit[:size-2] {
			x, y := x0+i*l.stepX+j%l.stepX, y0+j/l.stepX
			if x < l.w && x < x0+l.cw && y < l.h {
				out := pix[(y*l.w+x)*3:]
				out[0], out[1], out[2] = luma, unit[size-2], unit[size-1]
			}
		}
	}
}

// unpredict undoes differences of neighbors.
func (l *layout) unpredict(row []byte, samples int) {
	if l.bits == 8 {
		for i := samples; i < len(row); i++ {
			row[i] += row[i-samples]
		}
		return
	}
	for i := samples; i < len(row)/2; i++ {
		l.order.PutUint16(row[2*i:], l.order.Uint16(row[2*i:])+l.order.Uint16(row[2*(i-samples):]))
	}
}

// picture turns samples into a picture.
func (l *layout) picture(pix []byte) image.Image {
	rect := image.Rect(0, 0, l.w, l.h)
	if l.photo == whiteIsZero || l.photo == blackIsZero {
		m := image.NewGray(rect)
		for i := range m.Pix {
			v := pix[i*l.used]
			if l.alpha {
				v = divide(v, pix[i*l.used+1])
			}
			if l.photo == whiteIsZero {
				v = 255 - v
			}
			m.Pix[i] = v
		}
		return m
	}
	if l.photo == photoCMYK {
		return &image.CMYK{Pix: pix, Stride: 4 * l.w, Rect: rect}
	}
	m := image.NewNRGBA(rect)
	convert := l.color()
	for i := range l.w * l.h {
		out := m.Pix[4*i : 4*i+4]
		convert(out, pix[i*l.used:])
		out[3] = 255
	}
	return m
}

// color returns the function that writes red, green and blue of a pixel.
func (l *layout) color() func(out, in []byte) {
	switch {
	case l.photo == photoMap:
		n := 1 << l.bits
		table := make([]byte, 3*n)
		for i := range n {
			for c := range 3 {
				table[3*i+c] = uint8(l.value(tagColorMap, c*n+i, 0) >> 8)
			}
		}
		return func(out, in []byte) { copy(out, table[3*int(in[0]):3*int(in[0])+3]) }
	case l.photo == photoYCbCr && (l.compression != 7 || l.planar):
		return l.ycbcr()
	case l.alpha:
		return func(out, in []byte) {
			for c := range 3 {
				out[c] = divide(in[c], in[3])
			}
		}
	}
	return func(out, in []byte) { copy(out[:3], in) }
}

// divide undoes the multiplication by alpha, as Pillow does.
func divide(v, alpha uint8) uint8 {
	if alpha == 0 {
		return 0
	}
	return uint8(min(255*int(v)/int(alpha), 255))
}

// ycbcr returns the conversion of libtiff's tif_color.c.
func (l *layout) ycbcr() func(out, in []byte) {
	k := l.rationals(tagYCbCrCoefficients, 0.299, 0.587, 0.114)
	ref := l.rationals(tagReferenceBW, 0, 255, 128, 255, 128, 255)
	if k[1] == 0 {
		k = []float64{0.299, 0.587, 0.114}
	}
	code := func(v int, black, white, full float64) int32 {
		span := white - black
		if span == 0 {
			span = 1
		}
		return int32(math.Max(-512, math.Min(512, (float64(v)-black)*full/span)))
	}
	fix := func(v float64) int32 { return int32(v*65536 + 0.5) }
	d1, d3 := 2-2*k[0], 2-2*k[2]
	f1, f2, f3, f4 := fix(d1), -fix(d1*k[0]/k[1]), fix(d3), -fix(d3*k[2]/k[1])
	var y, crR, crG, cbB, cbG [256]int32
	for i := range 256 {
		cr := code(i-128, ref[4]-128, ref[5]-128, 127)
		cb := code(i-128, ref[2]-128, ref[3]-128, 127)
		crR[i], cbB[i] = (f1*cr+1<<15)>>16, (f3*cb+1<<15)>>16
		crG[i], cbG[i] = f2*cr, f4*cb+1<<15
		y[i] = code(i, ref[0], ref[1], 255)
	}
	clip := func(v int32) uint8 { return uint8(min(max(v, 0), 255)) }
	return func(out, in []byte) {
		l, cb, cr := y[in[0]], in[1], in[2]
		out[0], out[1], out[2] = clip(l+crR[cr]), clip(l+(cbG[cb]+crG[cr])>>16), clip(l+cbB[cb])
	}
}
