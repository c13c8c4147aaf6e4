package data

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/resnet-go/resnet/data/imaging"
)

// Report holds the results of [Check], as plain data for JSON.
type Report struct {
	Spec       string       `json:"spec"`
	Classes    []string     `json:"classes"`
	MultiLabel bool         `json:"multi_label"`
	Hash       string       `json:"hash"` // as Splits.Hash; empty if a sample cannot be read
	Parts      []PartReport `json:"parts"`
	// Duplicates are groups of samples with the same pixels.
	Duplicates []Duplicate `json:"duplicates"`
	// Empty is Splits.Empty: class folders to train on without pictures.
	Empty []string `json:"empty"`
	Notes []string `json:"notes"`
}

// PartReport describes one part of a dataset.
type PartReport struct {
	Name     string      `json:"name"`
	Images   int         `json:"images"`
	Hash     string      `json:"hash"`      // as [Hash] of the part; empty if a sample cannot be read
	PerClass []int       `json:"per_class"` // samples that have each class
	NoLabel  int         `json:"no_label"`  // samples without any, of multi-label data or of pictures without labels
	Bad      []BadSample `json:"bad"`       // cannot be decoded
	Gray     int         `json:"grey"`      // pictures of one channel
	MinW     int         `json:"min_width"` // over the pictures that can be decoded
	MinH     int         `json:"min_height"`
	MaxW     int         `json:"max_width"`
	MaxH     int         `json:"max_height"`
	// Pixels are the pixels of each class and Ignored those that do not count, of
	// pictures with masks; PerClass then counts the pictures that have the class.
	Pixels  []int64 `json:"pixels,omitempty"`
	Ignored int64   `json:"ignored_pixels,omitempty"`
	// Uncounted is the number of pictures whose mask has no pixel that counts.
	Uncounted int `json:"uncounted_pictures,omitempty"`
}

// BadSample is a sample that cannot be decoded.
type BadSample struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

// Duplicate is a group of samples with the same pixels.
type Duplicate struct {
	Samples []PartSample `json:"samples"`
	// Between is set if the samples are in more than one part, so that the
	// evaluation sees what was trained on.
	Between bool `json:"between_parts"`
	// Conflict is set if the labels of the samples differ.
	Conflict bool `json:"labels_differ"`
}

// PartSample is a sample and its part.
type PartSample struct {
	Part string `json:"part"`
	Name string `json:"name"`
}

// Check reads and decodes every sample of all parts once. It reports the samples
// per class, the samples that cannot be decoded or occur more than once, and the
// hashes. workers is the number of goroutines; 0 means one per CPU. The only error
// is that of ctx.
func Check(ctx context.Context, s *Splits, workers int) (*Report, error) {
	r := &Report{Spec: s.Spec, Classes: s.Classes(), MultiLabel: s.MultiLabel(), Empty: s.Empty, Notes: s.Notes, Duplicates: []Duplicate{}}
	if len(r.Classes) == 0 { // pictures without labels
		r.Classes, r.MultiLabel = []string{}, false
	}
	groups := make(map[[32]byte][]place)
	var unread error
	for i, p := range s.parts() {
		report, sums, err := checkPart(ctx, p, workers)
		if bad := (*SampleError)(nil); errors.As(err, &bad) {
			unread = cmp.Or(unread, err)
		} else if err != nil {
			return nil, err
		}
		r.Parts = append(r.Parts, report)
		for k, sum := range sums {
			if sum.ok {
				groups[sum.pixels] = append(groups[sum.pixels], place{i, k})
			}
		}
	}
	r.Duplicates = append(r.Duplicates, duplicates(s.parts(), groups)...)
	if unread != nil { // the sample is among the bad ones already
		r.Notes = append(slices.Clone(r.Notes), "no hash: "+unread.Error())
		return r, nil
	}
	r.Hash = hashParts(r.Parts)
	return r, nil
}

// place is a sample of a part.
type place struct{ part, index int }

// pixelSum is the hash of a sample's pixels.
type pixelSum struct {
	pixels [32]byte
	ok     bool
}

// checkPart returns, besides the report, a *SampleError if a sample cannot be read
// and there is no hash for that reason.
func checkPart(ctx context.Context, p part, workers int) (PartReport, []pixelSum, error) {
	ds := p.ds
	r := PartReport{Name: p.name, Images: ds.Len(), PerClass: ClassCounts(ds), Bad: []BadSample{}}
	for i := range ds.Len() {
		if len(ds.Labels(i)) == 0 {
			r.NoLabel++
		}
	}
	masks := Masks(ds)
	if masks != nil {
		r.Pixels, r.NoLabel = make([]int64, len(ds.Classes())), 0
	}
	sums := make([]pixelSum, ds.Len())
	bad, unread := make([]error, ds.Len()), make([]error, ds.Len())
	lines := make([]string, ds.Len())
	var mu sync.Mutex
	r.MinW, r.MinH = math.MaxInt, math.MaxInt
	err := forEach(ctx, ds.Len(), workers, func() func(int) error {
		var m, mask imaging.Image
		var buf []byte
		return func(i int) error {
			var b []byte
			if b, unread[i], bad[i] = readSample(ds, i, buf, &m); unread[i] == nil {
				buf, lines[i] = b, hashLine(ds, i, b)
			}
			if bad[i] == nil && masks != nil {
				bad[i] = decodeMask(masks, i, &m, &mask)
			}
			if bad[i] != nil {
				return nil
			}
			sums[i] = pixelSum{pixelHash(&m), true}
			mu.Lock()
			defer mu.Unlock()
			if m.C == 1 {
				r.Gray++
			}
			if masks != nil {
				r.countMask(&mask)
			}
			r.MinW, r.MinH = min(r.MinW, m.W), min(r.MinH, m.H)
			r.MaxW, r.MaxH = max(r.MaxW, m.W), max(r.MaxH, m.H)
			return nil
		}
	})
	if err != nil {
		return r, nil, err
	}
	if r.MaxW == 0 {
		r.MinW, r.MinH = 0, 0
	}
	for i, err := range bad {
		if err != nil {
			r.Bad = append(r.Bad, BadSample{ds.Name(i), err.Error()})
		}
	}
	for i, err := range unread {
		if err != nil {
			return r, sums, &SampleError{Index: i, Name: ds.Name(i), Err: err}
		}
	}
	r.Hash = hashLines(ds, lines)
	return r, sums, nil
}

// countMask adds the pixels of a mask.
func (r *PartReport) countMask(mask *imaging.Image) {
	var n [256]int64
	for _, v := range mask.Pix {
		n[v]++
	}
	if n[IgnoredClass] == int64(len(mask.Pix)) {
		r.Uncounted++
	}
	for k := range r.Pixels {
		r.Pixels[k] += n[k]
		if n[k] > 0 {
			r.PerClass[k]++
		}
	}
	r.Ignored += n[IgnoredClass]
}

func pixelHash(m *imaging.Image) (sum [32]byte) {
	h := sha256.New()
	fmt.Fprintln(h, m.W, m.H, m.C)
	h.Write(m.Pix)
	h.Sum(sum[:0])
	return sum
}

func duplicates(parts []part, groups map[[32]byte][]place) []Duplicate {
	var all [][]place
	for _, places := range groups {
		if len(places) > 1 {
			all = append(all, places)
		}
	}
	slices.SortFunc(all, func(a, b []place) int {
		if c := a[0].part - b[0].part; c != 0 {
			return c
		}
		return a[0].index - b[0].index
	})
	var dups []Duplicate
	for _, places := range all {
		var d Duplicate
		first := places[0]
		for _, p := range places {
			ds := parts[p.part].ds
			d.Samples = append(d.Samples, PartSample{parts[p.part].name, ds.Name(p.index)})
			d.Between = d.Between || p.part != first.part
			d.Conflict = d.Conflict || !slices.Equal(ds.Labels(p.index), parts[first.part].ds.Labels(first.index))
		}
		dups = append(dups, d)
	}
	return dups
}

// Err returns an error if nothing can be learned from the masks of the training part, or
// measured by those of another: no pixel counts, or those of one class alone, where the
// value of the others seems to be the one that does not count.
func (r *Report) Err() error {
	for _, p := range r.Parts {
		if p.Pixels == nil || p.Ignored == 0 {
			continue
		}
		with := 0
		for _, n := range p.Pixels {
			if n > 0 {
				with++
			}
		}
		switch {
		case with == 0:
			return fmt.Errorf("%s: no pixel of the masks of the %s part counts: all have the value %d, which is no class: write the numbers of the classes, 0 to %d",
				r.Spec, p.Name, IgnoredClass, len(r.Classes)-1)
		case with == 1 && p.Pixels[0] > 0 && p.Name == "train":
			return fmt.Errorf("%s: the pixels of the masks of the training part are of %s, class 0, or have the value %d, which does not count: write 1 to %d for pixels of the other classes, or name the class of each value in a file classes.csv, with lines NAME,VALUE",
				r.Spec, r.Classes[0], IgnoredClass, len(r.Classes)-1)
		}
	}
	return nil
}

// Warnings returns one line for each likely mistake that spoils training or
// evaluation, the worst first.
func (r *Report) Warnings() []string {
	var w []string
	for _, p := range r.Parts {
		if len(p.Bad) > 0 {
			w = append(w, fmt.Sprintf("%s: pictures that cannot be decoded: %d of %d, such as %s (%s)",
				p.Name, len(p.Bad), p.Images, p.Bad[0].Name, p.Bad[0].Error))
		}
	}
	between, conflict, same := 0, 0, 0
	var example [3]Duplicate
	for _, d := range r.Duplicates {
		switch {
		case d.Between:
			between, example[0] = between+1, d
		case d.Conflict:
			conflict, example[1] = conflict+1, d
		default:
			same, example[2] = same+1, d
		}
	}
	for i, k := range []struct {
		n    int
		what string
	}{
		{between, "pictures that are in more than one part, so that the evaluation sees training pictures"},
		{conflict, "pictures that are there more than once with different labels"},
		{same, "pictures that are there more than once in a part"},
	} {
		if k.n > 0 {
			s := example[i].Samples
			w = append(w, fmt.Sprintf("%s: %d, such as %s %s and %s %s", k.what, k.n, s[0].Part, s[0].Name, s[1].Part, s[1].Name))
		}
	}
	for _, p := range r.Parts {
		var empty []string
		most, least := 0, math.MaxInt
		for k, n := range p.PerClass {
			if n == 0 {
				empty = append(empty, r.Classes[k])
				continue
			}
			most, least = max(most, n), min(least, n)
		}
		if p.Uncounted > 0 {
			w = append(w, fmt.Sprintf("%s: pictures whose mask has no pixel that counts: %d of %d", p.Name, p.Uncounted, p.Images))
		}
		if len(empty) > 0 {
			more := ""
			if n := len(empty); n > 10 {
				empty, more = empty[:10], fmt.Sprintf(" and %d more", n-10)
			}
			w = append(w, fmt.Sprintf("%s: classes without pictures: %s%s", p.Name, strings.Join(empty, ", "), more))
		}
		if p.Pixels != nil {
			continue // pictures of a class have other classes, too
		}
		if p.Name == "train" && most > 0 && most >= 10*least {
			w = append(w, fmt.Sprintf("train: the largest class has %d pictures and the smallest %d: class weights or balanced sampling may help", most, least))
		}
	}
	return w
}

// MeanStd returns the mean and standard deviation of each channel over the
// pixels of all samples, preprocessed by p but not normalized, on a scale from 0
// to 1. They are the values for [Preprocess].Mean and Std for data that no preset
// fits; p.Mean and p.Std are not used. The error names a sample that cannot be
// decoded; with skipBad, such samples are left out.
func MeanStd(ctx context.Context, ds Dataset, p Preprocess, skipBad bool, workers int) (mean, std []float32, err error) {
	if p.Channels == 1 || p.Channels == 3 {
		p.Mean, p.Std = make([]float32, p.Channels), slices.Repeat([]float32{1}, p.Channels)
	}
	if err := p.Valid(); err != nil {
		return nil, nil, err
	}
	// Integer histograms make the sums independent of the order of the samples.
	var mu sync.Mutex
	var total [3][256]int64
	err = forEach(ctx, ds.Len(), workers, func() func(int) error {
		var s stages
		return func(i int) error {
			err := ds.Decode(i, &s.decoded)
			var v view
			if err == nil {
				v, err = s.fit(p, &picture{m: &s.decoded})
			}
			if err != nil && skipBad {
				return nil
			}
			if err != nil {
				return &SampleError{Index: i, Name: ds.Name(i), Err: err}
			}
			imaging.CropPad(&s.ops, v.m, v.r)
			var counts [3][256]int64
			for j, v := range s.ops.Pix {
				counts[j%p.Channels][v]++
			}
			mu.Lock()
			defer mu.Unlock()
			for c := range counts {
				for v, n := range counts[c] {
					total[c][v] += n
				}
			}
			return nil
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for c := range p.Channels {
		var n, sum, squares int64
		for v, k := range total[c] {
			n += k
			sum += k * int64(v)
			squares += k * int64(v*v)
		}
		if n == 0 {
			return nil, nil, errors.New("data: no picture can be decoded, so there is no mean")
		}
		m := float64(sum) / float64(n)
		variance := max(float64(squares)/float64(n)-m*m, 0)
		mean = append(mean, float32(m/255))
		std = append(std, float32(math.Sqrt(variance)/255))
	}
	return mean, std, nil
}

// forEach calls a function for every number below n, from several goroutines that
// each have a separate function, until a call returns an error or ctx ends. If
// several calls fail, it returns the error of the lowest number.
func forEach(ctx context.Context, n, workers int, start func() func(i int) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next, failed atomic.Int64
	failed.Store(math.MaxInt64)
	var mu sync.Mutex
	var first error
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			f := start()
			for {
				i := next.Add(1) - 1
				// Numbers below a failed one still run: theirs may be the
				// error to report.
				if i >= int64(n) || i > failed.Load() || ctx.Err() != nil {
					return
				}
				err := f(int(i))
				if err == nil {
					continue
				}
				mu.Lock()
				if i < failed.Load() {
					failed.Store(i)
					first = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return first
}
