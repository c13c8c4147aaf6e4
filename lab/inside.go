package lab

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/lab/probe"
	"github.com/resnet-go/resnet/lab/report"
)

// layers measures a run's network before or after training.
func (s *Study) layers(ctx context.Context, r *Run, after bool) ([]probe.Layer, error) {
	name := "layers-before"
	if after {
		name = "layers-after"
	}
	return kept(r, name, func() ([]probe.Layer, error) {
		p, err := s.pictures(ctx, r.Variant, false, gradientEach)
		if err != nil {
			return nil, err
		}
		net, err := s.fresh(r)
		if after {
			net, err = s.trained(r)
		}
		if err != nil {
			return nil, err
		}
		return net.Layers(ctx, p)
	})
}

// gradients is the page of the experiment of that name.
func gradients(ctx context.Context, s *Study) ([]report.Section, []string, error) {
	type view struct {
		id, title, ylabel string
		value             func(probe.Layer) float64
	}
	views := []view{
		{"gradient", "Gradient at the weights", "norm of the gradient", func(l probe.Layer) float64 { return l.Gradient }},
		{"signal", "Gradient at the outputs", "norm of the gradient", func(l probe.Layer) float64 { return l.Signal }},
		{"response", "Response", "standard deviation", func(l probe.Layer) float64 { return l.Response }},
	}
	var sections []report.Section
	var findings []string
	for _, after := range []bool{false, true} {
		when, id := "Before training", "before"
		if after {
			when, id = "After training", "after"
		}
		section := report.Section{Title: when}
		if !after {
			section.Text = []string{"One batch of training pictures, forward and backward, at each convolution in the order of the network. " +
				"The response is the layer's output after its batch norm (before it, where the batch norm comes first), as in figure 7 of " +
				"He et al. 2015. Small responses in a residual block mean that its layers change the signal little."}
		}
		for _, v := range views {
			f := &report.Figure{ID: v.id + "-" + id, Title: v.title, XLabel: "layer", YLabel: v.ylabel, LogY: true}
			for i := range s.Variants {
				va := &s.Variants[i]
				var all [][]probe.Layer
				for _, r := range s.usable(va) {
					l, err := s.layers(ctx, r, after)
					if err != nil {
						return nil, nil, err
					}
					all = append(all, l)
				}
				if len(all) == 0 {
					continue
				}
				ser := report.Series{Name: va.Name, Color: slices.Index(s.families(), va.Family), Dashed: slices.Index(s.Depths, int(va.X)) > 0}
				for k := range all[0] {
					sum := 0.0
					for _, l := range all {
						sum += math.Log(v.value(l[k]))
					}
					ser.X, ser.Y = append(ser.X, float64(k+1)), append(ser.Y, math.Exp(sum/float64(len(all))))
				}
				f.Series = append(f.Series, ser)
				if v.id == "gradient" {
					n := len(ser.Y)
					findings = append(findings, fmt.Sprintf("%s, %s: the gradient at the weights is %.2g in the first convolution and %.2g in the last, %.2g times as much.",
						va.Name, strings.ToLower(when), ser.Y[0], ser.Y[n-2], ser.Y[0]/ser.Y[n-2]))
				}
			}
			section.Figures = append(section.Figures, f)
		}
		sections = append(sections, section)
	}
	return sections, findings, nil
}

// landscape is the page of the experiment of that name.
func landscape(ctx context.Context, s *Study) ([]report.Section, []string, error) {
	grid := s.Grid
	if grid < 3 {
		grid = 15
	}
	axis := make([]float64, grid)
	for i := range axis {
		axis[i] = -1 + 2*float64(i)/float64(grid-1)
	}
	section := report.Section{Title: "Around the trained weights", Text: []string{
		"The loss on training pictures, in a plane through the trained weights (the middle) along two random directions. Each filter's " +
			"direction is scaled to the norm of the filter, so that networks can be compared; batch norms use their running statistics. " +
			"Colors and heights are logarithms.",
	}}
	var findings []string
	for i := range s.Variants {
		v := &s.Variants[i]
		runs := s.usable(v)
		if len(runs) == 0 {
			continue
		}
		r := runs[0]
		z, err := kept(r, fmt.Sprintf("landscape-%d", grid), func() ([][]float64, error) {
			p, err := s.pictures(ctx, v, false, landscapeEach)
			if err != nil {
				return nil, err
			}
			net, err := s.trained(r)
			if err != nil {
				return nil, err
			}
			s.Log.line("%s: the loss at %d points", v.Name, grid*grid)
			z, err := net.Landscape(ctx, p, axis, r.Seed, nil)
			for _, row := range z { // JSON has no infinity
				for j := range row {
					row[j] = min(row[j], math.MaxFloat32)
				}
			}
			return z, err
		})
		if err != nil {
			return nil, nil, err
		}
		section.Surfaces = append(section.Surfaces,
			&report.Surface{ID: "landscape-" + v.Name, Title: v.Name, X: axis, Y: axis, Z: z, ZLabel: "loss"})
		mid := z[grid/2][grid/2]
		near, low := 0, math.Inf(1)
		for _, row := range z {
			for _, loss := range row {
				low = min(low, loss)
				if loss <= 2*mid {
					near++
				}
			}
		}
		findings = append(findings, fmt.Sprintf("%s: loss %.3g at the trained weights, %.3g at the lowest point of the plane; "+
			"in %.0f %% of the plane the loss is at most twice that of the middle.", v.Name, mid, low, 100*float64(near)/float64(grid*grid)))
	}
	return []report.Section{section}, findings, nil
}

// unravelled is the page of the experiment of that name.
func unravelled(ctx context.Context, s *Study) ([]report.Section, []string, error) {
	f := &report.Figure{ID: "deleted", Title: "Test error without one block", XLabel: "deleted block", YLabel: "test error", Percent: true}
	whole := &report.Table{Heads: []string{"network", "whole", "without a block, median", "without a block, worst", "blocks that can be deleted"}}
	var findings []string
	for i := range s.Variants {
		v := &s.Variants[i]
		type result struct {
			Whole   float64
			Without []probe.Deletion
		}
		var all []result
		for _, r := range s.usable(v) {
			res, err := kept(r, "deleted", func() (res result, err error) {
				p, err := s.pictures(ctx, v, true, deletionEach)
				if err != nil {
					return res, err
				}
				net, err := s.trained(r)
				if err != nil {
					return res, err
				}
				if _, res.Whole, err = net.Evaluate(ctx, p); err != nil {
					return res, err
				}
				res.Without, err = net.Delete(ctx, p)
				return res, err
			})
			if err != nil {
				return nil, nil, err
			}
			all = append(all, res)
		}
		if len(all) == 0 || len(all[0].Without) == 0 {
			continue
		}
		ser := report.Series{Name: v.Name, Color: i}
		var means, base []float64
		for k := range all[0].Without {
			var at []float64
			for _, res := range all {
				at = append(at, res.Without[k].Wrong)
			}
			mean, std := meanStd(at)
			if math.IsNaN(std) {
				std = 0
			}
			means = append(means, mean)
			ser.X, ser.Y, ser.Err = append(ser.X, float64(k)), append(ser.Y, mean), append(ser.Err, std)
		}
		for _, res := range all {
			base = append(base, res.Whole)
		}
		if f.XNames == nil || len(all[0].Without) > len(f.XNames) {
			f.XNames = nil
			for _, d := range all[0].Without {
				f.XNames = append(f.XNames, strings.TrimPrefix(d.Block, "layer"))
			}
		}
		f.Series = append(f.Series, ser)
		sorted := slices.Clone(means)
		slices.Sort(sorted)
		median, worst := sorted[len(sorted)/2], sorted[len(sorted)-1]
		m, _ := meanStd(base)
		whole.Rows = append(whole.Rows, []string{v.Name, percent(base),
			fmt.Sprintf("%.2f %%", 100*median), fmt.Sprintf("%.2f %%", 100*worst), fmt.Sprint(len(means))})
		findings = append(findings, fmt.Sprintf("%s: test error %.2f %% whole; without one block %.2f %% in the median and %.2f %% at worst.",
			v.Name, 100*m, 100*median, 100*worst))
	}
	return []report.Section{{
		Title: "Without one block",
		Text: []string{"After training, one block at a time is left out: its input becomes its output. Only blocks that keep the shape " +
			"can be left out of both kinds of networks. A network that was near guessing has little to lose."},
		Figures: []*report.Figure{f}, Tables: []*report.Table{whole},
	}}, findings, nil
}
