package segment

import (
	"encoding/json"
	"image"
	"image/color"
	"os"
	"slices"
	"testing"
)

// TestUpsampledAsPyTorch: testdata/gen/upsample.py.
func TestUpsampledAsPyTorch(t *testing.T) {
	b, err := os.ReadFile("testdata/upsample.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Logits []float32
		Shape  [3]int
		Size   [2]int
		Mask   []int
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for _, threads := range []int{1, 3} {
			m := upsampled(c.Logits, c.Shape[0], c.Shape[1], c.Shape[2], c.Size[0], c.Size[1], threads)
			for i, want := range c.Mask {
				if int(m.Pix[i]) != want {
					t.Errorf("%v to %v, pixel %d: class %d, want %d", c.Shape, c.Size, i, m.Pix[i], want)
				}
			}
		}
	}
	if len(cases) < 5 {
		t.Errorf("%d cases", len(cases))
	}
}

func TestAreas(t *testing.T) {
	m := &Mask{W: 4, H: 3, Pix: []uint8{
		0, 0, 2, 2,
		0, 255, 2, 0,
		7, 255, 0, 0,
	}}
	want := []Area{
		{0, 6, 0.5, [4]int{0, 0, 4, 3}},
		{2, 3, 0.25, [4]int{2, 0, 2, 2}},
		{7, 1, 1. / 12, [4]int{0, 2, 1, 1}},
	}
	if got := m.Areas(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestPalette: the colors of Pascal VOC's development kit (VOClabelcolormap.m).
func TestPalette(t *testing.T) {
	p := Palette()
	for class, want := range map[int]color.RGBA{
		0: {0, 0, 0, 255}, 1: {128, 0, 0, 255}, 2: {0, 128, 0, 255}, 3: {128, 128, 0, 255}, 4: {0, 0, 128, 255}, 8: {64, 0, 0, 255},
		15: {192, 128, 128, 255}, 20: {0, 64, 128, 255}, 255: {224, 224, 192, 255},
	} {
		if p[class] != want {
			t.Errorf("class %d has %v, want %v", class, p[class], want)
		}
	}
}

func TestOverlay(t *testing.T) {
	picture := image.NewRGBA(image.Rect(0, 0, 3, 1))
	copy(picture.Pix, []uint8{10, 20, 30, 255, 100, 100, 100, 255, 10, 20, 30, 255})
	m := &Mask{W: 3, H: 1, Pix: []uint8{0, 1, Ignore}}
	want := []uint8{10, 20, 30, 255, 114, 50, 50, 255, 10, 20, 30, 255}
	if got := m.Overlay(picture, 0.5); !slices.Equal(got.Pix, want) {
		t.Errorf("%v, want %v", got.Pix, want)
	}
	if picture.Pix[4] != 100 {
		t.Error("the picture was changed")
	}
}
