package metrics

import (
	"cmp"
	"fmt"
	"slices"
)

// Confusion counts, for each true class, how often each class was predicted.
type Confusion struct {
	Classes []string `json:"classes"`
	Counts  [][]int  `json:"counts"` // [true class][predicted class]
}

// NewConfusion returns an empty matrix.
func NewConfusion(classes []string) *Confusion {
	m := &Confusion{Classes: classes, Counts: make([][]int, len(classes))}
	for i := range m.Counts {
		m.Counts[i] = make([]int, len(classes))
	}
	return m
}

// Add counts one sample. It panics if a class is out of range.
func (m *Confusion) Add(truth, predicted int) {
	if truth < 0 || truth >= len(m.Counts) || predicted < 0 || predicted >= len(m.Counts) {
		panic(fmt.Sprintf("metrics: class %d taken for %d of %d classes", truth, predicted, len(m.Counts)))
	}
	m.Counts[truth][predicted]++
}

// Accuracy returns the share of samples on the diagonal; 0 if there are none.
func (m *Confusion) Accuracy() float64 {
	right, all := 0, 0
	for i, row := range m.Counts {
		right += row[i]
		for _, n := range row {
			all += n
		}
	}
	return ratio(right, all)
}

// Class is how well one class is recognized.
type Class struct {
	Name      string `json:"name"`
	Samples   int    `json:"samples"`   // of this class
	Predicted int    `json:"predicted"` // predicted as this class
	Correct   int    `json:"correct"`   // both
	Scores
}

// PerClass returns the figures of each class: precision is Correct/Predicted,
// recall Correct/Samples, F1 their harmonic mean. A figure with denominator 0 is 0,
// as in scikit-learn.
func (m *Confusion) PerClass() []Class {
	cs := make([]Class, len(m.Classes))
	for i, row := range m.Counts {
		c := Class{Name: m.Classes[i], Correct: row[i]}
		for j := range row {
			c.Samples += row[j]
			c.Predicted += m.Counts[j][i]
		}
		c.Scores = scores(c.Correct, c.Predicted, c.Samples)
		cs[i] = c
	}
	return cs
}

func scores(correct, predicted, samples int) Scores {
	return Scores{
		Precision: ratio(correct, predicted),
		Recall:    ratio(correct, samples),
		F1:        ratio(2*correct, predicted+samples),
	}
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Averages returns the mean of the classes' scores, with equal weights (macro) and
// weighted by the number of samples. Classes that neither occur nor are predicted
// are left out.
func Averages(classes []Class) (macro, weighted Scores) {
	n, samples := 0, 0
	for _, c := range classes {
		if c.Samples == 0 && c.Predicted == 0 {
			continue
		}
		n++
		samples += c.Samples
		macro.add(c.Scores, 1)
		weighted.add(c.Scores, float64(c.Samples))
	}
	macro.divide(float64(n))
	weighted.divide(float64(samples))
	return macro, weighted
}

func (s *Scores) add(o Scores, weight float64) {
	s.Precision += weight * o.Precision
	s.Recall += weight * o.Recall
	s.F1 += weight * o.F1
}

func (s *Scores) divide(n float64) {
	if n > 0 {
		s.Precision, s.Recall, s.F1 = s.Precision/n, s.Recall/n, s.F1/n
	}
}

// Pair is a class and another that it was taken for.
type Pair struct {
	True      string  `json:"true"`
	Predicted string  `json:"predicted"`
	Count     int     `json:"count"`
	Share     float64 `json:"share"` // of the true class's samples, 0 to 1
}

// MostMixedUp returns the n most frequent mistakes, most frequent first, then
// in the order of the classes.
func (m *Confusion) MostMixedUp(n int) []Pair {
	var pairs []Pair
	for i, row := range m.Counts {
		samples := 0
		for _, k := range row {
			samples += k
		}
		for j, k := range row {
			if i != j && k > 0 {
				pairs = append(pairs, Pair{m.Classes[i], m.Classes[j], k, ratio(k, samples)})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b Pair) int { return cmp.Compare(b.Count, a.Count) })
	return pairs[:min(n, len(pairs))]
}
