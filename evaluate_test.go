package resnet

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/weights"
)

// pictures returns n noisy pictures of classes in turn.
func pictures(t *testing.T, classes []string, n int) *data.Images {
	t.Helper()
	var ms []*imaging.Image
	var labels []int
	for i := range n {
		ms, labels = append(ms, fromImage(picture(i, 32, 32))), append(labels, i%len(classes))
	}
	ds, err := data.NewImages(classes, ms, labels)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func TestEvaluate(t *testing.T) {
	m := open(t, filledFile(t, nil), Options{Batch: 4})
	ds := pictures(t, []string{"c", "a", "j"}, 7)
	seen := 0
	e, err := m.Evaluate(context.Background(), ds, EvaluateOptions{Progress: func(n int) { seen += n }})
	if err != nil {
		t.Fatal(err)
	}
	if seen != 7 || len(e.Index) != 7 || len(e.Logits) != 70 || e.Multi != nil || e.Single.Samples != 7 || len(e.Samples) != 7 {
		t.Fatalf("%d seen, %+v", seen, e)
	}
	// Against the model's own answers.
	right, loss := 0, 0.0
	for i := range ds.Len() {
		r, err := m.Classify(context.Background(), Image(picture(i, 32, 32)))
		if err != nil {
			t.Fatal(err)
		}
		if r[0].Class != e.Samples[i].Predicted || math.Abs(r[0].Probability-e.Samples[i].Probability) > 1e-6 {
			t.Errorf("picture %d: %v, %+v", i, r[0], e.Samples[i])
		}
		if e.Samples[i].True != ds.Classes()[i%3] {
			t.Errorf("picture %d: %+v", i, e.Samples[i])
		}
		if r[0].Class == e.Samples[i].True {
			right++
		}
		loss += metrics.CrossEntropy(e.Logits[10*i:10*i+10], strings.Index("abcdefghij", e.Samples[i].True)) / 7
	}
	if e.Single.Top1 != float64(right)/7 || math.Abs(e.Single.Loss-loss) > 1e-9 {
		t.Errorf("top-1 %v, loss %v; want %v of 7, %v", e.Single.Top1, e.Single.Loss, right, loss)
	}
	if w := e.Worst(2); len(w) != 2 || w[0].Loss < w[1].Loss || w[0].True == w[0].Predicted {
		t.Errorf("worst %+v", w)
	}

	// A picture that cannot be decoded.
	ds.Pictures[3] = nil
	if _, err := m.Evaluate(context.Background(), ds, EvaluateOptions{}); err == nil || !strings.Contains(err.Error(), "image 3") {
		t.Errorf("error %v", err)
	}
	e, err = m.Evaluate(context.Background(), ds, EvaluateOptions{SkipBad: true})
	if err != nil || e.Skipped != 1 || e.Single.Samples != 6 || e.Index[3] != 4 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestEvaluateSeveralLabels(t *testing.T) {
	m := open(t, filledFile(t, func(f *weights.File) { f.MultiLabel = true }), Options{})
	ds := pictures(t, []string{"c", "a", "j"}, 5)
	ds.Multi = true
	ds.Targets[1] = []int{0, 2}
	e, err := m.Evaluate(context.Background(), ds, EvaluateOptions{})
	if err != nil || e.Single != nil || e.Samples != nil || e.Multi.Threshold != 0.5 || e.Multi.Samples != 5 {
		t.Fatalf("%+v, %v", e, err)
	}
	if c := e.Multi.Classes[2]; c.Name != "c" || c.Samples != 3 { // pictures 0, 1 and 3
		t.Errorf("%+v", c)
	}
}

// The mean over a picture and its mirror image does not change when all
// pictures are mirrored.
func TestMirror(t *testing.T) {
	x := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} // N 1, H 2, W 3, C 2
	data.Mirror(x, 3, 2)
	for i, want := range []float32{5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8} {
		if x[i] != want {
			t.Errorf("mirrored value %d is %v, want %v", i, x[i], want)
		}
	}
	m := open(t, filledFile(t, nil), Options{})
	ds := pictures(t, letters, 4)
	evaluate := func() *Evaluation {
		e, err := m.Evaluate(context.Background(), ds, EvaluateOptions{Mirror: true})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	a := evaluate()
	for _, p := range ds.Pictures {
		for y := range p.H {
			row := p.Row(y)
			for i, j := 0, p.W-1; i < j; i, j = i+1, j-1 {
				for k := range p.C {
					row[i*p.C+k], row[j*p.C+k] = row[j*p.C+k], row[i*p.C+k]
				}
			}
		}
	}
	b := evaluate()
	for i := range a.Logits {
		if a.Logits[i] != b.Logits[i] {
			t.Fatalf("logit %d is %v, mirrored %v", i, a.Logits[i], b.Logits[i])
		}
	}
}

func TestLabelsOf(t *testing.T) {
	m := open(t, filledFile(t, func(f *weights.File) { f.Classes = strings.Split("klmnopqrst", "") }), Options{})
	set := func(classes ...string) data.Dataset {
		ds, err := data.NewImages(classes, []*imaging.Image{imaging.New(1, 1, 1)}, []int{1})
		if err != nil {
			t.Fatal(err)
		}
		return ds
	}
	labels, err := m.LabelsOf(set("s", "n"))
	if err != nil || labels(0)[0] != 3 {
		t.Errorf("a part of the classes: %v", err)
	}
	labels, err = m.LabelsOf(set(strings.Split("0123456789", "")...))
	if err != nil || labels(0)[0] != 1 {
		t.Errorf("numbers for names: %v", err)
	}
	for _, classes := range [][]string{{"s", "Bicycle"}, {"0", "1", "2"}, letters} {
		if _, err := m.LabelsOf(set(classes...)); err == nil || !strings.Contains(err.Error(), "the model knows 10 others") {
			t.Errorf("%v: error %v", classes, err)
		}
	}
	multi := open(t, filledFile(t, func(f *weights.File) { f.MultiLabel = true }), Options{})
	if _, err := multi.LabelsOf(set("a", "b")); err == nil {
		t.Error("no error for a multi-label model on data of one label")
	}
}
