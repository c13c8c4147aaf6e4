package imaging

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"

	"github.com/resnet-go/resnet/internal/bmp"
	"github.com/resnet-go/resnet/internal/jpeg"
	"github.com/resnet-go/resnet/internal/pnm"
	"github.com/resnet-go/resnet/internal/tiff"
)

// DefaultMaxPixels is the default limit of a picture that is decoded: 89,478,485
// pixels, from which Pillow warns of a decompression bomb.
const DefaultMaxPixels = 1024 * 1024 * 1024 / 4 / 3

// MaxMemory returns how many bytes decoding a picture may take by a limit of pixels: 12
// for each, of which the picture has 3, and a MiB. Progressive JPEG files take as many,
// PNG files of 16 bits 11, and 19 if they are interlaced.
func MaxMemory(maxPixels int) int64 {
	const each, more = 12, 1 << 20
	if int64(maxPixels) > (math.MaxInt64-more)/each {
		return math.MaxInt64
	}
	return each*int64(maxPixels) + more
}

// ErrTooLarge is wrapped by the error for a picture with more pixels than
// [DecodeOptions.MaxPixels], or whose pixels need more memory than [MaxMemory].
var ErrTooLarge = errors.New("too many pixels")

// DecodeOptions are the limits and choices of [Decode]. The zero value is the
// usual one.
type DecodeOptions struct {
	MaxPixels         int  // width times height; 0 means DefaultMaxPixels; also limits the memory, see MaxMemory
	IgnoreOrientation bool // leave the picture as stored, regardless of EXIF and XMP
}

func checkSize(w, h, limit int) error {
	if w > 0 && h > limit/w {
		return fmt.Errorf("imaging: %w: %d x %d is above the limit of %d", ErrTooLarge, w, h, limit)
	}
	return nil
}

// size returns the size of a picture that is not JPEG, reading only the headers, and
// refuses those above the limit in any of their parts.
func size(kind format, data []byte, limit int) (w, h int, err error) {
	switch kind {
	case formatPNG:
		w, h, err = pngSize(data)
	case formatGIF:
		w, h, err = gifSize(data)
	case formatWebP:
		w, h, err = webpSize(data, limit)
	case formatBMP:
		w, h, err = bmp.Size(data)
	case formatTIFF:
		w, h, err = tiff.Size(data)
	case formatPNM:
		w, h, err = pnm.Size(data)
	default:
		return 0, 0, formatError(data)
	}
	if err != nil && !errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("imaging: %w", err)
	}
	return w, h, err
}

// memory returns how many bytes decoding a picture that is not JPEG takes, reading only
// the headers. w and h are its size.
func memory(kind format, data []byte, w, h int) (int64, error) {
	pixels := int64(w) * int64(h)
	switch kind {
	case formatPNG:
		return pngMemory(data), nil
	case formatGIF:
		return 4 * pixels, nil
	case formatWebP:
		return webpMemory(data, w, h), nil
	case formatTIFF:
		n, err := tiff.Memory(data)
		return n + 3*pixels, err
	}
	return 7 * pixels, nil // red, green, blue and alpha, and without alpha
}

// decodeWhole decodes a file that is not JPEG.
func decodeWhole(dst *Image, kind format, data []byte, limit int) error {
	var m image.Image
	var err error
	switch kind {
	case formatPNG:
		m, err = decodePNG(data)
	case formatGIF:
		return decodeGIF(dst, data)
	case formatWebP:
		return decodeWebP(dst, data)
	case formatBMP:
		m, err = bmp.Decode(data)
	case formatTIFF:
		m, err = tiff.Decode(data, jpegPart(limit))
	default:
		m, err = pnm.Decode(data)
	}
	if err != nil {
		return err
	}
	fromStd(dst, m)
	return nil
}

// jpegPart returns a decoder of the parts of TIFF files.
func jpegPart(limit int) tiff.JPEG {
	var d jpeg.Decoder
	return func(file []byte, ycc bool, maxW, maxH int) ([]byte, int, int, int, error) {
		w, h, err := d.Size(file)
		if err == nil && (w > maxW || h > maxH) {
			err = fmt.Errorf("JPEG of %d x %d pixels, must be at most %d x %d", w, h, maxW, maxH)
		}
		if err == nil {
			err = checkSize(w, h, limit)
		}
		if err != nil {
			return nil, 0, 0, 0, err
		}
		p, err := d.Decode(file, jpeg.Options{})
		if err != nil {
			return nil, 0, 0, 0, err
		}
		if channels := len(p.Planes); channels != 3 {
			return planesTogether(p), w, h, channels, nil
		}
		if p.Model = jpeg.RGB; ycc {
			p.Model = jpeg.YCbCr
		}
		var m Image
		fromJPEG(&m, p, Rect{0, 0, w, h})
		return m.Pix, w, h, 3, nil
	}
}

// FromImage converts a picture of the standard library: gray types to one
// channel, all others to RGB, as [Decode] does. An image of the
// standard library has no orientation: see [Orient].
func FromImage(img image.Image) *Image {
	m := new(Image)
	fromStd(m, img)
	return m
}

// RGBA returns an opaque copy of m for the standard library's encoders.
func (m *Image) RGBA() *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, m.W, m.H))
	for i := range m.W * m.H {
		p, o := m.Pix[i*m.C:], out.Pix[4*i:4*i+4]
		o[0], o[1], o[2], o[3] = p[0], p[m.C/2], p[m.C-1], 255
	}
	return out
}

// fromStd converts a decoded picture. Types and cases that need no speed go
// through color.NRGBA64, which undoes the multiplication by alpha.
func fromStd(dst *Image, img image.Image) {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	switch m := img.(type) {
	case *image.YCbCr:
		if wholeChroma(m) {
			fromYCbCr(dst, m)
			return
		}
	case *image.Gray:
		dst.Reset(w, h, 1)
		for y := range h {
			copy(dst.Row(y), m.Pix[y*m.Stride:])
		}
		return
	case *image.Gray16:
		dst.Reset(w, h, 1)
		each(dst, m.Pix, m.Stride, 2, func(out, p []uint8) { out[0] = p[0] })
		return
	case *image.RGBA:
		if m.Opaque() {
			dst.Reset(w, h, 3)
			each(dst, m.Pix, m.Stride, 4, func(out, p []uint8) { copy(out, p[:3]) })
			return
		}
	case *image.NRGBA:
		dst.Reset(w, h, 3)
		each(dst, m.Pix, m.Stride, 4, func(out, p []uint8) { copy(out, p[:3]) })
		return
	case *image.RGBA64:
		if m.Opaque() {
			dst.Reset(w, h, 3)
			each(dst, m.Pix, m.Stride, 8, func(out, p []uint8) { out[0], out[1], out[2] = p[0], p[2], p[4] })
			return
		}
	case *image.NRGBA64:
		dst.Reset(w, h, 3)
		each(dst, m.Pix, m.Stride, 8, func(out, p []uint8) { out[0], out[1], out[2] = p[0], p[2], p[4] })
		return
	case *image.CMYK:
		dst.Reset(w, h, 3)
		each(dst, m.Pix, m.Stride, 4, func(out, p []uint8) {
			for c := range out {
				out[c] = cmykChannel(p[c], 255-p[3])
			}
		})
		return
	case *image.Paletted:
		fromPalette(dst, m)
		return
	}
	dst.Reset(w, h, 3)
	for y := range h {
		for x := range w {
			c := color.NRGBA64Model.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA64)
			p := dst.Pix[(y*w+x)*3:]
			p[0], p[1], p[2] = uint8(c.R>>8), uint8(c.G>>8), uint8(c.B>>8)
		}
	}
}

func each(dst *Image, pix []uint8, stride, size int, f func(out, p []uint8)) {
	for y := range dst.H {
		out := dst.Row(y)
		row := pix[y*stride:]
		for x := range dst.W {
			f(out[x*dst.C:(x+1)*dst.C], row[x*size:(x+1)*size])
		}
	}
}

// mulDiv255 is a*b/255, rounded.
func mulDiv255(a, b int) int {
	t := a*b + 128
	return (t>>8 + t) >> 8
}

// fromPalette looks colors up; a palette of grays still gives three channels,
// since what a file means must not depend on the colors it happens to use.
func fromPalette(dst *Image, m *image.Paletted) {
	var rgb [256][3]uint8
	for i, c := range m.Palette {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		rgb[i&255] = [3]uint8{n.R, n.G, n.B}
	}
	b := m.Bounds()
	dst.Reset(b.Dx(), b.Dy(), 3)
	for y := range dst.H {
		out := dst.Row(y)
		for x, i := range m.Pix[y*m.Stride : y*m.Stride+dst.W] {
			copy(out[3*x:3*x+3], rgb[i][:])
		}
	}
}
