package resnet

import (
	"errors"
	"image"
	"image/color"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/weights"
)

// TestExplain: classes and probabilities are those of Classify, the picture is
// what the network saw, and the map belongs to it.
func TestExplain(t *testing.T) {
	m := open(t, filledFile(t, nil), Options{})
	img := picture(3, 80, 50)
	labels, err := m.Classify(t.Context(), Image(img))
	if err != nil {
		t.Fatal(err)
	}
	x, err := m.Explain(t.Context(), Image(img), ExplainOptions{Top: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Maps) != 3 || !slices.Equal(x.Classes, labels[:3]) {
		t.Fatalf("classes %v, but Classify says %v", x.Classes, labels)
	}
	for i, mp := range x.Maps {
		if mp.Class != labels[i].Index || mp.Layer != "layer3" || mp.W != 8 || mp.H != 8 || len(mp.Values) != 64 {
			t.Errorf("map %d: class %d of %s, %d x %d", i, mp.Class, mp.Layer, mp.W, mp.H)
		}
		if o := x.Overlay(i); o.Bounds() != x.Picture.Bounds() {
			t.Errorf("the overlay is %v, the picture %v", o.Bounds(), x.Picture.Bounds())
		}
	}
	if b := x.Picture.Bounds(); b.Dx() != 224 || b.Dy() != 224 {
		t.Errorf("the picture is %v", b)
	}
	// Of a wide picture, the middle is shown, left to the left.
	halves := image.NewNRGBA(image.Rect(0, 0, 64, 32))
	for i := 0; i < len(halves.Pix); i += 4 {
		halves.Pix[i+i/4%64/32*2], halves.Pix[i+3] = 255, 255 // red, then blue
	}
	if x, err = m.Explain(t.Context(), Image(halves), ExplainOptions{}); err != nil {
		t.Fatal(err)
	}
	if l, r := x.Picture.RGBAAt(100, 5), x.Picture.RGBAAt(123, 200); l != (color.RGBA{255, 0, 0, 255}) || r != (color.RGBA{0, 0, 255, 255}) {
		t.Errorf("left of the middle is %v, right %v", l, r)
	}

	x, err = m.Explain(t.Context(), Image(img), ExplainOptions{Classes: []int{4}, Options: explain.Options{Method: explain.Saliency}})
	if err != nil || x.Classes[0].Class != "e" || x.Maps[0].W != 32 {
		t.Errorf("%+v, %v", x, err)
	}
	f, err := m.Features(t.Context(), Image(img), "layer2")
	if err != nil || !slices.Equal(f.Shape(), []int{32, 16, 16}) {
		t.Errorf("features %v, %v", f, err)
	}
}

// TestExplainMultiLabel: each class has a probability of its own.
func TestExplainMultiLabel(t *testing.T) {
	m := open(t, filledFile(t, func(f *weights.File) { f.MultiLabel = true }), Options{})
	x, err := m.Explain(t.Context(), Image(picture(1, 32, 32)), ExplainOptions{Classes: []int{0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range x.Classes {
		want := 1 / (1 + math.Exp(-float64(x.Maps[i].Logit)))
		if math.Abs(c.Probability-want) > 1e-5 {
			t.Errorf("%v: want %v", c, want)
		}
	}
}

func TestExplainErrors(t *testing.T) {
	m := open(t, filledFile(t, nil), Options{})
	if _, err := m.Explain(t.Context(), File("none.jpg"), ExplainOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing picture: %v", err)
	}
	if _, err := m.Explain(t.Context(), Encoded("x.jpg", []byte("no")), ExplainOptions{}); err == nil || !strings.HasPrefix(err.Error(), "x.jpg: ") {
		t.Errorf("a bad picture: %v", err)
	}
	if _, err := m.Features(t.Context(), Encoded("x.jpg", nil), ""); err == nil || !strings.HasPrefix(err.Error(), "x.jpg: ") {
		t.Errorf("features of a bad picture: %v", err)
	}
	if _, err := m.Explain(t.Context(), Image(picture(1, 8, 8)), ExplainOptions{Classes: []int{10}}); err == nil {
		t.Error("class 10 of 10 is explained")
	}
	for class, want := range map[string]int{"C": 2, "c": 2, "7": 7} {
		if i, err := m.ClassIndex(class); err != nil || i != want {
			t.Errorf("class %q is %d, %v", class, i, err)
		}
	}
	for _, class := range []string{"10", "-1", "zebra"} {
		if i, err := m.ClassIndex(class); err == nil {
			t.Errorf("class %q is %d", class, i)
		}
	}
}
