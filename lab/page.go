package lab

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/cpu"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/lab/report"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/train"
)

// Report measures the finished runs and writes report.html, charts and
// runs.csv into the study's folder. It returns the page.
func (s *Study) Report(ctx context.Context, took time.Duration) (*report.Page, error) {
	sections, findings, err := s.page(ctx, s)
	if err != nil {
		return nil, err
	}
	p := &report.Page{Title: s.Title, Question: s.Question, Findings: findings, Sections: sections}
	if open := s.unfinished(); open > 0 {
		p.Partial = fmt.Sprintf("%d of %d runs are not finished: the report is incomplete.", open, len(s.Runs))
	}
	p.Sections = append(p.Sections, s.runTable())
	commit := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, set := range info.Settings {
			if set.Key == "vcs.revision" {
				commit = set.Value
			}
		}
	}
	add := func(name, value string) {
		if value != "" {
			p.Facts = append(p.Facts, report.Fact{Name: name, Value: value})
		}
	}
	add("after", s.Source)
	add("data", fmt.Sprintf("%s: %s to train on, %s to test on", s.Spec, term.Plural(s.counts[0], "picture"), term.Count(s.counts[1])))
	seeds := "seed 1"
	if s.Seeds > 1 {
		seeds = fmt.Sprintf("seeds 1 to %d; ± is the standard deviation over them", s.Seeds)
	}
	add("seeds", seeds)
	add("errors", "the training error is counted during each epoch, with augmentation; the test error after it")
	add("processor", fmt.Sprintf("%s (%s), %d threads", cpu.Model(), cpu.String(), s.Threads))
	add("program", fmt.Sprintf("resnet, commit %s, %s, %s/%s", commit, runtime.Version(), runtime.GOOS, runtime.GOARCH))
	add("this session", term.Duration(took))
	add("command", strings.Join(s.Command, " "))
	shared, err := s.sharedRecipe()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, v := range s.Variants {
		r := *v.Recipe
		name := "recipe of " + v.Name
		if shared {
			r.Model, name = "", "recipe of all networks"
		}
		text, err := r.YAML()
		if err != nil {
			return nil, err
		}
		if !seen[string(text)] {
			seen[string(text)] = true
			p.Files = append(p.Files, report.Text{Name: name, Body: string(text)})
		}
	}
	if err := p.Save(s.Dir); err != nil {
		return nil, err
	}
	return p, atomicfile.Write(filepath.Join(s.Dir, "runs.csv"), s.csv)
}

// sharedRecipe reports whether all variants differ in their network only.
func (s *Study) sharedRecipe() (bool, error) {
	first, err := bare(s.Variants[0].Recipe)
	if err != nil {
		return false, err
	}
	for _, v := range s.Variants {
		b, err := bare(v.Recipe)
		if err != nil || !slices.Equal(b, first) {
			return false, err
		}
	}
	return true, nil
}

func (s *Study) unfinished() int {
	n := 0
	for _, r := range s.Runs {
		if !r.Finished {
			n++
		}
	}
	return n
}

// csv writes every epoch of every run.
func (s *Study) csv(w io.Writer) error {
	c := csv.NewWriter(w)
	if err := c.Write([]string{"variant", "model", "seed", "epoch", "lr", "train_loss", "train_error", "test_loss", "test_error"}); err != nil {
		return err
	}
	f := func(v float64) string { return strconv.FormatFloat(v, 'g', 8, 64) }
	for _, r := range s.Runs {
		for _, e := range r.History {
			line := []string{r.Variant.Name, r.Variant.Recipe.Model, strconv.FormatUint(r.Seed, 10), strconv.Itoa(e.Epoch), f(e.LR),
				f(e.Train.Loss), "", "", ""}
			if v := trainError(e); !math.IsNaN(v) {
				line[6] = f(v)
			}
			if v := testError(e); !math.IsNaN(v) {
				line[7], line[8] = f(e.Val.Loss), f(v)
			}
			if err := c.Write(line); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}

// runTable lists the runs with their last figures.
func (s *Study) runTable() report.Section {
	t := &report.Table{Heads: []string{"network", "model", "parameters", "seed", "epochs", "training error", "test error"}}
	for _, r := range s.Runs {
		params := ""
		if net, _, err := s.network(r.Variant); err == nil {
			params = term.Count(nn.NumParams(net))
		}
		row := []string{r.Variant.Name, r.Variant.Recipe.Model, params, strconv.FormatUint(r.Seed, 10), strconv.Itoa(len(r.History)), "", ""}
		if n := len(r.History); n > 0 {
			if v := trainError(r.History[n-1]); !math.IsNaN(v) {
				row[5] = term.Percent(v)
			}
			if v := testError(r.History[n-1]); !math.IsNaN(v) {
				row[6] = term.Percent(v)
			}
		}
		if r.Diverged != "" {
			row[6] = "diverged"
		}
		t.Rows = append(t.Rows, row)
	}
	return report.Section{Title: "All runs", Tables: []*report.Table{t}}
}

// runs returns the runs of a variant.
func (s *Study) runs(v *Variant) []*Run {
	var list []*Run
	for _, r := range s.Runs {
		if r.Variant == v {
			list = append(list, r)
		}
	}
	return list
}

// A measure is a number of an epoch.
type measure func(train.EpochRecord) float64

// trainError is NaN of a network that learns without labels.
func trainError(e train.EpochRecord) float64 {
	if e.Train.Gauge != nil {
		return math.NaN()
	}
	return 1 - e.Train.Top1
}

func testError(e train.EpochRecord) float64 {
	if e.Val == nil || e.Val.KNN != nil {
		return math.NaN()
	}
	return 1 - e.Val.Top1
}

// last returns the measure at the end of each run of a variant: NaN for runs that
// diverged or are not finished.
func (s *Study) last(v *Variant, m measure) []float64 {
	var out []float64
	for _, r := range s.runs(v) {
		x := math.NaN()
		if n := len(r.History); r.Finished && r.Diverged == "" && n > 0 {
			x = m(r.History[n-1])
		}
		out = append(out, x)
	}
	return out
}

// curve returns the mean over the seeds at each epoch.
func (s *Study) curve(v *Variant, m measure) (x, y, std []float64) {
	for epoch := 0; ; epoch++ {
		var at []float64
		for _, r := range s.runs(v) {
			if epoch < len(r.History) {
				at = append(at, m(r.History[epoch]))
			}
		}
		if len(at) == 0 {
			return x, y, std
		}
		mean, dev := meanStd(at)
		if math.IsNaN(dev) {
			dev = 0
		}
		x, y, std = append(x, float64(epoch+1)), append(y, mean), append(std, dev)
	}
}

// curves draws a measure of every variant by epoch, distinguished by color and
// dashes.
func (s *Study) curves(id, title, ylabel string, m measure, look func(v *Variant, i int) (color int, dashed bool)) *report.Figure {
	f := &report.Figure{ID: id, Title: title, XLabel: "epoch", YLabel: ylabel, Percent: true}
	for i := range s.Variants {
		v := &s.Variants[i]
		x, y, std := s.curve(v, m)
		if len(x) == 0 {
			continue
		}
		if s.Seeds < 2 {
			std = nil
		}
		c, dashed := look(v, i)
		f.Series = append(f.Series, report.Series{Name: v.Name, X: x, Y: y, Err: std, Color: c, Dashed: dashed})
	}
	return f
}

// own gives each variant a color.
func own(_ *Variant, i int) (int, bool) { return i, i >= 8 }

// finals draws the last figures of all variants side by side.
func (s *Study) finals(id, title string) *report.Figure {
	f := &report.Figure{ID: id, Title: title, XLabel: "variant", YLabel: "error at the end", Percent: true, Points: true}
	for k, m := range []measure{trainError, testError} {
		ser := report.Series{Name: []string{"training", "test"}[k], Color: []int{7, 0}[k]}
		for i := range s.Variants {
			mean, std := meanStd(s.last(&s.Variants[i], m))
			if math.IsNaN(std) {
				std = 0
			}
			ser.X, ser.Y, ser.Err = append(ser.X, float64(i)), append(ser.Y, mean), append(ser.Err, std)
		}
		f.Series = append(f.Series, ser)
	}
	for _, v := range s.Variants {
		f.XNames = append(f.XNames, v.Name)
	}
	return f
}

// compared is the page of experiments that compare variants of one network,
// the first of which is the network without a variation.
func compared(what string) func(context.Context, *Study) ([]report.Section, []string, error) {
	return func(_ context.Context, s *Study) ([]report.Section, []string, error) { return comparison(s, what) }
}

func comparison(s *Study, what string) ([]report.Section, []string, error) {
	sections := []report.Section{
		{Title: "Training", Figures: []*report.Figure{
			s.curves("training-error", "Training error", "training error", trainError, own),
			s.curves("test-error", "Test error", "test error", testError, own),
		}},
		{Title: "At the end", Figures: []*report.Figure{s.finals("final-error", "Error after the last epoch")}, Tables: []*report.Table{s.finalTable(what)}},
	}
	return sections, s.rank(), nil
}

func (s *Study) finalTable(what string) *report.Table {
	t := &report.Table{Heads: []string{what, "training error", "test error"}}
	for i := range s.Variants {
		v := &s.Variants[i]
		t.Rows = append(t.Rows, []string{v.Name, percent(s.last(v, trainError)), percent(s.last(v, testError))})
	}
	return t
}

// rank describes which variants are better or worse than the first, and which
// cannot be distinguished by the seeds.
func (s *Study) rank() []string {
	first := &s.Variants[0]
	base := s.last(first, testError)
	out := []string{fmt.Sprintf("%s has a test error of %s.", first.Name, percent(base))}
	groups := map[string][]string{}
	for i := range s.Variants[1:] {
		v := &s.Variants[i+1]
		errs := s.last(v, testError)
		d, beyond := difference(base, errs)
		switch {
		case math.IsNaN(d):
			groups["diverged"] = append(groups["diverged"], v.Name)
		case !beyond:
			groups["same"] = append(groups["same"], fmt.Sprintf("%s (%+.2f)", v.Name, 100*d))
		case d < 0:
			groups["better"] = append(groups["better"], fmt.Sprintf("%s (%+.2f)", v.Name, 100*d))
		default:
			groups["worse"] = append(groups["worse"], fmt.Sprintf("%s (%+.2f)", v.Name, 100*d))
		}
	}
	limit := "beyond twice the standard error of the seeds"
	if s.Seeds < 2 {
		limit = "by more than 2 points; one seed gives no spread"
	}
	for _, g := range []struct{ key, text string }{
		{"better", "Better than it, " + limit + " (points of test error): "},
		{"worse", "Worse than it, " + limit + ": "},
		{"same", "Not distinguishable from it: "},
		{"diverged", "Diverged: "},
	} {
		if len(groups[g.key]) > 0 {
			out = append(out, g.text+strings.Join(groups[g.key], ", ")+".")
		}
	}
	return out
}

// widthPage adds the pairs' parameters.
func widthPage(ctx context.Context, s *Study) ([]report.Section, []string, error) {
	sections, findings, err := comparison(s, "network")
	if err != nil {
		return nil, nil, err
	}
	f := &report.Figure{ID: "error-by-parameters", Title: "Test error by number of parameters", XLabel: "parameters, thousands", YLabel: "test error", Percent: true}
	for k, family := range []string{"deep", "wide"} {
		ser := report.Series{Name: family, Color: k}
		for i := range s.Variants {
			v := &s.Variants[i]
			if v.Family != family {
				continue
			}
			net, _, err := s.network(v)
			if err != nil {
				return nil, nil, err
			}
			mean, std := meanStd(s.last(v, testError))
			if math.IsNaN(std) {
				std = 0
			}
			ser.X, ser.Y, ser.Err = append(ser.X, math.Round(float64(nn.NumParams(net))/1000)), append(ser.Y, mean), append(ser.Err, std)
		}
		f.Series = append(f.Series, ser)
	}
	sections[1].Figures = append(sections[1].Figures, f)
	return sections, findings, nil
}
