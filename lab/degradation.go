package lab

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/lab/report"
)

// degradation is the page of the experiment of that name.
func degradation(_ context.Context, s *Study) ([]report.Section, []string, error) {
	look := func(v *Variant, _ int) (int, bool) { return slices.Index(s.Depths, int(v.X)), v.Family == "plain" }
	sections := []report.Section{
		{Title: "Training", Text: []string{"Dashed: plain networks. Solid: residual networks. A color is a depth."}, Figures: []*report.Figure{
			s.curves("training-error", "Training error", "training error", trainError, look),
			s.curves("test-error", "Test error", "test error", testError, look),
		}},
		{Title: "By depth", Figures: []*report.Figure{
			s.byDepth("training-error-by-depth", "Training error after the last epoch", "training error", trainError),
			s.byDepth("test-error-by-depth", "Test error after the last epoch", "test error", testError),
		}, Tables: []*report.Table{s.depthTable()}},
	}
	return sections, s.verdict(), nil
}

// byDepth draws a measure's last value over the depth, one curve per family.
func (s *Study) byDepth(id, title, ylabel string, m measure) *report.Figure {
	f := &report.Figure{ID: id, Title: title, XLabel: "layers", YLabel: ylabel, Percent: true}
	for i, family := range s.families() {
		ser := report.Series{Name: family, Color: i, Dashed: family == "plain"}
		for j := range s.Variants {
			v := &s.Variants[j]
			if v.Family != family {
				continue
			}
			mean, std := meanStd(s.last(v, m))
			if math.IsNaN(std) {
				std = 0
			}
			ser.X, ser.Y, ser.Err = append(ser.X, v.X), append(ser.Y, mean), append(ser.Err, std)
		}
		f.Series = append(f.Series, ser)
	}
	return f
}

func (s *Study) families() []string {
	var list []string
	for _, v := range s.Variants {
		if !slices.Contains(list, v.Family) {
			list = append(list, v.Family)
		}
	}
	return list
}

func (s *Study) at(family string, depth int) *Variant {
	for i := range s.Variants {
		if v := &s.Variants[i]; v.Family == family && int(v.X) == depth {
			return v
		}
	}
	return nil
}

func (s *Study) depthTable() *report.Table {
	t := &report.Table{Heads: []string{"layers"}}
	for _, f := range s.families() {
		t.Heads = append(t.Heads, f+", training error", f+", test error")
	}
	for _, d := range s.Depths {
		row := []string{fmt.Sprint(d)}
		for _, f := range s.families() {
			v := s.at(f, d)
			row = append(row, percent(s.last(v, trainError)), percent(s.last(v, testError)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// verdict describes the errors by depth, and whether the degradation shows.
func (s *Study) verdict() []string {
	depths := slices.Clone(s.Depths)
	slices.Sort(depths)
	lo, hi := depths[0], depths[len(depths)-1]
	var out []string
	rises := map[string]bool{}
	known := true
	for _, f := range s.families() {
		var list []string
		for _, d := range depths {
			list = append(list, fmt.Sprintf("%s at %d layers", percent(s.last(s.at(f, d), trainError)), d))
		}
		line := fmt.Sprintf("Training error of %s networks: %s.", f, strings.Join(list, ", "))
		if hi > lo {
			d, beyond := difference(s.last(s.at(f, lo), trainError), s.last(s.at(f, hi), trainError))
			switch {
			case math.IsNaN(d):
				known = false
				line += " Not all of them ended with finite numbers."
			case beyond && d > 0:
				rises[f] = true
				line += fmt.Sprintf(" From %d to %d layers it rises by %.2f points.", lo, hi, 100*d)
			case beyond:
				line += fmt.Sprintf(" From %d to %d layers it falls by %.2f points.", lo, hi, -100*d)
			default:
				line += fmt.Sprintf(" From %d to %d layers it changes by %+.2f points, within the spread.", lo, hi, 100*d)
			}
		}
		out = append(out, line)
	}
	if hi == lo || !known {
		return out
	}
	plain, residual := s.last(s.at("plain", hi), trainError), s.last(s.at("residual", hi), trainError)
	gap, beyond := difference(residual, plain)
	switch {
	case rises["plain"] && !rises["residual"]:
		out = append(out, "The degradation of He et al. 2015 shows: more layers make the plain networks train worse, and not the residual ones.")
	case rises["plain"]:
		out = append(out, "The degradation shows in the plain networks. The residual networks' training error rises with depth too: "+
			"in this budget, which is far below the paper's, the deeper ones are not trained to their end.")
	case rises["residual"]:
		out = append(out, "It is the residual networks whose training error rises with depth here, not the plain ones: "+
			"this is not what He et al. 2015 found with a full budget.")
	default:
		out = append(out, "The degradation does not show here: the plain networks' training error does not rise with depth beyond the spread.")
	}
	if beyond {
		word := "lower"
		if gap < 0 {
			word = "higher"
		}
		out = append(out, fmt.Sprintf("At %d layers the residual network's training error is %.2f points %s than the plain one's.", hi, math.Abs(100*gap), word))
	} else {
		out = append(out, fmt.Sprintf("At %d layers plain and residual networks cannot be distinguished (%+.2f points).", hi, 100*gap))
	}
	return out
}
