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
	"strings"
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
func same(got *Picture, want image.Image) error { return near(got, want, 0) }

// near compares pictures whose values may differ by limit.
func near(got *Picture, want image.Image, limit uint8) error {
	g := asImage(got)
	if g, w := fmt.Sprintf("%T %v", g, g.Bounds()), fmt.Sprintf("%T %v", want, want.Bounds()); g != w {
		return fmt.Errorf("%s, not %s", g, w)
	}
	return nearPart(g, want, g.Bounds(), limit)
}

// asImage returns a picture as image/jpeg does, which repeats chroma.
func asImage(p *Picture) image.Image {
	r, y := image.Rect(0, 0, p.Width, p.Height), &p.Planes[0]
	if p.Model == Gray {
		return &image.Gray{Pix: y.Pix, Stride: y.Stride, Rect: r}
	}
	at := func(c, x, y int) uint8 {
		p := &p.Planes[c]
		return p.Pix[y/p.StepY*p.Stride+x/p.StepX]
	}
	switch cb, cr := &p.Planes[1], &p.Planes[2]; p.Model {
	case RGB:
		out := image.NewRGBA(r)
		for y := range p.Height {
			for x := range p.Width {
				out.SetRGBA(x, y, color.RGBA{at(0, x, y), at(1, x, y), at(2, x, y), 255})
			}
		}
		return out
	case CMYK, YCCK:
		out := image.NewCMYK(r)
		for y := range p.Height {
			for x := range p.Width {
				c, m, ye := at(0, x, y), at(1, x, y), at(2, x, y)
				if p.Model == YCCK {
					c, m, ye = color.YCbCrToRGB(c, m, ye)
				} else {
					c, m, ye = 255-c, 255-m, 255-ye
				}
				out.SetCMYK(x, y, color.CMYK{c, m, ye, 255 - at(3, x, y)})
			}
		}
		return out
	default:
		ratio := map[[2]int]image.YCbCrSubsampleRatio{
			{1, 1}: image.YCbCrSubsampleRatio444, {1, 2}: image.YCbCrSubsampleRatio440, {2, 1}: image.YCbCrSubsampleRatio422,
			{2, 2}: image.YCbCrSubsampleRatio420, {4, 1}: image.YCbCrSubsampleRatio411, {4, 2}: image.YCbCrSubsampleRatio410,
		}[[2]int{cb.StepX, cb.StepY}]
		return &image.YCbCr{Y: y.Pix, Cb: cb.Pix, Cr: cr.Pix, YStride: y.Stride, CStride: cb.Stride, SubsampleRatio: ratio, Rect: r}
	}
}

// likeStandard decodes data with a decoder and with image/jpeg, which must
// agree where image/jpeg reads the file, but for the rounding of its transform.
// That all values are Pillow's is a test of package imaging.
func likeStandard(d *Decoder, data []byte) error {
	want, err := standard(data)
	if err != nil {
		return nil
	}
	got, err := d.Decode(data, Options{})
	if err != nil {
		return fmt.Errorf("error %v, which image/jpeg does not find", err)
	}
	limit := uint8(1)
	if got.Model == CMYK || got.Model == YCCK { // converted from YCbCr
		limit = 3
	}
	return near(got, want, limit)
}

func standard(data []byte) (m image.Image, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return jpeg.Decode(bytes.NewReader(data))
}

func TestLikeImageJPEG(t *testing.T) {
	var used Decoder
	for name, data := range files(t) {
		var fresh Decoder
		for _, d := range []*Decoder{&fresh, &used, &used} {
			if name == "video-001.progressive.truncated.jpeg" {
				continue // image/jpeg does not smooth what missing scans leave coarse
			}
			if err := likeStandard(d, data); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		w, h, err := used.Size(data)
		cfg, cfgErr := jpeg.DecodeConfig(bytes.NewReader(data))
		if w != cfg.Width || h != cfg.Height || (err == nil) != (cfgErr == nil) {
			t.Errorf("%s: size %d x %d, %v; want %d x %d, %v", name, w, h, err, cfg.Width, cfg.Height, cfgErr)
		}
	}
}

// A file that is cut off is an error, except where only the end marker is missing; a
// changed byte may be one; and neither is ever a panic. A part of a damaged picture
// is that part of the whole.
func TestDamage(t *testing.T) {
	var d, part Decoder
	for name, data := range files(t) {
		data = data[:bytes.LastIndex(data, []byte{0xff, eoiMarker})+2]
		step := max(1, len(data)/12)
		for at := 0; at < len(data)-2; at += step {
			if _, err := d.Decode(data[:at], Options{}); err == nil {
				t.Errorf("%s cut off after %d of %d bytes is no error", name, at, len(data))
			}
			damaged := bytes.Clone(data)
			damaged[at] ^= 1 << (at % 8)
			w, h, err := d.Size(damaged)
			if err != nil || w*h > 1<<20 || w == 0 || h == 0 {
				continue
			}
			whole, err := d.Decode(damaged, Options{})
			got, partErr := part.Decode(damaged, Options{Part: image.Rect(w/3, h/3, w/3+1, h/3+1)})
			if (err == nil) != (partErr == nil) {
				t.Fatalf("%s with byte %d changed: error %v, of a part %v", name, at, err, partErr)
			}
			if err == nil {
				for c := range whole.Planes {
					g, w := &got.Planes[c], &whole.Planes[c]
					x, y := whole.Width/3/w.StepX, whole.Height/3/w.StepY
					if a, b := g.Pix[y*g.Stride+x], w.Pix[y*w.Stride+x]; a != b {
						t.Errorf("%s with byte %d changed: component %d is %d in a part, %d in the whole", name, at, c, a, b)
					}
				}
			}
		}
		if strings.Contains(name, "truncated") {
			continue // which lacks scans as well
		}
		for _, end := range []int{1, 2} {
			got, err := d.Decode(data[:len(data)-end], Options{})
			if err != nil {
				t.Errorf("%s without the last %d bytes: %v", name, end, err)
				continue
			}
			want, err := part.Decode(data, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := same(got, asImage(want)); err != nil {
				t.Errorf("%s without the last %d bytes: %v", name, end, err)
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
func samePart(got, want image.Image, r image.Rectangle) error { return nearPart(got, want, r, 0) }

func nearPart(got, want image.Image, r image.Rectangle, limit uint8) error {
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
			for k := range a {
				if max(a[k], b[k])-min(a[k], b[k]) <= limit {
					continue
				}
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
			b := image.Rect(0, 0, want.Width, want.Height)
			for i := range 12 {
				x, y := b.Dx()*i/13, b.Dy()*(i*5%12)/13
				r := image.Rect(x, y, x+1+b.Dx()*i/20, y+1+b.Dy()/(1+i)).Intersect(b)
				for c := range part.comp { // what is left of before must not show
					for j := range part.comp[c].pix {
						part.comp[c].pix[j] = 99
					}
				}
				got, err := part.Decode(data, Options{Shift: shift, Part: r})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got.Width != b.Dx() || got.Height != b.Dy() {
					t.Fatalf("%s: part of %d x %d, whole of %v", name, got.Width, got.Height, b)
				}
				if err := samePart(asImage(got), asImage(want), r); err != nil {
					t.Errorf("%s at 1/%d, part %v: %v", name, 1<<shift, r, err)
				}
			}
		}
	}
}

// What comes behind the data of a picture changes nothing, also if it is the header of
// another kind of frame.
func TestFramesBehindThePicture(t *testing.T) {
	for name, data := range files(t) {
		if strings.Contains(name, "truncated") { // which lacks scans
			continue
		}
		end := bytes.LastIndex(data, []byte{0xff, eoiMarker})
		at := bytes.IndexByte(data, 0xff)
		for data[at+1] < sof0Marker || data[at+1] > sof2Marker {
			at += bytes.IndexByte(data[at+2:], 0xff) + 2
		}
		header := data[at : at+2+int(data[at+2])<<8+int(data[at+3])]
		var d, other Decoder
		want, err := d.Decode(data, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, marker := range []uint8{sof0Marker, sof2Marker, sof3Marker, sof9Marker, sof10Marker, 0xc5} {
			longer := append(bytes.Clone(data[:end]), header...)
			longer[end+1] = marker
			got, err := other.Decode(append(longer, 0xff, eoiMarker), Options{})
			if err != nil {
				t.Errorf("%s with SOF%d behind it: %v", name, marker-sof0Marker, err)
				continue
			}
			if err := same(got, asImage(want)); err != nil {
				t.Errorf("%s with SOF%d behind it: %v", name, marker-sof0Marker, err)
			}
		}
	}
}

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
		p, err := d.Decode(buf.Bytes(), Options{Shift: shift})
		if err != nil {
			t.Fatal(err)
		}
		got := asImage(p)
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

// Of any bytes, a part is that of the whole, and nothing of the picture before shows.
func FuzzDecode(f *testing.F) {
	for _, data := range files(f) {
		if len(data) < 20000 {
			f.Add(data, uint8(1), uint16(3), uint16(5))
		}
	}
	var used Decoder
	f.Fuzz(func(t *testing.T, data []byte, shift uint8, x, y uint16) {
		w, h, err := used.Size(data)
		if err != nil || w*h > 1<<20 || w == 0 || h == 0 {
			return
		}
		var fresh Decoder
		n := int(shift % 4)
		whole, err := fresh.Decode(data, Options{Shift: n})
		if err != nil {
			if _, err := used.Decode(data, Options{Shift: n}); err == nil {
				t.Fatal("an error the first time only")
			}
			return
		}
		px, py := int(x)%whole.Width, int(y)%whole.Height
		opt := Options{Shift: n, Part: image.Rect(px, py, px+1, py+1)}
		var part *Picture
		if shift&4 == 0 {
			part, err = used.Decode(data, opt)
		} else if _, err = used.Decode(data, Options{Shift: int(shift >> 3 % 4), Keep: true}); err == nil {
			part = used.Again(opt)
		}
		if err != nil {
			t.Fatal(err)
		}
		for c := range whole.Planes {
			p, q := &whole.Planes[c], &part.Planes[c]
			at := py/p.StepY*p.Stride + px/p.StepX
			if p.Pix[at] != q.Pix[at] {
				t.Errorf("component %d of (%d, %d) is %d in a part, %d in the whole", c, px, py, q.Pix[at], p.Pix[at])
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

// A picture that is kept gives the same for other options as the file.
func TestAgain(t *testing.T) {
	var kept, other Decoder
	for name, data := range files(t) {
		first, err := kept.Decode(data, Options{Shift: 1, Part: image.Rect(0, 0, 3, 2), Keep: true})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := other.Decode(data, Options{Shift: 1, Part: image.Rect(0, 0, 3, 2)})
		if err != nil {
			t.Fatal(err)
		}
		if err := samePart(asImage(first), asImage(want), image.Rect(0, 0, 3, 2)); err != nil {
			t.Errorf("%s, the first time: %v", name, err)
		}
		for i, shift := range []int{0, 3, 1, 2, 0} {
			want, err := other.Decode(data, Options{Shift: shift})
			if err != nil {
				t.Fatal(err)
			}
			r := image.Rect(want.Width*i/6, want.Height*i/7, want.Width, want.Height)
			got := kept.Again(Options{Shift: shift, Part: r})
			if err := samePart(asImage(got), asImage(want), r); err != nil {
				t.Errorf("%s, time %d, at 1/%d: %v", name, i, 1<<shift, err)
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic without a picture that is kept")
		}
	}()
	if _, _, err := kept.Size(files(t)["chroma420.jpg"]); err != nil {
		t.Fatal(err)
	}
	kept.Again(Options{})
}
