package metrics

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.9f, want %.9f", what, got, want)
	}
}

func nearScores(t *testing.T, what string, got Scores, want []float64) {
	t.Helper()
	near(t, what+" precision", got.Precision, want[0], 1e-12)
	near(t, what+" recall", got.Recall, want[1], 1e-12)
	near(t, what+" F1", got.F1, want[2], 1e-12)
}

// goldens hold what scikit-learn computed; testdata/gen has the script.
type goldens struct {
	Single struct {
		Logits                            []float32
		Labels                            []int
		Classes                           int
		Top1, Top5, Loss, Brier, ECE, MCE float64
		Temperature                       float64
		LossScaled                        float64 `json:"loss_scaled"`
		ECEScaled                         float64 `json:"ece_scaled"`
		Confusion                         [][]int
		PerClass                          [3][]float64 `json:"per_class"`
		Macro, Weighted                   []float64
	}
	Multi struct {
		Logits                    []float32
		Labels                    [][]int
		Classes                   int
		Threshold                 float64
		AP                        []float64
		MAP, Exact, Hamming, Loss float64
		Micro, Macro              []float64
	}
}

func readGoldens(t *testing.T) goldens {
	t.Helper()
	b, err := os.ReadFile("testdata/sklearn.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldens
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func names(n int) []string { return strings.Split("abcdefghijklmnopqrstuvwxyz"[:n], "") }

func TestEvaluateAgainstScikitLearn(t *testing.T) {
	g := readGoldens(t).Single
	r, err := Evaluate(g.Logits, g.Labels, names(g.Classes))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "top1", r.Top1, g.Top1, 1e-12)
	near(t, "top5", r.Top5, g.Top5, 1e-12)
	near(t, "loss", r.Loss, g.Loss, 1e-9)
	for i, row := range g.Confusion {
		if !slices.Equal(r.Confusion.Counts[i], row) {
			t.Errorf("confusion row %d = %v, want %v", i, r.Confusion.Counts[i], row)
		}
		nearScores(t, r.Classes[i].Name, r.Classes[i].Scores,
			[]float64{g.PerClass[0][i], g.PerClass[1][i], g.PerClass[2][i]})
	}
	nearScores(t, "macro", r.Macro, g.Macro)
	nearScores(t, "weighted", r.Weighted, g.Weighted)
	near(t, "accuracy", r.Confusion.Accuracy(), g.Top1, 1e-12)
	c := r.Calibration
	near(t, "Brier", c.Brier, g.Brier, 1e-9)
	near(t, "ECE", c.ECE, g.ECE, 1e-9)
	near(t, "MCE", c.MCE, g.MCE, 1e-9)
	near(t, "temperature", c.Temperature, g.Temperature, 1e-5)
	near(t, "scaled loss", c.LossScaled, g.LossScaled, 1e-9)
	near(t, "scaled ECE", c.ECEScaled, g.ECEScaled, 1e-5)
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestMultiLabelAgainstScikitLearn(t *testing.T) {
	g := readGoldens(t).Multi
	r, err := EvaluateMultiLabel(g.Logits, g.Labels, names(g.Classes), g.Threshold)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mAP", r.MAP, g.MAP, 1e-12)
	near(t, "exact", r.Exact, g.Exact, 1e-12)
	near(t, "hamming", r.Hamming, g.Hamming, 1e-12)
	near(t, "loss", r.Loss, g.Loss, 1e-9)
	nearScores(t, "micro", r.Micro, g.Micro)
	nearScores(t, "macro", r.Macro, g.Macro)
	for k, want := range g.AP {
		near(t, "AP of "+r.Classes[k].Name, r.Classes[k].AP, want, 1e-12)
	}
}

// By hand: three classes, six samples.
func TestConfusionByHand(t *testing.T) {
	m := NewConfusion([]string{"cat", "dog", "emu"})
	for _, s := range [][2]int{{0, 0}, {0, 1}, {0, 1}, {1, 1}, {1, 0}, {2, 2}} {
		m.Add(s[0], s[1])
	}
	near(t, "accuracy", m.Accuracy(), 3.0/6, 0)
	cat := m.PerClass()[0]
	if cat.Samples != 3 || cat.Predicted != 2 || cat.Correct != 1 {
		t.Errorf("cat: %+v", cat)
	}
	nearScores(t, "cat", cat.Scores, []float64{1.0 / 2, 1.0 / 3, 2.0 / 5})
	want := []Pair{{"cat", "dog", 2, 2.0 / 3}, {"dog", "cat", 1, 1.0 / 2}}
	if got := m.MostMixedUp(5); !slices.Equal(got, want) {
		t.Errorf("pairs %v, want %v", got, want)
	}
	if got := m.MostMixedUp(1); !slices.Equal(got, want[:1]) {
		t.Errorf("first pair %v, want %v", got, want[:1])
	}
}

func TestTopKTies(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		scores   []float32
		label, k int
		want     bool
	}{
		{[]float32{1, 3, 2}, 1, 1, true},
		{[]float32{1, 3, 2}, 2, 1, false},
		{[]float32{1, 3, 2}, 2, 2, true},
		{[]float32{2, 2}, 0, 1, true}, // the lower index wins, as ArgMax has it
		{[]float32{2, 2}, 1, 1, false},
		{[]float32{2, 2}, 1, 2, true},
		{[]float32{nan, 1}, 0, 2, false},
		{[]float32{nan, 1}, 1, 1, false},
	} {
		if got := TopK(c.scores, c.label, c.k); got != c.want {
			t.Errorf("TopK(%v, %d, %d) = %v", c.scores, c.label, c.k, got)
		}
	}
}

// Logits that are exact log-probabilities of the label frequencies are
// calibrated: temperature 1. Multiplied by 3 they need temperature 3.
func TestTemperatureUndoesScaling(t *testing.T) {
	var logits, scaled []float32
	var labels []int
	p := []float64{0.7, 0.2, 0.1}
	for i := range 100 {
		label := 0
		if i >= 90 {
			label = 2
		} else if i >= 70 {
			label = 1
		}
		labels = append(labels, label)
		for _, v := range p {
			logits = append(logits, float32(math.Log(v)))
			scaled = append(scaled, float32(3*math.Log(v)))
		}
	}
	near(t, "temperature", FitTemperature(logits, labels, 3), 1, 1e-5)
	near(t, "temperature", FitTemperature(scaled, labels, 3), 3, 1e-5)
	near(t, "ECE", Calibrate(logits, labels, 3).ECE, 0, 1e-6)

	// All right: the colder the better. Worse than chance: the hotter the better.
	near(t, "temperature of a perfect model", FitTemperature([]float32{1, 0, 0, 1}, []int{0, 1}, 2), 0.05, 0)
	near(t, "temperature of a wrong model", FitTemperature([]float32{1, 0, 0, 1}, []int{1, 0}, 2), 20, 0)
}

func TestBadInput(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		logits []float32
		labels []int
		want   string
	}{
		{nil, nil, "no samples"},
		{[]float32{1, 2, 3}, []int{0}, "3 scores for 1 samples of 2 classes"},
		{[]float32{1, 2}, []int{2}, "label 2 of sample 0"},
		{[]float32{1, 2}, []int{-1}, "label -1 of sample 0"},
		{[]float32{1, 2, 3, inf}, []int{0, 0}, "score 1 of sample 1 is +Inf"},
	} {
		_, err := Evaluate(c.logits, c.labels, names(2))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	if _, err := EvaluateMultiLabel([]float32{1, 2}, [][]int{{2}}, names(2), 0.5); err == nil {
		t.Error("no error for a label out of range")
	}
	if _, err := EvaluateMultiLabel([]float32{1, 2}, [][]int{{1}}, names(2), 1); err == nil {
		t.Error("no error for threshold 1")
	}
}

func TestSoftmaxOfLargeLogits(t *testing.T) {
	p := Softmax([]float32{1000, 999, -1000}, 1)
	near(t, "p0", p[0], 1/(1+math.Exp(-1)), 1e-12)
	near(t, "p2", p[2], 0, 0)
	near(t, "hot", Softmax([]float32{2, 0}, 2)[0], 1/(1+math.Exp(-1)), 1e-12)
}
