package features

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/resnet-go/resnet/tensor"
)

// TestLinearAsScikitLearn: the weights are those of scikit-learn's logistic regression
// (testdata/linear.py), up to the same number for all classes, which changes nothing.
func TestLinearAsScikitLearn(t *testing.T) {
	text, err := os.ReadFile("testdata/linear.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		X, W         [][]float64
		B            []float64
		Labels       []int
		CrossEntropy float64 `json:"cross_entropy"`
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	n, d := len(want.X), len(want.X[0])
	s := Set{X: tensor.New(n, d), Labels: want.Labels, Classes: 3}
	for i, row := range want.X {
		for j, v := range row {
			s.X.Float32s()[i*d+j] = float32(v)
		}
	}
	for _, threads := range []int{1, 3} {
		l, err := FitLinear(s, LinearOptions{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		// Scores are compared, because a constant may move between classes.
		largest := 0.0
		for i := range n {
			var got, ref [3]float64
			for c := range 3 {
				got[c], ref[c] = float64(l.B[c]), want.B[c]
				for j := range d {
					got[c] += float64(l.W.Float32s()[c*d+j]) * want.X[i][j]
					ref[c] += want.W[c][j] * want.X[i][j]
				}
			}
			for c := 1; c < 3; c++ {
				largest = max(largest, math.Abs((got[c]-got[0])-(ref[c]-ref[0])))
			}
		}
		if largest > 2e-3 {
			t.Errorf("scores differ by %g after %d iterations", largest, l.Iterations)
		}
		answers, err := l.Classify(s.X)
		if err != nil {
			t.Fatal(err)
		}
		if acc := s.Accuracy(answers); acc < 0.6 {
			t.Errorf("accuracy %v", acc)
		}
	}
}

// TestLinearOfConstantColumns: columns that never change, and classes without a row, do
// no harm.
func TestLinearOfConstantColumns(t *testing.T) {
	s := random(t, 80, 6, 3, 4)
	for i := range 80 {
		s.X.Float32s()[i*6+2] = 7
		s.X.Float32s()[i*6+3] = 0
	}
	s.Classes = 5
	l, err := FitLinear(s, LinearOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range l.W.Float32s() {
		if v-v != 0 {
			t.Fatal("the weights are not finite")
		}
	}
	answers, err := l.Classify(s.X)
	if err != nil || s.Accuracy(answers) < 0.6 {
		t.Errorf("accuracy %v, %v", s.Accuracy(answers), err)
	}
}
