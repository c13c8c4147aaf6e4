package features

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/tensor"
)

// Rows returns the set of these rows, in this order.
func (s Set) Rows(index []int) Set {
	d := s.X.Shape()[1]
	out := Set{X: tensor.New(len(index), d), Labels: make([]int, len(index)), Classes: s.Classes}
	for to, from := range index {
		copy(out.X.Float32s()[to*d:(to+1)*d], s.X.Float32s()[from*d:(from+1)*d])
		out.Labels[to] = s.Labels[from]
	}
	return out
}

// Draw returns the numbers of each rows of every class that has any, in ascending order:
// each row of a class with the same chance, by seed and number of the draw. The rows of a
// smaller each are among those of a larger one. A class with fewer rows is an error.
func (s Set) Draw(each int, seed uint64, draw int) ([]int, error) {
	if each < 1 {
		return nil, fmt.Errorf("features: %d labels a class are below 1", each)
	}
	of := make([][]int, s.Classes)
	for i, l := range s.Labels {
		of[l] = append(of[l], i)
	}
	var taken []int
	for class, rows := range of {
		if len(rows) == 0 {
			continue
		}
		if len(rows) < each {
			return nil, &FewerError{Class: class, Have: len(rows), Want: each}
		}
		r := philox.New(seed, uint64(draw)<<32|uint64(class))
		for i := range each {
			j := i + r.IntN(len(rows)-i)
			rows[i], rows[j] = rows[j], rows[i]
		}
		taken = append(taken, rows[:each]...)
	}
	slices.Sort(taken)
	return taken, nil
}

// FewerError is the error for a class that has fewer labels than are drawn.
type FewerError struct{ Class, Have, Want int }

// Error implements error.
func (e *FewerError) Error() string {
	return fmt.Sprintf("features: class %d has %d labels, fewer than %d", e.Class, e.Have, e.Want)
}

// Judgement is what simple classifiers make of features: shares of right answers, 0 to 1.
type Judgement struct {
	Linear float64 `json:"linear"` // of the linear classifier
	KNN    float64 `json:"knn"`    // of the nearest neighbors
}

// Judge fits a linear classifier to known features and returns it with the shares of
// queries that it and the neighbors classify right.
func Judge(known, queries Set, n Neighbors, opt LinearOptions) (*Linear, Judgement, error) {
	l, err := FitLinear(known, opt)
	if err != nil {
		return nil, Judgement{}, err
	}
	answers, err := l.Classify(queries.X)
	if err != nil {
		return nil, Judgement{}, err
	}
	j := Judgement{Linear: queries.Accuracy(answers)}
	if answers, err = n.Classify(known, queries.X); err != nil {
		return nil, Judgement{}, err
	}
	j.KNN = queries.Accuracy(answers)
	return l, j, nil
}

// JudgeFew is [Judge] with each labels of every class, for each of the draws of
// [Set.Draw].
func JudgeFew(ctx context.Context, known, queries Set, each, draws int, seed uint64, n Neighbors, opt LinearOptions) ([]Judgement, error) {
	var all []Judgement
	for draw := range draws {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows, err := known.Draw(each, seed, draw)
		if err != nil {
			return nil, err
		}
		_, j, err := Judge(known.Rows(rows), queries, n, opt)
		if err != nil {
			return nil, err
		}
		all = append(all, j)
	}
	return all, nil
}

// MeanStd returns the mean of what of gives of each judgement, and the standard
// deviation of a sample, 0 of one.
func MeanStd(all []Judgement, of func(Judgement) float64) (mean, std float64) {
	for _, j := range all {
		mean += of(j) / float64(len(all))
	}
	if len(all) < 2 {
		return mean, 0
	}
	for _, j := range all {
		std += (of(j) - mean) * (of(j) - mean) / float64(len(all)-1)
	}
	return mean, math.Sqrt(std)
}
