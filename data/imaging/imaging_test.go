package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/philox"
)

// tiffWith returns an EXIF block with one directory of that many filler
// entries and the orientation.
func tiffWith(order binary.AppendByteOrder, filler int, orientation uint16) []byte {
	b := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, uint16(filler+1))
	entry := func(tag, value uint16) {
		b = order.AppendUint16(b, tag)
		b = order.AppendUint16(b, 3)
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, value)
		b = append(b, 0, 0)
	}
	for range filler {
		entry(0x0100, 640)
	}
	entry(0x0112, orientation)
	return b
}

func TestOrientationEverywhere(t *testing.T) {
	for o := uint16(0); o < 10; o++ {
		want := int(o)
		if o < 1 || o > 8 {
			want = 1
		}
		for _, tiff := range [][]byte{tiffWith(binary.LittleEndian, 2, o), tiffWith(binary.BigEndian, 0, o)} {
			exif := append([]byte("Exif\x00\x00"), tiff...)
			// After another application segment and a fill byte.
			jpeg := []byte("\xff\xd8\xff\xe1\x00\x08http:/\xff\xff\xe1")
			jpeg = binary.BigEndian.AppendUint16(jpeg, uint16(len(exif)+2))
			jpeg = append(jpeg, exif...)
			png := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x00IDAT\x00\x00\x00\x00")
			png = binary.BigEndian.AppendUint32(png, uint32(len(tiff)))
			png = append(append(png, "eXIf"...), tiff...)
			png = append(png, 0, 0, 0, 0)
			webp := []byte("RIFF\x00\x00\x00\x00WEBPVP8 \x01\x00\x00\x00\x00\x00EXIF")
			webp = binary.LittleEndian.AppendUint32(webp, uint32(len(tiff)))
			webp = append(webp, tiff...)
			for name, file := range map[string][]byte{"JPEG": jpeg, "PNG": png, "WebP": webp} {
				if got := Orientation(file); got != want {
					t.Errorf("%s with orientation %d: %d", name, o, got)
				}
				for n := range file { // cut short anywhere
					if got := Orientation(file[:n]); got != 1 && got != want {
						t.Errorf("%s cut to %d bytes: %d", name, n, got)
					}
				}
			}
		}
	}
}

// A PNG that is turned by its EXIF block, read by Decode.
func TestDecodeTurnsPNG(t *testing.T) {
	b := readGolden(t, "formats", "rgb16.png")
	tiff := tiffWith(binary.BigEndian, 0, 6)
	chunk := append([]byte("eXIf"), tiff...)
	at := 8 + 25 // after IHDR
	var file []byte
	file = append(file, b[:at]...)
	file = binary.BigEndian.AppendUint32(file, uint32(len(tiff)))
	file = append(file, chunk...)
	file = binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(chunk))
	file = append(file, b[at:]...)
	turned, err := Decode(file, DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := Decode(file, DecodeOptions{IgnoreOrientation: true})
	if err != nil {
		t.Fatal(err)
	}
	if turned.W != stored.H || turned.H != stored.W {
		t.Fatalf("%d x %d became %d x %d", stored.W, stored.H, turned.W, turned.H)
	}
	// A quarter turn with the clock: the lower left corner comes to the top left.
	if !slices.Equal(turned.Pix[:3], stored.Row(stored.H - 1)[:3]) {
		t.Error("not turned with the clock")
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want string
		is   error
	}{
		{"empty", nil, "empty", ErrFormat},
		{"text", []byte("hello, world"), `"hello, w"`, ErrFormat},
		{"html", []byte("<!DOCTYPE html>"), "web page", ErrFormat},
	} {
		_, err := Decode(c.data, DecodeOptions{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	files, err := filepath.Glob(filepath.Join("..", "testdata", "formats", "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".rgb.png") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 5, 20, len(b) / 5} { // the animation's first frame ends before the quarter
			if _, err := Decode(b[:n], DecodeOptions{}); err == nil {
				t.Errorf("%s cut to %d bytes decodes", name, n)
			}
		}
		m, err := Decode(b, DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b, DecodeOptions{MaxPixels: m.W*m.H - 1}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s above the limit: %v", name, err)
		}
		if _, err := Decode(b, DecodeOptions{MaxPixels: m.W * m.H}); err != nil {
			t.Errorf("%s at the limit: %v", name, err)
		}
	}
}

// A header that promises four billion pixels must be refused without making
// room for them.
func TestBomb(t *testing.T) {
	b := slices.Clone(readGolden(t, "formats", "rgb.bmp"))
	binary.LittleEndian.PutUint32(b[18:], 1<<16)
	binary.LittleEndian.PutUint32(b[22:], 1<<16)
	if _, err := Decode(b, DecodeOptions{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a BMP of 65536 x 65536: %v", err)
	}
	// WebP's extended header may promise less than its frame has.
	for _, name := range []string{"lossy.webp", "lossless.webp"} {
		frame := readGolden(t, "formats", name)[12:]
		for _, big := range []bool{false, true} {
			body := slices.Clone(frame)
			if big && name == "lossy.webp" {
				binary.LittleEndian.PutUint16(body[8+6:], 16383)
				binary.LittleEndian.PutUint16(body[8+8:], 16383)
			} else if big {
				binary.LittleEndian.PutUint32(body[8+1:], 16383|16383<<14)
			}
			file := []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00")
			file = append(file, 0, 0, 0, 0, 0, 0) // 1 x 1
			file = append(file, body...)
			binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
			_, err := Decode(file, DecodeOptions{})
			if big != errors.Is(err, ErrTooLarge) {
				t.Errorf("%s, made large %v: %v", name, big, err)
			}
		}
	}
}

// A frame that covers part of the screen.
func TestGIFFrame(t *testing.T) {
	gif := slices.Clone(readGolden(t, "formats", "still.gif"))
	small, err := Decode(gif, DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, h := small.W, small.H
	binary.LittleEndian.PutUint16(gif[6:], uint16(w+5))
	binary.LittleEndian.PutUint16(gif[8:], uint16(h+7))
	at := bytes.IndexByte(gif[13+3*(2<<(gif[10]&7)):], ',') + 13 + 3*(2<<(gif[10]&7))
	binary.LittleEndian.PutUint16(gif[at+1:], 3)
	binary.LittleEndian.PutUint16(gif[at+3:], 4)
	big, err := Decode(gif, DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if big.W != w+5 || big.H != h+7 {
		t.Fatalf("%d x %d, want %d x %d", big.W, big.H, w+5, h+7)
	}
	var part Image
	Crop(&part, big, Rect{3, 4, w, h})
	// Around it is color 0, as in Pillow.
	if !slices.Equal(part.Pix, small.Pix) || !slices.Equal(big.Pix[:3], gif[13:16]) {
		t.Error("the frame is not at its place on a screen of color 0")
	}
}

// Parts of pictures of all types, compared pixel by pixel with At.
func TestFromImage(t *testing.T) {
	r := image.Rect(3, 1, 14, 12)
	rng := philox.New(1, 1)
	fill := func(pix []uint8) {
		for i := range pix {
			pix[i] = uint8(rng.Uint32())
		}
	}
	whole := image.Rect(0, 0, 17, 15)
	gray, gray16 := image.NewGray(whole), image.NewGray16(whole)
	rgba, nrgba, opaque := image.NewRGBA(whole), image.NewNRGBA(whole), image.NewRGBA(whole)
	rgba64, nrgba64 := image.NewRGBA64(whole), image.NewNRGBA64(whole)
	cmyk, paletted := image.NewCMYK(whole), image.NewPaletted(whole, palette.Plan9)
	ycc, full, alpha := image.NewYCbCr(whole, image.YCbCrSubsampleRatio420), image.NewYCbCr(whole, image.YCbCrSubsampleRatio444), image.NewNYCbCrA(whole, image.YCbCrSubsampleRatio422)
	for _, pix := range [][]uint8{gray.Pix, gray16.Pix, nrgba.Pix, opaque.Pix, nrgba64.Pix, cmyk.Pix, paletted.Pix,
		ycc.Y, ycc.Cb, ycc.Cr, full.Y, full.Cb, full.Cr, alpha.Y, alpha.Cb, alpha.Cr, alpha.A} {
		fill(pix)
	}
	for y := range 15 {
		for x := range 17 {
			rgba.Set(x, y, color.NRGBA{200, 100, 50, uint8(64 + x)})
			rgba64.Set(x, y, color.NRGBA64{200 << 8, 100 << 8, 50 << 8, uint16(20000 + 999*x)})
			opaque.Pix[opaque.PixOffset(x, y)+3] = 255
		}
	}
	type sub interface {
		image.Image
		SubImage(image.Rectangle) image.Image
	}
	for _, m := range []sub{gray, gray16, rgba, nrgba, opaque, rgba64, nrgba64, cmyk, paletted, ycc, full, alpha} {
		part := m.SubImage(r)
		got := FromImage(part)
		name := fmt.Sprintf("%T", m)
		if got.W != 11 || got.H != 11 {
			t.Fatalf("%s: %d x %d", name, got.W, got.H)
		}
		rgb := new(Image)
		Convert(rgb, got, 3)
		for y := range 11 {
			for x := range 11 {
				c := color.NRGBAModel.Convert(part.At(3+x, 1+y)).(color.NRGBA)
				p := rgb.Row(y)[3*x : 3*x+3]
				for k, want := range []uint8{c.R, c.G, c.B} {
					if d := int(p[k]) - int(want); d < -2 || d > 2 {
						t.Fatalf("%s at (%d, %d): %v, want %v", name, x, y, p, c)
					}
				}
				if back := got.RGBA().RGBAAt(x, y); back != (color.RGBA{p[0], p[1], p[2], 255}) {
					t.Fatalf("%s: RGBA gives %v for %v", name, back, p)
				}
			}
		}
	}
}

// Chroma at half height is interpolated, at a quarter of the width repeated;
// compared with a plain computation.
func TestOtherChroma(t *testing.T) {
	rng := philox.New(2, 2)
	for ratio, width := range map[image.YCbCrSubsampleRatio]int{
		image.YCbCrSubsampleRatio440: 1, image.YCbCrSubsampleRatio411: 4, image.YCbCrSubsampleRatio410: 4,
	} {
		m := image.NewYCbCr(image.Rect(0, 0, 13, 9), ratio)
		for i := range m.Y {
			m.Y[i] = 128
		}
		for i := range m.Cb {
			m.Cb[i], m.Cr[i] = 128, uint8(100+rng.IntN(60))
		}
		got := FromImage(m)
		for y := range 9 {
			for x := range 13 {
				at := func(y int) float64 {
					y = min(max(y, 0), 8)
					return float64(m.Cr[m.COffset(x, y)])
				}
				cr := at(y)
				if width == 1 {
					cr = 0.75*at(y) + 0.25*at(y-1+2*(y%2))
				}
				want := 128 + 1.402*(cr-128)
				if d := float64(got.Row(y)[3*x]) - want; d < -1.5 || d > 1.5 {
					t.Fatalf("%v at (%d, %d): red %d, want %.1f", ratio, x, y, got.Row(y)[3*x], want)
				}
			}
		}
	}
}

// Turns that Pillow does without resampling.
func TestRotateRightAngles(t *testing.T) {
	m := New(3, 3, 1)
	m.Pix = []uint8{1, 2, 3, 4, 5, 6, 7, 8, 9}
	var out Image
	for degrees, want := range map[float64][]uint8{
		0: {1, 2, 3, 4, 5, 6, 7, 8, 9}, 90: {3, 6, 9, 2, 5, 8, 1, 4, 7}, -90: {7, 4, 1, 8, 5, 2, 9, 6, 3},
		180: {9, 8, 7, 6, 5, 4, 3, 2, 1}, 720: {1, 2, 3, 4, 5, 6, 7, 8, 9},
	} {
		if Rotate(&out, m, degrees); !slices.Equal(out.Pix, want) {
			t.Errorf("by %v: %v, want %v", degrees, out.Pix, want)
		}
	}
}

func TestResizeNearest(t *testing.T) {
	m := New(5, 1, 1)
	m.Pix = []uint8{10, 20, 30, 40, 50}
	var out Image
	// Pillow 9.4: Image.fromarray(row).resize((w, 1), Image.NEAREST)
	for _, c := range []struct {
		w    int
		want []uint8
	}{
		{2, []uint8{20, 40}}, {3, []uint8{10, 30, 50}}, {8, []uint8{10, 10, 20, 30, 30, 40, 50, 50}}, {5, m.Pix},
	} {
		Resize(&out, m, c.w, 1, Nearest)
		if !slices.Equal(out.Pix, c.want) {
			t.Errorf("to %d: %v, want %v", c.w, out.Pix, c.want)
		}
	}
}

func TestCropReflect(t *testing.T) {
	m := New(3, 2, 1)
	m.Pix = []uint8{1, 2, 3, 4, 5, 6}
	var out Image
	CropReflect(&out, m, Rect{-2, -1, 7, 4}) // numpy.pad(m, ((1, 1), (2, 2)), "reflect")
	want := []uint8{6, 5, 4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 2, 1, 6, 5, 4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 2, 1}
	if !slices.Equal(out.Pix, want) {
		t.Errorf("got %v, want %v", out.Pix, want)
	}
}

func TestMisuse(t *testing.T) {
	m := New(4, 4, 3)
	for name, f := range map[string]func(){
		"channels":       func() { New(1, 1, 4) },
		"outside":        func() { Crop(new(Image), m, Rect{1, 1, 4, 1}) },
		"resize outside": func() { ResizeRect(new(Image), m, Rect{0, 1, 4, 4}, 2, 2, Bilinear) },
		"no size":        func() { Resize(new(Image), m, 0, 2, Bilinear) },
		"filter":         func() { Resize(new(Image), m, 1, 2, "lanczos") },
		"bits":           func() { Posterize(m, 9) },
		"reflection":     func() { CropReflect(new(Image), m, Rect{-4, 0, 4, 4}) },
	} {
		func() {
			defer func() {
				if r, ok := recover().(string); !ok || !strings.HasPrefix(r, "imaging: ") {
					t.Errorf("%s: recovered %v", name, r)
				}
			}()
			f()
		}()
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("..", "testdata", "formats", "*.*"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		m, err := Decode(b, DecodeOptions{MaxPixels: limit})
		if err != nil {
			return
		}
		if m.W < 1 || m.H < 1 || m.W*m.H > limit || len(m.Pix) != m.W*m.H*m.C || m.C != 1 && m.C != 3 {
			t.Errorf("decoded to %d x %d x %d with %d bytes", m.W, m.H, m.C, len(m.Pix))
		}
	})
}

func FuzzOrientation(f *testing.F) {
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPEXIF\x08\x00\x00\x00II*\x00\x08\x00\x00\x00"))
	f.Add([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x08eXIfII*\x00\x08\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := Orientation(b); o < 1 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}
