package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/engine/tuning"
	"github.com/resnet-go/resnet/internal/cli/bench"
	"github.com/resnet-go/resnet/internal/term"
)

// tuningEnv names the file of measured times, or disables tuning.
const tuningEnv = "RESNET_TUNING"

// tuningPath returns the file of measured times, "" if tuning is disabled.
func tuningPath() (string, error) {
	switch path := os.Getenv(tuningEnv); path {
	case "":
		return tuning.DefaultPath()
	case "off":
		return "", nil
	default:
		return path, nil
	}
}

// tuning returns the times that "resnet tune" has measured on this machine, nil if
// there are none, or if off is set.
func (a *app) tuning(off bool) engine.Tuning {
	if off {
		return nil
	}
	path, err := tuningPath()
	if err != nil || path == "" {
		return nil // no folder for caches, so nothing was ever measured
	}
	c, warning := tuning.Open(path)
	if warning != nil {
		a.note("%v; resnet tune replaces it", warning)
	}
	if c.Len() == 0 {
		return nil
	}
	return c
}

type tuneCommand struct {
	*app
	batches []int
	threads []int
	size    int
	seconds float64
	dry     bool
	chosen  bool // --batch is given
}

func (a *app) tuneCommand() *cobra.Command {
	c := &tuneCommand{app: a}
	cmd := &cobra.Command{
		Use:   "tune MODEL...",
		Short: "Measure the fastest algorithm for each convolution",
		Long: `tune measures on this machine which algorithm is fastest for each convolution of a
network, and keeps the times in a file. From then on predict, embed, eval and bench
use them for the same batch and number of threads; without measured times, they
choose by a cost model.

The file is resnet/tuning.json in the user's cache folder. The environment variable
RESNET_TUNING names another file, or disables tuning if it is "off", as --no-tuning
does for one command. Times are kept by processor, instruction set and version of
the kernels, so that machines may share the file. Delete it to start again.

Algorithms round differently: on a tuned machine, the last digits of results may
differ from the results on another machine or with another number of threads.
--exact uses one algorithm, and so gives the same digits everywhere. Training is not
tuned.

Run it on a machine that does nothing else. predict computes pictures in batches
of 16 and of powers of two below, eval of 128.`,
		Example: `  resnet tune resnet50                               # batch 1 and 16, all threads
  resnet tune runs/photos/best.safetensors --batch 1,8 --threads 1,2
  RESNET_TUNING=tuning.json resnet tune model.onnx --batch 1`,
		Args: atLeast(1, "a model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.chosen = cmd.Flags().Changed("batch")
			return c.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&c.batches, "batch", []int{1, 16}, "pictures per step; of a detector 1")
	f.IntSliceVar(&c.threads, "threads", []int{runtime.NumCPU()}, "threads to use")
	f.IntVar(&c.size, "size", 0, "height and width of the input (default: the network's own)")
	f.Float64Var(&c.seconds, "seconds", 5, "time to measure one network for one batch and number of threads")
	f.BoolVar(&c.dry, "dry-run", false, "print the times, but do not keep them")
	return cmd
}

func (c *tuneCommand) run(ctx context.Context, names []string) error {
	for i, n := range names {
		var err error
		if names[i], err = c.fetch(n); err != nil {
			return err
		}
	}
	if err := checkCounts(c.batches, c.threads); err != nil {
		return err
	}
	if c.size < 0 || !(c.seconds > 0) {
		return usagef("--size must not be negative, --seconds above 0")
	}
	path, err := tuningPath()
	if err != nil {
		return fmt.Errorf("%w; name a file by %s", err, tuningEnv)
	}
	if path == "" {
		return fmt.Errorf("%s=off: unset it, or set it to a file", tuningEnv)
	}
	cache, warning := tuning.Open(path)
	if warning != nil {
		c.note("%v; it is replaced", warning)
	}
	var all []*bench.Tuned
	for _, name := range names {
		for _, batch := range c.batches {
			for _, threads := range c.threads {
				cfg := bench.Config{Model: name, Mode: bench.Infer, Batch: batch, Threads: threads, Size: c.size}
				c.note("%s …", cfg)
				t, err := bench.Tune(ctx, cfg, c.seconds)
				if errors.Is(err, bench.ErrOnePicture) && !c.chosen {
					c.note("left out: %v", err)
					continue
				}
				if err != nil {
					return err
				}
				all = append(all, t)
				if c.dry || !t.Worthwhile() {
					continue
				}
				for _, l := range t.Layers {
					cache.Record(l.Geometry, threads, l.MS)
				}
				if err := cache.Save(); err != nil { // now, so that an interrupted run keeps what it has measured
					return err
				}
			}
		}
	}
	if c.json {
		return c.printJSON(all)
	}
	return c.print(all, path)
}

func (c *tuneCommand) print(all []*bench.Tuned, path string) error {
	for i, t := range all {
		if i > 0 {
			c.printf("\n")
		}
		c.printf("%s\n", t.Config)
		if len(t.Layers) == 0 {
			c.printf("no convolution has a choice of algorithms\n")
			continue
		}
		algorithms := slices.DeleteFunc(engine.Algorithms(), func(name string) bool {
			return !slices.ContainsFunc(t.Layers, func(l tuning.Layer) bool { return l.MS[name] > 0 })
		})
		heads := []string{"layer", ">count", "geometry"}
		for _, a := range algorithms {
			heads = append(heads, ">"+a+" ms")
		}
		table := term.NewTable(append(heads, "model", "measured", ">saves")...)
		for _, l := range t.Layers {
			first, _, _ := strings.Cut(l.Names[0], " ")
			row := []any{first, len(l.Names), l.Geometry}
			for _, a := range algorithms {
				ms := ""
				if t, ok := l.MS[a]; ok {
					ms = fmt.Sprintf("%.3f", t)
				}
				row = append(row, ms)
			}
			saves := ""
			if l.Measured != l.Model {
				saves = fmt.Sprintf("%.0f%%", 100*l.Gain())
			}
			table.Row(append(row, l.Model, l.Measured, saves)...)
		}
		if _, err := table.WriteTo(c.out); err != nil {
			return err
		}
		switch {
		case t.Changed() == 0:
			c.printf("the cost model's choices are the fastest")
		case t.Worthwhile():
			c.printf("the network: %.2f ms by the cost model, %.2f ms by measured times", t.ModelMS, t.MeasuredMS)
		default:
			c.printf("the network: %.2f ms by the cost model, %.2f ms by measured times: not kept", t.ModelMS, t.MeasuredMS)
		}
		c.printf("\n")
	}
	if !c.dry {
		c.printf("kept in %s\n", path)
	}
	return nil
}

// checkCounts returns a usage error for a batch or number of threads below 1.
func checkCounts(batches, threads []int) error {
	for _, b := range batches {
		if b < 1 {
			return usagef("--batch %d is below 1", b)
		}
	}
	for _, t := range threads {
		if t < 1 {
			return usagef("--threads %d is below 1", t)
		}
	}
	if len(batches) == 0 || len(threads) == 0 {
		return usageError{errors.New("--batch and --threads need a number")}
	}
	return nil
}
