package imaging

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Pictures at reduced sizes equal Pillow's Image.draft.
func TestReducedAsPillow(t *testing.T) {
	var cases []struct {
		In, Out string
		Scale   int
		Box     []float64
		Size    [2]int
	}
	if err := json.Unmarshal(readGolden(t, "draft", "index.json"), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 20 {
		t.Fatalf("only %d cases", len(cases))
	}
	var r Reader
	for _, c := range cases {
		t.Run(c.Out, func(t *testing.T) {
			if err := r.Open(readGolden(t, "draft", c.In), DecodeOptions{}); err != nil {
				t.Fatal(err)
			}
			m, got := new(Image), new(Image)
			at, err := r.DecodePart(m, Rect{0, 0, r.W, r.H}, c.Scale)
			if err != nil {
				t.Fatal(err)
			}
			if n := float64(c.Scale); at.W != float64(r.W)/n || at.H != float64(r.H)/n {
				t.Errorf("the part is %+v of %d x %d", at, r.W, r.H)
			}
			Convert(got, m, 3)
			if b := c.Box; b != nil {
				small := new(Image)
				ResizeRegion(small, got, Region{b[0], b[1], b[2] - b[0], b[3] - b[1]}, c.Size[0], c.Size[1], Bilinear)
				got = small
			}
			if largest, count := difference(got, readPNG(t, "draft", c.Out)); largest > 0 {
				t.Errorf("%d of %d values differ, by up to %d", count, len(got.Pix), largest)
			}
		})
	}
}

// partFiles are all files of the goldens that have pixels.
func partFiles(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, folder := range []string{"formats", "draft"} {
		names, err := filepath.Glob(filepath.Join("..", "testdata", folder, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if filepath.Ext(name) == ".json" {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = b
		}
	}
	return all
}

// A part is the crop of the whole; at a reduced size, that of the reduced whole.
func TestDecodePart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var r Reader
	whole, part, want := new(Image), new(Image), new(Image)
	for name, data := range partFiles(t) {
		for _, reduce := range []int{1, 2, 4, 8} {
			if err := r.Open(data, DecodeOptions{}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w, h := r.W, r.H
			all, err := r.DecodePart(whole, Rect{0, 0, w, h}, reduce)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			n := int(float64(w)/all.W + 0.5) // 1 for what cannot be reduced
			if n != reduce && n != 1 {
				t.Fatalf("%s: reduced by %d, not %d", name, n, reduce)
			}
			if n == 1 {
				if full, err := Decode(data, DecodeOptions{}); err != nil || string(full.Pix) != string(whole.Pix) {
					t.Fatalf("%s: not as Decode: %v", name, err)
				}
			}
			for range 10 {
				p := Rect{X: rng.IntN(w), Y: rng.IntN(h)}
				p.W, p.H = 1+rng.IntN(w-p.X), 1+rng.IntN(h-p.Y)
				if err := r.Open(data, DecodeOptions{}); err != nil {
					t.Fatal(err)
				}
				at, err := r.DecodePart(part, p, reduce)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if at.W != float64(p.W)/float64(n) || at.H != float64(p.H)/float64(n) || at.X < 0 || at.Y < 0 ||
					at.X+at.W > float64(part.W) || at.Y+at.H > float64(part.H) || at.X >= 1 || at.Y >= 1 {
					t.Fatalf("%s: part %+v reduced by %d is %+v of %d x %d", name, p, n, at, part.W, part.H)
				}
				// Where the part lies in the reduced whole.
				x, y := all.X+float64(p.X)/float64(n)-at.X, all.Y+float64(p.Y)/float64(n)-at.Y
				if x != float64(int(x)) || y != float64(int(y)) {
					t.Fatalf("%s: part %+v reduced by %d begins at %g, %g", name, p, n, x, y)
				}
				Crop(want, whole, Rect{int(x), int(y), part.W, part.H})
				if largest, count := difference(part, want); largest > 0 {
					t.Fatalf("%s: part %+v reduced by %d: %d values differ", name, p, n, count)
				}
			}
		}
	}
}

func TestResizeRegionOfWholePixels(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	m, cut, a, b := New(37, 29, 3), new(Image), new(Image), new(Image)
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.IntN(256))
	}
	for _, f := range []Filter{Nearest, Box, Bilinear, Bicubic} {
		for _, size := range [][2]int{{37, 29}, {12, 40}, {5, 3}, {37, 10}} {
			Resize(a, m, size[0], size[1], f)
			ResizeRegion(b, m, Region{0, 0, 37, 29}, size[0], size[1], f)
			if largest, _ := difference(a, b); largest > 0 {
				t.Errorf("%s to %v: the whole region is not the whole", f, size)
			}
		}
	}
	// Without antialiasing's reach, a region is as good as a crop.
	r := Rect{5, 7, 20, 16}
	Crop(cut, m, r)
	Resize(a, cut, 10, 8, Box)
	ResizeRegion(b, m, Region{5, 7, 20, 16}, 10, 8, Box)
	if largest, _ := difference(a, b); largest > 0 {
		t.Error("averages of a region and of a crop differ")
	}
}

func TestReaderRefuses(t *testing.T) {
	var r Reader
	if err := r.Decode(new(Image)); err == nil {
		t.Error("decoded without a file")
	}
	data := readGolden(t, "draft", "420.jpg")
	if err := r.Open(data[:len(data)-200], DecodeOptions{}); err != nil {
		t.Fatal(err)
	}
	// A damaged file is an error also where its part is not.
	if _, err := r.DecodePart(new(Image), Rect{0, 0, 8, 8}, 1); err == nil {
		t.Error("a file that is cut off gives its beginning")
	}
	for _, f := range []func(){
		func() { r.DecodePart(new(Image), Rect{0, 0, 200, 8}, 1) },
		func() { r.DecodePart(new(Image), Rect{0, 0, 0, 8}, 1) },
		func() { r.DecodePart(new(Image), Rect{0, 0, 8, 8}, 3) },
		func() { ResizeRegion(new(Image), New(4, 4, 3), Region{1, 1, 3.5, 1}, 2, 2, Box) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}()
	}
}

func TestReaderMakesNoGarbage(t *testing.T) {
	if poolsForget {
		t.Skip("with the race detector sync.Pool allocates")
	}
	var r Reader
	m := new(Image)
	for _, name := range []string{"420.jpg", "progressive.jpg", "orientation6.jpg", "grey.jpg"} {
		data := readGolden(t, "draft", name)
		for _, reduce := range []int{1, 4} {
			read := func() {
				if err := r.Open(data, DecodeOptions{}); err != nil {
					t.Fatal(err)
				}
				if _, err := r.DecodePart(m, Rect{9, 9, 70, 60}, reduce); err != nil {
					t.Fatal(err)
				}
			}
			read()
			if n := testing.AllocsPerRun(20, read); n >= 1 {
				t.Errorf("%s reduced by %d: %v allocations", name, reduce, n)
			}
		}
	}
}

// What is left out of a resized picture must not change the rest.
func TestResizeCrop(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	files := partFiles(t)
	var r Reader
	whole, rgb, sized, want, got := new(Image), new(Image), new(Image), new(Image), new(Image)
	for name, data := range files {
		if err := DecodeInto(whole, data, DecodeOptions{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range 16 {
			f := []Filter{Nearest, Box, Bilinear, Bicubic}[i%4]
			c := 1 + 2*(i/4%2)
			w, h := 1+rng.IntN(2*whole.W), 1+rng.IntN(2*whole.H)
			switch i {
			case 4, 5, 6:
				w = whole.W
			case 8, 9, 10:
				h = whole.H
			case 13:
				w, h = whole.W, whole.H
			}
			p := Rect{X: rng.IntN(w), Y: rng.IntN(h)}
			p.W, p.H = 1+rng.IntN(w-p.X), 1+rng.IntN(h-p.Y)
			Convert(rgb, whole, c)
			Resize(sized, rgb, w, h, f)
			Crop(want, sized, p)
			ResizeCrop(got, rgb, w, h, p, f)
			if largest, count := difference(got, want); largest > 0 {
				t.Fatalf("%s, %s to %d x %d, part %+v: %d values differ", name, f, w, h, p, count)
			}
			if err := r.Open(data, DecodeOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := r.DecodeResized(got, c, w, h, p, f); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if largest, count := difference(got, want); largest > 0 {
				t.Fatalf("%s from the file, %s to %d x %d, part %+v: %d values differ", name, f, w, h, p, count)
			}
		}
	}
}

// A picture that is decoded more than once is the same each time, whatever was before.
func TestRepeat(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	var once Reader
	repeated := Reader{Repeat: true}
	var want, got Image
	for name, data := range partFiles(t) {
		if err := repeated.Open(data, DecodeOptions{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for range 6 {
			part := Rect{X: rng.IntN(repeated.W), Y: rng.IntN(repeated.H)}
			part.W, part.H = 1+rng.IntN(repeated.W-part.X), 1+rng.IntN(repeated.H-part.Y)
			reduce := 1 << rng.IntN(4)
			if err := once.Open(data, DecodeOptions{}); err != nil {
				t.Fatal(err)
			}
			a, err := once.DecodePart(&want, part, reduce)
			if err != nil {
				t.Fatal(err)
			}
			b, err := repeated.DecodePart(&got, part, reduce)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if largest, count := difference(&got, &want); largest > 0 || a != b {
				t.Fatalf("%s, part %+v at 1/%d: %d values differ, or %v is not %v", name, part, reduce, count, b, a)
			}
		}
		if err := repeated.Decode(&got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := DecodeInto(&want, data, DecodeOptions{}); err != nil {
			t.Fatal(err)
		}
		if largest, count := difference(&got, &want); largest > 0 {
			t.Errorf("%s: %d values differ", name, count)
		}
	}
}
