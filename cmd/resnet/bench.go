package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/internal/bench"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/internal/term"
)

type benchCommand struct {
	*app
	batches  []int
	threads  []int
	modes    []string
	size     int
	rounds   int
	seconds  float64
	peers    []string
	peersDir string
	exact    bool
	profile  bool
}

func (a *app) benchCommand() *cobra.Command {
	c := &benchCommand{app: a}
	cmd := &cobra.Command{
		Use:   "bench [MODEL...]",
		Short: "Measure speed, and compare it with other programs",
		Long: `bench measures networks with random weights: every MODEL at every batch, number
of threads and mode, each in a process of its own. It prints the median time of a
step, images a second, GFLOP/s of the network's products, the share of the FMA
peak of the same run, and the peak memory.

--peer NAME runs PyTorch (torch) or onnxruntime (ort, inference only) in turns
with ours and prints how long ours takes for each unit of theirs: below 1 is
faster. It needs the folder peers of the source tree and Python; NAME=PYTHON
names the Python to use. Run it on a machine that does nothing else.`,
		Example: `  resnet bench                                      # resnet18, batch 1 and 8
  resnet bench resnet18 resnet50 --batch 1,8 --threads 1,2
  resnet bench resnet50 --batch 1 --threads 1 --profile
  resnet bench resnet20-cifar --mode train --batch 128 --peer torch=/usr/bin/python3`,
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.IntSliceVar(&c.batches, "batch", []int{1, 8}, "pictures a step")
	f.IntSliceVar(&c.threads, "threads", []int{runtime.NumCPU()}, "threads to use")
	f.StringSliceVar(&c.modes, "mode", []string{bench.Infer}, "infer or train")
	f.IntVar(&c.size, "size", 0, "height and width of the input (default: the network's own)")
	f.IntVar(&c.rounds, "rounds", 5, "how often the programs take turns")
	f.Float64Var(&c.seconds, "seconds", 1, "time of a turn")
	f.StringSliceVar(&c.peers, "peer", nil, "program to compare with: torch or ort, or NAME=PYTHON")
	f.BoolVar(&c.profile, "profile", false, "ours: the time of every step of the network, in place of a comparison")
	f.BoolVar(&c.exact, "exact", false, "ours: compute every convolution as the sum of its products")
	f.StringVar(&c.peersDir, "peers-dir", "peers", "folder of the peers' programs")
	completeWith(cmd, "mode", []string{bench.Infer, bench.Train})
	completeWith(cmd, "peer", []string{"torch", "ort"})
	return cmd
}

func (c *benchCommand) check(names []string) error {
	for _, n := range names {
		if err := checkName(n); err != nil {
			return err
		}
	}
	for _, m := range c.modes {
		if m != bench.Infer && m != bench.Train {
			return usagef("unknown mode %q%s", m, suggest.Phrase(m, []string{bench.Infer, bench.Train}))
		}
	}
	for _, b := range c.batches {
		if b < 1 {
			return usagef("--batch %d is below 1", b)
		}
	}
	for _, t := range c.threads {
		if t < 1 {
			return usagef("--threads %d is below 1", t)
		}
	}
	if c.size < 0 || c.rounds < 1 || !(c.seconds > 0) {
		return usagef("--size must not be below 0, --rounds not below 1, --seconds above 0")
	}
	return nil
}

func (c *benchCommand) run(ctx context.Context, names []string) error {
	if len(names) == 0 {
		names = []string{"resnet18"}
	}
	if err := c.check(names); err != nil {
		return err
	}
	if c.profile {
		return c.runProfile(names)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ours := bench.Program{Name: "resnet", Command: []string{self, "bench-worker"}}
	if c.exact {
		ours.Command = append(ours.Command, "--exact")
	}
	var peers []bench.Program
	for _, p := range c.peers {
		peer, err := c.peer(p)
		if err != nil {
			return err
		}
		peers = append(peers, peer)
	}

	var all []*bench.Comparison
	for _, mode := range c.modes {
		for _, name := range names {
			for _, batch := range c.batches {
				for _, threads := range c.threads {
					cfg := bench.Config{Model: name, Mode: mode, Batch: batch, Threads: threads, Size: c.size, Exact: c.exact}
					c.note("%s …", cfg)
					with := slices.DeleteFunc(slices.Clone(peers), func(p bench.Program) bool { return p.Name == "ort" && mode == bench.Train })
					r, err := bench.Run(ctx, cfg, ours, with, c.rounds, c.seconds)
					if err != nil {
						if ctx.Err() != nil {
							return ctx.Err()
						}
						return err
					}
					all = append(all, r)
				}
			}
		}
	}
	if c.json {
		return c.printJSON(all)
	}
	return c.print(all)
}

// peer returns the program of NAME or NAME=PYTHON.
func (c *benchCommand) peer(arg string) (bench.Program, error) {
	name, python, _ := strings.Cut(arg, "=")
	known := map[string]string{
		"torch": "to install it: apt-get install python3-torch python3-torchvision, then --peer torch=/usr/bin/python3",
		"ort":   "to install it: python3 -m venv DIR && DIR/bin/pip install onnxruntime numpy, then --peer ort=DIR/bin/python",
	}
	install, ok := known[name]
	if !ok {
		return bench.Program{}, usagef("unknown peer %q%s", name, suggest.Phrase(name, []string{"torch", "ort"}))
	}
	script := filepath.Join(c.peersDir, name, "bench.py")
	if _, err := os.Stat(script); err != nil {
		return bench.Program{}, fmt.Errorf("%w (--peers-dir names the folder peers of the source tree)", err)
	}
	if python == "" {
		python = "python3"
	}
	if _, err := exec.LookPath(python); err != nil {
		return bench.Program{}, fmt.Errorf("%w; %s", err, install)
	}
	return bench.Program{Name: name, Command: []string{python, script}, Install: install}, nil
}

func (c *benchCommand) print(all []*bench.Comparison) error {
	t := term.NewTable("model", "mode", ">batch", ">threads", "program", ">median ms", ">images/s", ">GFLOP/s", ">of peak", ">memory", ">ours/theirs")
	row := func(r *bench.Comparison, m bench.Measurement, share, ratio string) {
		t.Row(r.Model, r.Mode, r.Batch, r.Threads, strings.TrimSpace(m.Program+" "+m.Version),
			fmt.Sprintf("%.2f", m.MedianMS), fmt.Sprintf("%.1f", m.ImagesPS), fmt.Sprintf("%.1f", m.GFLOPS), share,
			fmt.Sprintf("%.0f MB", m.PeakMB), ratio)
	}
	for _, r := range all {
		share := ""
		if r.Ours.PeakShare > 0 {
			share = fmt.Sprintf("%.0f%%", 100*r.Ours.PeakShare)
		}
		row(r, r.Ours, share, "")
		for _, p := range r.Peers {
			row(r, p, "", fmt.Sprintf("%.2f", p.Ratio))
		}
	}
	_, err := t.WriteTo(c.out)
	return err
}

// benchWorkerCommand is the process that bench starts for each configuration.
func (a *app) benchWorkerCommand() *cobra.Command {
	var cfg bench.Config
	cmd := &cobra.Command{
		Use:    "bench-worker",
		Hidden: true,
		Args:   atMost(0),
		RunE:   func(*cobra.Command, []string) error { return bench.Serve(cfg, a.in, a.out) },
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Model, "model", "", "")
	f.StringVar(&cfg.Mode, "mode", bench.Infer, "")
	f.IntVar(&cfg.Batch, "batch", 1, "")
	f.IntVar(&cfg.Threads, "threads", 1, "")
	f.IntVar(&cfg.Size, "size", 0, "")
	f.BoolVar(&cfg.Exact, "exact", false, "")
	return cmd
}

// profiled is the profile of one configuration.
type profiled struct {
	bench.Config
	Layers []bench.Layer `json:"layers"`
}

func (c *benchCommand) runProfile(names []string) error {
	if len(c.peers) > 0 {
		return usagef("--profile shows ours only: leave out --peer")
	}
	var all []profiled
	for _, mode := range c.modes {
		for _, name := range names {
			for _, batch := range c.batches {
				for _, threads := range c.threads {
					p := profiled{Config: bench.Config{Model: name, Mode: mode, Batch: batch, Threads: threads, Size: c.size, Exact: c.exact}}
					c.note("%s …", p.Config)
					var err error
					if p.Layers, err = bench.Profile(p.Config, c.seconds); err != nil {
						return err
					}
					all = append(all, p)
				}
			}
		}
	}
	if c.json {
		return c.printJSON(all)
	}
	for _, p := range all {
		t := term.NewTable("step", "algorithm", ">ms", ">share", ">GFLOP/s", ">GB/s", ">bytes")
		total := 0.0
		for _, l := range p.Layers {
			flops := ""
			if l.GFLOPs > 0 {
				flops = fmt.Sprintf("%.1f", l.GFLOPs)
			}
			t.Row(l.Name, l.Algorithm, fmt.Sprintf("%.3f", l.Ms), term.Percent(l.Share), flops, fmt.Sprintf("%.1f", l.GBs), term.Bytes(l.Bytes))
			total += l.Ms
		}
		t.Rule()
		t.Row(p.Config.String(), "", fmt.Sprintf("%.3f", total), "", "", "", "")
		if _, err := t.WriteTo(c.out); err != nil {
			return err
		}
	}
	return nil
}
