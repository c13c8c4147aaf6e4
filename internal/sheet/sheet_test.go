package sheet

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"strings"
	"testing"
)

// TestBilinear compares with numbers that PyTorch gives: interpolate of [[1, 2],
// [3, 5]] to 4x4, bilinear, align_corners False.
func TestBilinear(t *testing.T) {
	want := []float64{
		1, 1.25, 1.75, 2,
		1.5, 1.8125, 2.4375, 2.75,
		2.5, 2.9375, 3.8125, 4.25,
		3, 3.5, 4.5, 5,
	}
	for i, w := range want {
		x, y := (float64(i%4)+.5)/2-.5, (float64(i/4)+.5)/2-.5
		if got := bilinear([]float32{1, 2, 3, 5}, 2, 2, x, y); math.Abs(got-w) > 1e-9 {
			t.Errorf("%d: %v, want %v", i, got, w)
		}
	}
}

func TestTop(t *testing.T) {
	many := make([]float32, 1000)
	for i := range many {
		many[i] = float32(i)
	}
	for _, c := range []struct {
		in   []float32
		want float64
	}{{nil, 0}, {[]float32{-1, -2}, 0}, {[]float32{0, 3}, 3}, {many, 990}, {append(make([]float32, 1000), 7), 7}} {
		if got := Top(c.in); got != c.want {
			t.Errorf("Top of %d values: %v, want %v", len(c.in), got, c.want)
		}
	}
}

// TestOverlay: half the picture, half the color; cold is black, hot is white.
func TestOverlay(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 4, 2))
	for i := range m.Pix {
		m.Pix[i] = 100
	}
	out := Overlay(m, []float32{0, 1}, 2, 1)
	if c := out.RGBAAt(0, 1); c != (color.RGBA{50, 50, 50, 255}) {
		t.Errorf("cold is %v", c)
	}
	if c := out.RGBAAt(3, 0); c != (color.RGBA{178, 178, 178, 255}) {
		t.Errorf("hot is %v", c)
	}
	last := -1.0
	for i := range 256 { // the brightness grows all the way
		c := heat(float64(i) / 255)
		y := 0.2126*float64(c.R) + 0.7152*float64(c.G) + 0.0722*float64(c.B)
		if y < last-1 {
			t.Fatalf("color %d is darker than the one before", i)
		}
		last = y
	}
}

func TestGrayAndRGB(t *testing.T) {
	g := Gray([]float32{-1, 0, 1, 3}, 2, 2, 3, -1, 1)
	if g.Bounds().Dx() != 6 || g.RGBAAt(2, 2).R != 0 || g.RGBAAt(3, 0).R != 128 || g.RGBAAt(0, 3).R != 255 || g.RGBAAt(5, 5).R != 255 {
		t.Error("gray levels are wrong")
	}
	if c := Gray([]float32{5}, 1, 1, 1, 5, 5).RGBAAt(0, 0); c.R != 128 {
		t.Errorf("without a range: %v", c)
	}
	if c := RGB([]float32{0, 1, 0.5}, 1, 1, 2, 0, 1).RGBAAt(1, 1); c != (color.RGBA{0, 255, 128, 255}) {
		t.Errorf("RGB is %v", c)
	}
}

// TestSheet: each tile is where it belongs and its caption below leaves ink.
func TestSheet(t *testing.T) {
	red := image.NewRGBA(image.Rect(0, 0, 80, 40))
	for i := 0; i < len(red.Pix); i += 4 {
		red.Pix[i], red.Pix[i+3] = 255, 255
	}
	s := Sheet{Title: "a title that is wider than all the pictures side by side, which makes the sheet wider",
		Columns: 2, Tiles: []Tile{{red, []string{"one"}}, {}, {red, []string{"three", "a caption that does not fit"}}}, Low: "0", High: "1"}
	out, err := s.Draw()
	if err != nil {
		t.Fatal(err)
	}
	top := gap + line + 4
	cell := 40 + 2*line + gap
	isRed := func(x, y int) bool { return out.RGBAAt(x, y) == color.RGBA{255, 0, 0, 255} }
	if !isRed(gap, top) || !isRed(gap+79, top+39) || isRed(gap+88, top) || !isRed(gap, top+cell) || isRed(gap, top+40) {
		t.Error("a picture is not in its place")
	}
	dark := 0
	for y := top + 40; y < top+40+line; y++ {
		for x := gap; x < gap+80; x++ {
			if out.RGBAAt(x, y).R < 100 {
				dark++
			}
		}
	}
	if dark < 10 {
		t.Error("the caption is missing")
	}
	for _, s := range []Sheet{{Columns: 1}, {Tiles: s.Tiles}, {Columns: 1, Tiles: make([]Tile, 1<<22)}} {
		if _, err := s.Draw(); err == nil {
			t.Errorf("a sheet of %d tiles in %d columns is drawn", len(s.Tiles), s.Columns)
		}
	}
}

// A caption of Chinese, Japanese or Korean is drawn; one that no font can draw is drawn
// as its spelling, and differently from another one.
func TestCaptionsOutsideTheFont(t *testing.T) {
	pixels := func(caption string) []byte {
		m, err := Sheet{Columns: 1, Tiles: []Tile{{image.NewGray(image.Rect(0, 0, 200, 4)), []string{caption}}}}.Draw()
		if err != nil {
			t.Fatal(err)
		}
		return m.Pix
	}
	for _, name := range []string{"猫", "简体", "繁體", "ねこ、カタカナ・ー", "고양이", "「猫」！"} {
		if got := readable(name); got != name {
			t.Errorf("%s is spelled %s", name, got)
		}
		if bytes.Equal(pixels(name), pixels("")) || bytes.Equal(pixels(name), pixels(strings.Repeat("犬", len([]rune(name))))) {
			t.Errorf("%s is not drawn", name)
		}
	}
	for name, want := range map[string]string{"🐱 1": `\U0001f431 1`, "کتاب": `\u06a9\u062a\u0627\u0628`, "\u9fff": `\u9fff`} {
		if got := readable(name); got != want || !bytes.Equal(pixels(name), pixels(want)) {
			t.Errorf("%s is drawn as %s", name, got)
		}
	}
	if readable("Кот, γάτα, Ñandú") != "Кот, γάτα, Ñandú" {
		t.Error("what the font has is spelled")
	}
}
