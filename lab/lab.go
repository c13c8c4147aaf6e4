// Package lab compares networks: it trains the variants of an experiment with
// the same seeds and budget, measures them, and writes one report
// (package lab/report). Each run is a folder of package train, so that a study
// that was stopped continues.
package lab

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/lab/report"
	"github.com/resnet-go/resnet/train"
)

// Options are the choices of a study. The experiment chooses fields that are zero.
type Options struct {
	Dir string // of the study: its runs, its report
	// Data is opened by Open. Images and TestImages are the numbers of pictures to
	// take of the parts: the first ones of each class, the same number of each; 0
	// takes all.
	Data       string
	Open       func(spec string, opt data.Options) (*data.Splits, error)
	Images     int
	TestImages int
	// Recipe trains all variants, with the changes that the experiment makes.
	Recipe *train.Recipe
	// Pretext is the recipe without labels of the experiment labels, a name or a file;
	// empty means simsiam and simclr. PretextSet are the user's changes to it, see Reach.
	Pretext    string
	PretextSet []string
	Depths     []int // of the networks, layers
	Seeds      int   // runs per variant, with the seeds 1, 2, …
	Grid       int   // points per side of a loss landscape
	// Jobs is the number of runs trained at the same time, which share the threads.
	Jobs, Threads int
	Command       []string // the command line, for the report
	Log           Log
}

// Log receives the progress of a study; nil functions are not called.
type Log struct {
	Line func(format string, args ...any) // for people
	// Work is called with the work done so far and the whole work, in multiply-adds
	// of training.
	Work func(done, total float64)
}

func (l Log) line(format string, args ...any) {
	if l.Line != nil {
		l.Line(format, args...)
	}
}

// between is the least time between lines of progress within a part of the work.
const between = 20 * time.Second

// seldom tells when a line of progress is due.
type seldom struct{ last time.Time }

func (s *seldom) reset() { s.last = time.Now() }

func (s *seldom) due() bool {
	if s.last.IsZero() {
		s.reset()
	}
	if time.Since(s.last) < between {
		return false
	}
	s.reset()
	return true
}

// pictures returns what counts pictures, and prints a line now and then.
func (l Log) pictures(what string, all int) func(n int) {
	every, done := &seldom{}, 0
	every.reset()
	return func(n int) {
		if done += n; done < all && every.due() {
			l.line("%s, %d of %d pictures", what, done, all)
		}
	}
}

// Variant is one network, or one way of training it.
type Variant struct {
	Name   string  // in files and legends: "plain-20"
	Family string  // of variants that are drawn alike: "plain"
	X      float64 // place on an axis: its depth
	Recipe *train.Recipe
}

// Experiment is a question with the variants that answer it.
type Experiment struct {
	Name     string
	Title    string
	Question string
	Source   string // the paper
	// WithoutLabels is set if some of the networks learn without labels, by
	// Options.Pretext.
	WithoutLabels bool
	// defaults fills in what Options leave open.
	defaults func(*Options)
	variants func(*Options) ([]Variant, error)
	// page turns the finished runs into sections and findings.
	page func(ctx context.Context, s *Study) ([]report.Section, []string, error)
}

// Names lists the experiments.
func Names() []string {
	var names []string
	for _, e := range experiments {
		names = append(names, e.Name)
	}
	return names
}

// Lookup returns the experiment of that name.
func Lookup(name string) (*Experiment, error) {
	if name == "normalisation" { // its name before it was spelled in American English
		name = "normalization"
	}
	for i := range experiments {
		if experiments[i].Name == name {
			return &experiments[i], nil
		}
	}
	return nil, fmt.Errorf("unknown experiment %q%s", name, suggest.Phrase(name, Names()))
}

// Recipes is the experiment that compares any recipes, each named by its file.
func Recipes(names []string, recipes []*train.Recipe) *Experiment {
	return &Experiment{
		Name: "recipes", Title: "Recipes compared", Question: "Which of these recipes does best on these data?",
		variants: func(o *Options) ([]Variant, error) {
			var vs []Variant
			for i, r := range recipes {
				if r.Model == "" {
					return nil, fmt.Errorf("recipe %s names no model", names[i])
				}
				name := strings.TrimSuffix(filepath.Base(names[i]), filepath.Ext(names[i]))
				for slices.ContainsFunc(vs, func(v Variant) bool { return v.Name == name }) {
					name += "'"
				}
				vs = append(vs, Variant{Name: name, Family: name, X: float64(i), Recipe: r})
			}
			return vs, nil
		},
		page: func(_ context.Context, s *Study) ([]report.Section, []string, error) {
			return comparison(s, "recipe")
		},
	}
}

// meanStd returns the mean and the sample standard deviation of the finite values;
// std is NaN for fewer than two.
func meanStd(v []float64) (mean, std float64) {
	n := 0
	for _, x := range v {
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			mean += x
			n++
		}
	}
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	mean /= float64(n)
	if n < 2 {
		return mean, math.NaN()
	}
	for _, x := range v {
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			std += (x - mean) * (x - mean)
		}
	}
	return mean, math.Sqrt(std / float64(n-1))
}

// difference returns mean(b) - mean(a). beyond is set if the difference exceeds
// twice its standard error or, with a single seed, 2 percentage points.
func difference(a, b []float64) (d float64, beyond bool) {
	ma, sa := meanStd(a)
	mb, sb := meanStd(b)
	d = mb - ma
	if math.IsNaN(sa) || math.IsNaN(sb) {
		return d, math.Abs(d) > 0.02
	}
	return d, math.Abs(d) > 2*math.Sqrt(sa*sa/float64(len(a))+sb*sb/float64(len(b)))
}

// percent prints values as mean ± std in percent.
func percent(v []float64) string {
	m, s := meanStd(v)
	switch {
	case math.IsNaN(m):
		return "diverged"
	case math.IsNaN(s):
		return fmt.Sprintf("%.2f %%", 100*m)
	}
	return fmt.Sprintf("%.2f ± %.2f %%", 100*m, 100*s)
}
