package sheet

import (
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/resnet-go/resnet/masks"
)

func TestMarks(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 60, 50))
	mask, err := masks.FromBox([4]float64{20, 30, 10, 10}, 50, 60)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Marks(m, []Mark{{Box: [4]float64{10, 20, 40, 45}, Kind: 3, Label: "cat 0.90", Mask: &mask}})
	if err != nil {
		t.Fatal(err)
	}
	c := KindColor(3)
	half := color.RGBA{c.R / 2, c.G / 2, c.B / 2, 0}
	for p, want := range map[image.Point]color.RGBA{
		{10, 30}: c, {39, 44}: c, {25, 20}: c, {25, 44}: c, // the frame
		{12, 30}: {}, {45, 30}: {}, {40, 30}: {}, {25, 45}: {},
		{20, 30}: half, {29, 39}: half, {30, 30}: {}, {19, 30}: {}, // the mask
	} {
		if got := out.RGBAAt(p.X, p.Y); got != want {
			t.Errorf("the pixel %v is %v, want %v", p, got, want)
		}
	}
	if m.RGBAAt(10, 30) != (color.RGBA{}) {
		t.Error("the picture itself has changed")
	}
}

// TestMarksWithstand: boxes of any numbers and pictures of any size make no
// panic.
func TestMarksWithstand(t *testing.T) {
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -5, 0, 1, 3, 1e30}
	for _, size := range []image.Point{{1, 1}, {3, 40}, {40, 3}} {
		for _, a := range odd {
			for _, b := range odd {
				if _, err := Marks(image.NewRGBA(image.Rectangle{Max: size}), []Mark{{Box: [4]float64{a, b, b, a}, Kind: -1, Label: "a name"}}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestKindColors: neighbors differ.
func TestKindColors(t *testing.T) {
	for i := range 90 {
		for d := 1; d < 5; d++ {
			a, b := KindColor(i), KindColor(i+d)
			diff := math.Abs(float64(a.R)-float64(b.R)) + math.Abs(float64(a.G)-float64(b.G)) + math.Abs(float64(a.B)-float64(b.B))
			if diff < 60 {
				t.Errorf("the colors of %d and %d are %v and %v", i, i+d, a, b)
			}
		}
	}
}
