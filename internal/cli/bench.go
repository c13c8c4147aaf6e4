package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/internal/cli/bench"
	"github.com/resnet-go/resnet/internal/suggest"
)

type benchCommand struct {
	*app
	batches   []int
	threads   []int
	modes     []string
	size      int
	rounds    int
	seconds   float64
	peers     []string
	peersDir  string
	python    string
	chart     string
	profile   bool
	sort      bool
	exact     bool
	invariant bool
	bf16      bf16Flag
	device    deviceFlags
	noTuning  bool
}

func (a *app) benchCommand() *cobra.Command {
	c := &benchCommand{app: a}
	cmd := &cobra.Command{
		Use:   "bench [MODEL...]",
		Short: "Measure speed, and compare it with other programs",
		Long: `bench measures networks: by name with random weights, or from a file (.safetensors,
.onnx, .keras, .h5, NAME@FILE). Each combination of MODEL, batch, number of threads
and mode runs in a separate process. bench prints the median time of a step, images
per second, GFLOP/s, the share of the FMA peak, which is measured in the same run,
and the peak memory.

--peer NAME runs PyTorch (torch), onnxruntime (ort) or OpenVINO (openvino; the
last two for inference) in alternation with ours and prints our time divided by
theirs: below 1, ours is faster. Peers get our weights and input, and their outputs
must agree with ours before anything is timed. For an ONNX file, ort and openvino
run the file itself, for other networks our export; torch runs the networks that it
knows by name. With --bf16 the peers multiply bfloat16 numbers, too; onnxruntime
cannot. --peer needs the folder peers of the source tree, and Python;
NAME=PYTHON names a peer's Python. Run bench on a machine that does nothing else.

The algorithms of convolutions are the ones that "resnet tune" has measured, if any.

--profile prints the time of each step of the plan, the algorithm of a convolution,
GFLOP/s, bytes read and written, and the share of the time.`,
		Example: `  resnet bench                                      # resnet18, batch 1 and 8
  resnet bench resnet18 resnet50 --batch 1,8 --threads 1,2
  resnet bench resnet20-cifar --mode train --batch 128 --peer torch=/usr/bin/python3
  resnet bench resnet50 --peer ort,openvino --peer-python venv/bin/python --chart speed.svg
  resnet bench resnet50-int8.onnx resnet50.onnx --peer ort=venv/bin/python
  resnet bench resnet50 --batch 1 --profile --sort`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			switch {
			case c.profile:
				err = without(cmd.Flags(), "with --profile", "rounds", "peer-python", "peers-dir")
			case len(c.peers) == 0:
				err = without(cmd.Flags(), "without --peer", "peer-python", "peers-dir")
			}
			if err != nil {
				return err
			}
			return c.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&c.batches, "batch", []int{1, 8}, "pictures per step")
	f.IntSliceVar(&c.threads, "threads", []int{runtime.NumCPU()}, "threads to use")
	f.StringSliceVar(&c.modes, "mode", []string{bench.Infer}, "infer or train")
	f.IntVar(&c.size, "size", 0, "height and width of the input (default: the network's own)")
	f.IntVar(&c.rounds, "rounds", 5, "rounds of alternation between the programs")
	f.Float64Var(&c.seconds, "seconds", 1, "time of each program per round")
	f.StringSliceVar(&c.peers, "peer", nil, "programs to compare with: torch, ort, openvino, or NAME=PYTHON")
	f.StringVar(&c.python, "peer-python", "python3", "Python for peers without PYTHON")
	f.StringVar(&c.chart, "chart", "", "also draw the times to this file, .svg or .png")
	f.BoolVar(&c.profile, "profile", false, "print the time of each step of the plan")
	f.BoolVar(&c.sort, "sort", false, "with --profile: the longest steps first")
	f.BoolVar(&c.exact, "exact", false, "ours: disable Winograd convolution")
	f.BoolVar(&c.invariant, "batch-invariant", false, "ours: the same bits for a picture in any batch")
	c.bf16.add(cmd)
	c.device.add(cmd, a)
	f.BoolVar(&c.noTuning, "no-tuning", false, "ours: ignore the times that resnet tune has measured")
	f.StringVar(&c.peersDir, "peers-dir", "peers", "folder of the peers' programs")
	completeWith(cmd, "mode", []string{bench.Infer, bench.Train})
	completeWith(cmd, "peer", peerNames)
	return cmd
}

func (c *benchCommand) check(names []string) error {
	for i, n := range names {
		var err error
		if names[i], err = c.fetch(n); err != nil {
			return err
		}
	}
	for _, m := range c.modes {
		if m != bench.Infer && m != bench.Train {
			return usagef("unknown mode %q%s", m, suggest.Phrase(m, []string{bench.Infer, bench.Train}))
		}
	}
	if err := checkCounts(c.batches, c.threads); err != nil {
		return err
	}
	if c.profile && (len(c.peers) > 0 || c.chart != "") {
		return usagef("--profile measures our network only: leave out --peer and --chart")
	}
	if c.sort && !c.profile {
		return usagef("--sort needs --profile")
	}
	if c.size < 0 || c.rounds < 1 || !(c.seconds > 0) {
		return usagef("--size must not be negative, --rounds at least 1, --seconds above 0")
	}
	if c.profile && c.device.given() {
		return usagef("--profile shows the steps of this program's kernels: leave out --device, whose compiler fuses steps as it likes")
	}
	device, err := c.device.open(c.app, c.exact) // before a process does for each configuration
	if err != nil {
		return err
	}
	return c.bf16.check(device)
}

func (c *benchCommand) run(ctx context.Context, names []string) error {
	if len(names) == 0 {
		names = []string{"resnet18"}
	}
	if err := c.check(names); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ours := bench.Program{Name: "resnet", Command: []string{self, "bench-worker"}}
	if c.memory > 0 {
		ours.Command = append(ours.Command, fmt.Sprintf("--max-memory=%d", c.memory))
	}
	if c.exact {
		ours.Command = append(ours.Command, "--exact")
	}
	if c.invariant {
		ours.Command = append(ours.Command, "--batch-invariant")
	}
	if c.bf16 != 0 {
		ours.Command = append(ours.Command, "--bf16="+c.bf16.String())
	}
	if c.noTuning {
		ours.Command = append(ours.Command, "--no-tuning")
	}
	ours.Command = append(ours.Command, c.device.arguments()...)
	var peers []bench.Program
	for _, p := range c.peers {
		peer, err := c.peer(p)
		if err != nil {
			return err
		}
		peers = append(peers, peer)
	}

	if c.profile {
		return c.runProfile(ctx, names)
	}

	var all []*bench.Comparison
	err = c.each(names, func(cfg bench.Config) error {
		c.note("%s …", cfg)
		r, err := bench.Run(ctx, cfg, ours, peers, c.rounds, c.seconds)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		for _, why := range r.LeftOut {
			c.note("%s", why)
		}
		all = append(all, r)
		return nil
	})
	if err != nil {
		return err
	}
	if c.chart != "" {
		if err := drawBench(all, c.chart); err != nil {
			return err
		}
	}
	if c.json {
		return c.printJSON(all)
	}
	return c.print(all)
}

// each calls f for every configuration that the flags name.
func (c *benchCommand) each(names []string, f func(bench.Config) error) error {
	for _, mode := range c.modes {
		for _, name := range names {
			for _, batch := range c.batches {
				for _, threads := range c.threads {
					if err := f(bench.Config{Model: name, Mode: mode, Batch: batch, Threads: threads, Size: c.size, Exact: c.exact, BatchInvariant: c.invariant, BF16: c.bf16.name(), Device: c.device.name}); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

var peerNames = []string{"torch", "ort", "openvino"}

// peer returns the program of NAME or NAME=PYTHON.
func (c *benchCommand) peer(arg string) (bench.Program, error) {
	name, python, _ := strings.Cut(arg, "=")
	known := map[string]string{
		"torch":    "to install it: python3 -m venv DIR && DIR/bin/pip install torch torchvision numpy, then --peer torch=DIR/bin/python",
		"ort":      "to install it: python3 -m venv DIR && DIR/bin/pip install onnxruntime numpy, then --peer ort=DIR/bin/python",
		"openvino": "to install it: python3 -m venv DIR && DIR/bin/pip install openvino numpy, then --peer openvino=DIR/bin/python",
	}
	install, ok := known[name]
	if !ok {
		return bench.Program{}, usagef("unknown peer %q%s", name, suggest.Phrase(name, peerNames))
	}
	script := filepath.Join(c.peersDir, name, "bench.py")
	if _, err := os.Stat(script); err != nil {
		return bench.Program{}, fmt.Errorf("%w (--peers-dir names the folder peers of the source tree)", err)
	}
	if python == "" {
		python = c.python
	}
	if _, err := exec.LookPath(python); err != nil {
		return bench.Program{}, fmt.Errorf("%w; %s", err, install)
	}
	peer := bench.Program{Name: name, Command: []string{python, script}, ONNX: name != "torch", Install: install}
	if engine.BF16(c.bf16) == engine.BF16Native { // to emulate is ours alone
		peer.Command = append(peer.Command, "--bf16")
	}
	return peer, nil
}

// benchWorkerCommand is the process that bench starts for each configuration.
func (a *app) benchWorkerCommand() *cobra.Command {
	var cfg bench.Config
	var weights, output string
	var noTuning bool
	var device deviceFlags
	cmd := &cobra.Command{
		Use:    "bench-worker",
		Hidden: true,
		Args:   atMost(0),
		RunE: func(*cobra.Command, []string) (err error) {
			cfg.Tuning = a.tuning(noTuning)
			cfg.Device = device.name
			if cfg.On, err = device.open(a, cfg.Exact); err != nil {
				return err
			}
			return bench.Serve(cfg, weights, output, a.in, a.out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Model, "model", "", "")
	f.StringVar(&cfg.Mode, "mode", bench.Infer, "")
	f.IntVar(&cfg.Batch, "batch", 1, "")
	f.IntVar(&cfg.Threads, "threads", 1, "")
	f.IntVar(&cfg.Size, "size", 0, "")
	f.BoolVar(&cfg.Exact, "exact", false, "")
	f.BoolVar(&cfg.BatchInvariant, "batch-invariant", false, "")
	f.StringVar(&cfg.BF16, "bf16", "", "")
	device.add(cmd, a)
	f.StringVar(&weights, "weights", "", "")
	f.BoolVar(&noTuning, "no-tuning", false, "")
	f.StringVar(&output, "output", "", "")
	return cmd
}
