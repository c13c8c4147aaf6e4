package chart

import (
	"bytes"
	"encoding/xml"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

func curves(t *testing.T) *Chart {
	t.Helper()
	c, err := Lines(
		Panel{Title: "Loss", XLabel: "epoch", YLabel: "loss", Series: []Series{
			{Name: "train", X: []float64{1, 2, 3, 4}, Y: []float64{2.1, 1.2, 0.8, 0.6}},
			{Name: "val", X: []float64{1, 2, 3, 4}, Y: []float64{2.0, math.NaN(), 1.1, 0.9}, Dashed: true},
		}},
		Panel{Title: "Top-1", XLabel: "epoch", YLabel: "%", Series: []Series{{Name: "val", X: []float64{1}, Y: []float64{50}}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func confusion(t *testing.T) *Chart {
	t.Helper()
	c, err := Confusion("Confusion", []string{"cat", "dog", "a class with a name that does not end"}, [][]int{{9, 1, 0}, {0, 10, 0}, {5, 0, 5}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPNGHasTheColors(t *testing.T) {
	var b bytes.Buffer
	if err := curves(t).PNG(&b); err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range palette[:2] {
		n := 0
		for y := range m.Bounds().Dy() {
			for x := range m.Bounds().Dx() {
				if color.RGBAModel.Convert(m.At(x, y)) == want {
					n++
				}
			}
		}
		if n < 100 {
			t.Errorf("%d pixels have the color %v of a curve", n, want)
		}
	}
}

func TestSVGIsXMLWithTheTexts(t *testing.T) {
	for name, c := range map[string]*Chart{"curves": curves(t), "confusion": confusion(t)} {
		var b bytes.Buffer
		if err := c.SVG(&b); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		dec := xml.NewDecoder(&b)
		for {
			if _, err := dec.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		want := []string{"epoch", "train", "Loss", "Top-1"}
		if name == "confusion" {
			want = []string{"cat", "dog", ">9<", ">10<", "predicted", "…"}
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in the SVG", name, w)
			}
		}
	}
}

func TestConfusionCellsAreShadedByRow(t *testing.T) {
	var b bytes.Buffer
	if err := confusion(t).PNG(&b); err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	for share, want := range map[float64]int{1: 500, 0.9: 500, 0.5: 2 * 500} {
		n := 0
		for y := range m.Bounds().Dy() {
			for x := range m.Bounds().Dx() {
				if color.RGBAModel.Convert(m.At(x, y)) == shade(share) {
					n++
				}
			}
		}
		if n < want {
			t.Errorf("%d pixels have the shade of %v, want %d or more", n, share, want)
		}
	}
}

func TestManyClasses(t *testing.T) {
	n := 1000
	classes, counts := make([]string, n), make([][]int, n)
	for i := range counts {
		classes[i], counts[i] = "class", make([]int, n)
		counts[i][i] = 1
	}
	c, err := Confusion("", classes, counts)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.PNG(&b); err != nil {
		t.Fatal(err)
	}
	if m, err := png.DecodeConfig(&b); err != nil || m.Width > 2500 || m.Width < 1000 {
		t.Errorf("the picture is %d pixels wide, %v", m.Width, err)
	}
}

func TestMistakesAreErrors(t *testing.T) {
	if _, err := Lines(); err == nil {
		t.Error("no panels were accepted")
	}
	if _, err := Lines(Panel{Series: []Series{{X: []float64{1}, Y: nil}}}); err == nil {
		t.Error("X and Y of different lengths were accepted")
	}
	if _, err := Confusion("", []string{"a", "b"}, [][]int{{1, 2}, {3}}); err == nil {
		t.Error("a ragged matrix was accepted")
	}
	if err := curves(t).Save("x.gif"); err == nil || !strings.Contains(err.Error(), ".gif") {
		t.Errorf("saving as .gif: %v", err)
	}
}

func TestSaveByExtension(t *testing.T) {
	dir := t.TempDir()
	for ext, magic := range map[string]string{".png": "\x89PNG", ".svg": "<?xml"} {
		path := filepath.Join(dir, "c"+ext)
		if err := curves(t).Save(path); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(b), magic) {
			t.Errorf("%s begins with %q", ext, b[:8])
		}
	}
}

// A class whose name the font cannot draw is drawn as its spelling.
func TestNamesOutsideTheFont(t *testing.T) {
	draw := func(classes ...string) []byte {
		ch, err := Confusion("m", classes, [][]int{{1, 0}, {0, 2}})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := ch.PNG(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if !bytes.Equal(draw("کتاب", "dog"), draw(`\u06a9\u062a\u0627\u0628`, "dog")) || bytes.Equal(draw("کتاب", "dog"), draw("🐱", "dog")) {
		t.Error("names that no font has are not spelled")
	}
	// Those of Chinese, Japanese and Korean are drawn.
	if bytes.Equal(draw("猫", "dog"), draw(`\u732b`, "dog")) || bytes.Equal(draw("猫", "dog"), draw("犬", "dog")) || bytes.Equal(draw("cat 猫", "dog"), draw("cat 犬", "dog")) {
		t.Error("Chinese names are not drawn")
	}
	for _, name := range []string{"猫", "ねこ", "고양이", "cat 猫 cat"} {
		style := text.Style{Font: font.From(plot.DefaultFont, vg.Points(12)), Handler: eastText{plot.DefaultTextHandler}}
		want := vg.Length(0)
		for _, r := range name {
			if one := vg.Points(12); r > 0x1000 {
				want += one
			} else {
				w, _, _ := plot.DefaultTextHandler.Box(string(r), style.Font)
				want += w
			}
		}
		if w := style.Width(name); math.Abs(float64(w-want)) > 1 {
			t.Errorf("%s is %v wide, want %v", name, w, want)
		}
	}
	ch, err := Lines(Panel{Title: "标题", Series: []Series{{Name: "训练", X: []float64{1, 2}, Y: []float64{1, 2}}}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := ch.SVG(&b); err != nil || !strings.Contains(b.String(), `\u6807\u9898`) || !strings.Contains(b.String(), `\u8bad\u7ec3`) {
		t.Errorf("title and legend are not spelled: %v", err)
	}
}

// Values of any size are drawn, or left out, in the end.
func TestExtremeValues(t *testing.T) {
	for _, y := range [][]float64{
		{1e30, 1e30}, {1e300, 1e300}, {-1e30, -1e30}, {1e17, 1e17}, {1e-300, 1e-300}, {1e308, -1e308}, {1e30, -1e30},
		{1e-29, 2e-29}, {1e16, 1e16 + 2}, {math.MaxFloat64, 1}, {math.NaN(), math.Inf(1)}, {0, 0}, {5, 5},
	} {
		for _, log := range []bool{false, true} {
			done := make(chan error, 1)
			go func() {
				c, err := Lines(Panel{Title: "x", XLabel: "epoch", YLabel: "loss", LogY: log, Series: []Series{{X: []float64{1, 2}, Y: y}}})
				if err == nil {
					err = c.SVG(io.Discard)
				}
				done <- err
			}()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("%v, log %v: %v", y, log, err)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%v, log %v: the chart is not drawn in 20 s", y, log)
			}
		}
	}
}
