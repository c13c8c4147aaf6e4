package imaging

import (
	"errors"
	"fmt"
	"image"
	"math/bits"
	"sync"

	"github.com/resnet-go/resnet/internal/jpeg"
)

// Decode reads a JPEG, PNG, GIF, WebP, BMP, TIFF or PPM file (of an animation or a
// document of pages, the first picture) and turns it the right way up by its EXIF
// or XMP orientation. The format is detected from the bytes, not from a name. A
// gray file gives one channel, all others three.
//
// Colors become RGB as with Pillow's convert("RGB"): alpha is dropped, not
// blended; 16 bits become 8 by their upper byte (also 16-bit gray, which some
// versions of Pillow clip instead); CMYK by (255-C)(255-K)/255. Chroma of JPEG
// and WebP is interpolated as libjpeg-turbo and libwebp do by default.
//
// Flaws that libjpeg and libpng only warn of are no error: damaged data within a
// JPEG file, a missing end marker, wrong checksums of additional PNG chunks. A file that
// is cut off is one, and a PNG file whose pixels or palette have a wrong checksum.
func Decode(data []byte, opt DecodeOptions) (*Image, error) {
	m := new(Image)
	if err := DecodeInto(m, data, opt); err != nil {
		return nil, err
	}
	return m, nil
}

var readers = sync.Pool{New: func() any { return new(Reader) }}

// DecodeInto is [Decode] into dst, whose memory it reuses. After an error the
// contents of dst are undefined.
func DecodeInto(dst *Image, data []byte, opt DecodeOptions) error {
	r := readers.Get().(*Reader)
	defer readers.Put(r)
	if err := r.Open(data, opt); err != nil {
		return err
	}
	return r.Decode(dst)
}

// Reader decodes files one after the other, wholly or in part, and keeps its
// memory. The zero value is ready. It must not be used by two goroutines at
// once.
type Reader struct {
	W, H int // of the picture, the right way up

	// Repeat, set before Open, allows to decode the picture more than once until the
	// next Open: in parts, whole, reduced. What that has in common is done once
	// and kept: the coefficients of a JPEG (2 bytes for each sample; not for more than
	// 16 megapixels) or the pixels of another file.
	Repeat bool

	data        []byte
	kind        format
	w, h        int // as stored
	limit       int // of pixels
	memory      int64
	orientation int
	jpeg        jpeg.Decoder
	whole       Image
	kept        bool // jpeg or whole has the picture that is open
}

// maxKept is the largest picture, in pixels, whose coefficients are kept.
const maxKept = 1 << 24

// Open reads the headers of a file, whose bytes must stay as they are until the
// picture is decoded. Its errors are those of [Decode].
func (r *Reader) Open(data []byte, opt DecodeOptions) error {
	r.data, r.kind, r.orientation, r.kept = data, sniff(data), 1, false
	if r.limit = opt.MaxPixels; r.limit <= 0 {
		r.limit = DefaultMaxPixels
	}
	var err error
	if r.w, r.h, err = r.size(); err != nil {
		return err
	}
	if r.w < 1 || r.h < 1 {
		return fmt.Errorf("imaging: a picture of %d x %d pixels", r.w, r.h)
	}
	if err := checkSize(r.w, r.h, r.limit); err != nil {
		return err
	}
	if r.memory, err = r.needs(); err != nil {
		return fmt.Errorf("imaging: %w", err)
	}
	if most := MaxMemory(r.limit); r.memory > most {
		return fmt.Errorf("imaging: %w: %d x %d of this kind take %d MiB to decode, and by the limit of %d pixels, %d MiB are allowed: save it with 8 bits, without interlacing or smaller",
			ErrTooLarge, r.w, r.h, r.memory>>20, r.limit, most>>20)
	}
	if !opt.IgnoreOrientation {
		r.orientation = Orientation(data)
	}
	if r.W, r.H = r.w, r.h; r.orientation >= 5 {
		r.W, r.H = r.h, r.w
	}
	return nil
}

// Memory returns about how many bytes decoding the picture that is open takes, the
// decoded picture among them.
func (r *Reader) Memory() int64 { return r.memory }

func (r *Reader) needs() (int64, error) {
	if r.kind == formatJPEG {
		return r.jpeg.Memory() + 3*int64(r.w)*int64(r.h), nil
	}
	return memory(r.kind, r.data, r.w, r.h)
}

func (r *Reader) size() (w, h int, err error) {
	if r.kind == formatJPEG {
		if w, h, err = r.jpeg.Size(r.data); err != nil {
			return 0, 0, fmt.Errorf("imaging: %w", err)
		}
		return w, h, nil
	}
	return size(r.kind, r.data, r.limit)
}

// Decode writes the picture that was opened to dst. After an error the contents
// of dst are undefined.
func (r *Reader) Decode(dst *Image) error {
	_, err := r.decode(dst, Rect{0, 0, r.w, r.h}, 1)
	return err
}

// decode writes a part of the picture as stored, turned upright, to dst. It
// returns the factor of the reduction, which is 1 for files that cannot be reduced.
func (r *Reader) decode(dst *Image, part Rect, reduce int) (int, error) {
	data := r.data
	if !r.Repeat {
		r.data = nil // which are the caller's
	}
	if data == nil {
		return 0, errors.New("imaging: no picture is open")
	}
	reduce, err := r.pixels(dst, data, part, reduce)
	if err != nil {
		return 0, fmt.Errorf("imaging: %w", err)
	}
	Orient(dst, r.orientation)
	return reduce, nil
}

// pixels runs the decoder. A panic of the decoder on damaged or hostile bytes
// becomes an error, so that a file cannot end a server.
func (r *Reader) pixels(dst *Image, data []byte, part Rect, reduce int) (factor int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoder failed: %v", p)
		}
	}()
	if r.kind == formatJPEG {
		p := reduced(part, reduce)
		opt := jpeg.Options{Shift: bits.TrailingZeros(uint(reduce)), Part: image.Rect(p.X, p.Y, p.X+p.W, p.Y+p.H), Keep: r.Repeat && r.w*r.h <= maxKept}
		var m *jpeg.Picture
		if r.kept {
			m = r.jpeg.Again(opt)
		} else if m, err = r.jpeg.Decode(data, opt); err != nil {
			return 0, err
		}
		r.kept = opt.Keep
		if m.Model == jpeg.Two {
			return 0, jpeg.UnsupportedError("two components, must be 1, 3 or 4")
		}
		reduce = 1 << m.Shift // which is 1 for some files
		fromJPEG(dst, m, reduced(part, reduce))
		return reduce, nil
	}
	if whole := part == (Rect{0, 0, r.w, r.h}); whole && !r.Repeat {
		return 1, decodeWhole(dst, r.kind, data, r.limit)
	}
	if !r.kept {
		if err := decodeWhole(&r.whole, r.kind, data, r.limit); err != nil {
			return 0, err
		}
		r.kept = r.Repeat
	}
	Crop(dst, &r.whole, part)
	if !r.kept && len(r.whole.Pix) > maxKept {
		r.whole = Image{} // not worth keeping for the next one
	}
	return 1, nil
}

// reduced returns the pixels that a part covers at 1/n of the size.
func reduced(r Rect, n int) Rect {
	x, y := r.X/n, r.Y/n
	return Rect{x, y, (r.X+r.W+n-1)/n - x, (r.Y+r.H+n-1)/n - y}
}

// Region is a part of a picture whose edges may lie between pixels: its top left
// corner and its size, in pixels.
type Region struct{ X, Y, W, H float64 }

// DecodePart writes the part of the picture that was opened to dst, together
// with the region of dst that the part is: resized by [ResizeRegion], it is
// the part of the whole picture resized by [ResizeRect]. It costs less than
// decoding the whole picture.
//
// With reduce 1 the pixels are the same as those of Decode. With 2, 4 or 8, a
// JPEG in gray or YCbCr is decoded at a half, a quarter or an eighth of its
// size (as by Pillow's Image.draft), which is much less work again and gives
// about the same picture when it is then resized to no more than that size.
// DecodePart panics if the part is empty or not inside the picture, or reduce is
// another number.
func (r *Reader) DecodePart(dst *Image, part Rect, reduce int) (Region, error) {
	if part.W < 1 || part.H < 1 || part.X < 0 || part.Y < 0 || part.X+part.W > r.W || part.Y+part.H > r.H {
		panic(fmt.Sprintf("imaging: no part %+v in a picture of %d x %d", part, r.W, r.H))
	}
	if reduce != 1 && reduce != 2 && reduce != 4 && reduce != 8 {
		panic(fmt.Sprintf("imaging: reduce is %d, not 1, 2, 4 or 8", reduce))
	}
	if r.kind != formatJPEG {
		reduce = 1
	}
	// The part as it is stored.
	flipH, flipV, turned := turns(r.orientation)
	if flipH {
		part.X = r.W - part.X - part.W
	}
	if flipV {
		part.Y = r.H - part.Y - part.H
	}
	if turned {
		part = Rect{part.Y, part.X, part.H, part.W}
	}
	reduce, err := r.decode(dst, part, reduce)
	if err != nil {
		return Region{}, err
	}
	n := float64(reduce)
	box := Region{float64(part.X%reduce) / n, float64(part.Y%reduce) / n, float64(part.W) / n, float64(part.H) / n}
	if turned {
		box = Region{box.Y, box.X, box.H, box.W}
	}
	if flipH {
		box.X = float64(dst.W) - box.X - box.W
	}
	if flipV {
		box.Y = float64(dst.H) - box.Y - box.H
	}
	return box, nil
}

// DecodeResized writes the picture that was opened to dst in c channels, resized
// to w by h pixels, and of that the part crop: [Reader.Decode], [Convert],
// [Resize] and [Crop], to the same pixels, without the work for the rest. It
// panics if a size is below 1, crop is empty or not inside w by h, c is neither
// 1 nor 3, or the filter is not valid.
func (r *Reader) DecodeResized(dst *Image, c, w, h int, crop Rect, f Filter) error {
	j := sampling{in: Rect{0, 0, r.W, r.H}, w: w, h: h, out: crop, f: f}.whole()
	j.check()
	part := j.source()
	m := images.Get().(*Image)
	defer images.Put(m)
	if _, err := r.DecodePart(m, part, 1); err != nil {
		return err
	}
	if m.C != c {
		t := images.Get().(*Image)
		defer images.Put(t)
		Convert(t, m, c)
		m = t
	}
	j.in.X, j.in.Y = -part.X, -part.Y
	resample(dst, m, j)
	return nil
}

// turns returns the steps of [Orient]: a transposition, then flips.
func turns(orientation int) (flipH, flipV, transposed bool) {
	switch orientation {
	case 2, 3, 6, 7:
		flipH = true
	}
	switch orientation {
	case 3, 4, 7, 8:
		flipV = true
	}
	return flipH, flipV, orientation >= 5
}
