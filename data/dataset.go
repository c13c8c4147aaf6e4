// Package data reads image datasets and feeds them to training and evaluation:
// datasets ([Open]), preprocessing and augmentation ([Preprocess], [Augment]),
// a prefetching [Loader], and a check of the data before training ([Check]).
//
// A batch depends on the seed, not on the number of workers, and an epoch can be
// continued at any step: every random decision is drawn from a counter-based
// generator keyed by seed, epoch, sample and operation.
package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data/imaging"
)

// Dataset is a fixed list of labeled pictures. Its methods must be safe for
// concurrent use. Indexes run from 0 to Len()-1; others panic.
type Dataset interface {
	// Len returns the number of samples.
	Len() int
	// Classes returns the names of the classes; a label is an index into it.
	// The caller must not change it.
	Classes() []string
	// MultiLabel reports whether a sample may have any number of labels, learned by
	// a sigmoid per class, rather than exactly one.
	MultiLabel() bool
	// Name returns where sample i comes from, for messages and reports: a path,
	// or a file and record.
	Name(i int) string
	// Labels returns the classes of sample i, exactly one unless MultiLabel.
	// The caller must not change the slice.
	Labels(i int) []int
	// Decode writes the pixels of sample i to dst, upright, with 1 or 3
	// channels, reusing its memory. The error does not repeat the sample's name.
	Decode(i int, dst *imaging.Image) error
}

// RawDataset is implemented by datasets that can give the stored bytes of a
// sample (the file, or the record without its label), which [Hash] and [Check]
// then use instead of decoded pixels.
type RawDataset interface {
	// Content returns the bytes of sample i; buf may be used as memory.
	Content(i int, buf []byte) ([]byte, error)
}

// FileDataset is implemented by datasets of picture files. The loader then
// decodes only the region, or the reduced size, that it needs.
type FileDataset interface {
	// Open opens sample i in r (see [imaging.Reader.Open]), whose pixels are then
	// those of Decode. buf may be used as memory for the file; the returned slice
	// is the memory for the next call.
	Open(i int, r *imaging.Reader, buf []byte) ([]byte, error)
}

// SampleError is the error for a sample that cannot be read or decoded.
type SampleError struct {
	Index int    // in the dataset
	Name  string // as Dataset.Name gives it
	Err   error
}

// Error names the sample and what is wrong with it.
func (e *SampleError) Error() string { return fmt.Sprintf("data: %s: %v", e.Name, e.Err) }

// Unwrap returns the cause.
func (e *SampleError) Unwrap() error { return e.Err }

// Splits are the parts of a dataset. Parts that it does not have are nil.
type Splits struct {
	Spec             string // what was opened
	Train, Val, Test Dataset
	// Notes describe decisions that a user may want to know, such as a validation
	// part that was split off.
	Notes []string
	// Empty has a sentence for each class folder of the training part that has no
	// pictures, of a dataset of folders: training refuses such a class, which cannot be
	// learned.
	Empty []string

	close func() error
}

// Eval returns the part to evaluate on during training: Val if there is one,
// else Test; nil if there is neither.
func (s *Splits) Eval() Dataset {
	if s.Val != nil {
		return s.Val
	}
	return s.Test
}

// Split returns a part by its name: train, val or test.
func (s *Splits) Split(name string) (Dataset, error) {
	var have []string
	for _, p := range s.parts() {
		if p.name == name {
			return p.ds, nil
		}
		have = append(have, p.name)
	}
	return nil, fmt.Errorf("data: %s has no part %q, only %s", s.Spec, name, strings.Join(have, ", "))
}

// Classes returns the names of the classes, which all parts share.
func (s *Splits) Classes() []string {
	for _, p := range s.parts() {
		return p.ds.Classes()
	}
	return nil
}

// MultiLabel reports whether the samples have any number of labels.
func (s *Splits) MultiLabel() bool {
	for _, p := range s.parts() {
		return p.ds.MultiLabel()
	}
	return false
}

// OnClose has f called by Close, for those that open datasets elsewhere.
func (s *Splits) OnClose(f func() error) { s.close = f }

// Finish holds out a validation part as the options of [Open] say, and returns an
// error if there are no samples, for those that open datasets elsewhere.
func (s *Splits) Finish(opt Options) (*Splits, error) { return s.finish(opt) }

// Validate makes other data the part to evaluate on: their val part, else their test
// part, else their only one. Their classes must be among those of s. Closing s closes
// them, too; on an error they are closed at once.
func (s *Splits) Validate(other *Splits) error {
	ds := other.Eval()
	if ds == nil {
		ds = other.Train
	}
	ds, err := WithClasses(ds, s.Classes())
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", other.Spec, err), other.Close())
	}
	s.Val, s.Notes = ds, append(s.Notes, other.Notes...)
	before := s.close
	s.close = func() error {
		err := other.Close()
		if before != nil {
			err = errors.Join(before(), err)
		}
		return err
	}
	return nil
}

// Close closes the files that the parts read from, which must not be used
// afterwards.
func (s *Splits) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

type part struct {
	name string
	ds   Dataset
}

// part returns the part of a name: train, val or test.
func (s *Splits) part(name string) *Dataset {
	return map[string]*Dataset{"train": &s.Train, "val": &s.Val, "test": &s.Test}[name]
}

func (s *Splits) parts() []part {
	var ps []part
	for _, p := range []part{{"train", s.Train}, {"val", s.Val}, {"test", s.Test}} {
		if p.ds != nil {
			ps = append(ps, p)
		}
	}
	return ps
}

// Divisible is implemented by datasets that have more than labels, such as boxes, which
// would be lost behind a wrapper: they give a part of themselves in their own type.
type Divisible interface {
	Dataset
	// Part returns the samples at those indexes, in that order.
	Part(indexes []int) Dataset
	// Reclassed returns the dataset with other classes, where class i becomes to[i].
	Reclassed(classes []string, to []int) Dataset
}

// Subset returns the samples of ds at those indexes, in that order. It panics
// if one is out of range.
func Subset(ds Dataset, indexes []int) Dataset {
	for _, i := range indexes {
		if i < 0 || i >= ds.Len() {
			panic(fmt.Sprintf("data: index %d of a subset is not below %d", i, ds.Len()))
		}
	}
	if d, ok := ds.(Divisible); ok {
		return d.Part(indexes)
	}
	return &subset{ds, indexes}
}

type subset struct {
	of      Dataset
	indexes []int
}

func (s *subset) Len() int                               { return len(s.indexes) }
func (s *subset) Classes() []string                      { return s.of.Classes() }
func (s *subset) MultiLabel() bool                       { return s.of.MultiLabel() }
func (s *subset) Name(i int) string                      { return s.of.Name(s.indexes[i]) }
func (s *subset) Labels(i int) []int                     { return s.of.Labels(s.indexes[i]) }
func (s *subset) Decode(i int, dst *imaging.Image) error { return s.of.Decode(s.indexes[i], dst) }
func (s *subset) Content(i int, buf []byte) ([]byte, error) {
	return content(s.of, s.indexes[i], buf)
}
func (s *subset) inMemory() bool { return inMemory(s.of) }

// origin returns the dataset that sample i of a subset, or of one with other
// classes, comes from, and its number there.
func origin(ds Dataset, i int) (Dataset, int) {
	for {
		switch s := ds.(type) {
		case *subset:
			ds, i = s.of, s.indexes[i]
		case *relabeled:
			ds = s.Dataset
		case *withInputs:
			ds = s.Dataset
		default:
			return ds, i
		}
	}
}

// WithClasses returns ds with the classes of another dataset, in their order: its
// labels change by the classes' names. A class of ds that is not among them is an
// error.
func WithClasses(ds Dataset, classes []string) (Dataset, error) {
	if slices.Equal(ds.Classes(), classes) {
		return ds, nil
	}
	r := &relabeled{Dataset: ds, classes: classes}
	for _, c := range ds.Classes() {
		k := slices.Index(classes, c)
		if k < 0 {
			return nil, fmt.Errorf("data: the class %q is not among those of the training part (%s)", c, strings.Join(classes[:min(len(classes), 10)], ", "))
		}
		r.to = append(r.to, k)
	}
	if d, ok := ds.(Divisible); ok {
		return d.Reclassed(classes, r.to), nil
	}
	return r, nil
}

// relabeled is a dataset with other classes.
type relabeled struct {
	Dataset
	classes []string
	to      []int // the class of each of the dataset's
}

func (r *relabeled) Classes() []string { return r.classes }

func (r *relabeled) Labels(i int) []int {
	var labels []int
	for _, k := range r.Dataset.Labels(i) {
		labels = append(labels, r.to[k])
	}
	return labels
}

func (r *relabeled) Content(i int, buf []byte) ([]byte, error) { return content(r.Dataset, i, buf) }
func (r *relabeled) inMemory() bool                            { return inMemory(r.Dataset) }

// inMemory reports whether the pictures are in memory already, so that a cache
// would only hold a second copy.
func inMemory(ds Dataset) bool {
	m, ok := ds.(interface{ inMemory() bool })
	return ok && m.inMemory()
}

// Images is a dataset of pictures in memory.
type Images struct {
	ClassNames []string
	Pictures   []*imaging.Image
	Targets    [][]int // the classes of each picture
	Names      []string
	Multi      bool // any number of classes per picture
}

// NewImages returns a dataset of pictures with one label each. It returns an
// error if the numbers differ or a label is not the index of a class.
func NewImages(classes []string, pictures []*imaging.Image, labels []int) (*Images, error) {
	if len(pictures) != len(labels) {
		return nil, fmt.Errorf("data: there are %d pictures and %d labels, must be equal numbers", len(pictures), len(labels))
	}
	m := &Images{ClassNames: classes, Pictures: pictures}
	single := singles(len(classes))
	for i, l := range labels {
		if l < 0 || l >= len(classes) {
			return nil, fmt.Errorf("data: label %d of picture %d is not below the number of classes, %d", l, i, len(classes))
		}
		m.Targets = append(m.Targets, single[l])
		m.Names = append(m.Names, fmt.Sprintf("image %d", i))
	}
	return m, nil
}

// Len returns the number of pictures.
func (m *Images) Len() int { return len(m.Pictures) }

// Classes returns ClassNames.
func (m *Images) Classes() []string { return m.ClassNames }

// MultiLabel returns Multi.
func (m *Images) MultiLabel() bool { return m.Multi }

// Name returns the name of picture i.
func (m *Images) Name(i int) string { return m.Names[i] }

// Labels returns the classes of picture i.
func (m *Images) Labels(i int) []int { return m.Targets[i] }

// Decode copies picture i to dst.
func (m *Images) Decode(i int, dst *imaging.Image) error {
	if m.Pictures[i] == nil {
		return errors.New("there is no picture")
	}
	dst.CopyFrom(m.Pictures[i])
	return nil
}

func (m *Images) inMemory() bool { return true }

// singles returns the slices [0], [1], … that Labels hands out for datasets of
// one label per sample.
func singles(n int) [][]int {
	all := make([]int, n)
	s := make([][]int, n)
	for i := range all {
		all[i] = i
		s[i] = all[i : i+1 : i+1]
	}
	return s
}

// PictureSize returns the width and height of sample i, upright, in pixels. Of a
// file only the part with the size is decoded.
func PictureSize(ds Dataset, i int) (w, h int, err error) {
	from, k := origin(ds, i)
	if f, ok := from.(FileDataset); ok {
		var r imaging.Reader
		if _, err := f.Open(k, &r, nil); err != nil {
			return 0, 0, err
		}
		return r.W, r.H, nil
	}
	var m imaging.Image
	if err := from.Decode(k, &m); err != nil {
		return 0, 0, err
	}
	return m.W, m.H, nil
}
