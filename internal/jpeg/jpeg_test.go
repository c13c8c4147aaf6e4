package jpeg

import (
	"bytes"
	"fmt"
	"go/build"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
)

// files returns JPEG files of all kinds: this repository's, and those of the Go
// distribution's tests where its source is.
func files(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, pattern := range []string{
		filepath.Join("..", "..", "data", "testdata", "*", "*.jp*g"),
		filepath.Join("testdata", "*.jpg"),
		filepath.Join(build.Default.GOROOT, "src", "image", "testdata", "*.jpeg"),
	} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(name)] = b
		}
	}
	if len(all) < 5 {
		t.Fatalf("only %d files", len(all))
	}
	return all
}

// same compares pictures value by value.
func same(got, want image.Image) error {
	if g, w := fmt.Sprintf("%T %v", got, got.Bounds()), fmt.Sprintf("%T %v", want, want.Bounds()); g != w {
		return fmt.Errorf("%s, not %s", g, w)
	}
	return samePart(got, want, got.Bounds())
}

// likeStandard decodes data with a decoder and with image/jpeg, which must
// agree.
func likeStandard(d *Decoder, data []byte) error {
	want, wantErr := standard(data)
	got, err := d.Decode(data, Options{})
	if (err == nil) != (wantErr == nil) {
		return fmt.Errorf("error %v, of image/jpeg %v", err, wantErr)
	}
	if err != nil {
		return nil
	}
	return same(got, want)
}

func standard(data []byte) (m image.Image, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return jpeg.Decode(bytes.NewReader(data))
}

func TestEqualsImageJPEG(t *testing.T) {
	var used Decoder
	for name, data := range files(t) {
		var fresh Decoder
		for _, d := range []*Decoder{&fresh, &used, &used} {
			if err := likeStandard(d, data); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		w, h, err := used.Size(data)
		cfg, cfgErr := jpeg.DecodeConfig(bytes.NewReader(data))
		if w != cfg.Width || h != cfg.Height || (err == nil) != (cfgErr == nil) {
			t.Errorf("%s: size %d x %d, %v; want %d x %d, %v", name, w, h, err, cfg.Width, cfg.Height, cfgErr)
		}
		// Cut off anywhere, and with a byte changed anywhere.
		step := max(1, len(data)/60)
		for at := 0; at < len(data); at += step {
			if err := likeStandard(&used, data[:at]); err != nil {
				t.Errorf("%s cut off after %d bytes: %v", name, at, err)
			}
			damaged := bytes.Clone(data)
			damaged[at] ^= 1 << (at % 8)
			if w, h, err := used.Size(damaged); err == nil && w*h > 1<<20 {
				continue
			}
			if err := likeStandard(&used, damaged); err != nil {
				t.Errorf("%s with byte %d changed: %v", name, at, err)
			}
		}
	}
}

// plane is a plane of a picture, whose samples are sx by sy pixels.
type plane struct {
	pix            []uint8
	stride, sx, sy int
}

func planes(m image.Image) []plane {
	switch m := m.(type) {
	case *image.Gray:
		return []plane{{m.Pix, m.Stride, 1, 1}}
	case *image.YCbCr:
		sx, sy := 1, 1
		switch m.SubsampleRatio {
		case image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420:
			sx = 2
		case image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410:
			sx = 4
		}
		switch m.SubsampleRatio {
		case image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio410:
			sy = 2
		}
		return []plane{{m.Y, m.YStride, 1, 1}, {m.Cb, m.CStride, sx, sy}, {m.Cr, m.CStride, sx, sy}}
	case *image.RGBA:
		return []plane{{m.Pix, m.Stride, 1, 1}}
	case *image.CMYK:
		return []plane{{m.Pix, m.Stride, 1, 1}}
	}
	panic(fmt.Sprintf("%T", m))
}

// samePart compares the values of a part.
func samePart(got, want image.Image, r image.Rectangle) error {
	g, w := planes(got), planes(want)
	wide := 1
	switch got.(type) {
	case *image.RGBA, *image.CMYK:
		wide = 4
	}
	if y, ok := got.(*image.YCbCr); ok && y.SubsampleRatio != want.(*image.YCbCr).SubsampleRatio {
		return fmt.Errorf("chroma is %v, not %v", y.SubsampleRatio, want.(*image.YCbCr).SubsampleRatio)
	}
	if r.Empty() {
		return nil
	}
	for i, p := range g {
		x0, x1 := r.Min.X/p.sx*wide, (r.Max.X+p.sx-1)/p.sx*wide
		for y := r.Min.Y / p.sy; y < (r.Max.Y+p.sy-1)/p.sy; y++ {
			a, b := p.pix[y*p.stride:][x0:x1], w[i].pix[y*w[i].stride:][x0:x1]
			if !bytes.Equal(a, b) {
				return fmt.Errorf("plane %d, row %d, columns %d to %d: %v, not %v", i, y, x0, x1, a, b)
			}
		}
	}
	return nil
}

func TestPartsEqualTheWhole(t *testing.T) {
	for name, data := range files(t) {
		for shift := range 4 {
			var whole, part Decoder
			want, err := whole.Decode(data, Options{Shift: shift})
			if err != nil {
				continue
			}
			b := want.Bounds()
			for i := range 12 {
				x, y := b.Dx()*i/13, b.Dy()*(i*5%12)/13
				r := image.Rect(x, y, x+1+b.Dx()*i/20, y+1+b.Dy()/(1+i)).Intersect(b)
				if ycc, ok := part.last(); ok { // what is left of before must not show
					for _, p := range [][]uint8{ycc.Y, ycc.Cb, ycc.Cr} {
						for j := range p {
							p[j] = 99
						}
					}
				}
				got, err := part.Decode(data, Options{Shift: shift, Part: r})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got.Bounds() != b {
					t.Fatalf("%s: part of %v, whole of %v", name, got.Bounds(), b)
				}
				if err := samePart(got, want, r); err != nil {
					t.Errorf("%s at 1/%d, part %v: %v", name, 1<<shift, r, err)
				}
			}
		}
	}
}

func (d *Decoder) last() (*image.YCbCr, bool) { return &d.ycc, d.ycc.Y != nil }

// A flat picture is as flat at any scale, and a gradient's scaled values are
// the means of the pixels that they stand for.
func TestScaled(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 83, 61))
	for y := range 61 {
		for x := range 83 {
			m.SetGray(x, y, color.Gray{Y: uint8(3*x/2 + 2*y)})
		}
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, m, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	var d Decoder
	for shift := range 4 {
		n := 1 << shift
		got, err := d.Decode(buf.Bytes(), Options{Shift: shift})
		if err != nil {
			t.Fatal(err)
		}
		if b := got.Bounds(); b.Dx() != (83+n-1)/n || b.Dy() != (61+n-1)/n {
			t.Fatalf("1/%d has %v", n, b)
		}
		for y := range 61 / n {
			for x := range 83 / n {
				sum := 0
				for j := range n * n {
					sum += int(m.GrayAt(x*n+j%n, y*n+j/n).Y)
				}
				g, w := int(got.(*image.Gray).GrayAt(x, y).Y), sum/(n*n)
				if g < w-2 || g > w+2 {
					t.Fatalf("1/%d at (%d, %d): %d, the mean is %d", n, x, y, g, w)
				}
			}
		}
	}
}

func TestNoGarbage(t *testing.T) {
	data := files(t)["chroma420.jpg"]
	if data == nil {
		t.Fatal("no file")
	}
	var d Decoder
	for shift := range 4 {
		opt := Options{Shift: shift, Part: image.Rect(1, 1, 4, 4)}
		decode := func() {
			if _, err := d.Decode(data, opt); err != nil {
				t.Fatal(err)
			}
		}
		decode()
		if n := testing.AllocsPerRun(10, decode); n != 0 {
			t.Errorf("1/%d: %v allocations", 1<<shift, n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range files(f) {
		if len(data) < 20000 {
			f.Add(data, uint8(1), uint16(3), uint16(5))
		}
	}
	var d Decoder
	f.Fuzz(func(t *testing.T, data []byte, shift uint8, x, y uint16) {
		w, h, err := d.Size(data)
		if err != nil || w*h > 1<<20 || w == 0 || h == 0 {
			return
		}
		if err := likeStandard(&d, data); err != nil {
			t.Error(err)
		}
		n := int(shift%3) + 1
		opt := Options{Shift: n, Part: image.Rect(int(x)%w>>n, int(y)%h>>n, int(x)%w>>n+9, int(y)%h>>n+3)}
		if m, err := d.Decode(data, opt); err == nil {
			b := m.Bounds()
			for y := b.Min.Y; y < b.Max.Y; y++ {
				m.At(b.Min.X, y)
				m.At(b.Max.X-1, y)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	name := os.Getenv("RESNET_JPEG")
	if name == "" {
		b.Skip("set RESNET_JPEG to a file")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	var d Decoder
	b.Run("standard", func(b *testing.B) {
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
	for shift := range 4 {
		b.Run(fmt.Sprintf("1_%d", 1<<shift), func(b *testing.B) {
			for b.Loop() {
				if _, err := d.Decode(data, Options{Shift: shift}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
