package resnet

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"io"
	"io/fs"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/limitread"
)

// Picture is something to recognize: see [File], [Reader], [Encoded], [Image] and
// [PictureFunc].
type Picture struct {
	// Name is what results and errors call the picture.
	Name string

	load func(opt imaging.DecodeOptions) (*imaging.Image, error)
}

// File is a picture in a file of a format that [imaging.Decode] reads: JPEG, PNG, GIF,
// WebP, BMP, TIFF, PPM. The file is opened when the picture is decoded.
func File(path string) Picture {
	return Picture{path, func(opt imaging.DecodeOptions) (*imaging.Image, error) {
		b, err := limitread.File(path, data.DefaultMaxFileBytes)
		if err != nil {
			return nil, err
		}
		return imaging.Decode(b, opt)
	}}
}

// Reader is an encoded picture. r is read when the picture is decoded.
func Reader(name string, r io.Reader) Picture {
	return Picture{name, func(opt imaging.DecodeOptions) (*imaging.Image, error) { return decode(r, opt) }}
}

// Encoded is the bytes of a picture's file.
func Encoded(name string, file []byte) Picture {
	return Reader(name, bytes.NewReader(file))
}

// Image is a decoded picture. Alpha is dropped, not blended, and 16 bits become
// 8 by their upper byte, as when a file is decoded. An image has no
// EXIF orientation: turn it first.
func Image(m image.Image) Picture {
	return Picture{"image", func(imaging.DecodeOptions) (*imaging.Image, error) { return fromImage(m), nil }}
}

// pictureError is the error of a picture, with the picture's name once.
type pictureError struct {
	name string
	err  error
}

// named returns an error that begins with the name of a picture.
func named(name string, err error) error { return &pictureError{name, err} }

// Error leaves out the name, and the system call, where the error has them too.
func (e *pictureError) Error() string {
	text := e.err.Error()
	var p *fs.PathError
	if errors.As(e.err, &p) && p.Path == e.name && text == p.Error() {
		text = p.Err.Error()
	}
	if strings.HasPrefix(text, e.name+": ") || strings.HasPrefix(text, e.name+" ") {
		return text
	}
	return e.name + ": " + text
}

// Unwrap returns the cause.
func (e *pictureError) Unwrap() error { return e.err }

// Pixels is a decoded picture, the right way up. It must not be changed until the
// model has answered.
func Pixels(name string, m *imaging.Image) Picture {
	return Picture{name, func(imaging.DecodeOptions) (*imaging.Image, error) { return m, nil }}
}

// PictureFunc is a picture that load decodes, the right way up, when its turn comes; load
// may be called by several goroutines at once for several pictures.
func PictureFunc(name string, load func(opt imaging.DecodeOptions) (*imaging.Image, error)) Picture {
	return Picture{name, load}
}

// Decode returns the pixels of the picture, the right way up unless opt leaves it as
// stored. A picture of [Reader] can be decoded once.
func (p Picture) Decode(opt imaging.DecodeOptions) (*imaging.Image, error) { return p.load(opt) }

// decode returns how pictures are decoded.
func (o *Options) decode() imaging.DecodeOptions {
	return imaging.DecodeOptions{MaxPixels: o.MaxPixels, IgnoreOrientation: o.IgnoreOrientation}
}

func decode(r io.Reader, opt imaging.DecodeOptions) (*imaging.Image, error) {
	b, err := limitread.All(r, nil, data.DefaultMaxFileBytes)
	if err != nil {
		return nil, err
	}
	return imaging.Decode(b, opt)
}

// fromImage converts any image to 8-bit gray or RGB.
func fromImage(m image.Image) *imaging.Image {
	b := m.Bounds()
	if g, ok := m.(*image.Gray); ok {
		out := imaging.New(b.Dx(), b.Dy(), 1)
		for y := range out.H {
			copy(out.Row(y), g.Pix[g.PixOffset(b.Min.X, b.Min.Y+y):])
		}
		return out
	}
	out := imaging.New(b.Dx(), b.Dy(), 3)
	for y := range out.H {
		row := out.Row(y)
		for x := range out.W {
			c := color.NRGBA64Model.Convert(m.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA64)
			row[3*x], row[3*x+1], row[3*x+2] = uint8(c.R>>8), uint8(c.G>>8), uint8(c.B>>8)
		}
	}
	return out
}
