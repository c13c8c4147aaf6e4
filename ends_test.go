package resnet

import (
	"errors"
	"image"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

// gray returns a picture of one value.
func gray(name string, v uint8, side int) Picture {
	img := image.NewGray(image.Rect(0, 0, side, side))
	for i := range img.Pix {
		img.Pix[i] = v
	}
	p := Image(img)
	p.Name = name
	return p
}

// TestProbabilitiesStay opens networks whose softmax no graph shows: the answers are
// what onnxruntime computes (modelfile/onnx/testdata/gen/kinds.py), and sum to 1.
func TestProbabilitiesStay(t *testing.T) {
	p := data.Preprocess{Channels: 3, Width: 8, Height: 8, Resize: 8, Interpolation: imaging.Bilinear, Mean: []float32{.5, .5, .5}, Std: []float32{.5, .5, .5}}
	for _, name := range []string{"softmax-by-hand", "mean-of-two", "softmax-of-ones-behind"} {
		m, err := Open(filepath.Join("modelfile", "onnx", "testdata", "kinds", name+".onnx"), Options{Weights: WeightsOnly{Preprocess: &p}})
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(strings.Join(m.Notes(), "\n"), "sums to 1"); said == (name == "softmax-of-ones-behind") {
			t.Errorf("%s: notes %q", name, m.Notes())
		}
		if got := m.Preprocess(); got.String() != p.String() { // though the file's size is fixed
			t.Errorf("%s: the preprocessing has become %s", name, got)
		}
		x, err := p.Apply(imaging.New(8, 8, 3))
		if err != nil {
			t.Fatal(err)
		}
		z, _, err := m.Forward(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, v := range z.Float32s() { // logarithms of probabilities, or logits
			sum += math.Exp(float64(v))
		}
		if name != "softmax-of-ones-behind" && math.Abs(sum-1) > 1e-5 {
			t.Errorf("%s: the logits are not the logarithms of probabilities: %v", name, z.Float32s())
		}
		got, err := m.Classify(t.Context(), gray("black", 0, 8))
		if err != nil {
			t.Fatal(err)
		}
		if name != "softmax-of-ones-behind" && math.Abs(got[0].Probability-math.Exp(float64(z.Float32s()[got[0].Index]))) > 1e-6 {
			t.Errorf("%s: %v of %v", name, got, z.Float32s())
		}
	}
}

// TestNonFiniteAnswers gives pictures to a model whose logits for one of them are
// not finite: that one has an error, the others their answers.
func TestNonFiniteAnswers(t *testing.T) {
	p := data.Preprocess{Channels: 3, Width: 8, Height: 8, Resize: 8, Interpolation: imaging.Bilinear, Mean: []float32{0, 0, 0}, Std: []float32{1e-38, 1e-38, 1e-38}}
	m, err := Open(filepath.Join("modelfile", "onnx", "testdata", "kinds", "features-first.onnx"), Options{Weights: WeightsOnly{Preprocess: &p}})
	if err != nil {
		t.Fatal(err)
	}
	rs, err := m.ClassifyBatch(t.Context(), []Picture{gray("black", 0, 8), gray("white", 255, 8), gray("black again", 0, 8)})
	if err != nil {
		t.Fatal(err)
	}
	if rs[0].Err != nil || rs[2].Err != nil || len(rs[0].Predictions) == 0 || rs[0].Predictions[0] != rs[2].Predictions[0] {
		t.Errorf("the black pictures: %+v and %+v", rs[0], rs[2])
	}
	if !errors.Is(rs[1].Err, ErrNonFinite) || !strings.Contains(rs[1].Err.Error(), "white") || !strings.Contains(rs[1].Err.Error(), "features-first.onnx") {
		t.Errorf("the white picture: %v", rs[1].Err)
	}
}
