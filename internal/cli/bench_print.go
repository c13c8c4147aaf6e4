package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/chart"
	"github.com/resnet-go/resnet/internal/cli/bench"
	"github.com/resnet-go/resnet/internal/term"
)

func (c *benchCommand) print(all []*bench.Comparison) error {
	t := term.NewTable("model", "mode", ">batch", ">threads", "program", ">median ms", ">10–90 %", ">images/s", ">GFLOP/s", ">of peak", ">memory", ">ours/theirs", ">difference")
	row := func(r *bench.Comparison, m bench.Measurement, ratio, difference string) {
		share := ""
		if m.PeakShare > 0 {
			share = fmt.Sprintf("%.0f%%", 100*m.PeakShare)
		}
		t.Row(r.Model, r.Mode, r.Batch, r.Threads, strings.TrimSpace(m.Program+" "+m.Version),
			fmt.Sprintf("%.2f", m.MedianMS), fmt.Sprintf("%.2f–%.2f", m.LowMS, m.HighMS), fmt.Sprintf("%.1f", m.ImagesPS),
			fmt.Sprintf("%.1f", m.GFLOPS), share, fmt.Sprintf("%.0f MB", m.PeakMB), ratio, difference)
	}
	var notes []string
	for _, r := range all {
		row(r, r.Ours, "", "")
		for _, p := range r.Peers {
			row(r, p, fmt.Sprintf("%.2f", p.Ratio), fmt.Sprintf("%.1e", p.Difference))
			if note := p.Program + ": " + p.Variant; p.Variant != "" && !slices.Contains(notes, note) {
				notes = append(notes, note)
			}
		}
	}
	if _, err := t.WriteTo(c.out); err != nil {
		return err
	}
	if len(all) > 0 && all[0].PeakGFLOPS > 0 {
		c.printf("FMA peak %.0f GFLOP/s per core\n", all[0].PeakGFLOPS)
	}
	for _, n := range notes {
		c.printf("%s\n", n)
	}
	return nil
}

// drawBench draws the time per picture by configuration, with one panel per mode
// and one color per program.
func drawBench(all []*bench.Comparison, path string) error {
	var panels []chart.Panel
	for _, mode := range []string{bench.Infer, bench.Train} {
		p := chart.Panel{Title: mode, YLabel: "ms a picture", LogY: true, Points: true}
		series := map[string]int{}
		for _, r := range all {
			if r.Mode != mode {
				continue
			}
			at := float64(len(p.XNames))
			p.XNames = append(p.XNames, fmt.Sprintf("%s b%d t%d", r.Model, r.Batch, r.Threads))
			for _, m := range append([]bench.Measurement{r.Ours}, r.Peers...) {
				i, ok := series[m.Program]
				if !ok {
					i = len(p.Series)
					series[m.Program] = i
					p.Series = append(p.Series, chart.Series{Name: m.Program})
				}
				s := &p.Series[i]
				s.X, s.Y = append(s.X, at), append(s.Y, m.MedianMS/float64(r.Batch))
			}
		}
		if len(p.XNames) > 0 {
			panels = append(panels, p)
		}
	}
	ch, err := chart.Lines(panels...)
	if err != nil {
		return err
	}
	return ch.Save(path)
}

func (c *benchCommand) runProfile(ctx context.Context, names []string) error {
	var all []*bench.NetworkProfile
	tuned := c.tuning(c.noTuning)
	err := c.each(names, func(cfg bench.Config) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.note("%s …", cfg)
		cfg.Tuning = tuned
		p, err := bench.Profile(cfg, c.seconds)
		if err != nil {
			return err
		}
		if c.sort {
			slices.SortStableFunc(p.Steps, func(a, b bench.StepProfile) int { return cmp.Compare(b.MS, a.MS) })
		}
		all = append(all, p)
		return nil
	})
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(all)
	}
	for i, p := range all {
		if i > 0 {
			c.printf("\n")
		}
		if err := c.printProfile(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *benchCommand) printProfile(p *bench.NetworkProfile) error {
	c.printf("%s, %s: %.2f ms, %.1f GFLOP/s, %.1f MB per run\n", p.Config, p.ISA, p.MS, p.GFLOPS, float64(p.ArenaBytes)/1e6)
	t := term.NewTable("step", "phase", "geometry", "algorithm", ">ms", ">share", ">GFLOP/s", ">of peak", ">MB", ">GB/s")
	phases := map[string]float64{}
	for _, s := range p.Steps {
		phases[s.Phase] += s.MS
		flops, share := "", ""
		if s.GFLOPS > 0 {
			flops = fmt.Sprintf("%.1f", s.GFLOPS)
			if p.PeakGFLOPS > 0 {
				share = fmt.Sprintf("%.0f%%", 100*s.GFLOPS/(p.PeakGFLOPS*float64(p.Threads)))
			}
		}
		t.Row(s.Name, s.Phase, s.Geometry, s.Algorithm, fmt.Sprintf("%.3f", s.MS), fmt.Sprintf("%.1f%%", 100*s.Share), flops, share,
			fmt.Sprintf("%.2f", float64(s.Bytes)/1e6), fmt.Sprintf("%.1f", s.GBPS))
	}
	if _, err := t.WriteTo(c.out); err != nil {
		return err
	}
	if p.Mode == bench.Train {
		for _, phase := range []string{bench.Forward, bench.Backward, bench.Update} {
			c.printf("%-8s %.2f ms, %.0f%%\n", phase, phases[phase], 100*phases[phase]/p.MS)
		}
	}
	return nil
}
