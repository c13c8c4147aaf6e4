package features

import (
	"math"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/tensor"
)

// random returns n rows of d features around one center per class.
func random(t testing.TB, n, d, classes int, seed uint64) Set {
	t.Helper()
	centers := philox.New(99, 0)
	center := make([]float64, classes*d)
	for i := range center {
		center[i] = centers.Norm()
	}
	r := philox.New(seed, 1)
	s := Set{X: tensor.New(n, d), Classes: classes}
	for i := range n {
		c := r.IntN(classes)
		s.Labels = append(s.Labels, c)
		for j := range d {
			s.X.Float32s()[i*d+j] = float32(center[c*d+j] + 2*r.Norm())
		}
	}
	return s
}

// slow is the definition, in float64.
func slow(known Set, q *tensor.Tensor, k int, temperature float64) []int {
	d := q.Shape()[1]
	cos := func(a, b []float32) float64 {
		var ab, aa, bb float64
		for i := range a {
			ab += float64(a[i]) * float64(b[i])
			aa += float64(a[i]) * float64(a[i])
			bb += float64(b[i]) * float64(b[i])
		}
		return ab / math.Sqrt(aa*bb)
	}
	var answers []int
	for i := range q.Shape()[0] {
		type hit struct {
			sim float64
			row int
		}
		var hits []hit
		for j := range known.Labels {
			hits = append(hits, hit{cos(q.Float32s()[i*d:(i+1)*d], known.X.Float32s()[j*d:(j+1)*d]), j})
		}
		sort.SliceStable(hits, func(a, b int) bool { return hits[a].sim > hits[b].sim })
		votes := make([]float64, known.Classes)
		for _, h := range hits[:min(k, len(hits))] {
			votes[known.Labels[h.row]] += math.Exp(h.sim / temperature)
		}
		best := 0
		for c := range votes {
			if votes[c] > votes[best] {
				best = c
			}
		}
		answers = append(answers, best)
	}
	return answers
}

// TestNeighbors compares with the definition, for any number of threads and of
// neighbors.
func TestNeighbors(t *testing.T) {
	known, q := random(t, 333, 17, 5, 1), random(t, 150, 17, 5, 2)
	for _, n := range []Neighbors{{}, {K: 1}, {K: 7, Temperature: 0.5}, {K: 1000, Temperature: 0.07}} {
		k, temperature := n.K, n.Temperature
		if k == 0 {
			k = 200
		}
		if temperature == 0 {
			temperature = 0.1
		}
		want := slow(known, q.X, k, temperature)
		for _, threads := range []int{1, 3} {
			n.Threads = threads
			got, err := n.Classify(known, q.X)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: answers differ from the definition's", n)
			}
		}
		if acc := q.Accuracy(want); acc < 0.4 {
			t.Errorf("%+v: accuracy %v of separable classes", n, acc)
		}
	}
}

// TestNeighborsOfEqualRows: rows of zeros and equal rows are no error, and the first
// class wins.
func TestNeighborsOfEqualRows(t *testing.T) {
	known := Set{X: tensor.New(4, 3), Labels: []int{2, 1, 1, 2}, Classes: 3}
	got, err := Neighbors{K: 2}.Classify(known, tensor.New(2, 3))
	if err != nil || !slices.Equal(got, []int{1, 1}) {
		t.Fatalf("%v, %v", got, err)
	}
}

// TestBadFeatures: an error names what is wrong.
func TestBadFeatures(t *testing.T) {
	ok := random(t, 5, 3, 2, 1)
	nan := random(t, 5, 3, 2, 1)
	nan.X.Float32s()[7] = float32(math.NaN())
	short, high := ok, ok
	short.Labels = ok.Labels[:4]
	high.Classes = 1
	high.Labels = []int{0, 0, 0, 0, 5}
	for want, s := range map[string]Set{
		"must be float32[N D]": {}, "4 labels": short, "label 5 of row 4": high, "NaN in row 2": nan,
	} {
		if _, err := (Neighbors{}).Classify(s, ok.X); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if _, err := FitLinear(s, LinearOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("linear: error %v, want %q", err, want)
		}
	}
	if _, err := (Neighbors{}).Classify(ok, tensor.New(2, 4)); err == nil || !strings.Contains(err.Error(), "float32[M 3]") {
		t.Errorf("other width: %v", err)
	}
	if _, err := (Neighbors{K: -1}).Classify(ok, ok.X); err == nil {
		t.Error("a negative K is accepted")
	}
}
