package scenes

import (
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/embedded"
)

// Clothes returns the pictures of some classes of the sample of Fashion-MNIST, for
// Options.Objects: with few classes a network learns in seconds.
func Clothes(names ...string) (*data.Splits, error) {
	s, err := data.OpenIDX(embedded.Fashion(), data.Options{ValFraction: -1})
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if !slices.Contains(s.Classes(), n) {
			return nil, fmt.Errorf("scenes: there are no clothes %q, only %q", n, s.Classes())
		}
	}
	return &data.Splits{Spec: s.Spec, Train: only(s.Train, names), Test: only(s.Test, names)}, nil
}

// some are the samples of some classes.
type some struct {
	data.Dataset
	classes []string
	labels  [][]int
}

func (s *some) Classes() []string  { return s.classes }
func (s *some) Labels(i int) []int { return s.labels[i] }

func only(ds data.Dataset, names []string) data.Dataset {
	s := &some{classes: names}
	var indexes []int
	for i := range ds.Len() {
		if k := slices.Index(names, ds.Classes()[ds.Labels(i)[0]]); k >= 0 {
			indexes = append(indexes, i)
			s.labels = append(s.labels, []int{k})
		}
	}
	s.Dataset = data.Subset(ds, indexes)
	return s
}
