package lab

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/lab/probe"
	"github.com/resnet-go/resnet/lab/report"
)

// readable is the accuracy of a linear classifier on each block's output.
type readable struct {
	Paths    []string
	Accuracy []float64
}

// claimsPage is the page of the experiment "table": a textbook's claims about plain,
// residual and highway networks, each with the figures measured for it.
func claimsPage(ctx context.Context, s *Study) ([]report.Section, []string, error) {
	hi := slices.Max(s.Depths)
	families := s.families()
	reads, err := s.readableByFamily(ctx, families, hi)
	if err != nil {
		return nil, nil, err
	}
	t := &report.Table{Heads: append([]string{"measured"}, families...)}
	for _, c := range s.claims(ctx, reads) {
		row := []string{c.name}
		for _, f := range families {
			v, err := c.value(f)
			if err != nil {
				return nil, nil, err
			}
			row = append(row, v)
		}
		t.Rows = append(t.Rows, row)
	}
	probes := &report.Figure{ID: "linear-probe", Title: fmt.Sprintf("What a linear classifier reads from each block, %d layers", hi),
		XLabel: "block", YLabel: "accuracy on test pictures", Percent: true}
	for i, f := range families {
		if reads[f] == nil {
			continue
		}
		ser := report.Series{Name: f, Color: i}
		for k, a := range reads[f].Accuracy {
			ser.X, ser.Y = append(ser.X, float64(k+1)), append(ser.Y, a)
		}
		probes.Series = append(probes.Series, ser)
	}
	look := func(v *Variant, _ int) (int, bool) { return slices.Index(families, v.Family), int(v.X) != hi }
	return []report.Section{
		{Title: "The table", Tables: []*report.Table{t}, Text: []string{
			"Every figure is measured in these runs. The goal of the convergence speed is what the worst of " +
				"the networks that learn reach at the end, or a little above it."}},
		{Title: "Behind it", Figures: []*report.Figure{
			s.byDepth("training-error-by-depth", "Training error after the last epoch", "training error", trainError),
			s.byDepth("test-error-by-depth", "Test error after the last epoch", "test error", testError),
			s.curves("test-error", "Test error in training", "test error", testError, look),
			probes,
		}},
	}, s.verdictOf(families), nil
}

// readableByFamily measures, for each family at a depth, what a linear classifier
// reads from each block of the first run that came to an end.
func (s *Study) readableByFamily(ctx context.Context, families []string, depth int) (map[string]*readable, error) {
	reads := map[string]*readable{}
	for _, f := range families {
		runs := s.usable(s.at(f, depth))
		if len(runs) == 0 {
			continue
		}
		r, err := s.readable(ctx, runs[0])
		if err != nil {
			return nil, err
		}
		reads[f] = r
	}
	return reads, nil
}

// claim is a row of the table: a property, and its figure for a family of
// networks.
type claim struct {
	name  string
	value func(family string) (string, error)
}

// claims returns the rows of the table. reads is by family, of the deepest
// networks.
func (s *Study) claims(ctx context.Context, reads map[string]*readable) []claim {
	depths := slices.Sorted(slices.Values(s.Depths))
	lo, hi := depths[0], depths[len(depths)-1]
	goal := s.goal()
	speed := func(depth int) claim {
		name := fmt.Sprintf("convergence speed: epochs to a test error of %.1f %%, %d layers", 100*goal, depth)
		return claim{name, func(f string) (string, error) { return s.epochsTo(s.at(f, depth), goal), nil }}
	}
	list := []claim{
		{fmt.Sprintf("depth scalability: training error at %d layers less that at %d, points", hi, lo), func(f string) (string, error) {
			d, beyond := difference(s.last(s.at(f, lo), trainError), s.last(s.at(f, hi), trainError))
			switch text := fmt.Sprintf("%+.2f", 100*d); {
			case math.IsNaN(d):
				return "diverged", nil
			case beyond:
				return text, nil
			default:
				return text + " (within the spread)", nil
			}
		}},
		{fmt.Sprintf("training difficulty: training error after the first epoch, %d layers", hi), func(f string) (string, error) {
			var first []float64
			for _, r := range s.runs(s.at(f, hi)) {
				if len(r.History) > 0 {
					first = append(first, trainError(r.History[0]))
				}
			}
			return percent(first), nil
		}},
		{fmt.Sprintf("gradient flow: first convolution's gradient over the last's, before training, %d layers", hi), func(f string) (string, error) {
			var ratios []float64
			for _, r := range s.runs(s.at(f, hi)) {
				l, err := s.layers(ctx, r, false)
				if err != nil {
					return "", err
				}
				ratios = append(ratios, l[0].Gradient/l[len(l)-2].Gradient)
			}
			m, _ := meanStd(ratios)
			return fmt.Sprintf("%.3g", m), nil
		}},
		{fmt.Sprintf("feature preservation: accuracy of a linear classifier on the first, middle and last block, %d layers", hi), func(f string) (string, error) {
			if reads[f] == nil {
				return "diverged", nil
			}
			a := reads[f].Accuracy
			return fmt.Sprintf("%.1f, %.1f, %.1f %%", 100*a[0], 100*a[len(a)/2], 100*a[len(a)-1]), nil
		}},
		speed(lo), speed(hi),
	}
	for _, d := range depths {
		list = append(list, claim{fmt.Sprintf("performance: test error at %d layers", d), func(f string) (string, error) {
			return percent(s.last(s.at(f, d), testError)), nil
		}})
	}
	return list
}

// verdictOf returns the verdict if plain and residual networks are compared.
func (s *Study) verdictOf(families []string) []string {
	if !slices.Contains(families, "plain") || !slices.Contains(families, "residual") {
		return nil
	}
	return s.verdict()
}

// goal returns a test error that can be reached: the final error of the third best
// network, rounded up to half a point.
func (s *Study) goal() float64 {
	var ends []float64
	for i := range s.Variants {
		if m, _ := meanStd(s.last(&s.Variants[i], testError)); !math.IsNaN(m) {
			ends = append(ends, m)
		}
	}
	if len(ends) == 0 {
		return 1
	}
	slices.Sort(ends)
	return math.Ceil(ends[min(2, len(ends)-1)]*200) / 200
}

// epochsTo returns the mean number of epochs that a variant's runs need to reach a
// test error.
func (s *Study) epochsTo(v *Variant, goal float64) string {
	var need []float64
	missed := 0
	for _, r := range s.runs(v) {
		at := 0
		for _, e := range r.History {
			if testError(e) <= goal {
				at = e.Epoch
				break
			}
		}
		if at == 0 {
			missed++
		} else {
			need = append(need, float64(at))
		}
	}
	if len(need) == 0 {
		return "not reached"
	}
	m, _ := meanStd(need)
	text := fmt.Sprintf("%.1f", m)
	if missed > 0 {
		text += fmt.Sprintf(" (%d of %d runs not)", missed, missed+len(need))
	}
	return text
}

func (s *Study) readable(ctx context.Context, r *Run) (*readable, error) {
	return kept(r, "linear-probe", func() (*readable, error) {
		train, err := s.pictures(ctx, r.Variant, false, probeEach)
		if err != nil {
			return nil, err
		}
		test, err := s.pictures(ctx, r.Variant, true, deletionEach)
		if err != nil {
			return nil, err
		}
		net, err := s.trained(r)
		if err != nil {
			return nil, err
		}
		s.Log.line("%s: linear classifiers on its blocks", r.Variant.Name)
		paths, a, err := net.Features(ctx, train)
		if err != nil {
			return nil, err
		}
		_, b, err := net.Features(ctx, test)
		if err != nil {
			return nil, err
		}
		out := &readable{Paths: paths}
		for i := range paths {
			out.Accuracy = append(out.Accuracy, probe.Linear(a[i], train.Labels, b[i], test.Labels, len(s.Classes), 150))
		}
		return out, nil
	})
}
