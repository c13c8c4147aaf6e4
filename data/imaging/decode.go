package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"

	"github.com/resnet-go/resnet/internal/mistaken"
)

// DefaultMaxPixels is the default limit of a picture that is decoded: 89,478,485
// pixels, from which Pillow warns of a decompression bomb.
const DefaultMaxPixels = 1024 * 1024 * 1024 / 4 / 3

// ErrTooLarge is wrapped by the error for a picture with more pixels than
// [DecodeOptions.MaxPixels].
var ErrTooLarge = errors.New("too many pixels")

// ErrFormat is wrapped by the error for bytes of no known picture format.
var ErrFormat = errors.New("not a JPEG, PNG, GIF, WebP or BMP picture")

// DecodeOptions are the limits and choices of [Decode]. The zero value is the
// usual one.
type DecodeOptions struct {
	MaxPixels         int  // width times height; 0 means DefaultMaxPixels
	IgnoreOrientation bool // leave the picture as stored, regardless of EXIF
}

type format int

const (
	formatUnknown format = iota
	formatJPEG
	formatPNG
	formatGIF
	formatWebP
	formatBMP
)

func sniff(data []byte) format {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return formatJPEG
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return formatPNG
	case bytes.HasPrefix(data, []byte("GIF87a")), bytes.HasPrefix(data, []byte("GIF89a")):
		return formatGIF
	case len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return formatWebP
	case bytes.HasPrefix(data, []byte("BM")):
		return formatBMP
	}
	return formatUnknown
}

func checkSize(w, h, limit int) error {
	if w > 0 && h > limit/w {
		return fmt.Errorf("imaging: %w: %d x %d is above the limit of %d", ErrTooLarge, w, h, limit)
	}
	return nil
}

// checkWebPFrames checks the size in the header of each frame: in the extended
// format, the file's header may give a smaller size, but the decoder allocates the
// size of the frame.
func checkWebPFrames(data []byte, limit int) error {
	for kind, b := range riffChunks(data) {
		switch {
		case kind == "VP8 " && len(b) >= 10: // RFC 6386, section 9.1
			w, h := binary.LittleEndian.Uint16(b[6:]), binary.LittleEndian.Uint16(b[8:])
			if err := checkSize(int(w&0x3fff), int(h&0x3fff), limit); err != nil {
				return err
			}
		case kind == "VP8L" && len(b) >= 5: // RFC 9649, section 3.4
			bits := int(binary.LittleEndian.Uint32(b[1:]))
			if err := checkSize(bits&0x3fff+1, bits>>14&0x3fff+1, limit); err != nil {
				return err
			}
		}
	}
	return nil
}

func decodeConfig(kind format, data []byte) (image.Config, error) {
	var cfg image.Config
	var err error
	r := bytes.NewReader(data)
	switch kind {
	case formatPNG:
		cfg, err = png.DecodeConfig(r)
	case formatGIF:
		cfg, err = gif.DecodeConfig(r)
	case formatWebP:
		cfg, err = webp.DecodeConfig(r)
	case formatBMP:
		cfg, err = bmp.DecodeConfig(r)
	default:
		if what := mistaken.For(data[:min(len(data), mistaken.Head)]); what != "" {
			return cfg, fmt.Errorf("imaging: %w, but %s (starts with %q)", ErrFormat, what, data[:min(len(data), 8)])
		}
		return cfg, fmt.Errorf("imaging: %w (starts with %q)", ErrFormat, data[:min(len(data), 8)])
	}
	if err != nil {
		return cfg, fmt.Errorf("imaging: %w", err)
	}
	return cfg, nil
}

// decodeStd runs the decoder of a format that is not JPEG.
func decodeStd(kind format, data []byte) (image.Image, error) {
	r := bytes.NewReader(data)
	switch kind {
	case formatPNG:
		return png.Decode(r)
	case formatGIF:
		return gif.Decode(r)
	case formatWebP:
		return webp.Decode(r)
	default:
		return bmp.Decode(r)
	}
}

// placeFrame puts the first frame of a GIF at its place on the whole screen,
// whose rest stays black.
func placeFrame(dst *Image, img image.Image, w, h int) {
	b := img.Bounds()
	if b.Min == (image.Point{}) && b.Dx() == w && b.Dy() == h {
		fromStd(dst, img, formatGIF)
		return
	}
	var frame Image
	fromStd(&frame, img, formatGIF)
	CropPad(dst, &frame, Rect{-b.Min.X, -b.Min.Y, w, h})
}

// FromImage converts a picture of the standard library: gray types to one
// channel, all others to RGB, as [Decode] does. An image of the
// standard library has no orientation: see [Orient].
func FromImage(img image.Image) *Image {
	m := new(Image)
	fromStd(m, img, formatUnknown)
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
func fromStd(dst *Image, img image.Image, kind format) {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	switch m := img.(type) {
	case *image.YCbCr:
		switch {
		case kind == formatWebP:
			webpToRGB(dst, m)
			return
		case wholeChroma(m):
			jpegToRGB(dst, m, Rect{0, 0, w, h}, true)
			return
		}
	case *image.NYCbCrA:
		if kind == formatWebP {
			webpToRGB(dst, &m.YCbCr)
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
			k := 255 - int(p[3])
			for c := range out {
				out[c] = uint8(k - min(k, mulDiv255(int(p[c]), k)))
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
