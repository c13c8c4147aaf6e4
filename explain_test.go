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

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
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

// The picture that the network saw, drawn from its input, has the pixels that it
// has when it is drawn anew.
func TestSeenIsTheInput(t *testing.T) {
	prep, err := data.Preset("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	m := &Model{prep: prep}
	img, x, err := m.prepare(Image(picture(7, 300, 260)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.seen(img, x)
	if err != nil {
		t.Fatal(err)
	}
	plain := prep
	plain.Mean, plain.Std = make([]float32, 3), []float32{1, 1, 1}
	row := make([]float32, x.Numel())
	if err := plain.ApplyNHWC(row, img); err != nil {
		t.Fatal(err)
	}
	for i := range 224 * 224 {
		c := got.RGBAAt(i%224, i/224)
		for k, v := range []uint8{c.R, c.G, c.B} {
			if want := uint8(row[3*i+k]*255 + 0.5); v != want {
				t.Fatalf("pixel %d is %v, want %d of color %d", i, c, want, k)
			}
		}
	}
}

// The modules of an opened model have its values.
func TestNetworkHasItsValues(t *testing.T) {
	m := open(t, filledFile(t, nil), Options{})
	for _, e := range nn.Params(m.Network()) {
		want, err := m.Vars().Get(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		got := e.Param.Value
		if got == nil || got.DType() != want.DType() || got.DType() == tensor.Float32 && !slices.Equal(got.Float32s(), want.Float32s()) {
			t.Errorf("%s is %v, want the model's value", e.Name, got)
		}
	}
}
