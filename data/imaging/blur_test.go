package imaging

import (
	"encoding/json"
	"os"
	"testing"
)

// TestGaussianBlur compares with torchvision (data/testdata/gen/blur.py), up to rounding
// of sums that lie between two values.
func TestGaussianBlur(t *testing.T) {
	text, err := os.ReadFile("../testdata/blur/index.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		In, Out string
		Kernel  int
		Sigma   float64
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	var tmp []float32
	for _, c := range cases {
		m, want := readPNG(t, "transforms", c.In), readPNG(t, "blur", c.Out)
		GaussianBlur(m, &tmp, c.Kernel, c.Sigma)
		largest, count := difference(m, want)
		if largest > 1 || count*200 > len(m.Pix) {
			t.Errorf("%s: %d values differ, by up to %d", c.Out, count, largest)
		}
	}
}

// TestGaussianBlurKeepsEvenPictures: a picture of one color stays, on any size.
func TestGaussianBlurKeepsEvenPictures(t *testing.T) {
	var tmp []float32
	for _, side := range []int{2, 3, 17} {
		m := New(side, side+1, 3)
		for i := range m.Pix {
			m.Pix[i] = 201
		}
		GaussianBlur(m, &tmp, 3, 1)
		for _, v := range m.Pix {
			if v != 201 {
				t.Fatalf("side %d: %d", side, v)
			}
		}
	}
}
