package segmentation

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"

	"golang.org/x/image/bmp"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

// reading is how the values of masks become classes. The zero value takes palette
// indices and gray values as they are in the file, those of 1, 2 and 4 bits, too: 1 is
// class 1, and not the white that it is shown as.
type reading struct {
	colors map[[3]uint8]uint8 // the class of each color; nil for classes by value
	values *[256]int16        // the class of each value, -1 for none; nil for the value itself
}

// errColors is the error of a mask of colors where values are expected.
var errColors = errors.New("the mask has colors and no palette: name the class of each color in a file classes.csv of the data, " +
	"with lines NAME,RED,GREEN,BLUE, or write masks whose gray values are class numbers")

// formats are the file formats of masks: those without loss, so that a class is
// never blended with another.
var formats = []struct {
	magic  string
	config func(*bytes.Reader) (image.Config, error)
	decode func(*bytes.Reader) (image.Image, error)
}{
	{"\x89PNG", func(r *bytes.Reader) (image.Config, error) { return png.DecodeConfig(r) }, func(r *bytes.Reader) (image.Image, error) { return png.Decode(r) }},
	{"GIF8", func(r *bytes.Reader) (image.Config, error) { return gif.DecodeConfig(r) }, func(r *bytes.Reader) (image.Image, error) { return gif.Decode(r) }},
	{"BM", func(r *bytes.Reader) (image.Config, error) { return bmp.DecodeConfig(r) }, func(r *bytes.Reader) (image.Image, error) { return bmp.Decode(r) }},
}

// decode writes the class of each pixel of a mask's file.
func (r *reading) decode(dst *imaging.Image, file []byte, maxPixels int) error {
	m, err := decodeFile(file, maxPixels)
	if err != nil {
		return err
	}
	if r.colors != nil {
		return r.byColor(dst, m)
	}
	step := grayStep(file)
	if err := values(dst, m, step); err != nil {
		return err
	}
	if r.values != nil {
		for i, v := range dst.Pix {
			class := r.values[v]
			if class < 0 && step > 1 { // a file of classes may have the gray value that programs show
				if shown := v * step; r.values[shown] != data.IgnoredClass {
					class = r.values[shown]
				}
			}
			if class < 0 {
				return fmt.Errorf("the mask has the value %d at x %d, y %d, which no class has: add it to the file of classes", v, i%dst.W, i/dst.W)
			}
			dst.Pix[i] = uint8(class)
		}
	}
	return nil
}

func decodeFile(file []byte, maxPixels int) (image.Image, error) {
	if maxPixels <= 0 {
		maxPixels = imaging.DefaultMaxPixels
	}
	for _, f := range formats {
		if !bytes.HasPrefix(file, []byte(f.magic)) {
			continue
		}
		c, err := f.config(bytes.NewReader(file))
		if err != nil {
			return nil, err
		}
		if c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height {
			return nil, fmt.Errorf("the mask has %d x %d pixels, must be 1 to %d", c.Width, c.Height, maxPixels)
		}
		m, err := f.decode(bytes.NewReader(file))
		if err != nil {
			return nil, err
		}
		if b := m.Bounds(); b.Dx() != c.Width || b.Dy() != c.Height { // a GIF's frame may be a part of it
			return nil, fmt.Errorf("the mask's first frame has %d x %d of its %d x %d pixels: write it as PNG", b.Dx(), b.Dy(), c.Width, c.Height)
		}
		return m, nil
	}
	if bytes.HasPrefix(file, []byte{0xff, 0xd8}) {
		return nil, errors.New("the mask is a JPEG file, which blends classes at their borders: write masks as PNG")
	}
	return nil, errors.New("the mask is not a PNG, GIF or BMP file")
}

// grayStep returns by what the values of a gray PNG of 1, 2 or 4 bits are multiplied
// when it is decoded, so that they reach from black to white; 1 for other files.
func grayStep(file []byte) uint8 {
	const depth, colorType, gray = 24, 25, 0 // bytes of the header
	if bytes.HasPrefix(file, []byte("\x89PNG")) && len(file) > colorType && file[colorType] == gray {
		switch file[depth] {
		case 1, 2, 4:
			return 255 / (1<<file[depth] - 1)
		}
	}
	return 1
}

// values writes the palette indices or gray values of a mask, which are those of its
// file: step is of grayStep.
func values(dst *imaging.Image, m image.Image, step uint8) error {
	b := m.Bounds()
	dst.Reset(b.Dx(), b.Dy(), 1)
	for y := range dst.H {
		row := dst.Row(y)
		switch m := m.(type) {
		case *image.Paletted:
			copy(row, m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):])
		case *image.Gray:
			copy(row, m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):])
		case *image.Gray16:
			for x := range row {
				v := m.Gray16At(b.Min.X+x, b.Min.Y+y).Y
				if v > 255 {
					return fmt.Errorf("the mask has value %d at x %d, y %d: classes are numbers up to 254, and 255 does not count", v, x, y)
				}
				row[x] = uint8(v)
			}
		default:
			for x := range row {
				c := rgb(m, b.Min.X+x, b.Min.Y+y)
				if c[0] != c[1] || c[1] != c[2] {
					return errColors
				}
				row[x] = c[0]
			}
		}
	}
	if step > 1 {
		for i := range dst.Pix {
			dst.Pix[i] /= step
		}
	}
	return nil
}

func rgb(m image.Image, x, y int) [3]uint8 {
	c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
	return [3]uint8{c.R, c.G, c.B}
}

// byColor writes the class of each pixel's color.
func (r *reading) byColor(dst *imaging.Image, m image.Image) error {
	b := m.Bounds()
	dst.Reset(b.Dx(), b.Dy(), 1)
	var last [3]uint8
	class, known := r.colors[last]
	for y := range dst.H {
		row := dst.Row(y)
		for x := range row {
			if c := rgb(m, b.Min.X+x, b.Min.Y+y); c != last || !known {
				if class, known = r.colors[c]; !known {
					return fmt.Errorf("the mask has the color %d,%d,%d at x %d, y %d, which no class has: add it to the file of classes", c[0], c[1], c[2], x, y)
				}
				last = c
			}
			row[x] = class
		}
	}
	return nil
}

// nothing returns the mapping in which only the value of pixels that do not count
// has a meaning.
func nothing() *[256]int16 {
	var v [256]int16
	for i := range v {
		v[i] = -1
	}
	v[data.IgnoredClass] = data.IgnoredClass
	return &v
}
