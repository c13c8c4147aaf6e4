package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/lab"
	"github.com/resnet-go/resnet/train"
)

type compareCommand struct {
	*app
	opt    lab.Options
	recipe string
	set    []string
	epochs int
}

func (a *app) compareCommand() *cobra.Command {
	c := &compareCommand{app: a}
	var about strings.Builder
	for _, n := range lab.Names() {
		e, err := lab.Lookup(n)
		if err != nil {
			panic(err) // cannot happen: the name is from the list
		}
		fmt.Fprintf(&about, "  %-15s %s\n", n, e.Question)
	}
	cmd := &cobra.Command{
		Use:   "compare [EXPERIMENT | RECIPE.yaml...]",
		Short: "Train networks side by side and show what differs",
		Long: `compare trains the networks of an experiment on the same data with the same seeds
and budget, measures them, and writes a report: report.html, a single file that
works offline, charts as CSV, PNG and SVG, and runs.csv. The experiments:

` + about.String() + `
It can also compare recipes: YAML files for resnet train, each with its model.

--recipe, --set and --epochs are for all networks of an experiment, so that only what
is compared differs. In labels, a --recipe that learns without labels, such as byol,
takes the place of simsiam and simclr, and another one is that of the supervised
network; the networks without labels have its epochs, batch and input size. --set
reaches all networks but for keys that only some have: ssl those without labels; loss,
balanced, distill and finetune the supervised one.

Ctrl-C stops it with everything saved; the same command continues. Without
arguments, it shows the degradation on the sample inside the program in a few
minutes. Results of a small budget need not hold for a large one: the report
states the budget of each.`,
		Example: `  resnet compare
  resnet compare degradation --data folder:cifar10.zip --depths 20,56,110 --seeds 3 --epochs 60 --out degradation
  resnet compare attention --images 2000 --epochs 3
  resnet compare labels --data folder:photos --recipe byol --epochs 30
  resnet compare a.yaml b.yaml --data folder:photos --seeds 3`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("epochs") && c.epochs < 1 {
				return usagef("--epochs %d is not a number of epochs, 1 or more", c.epochs)
			}
			if recipes := len(args) > 0 && strings.HasSuffix(args[0], ".yaml"); recipes {
				if err := without(cmd.Flags(), "on recipes, each of which names its network", "depths"); err != nil {
					return err
				}
			}
			return c.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&c.opt.Data, "data", "d", "", "SPEC of the data (default: the sample inside the program)")
	f.IntVar(&c.opt.Images, "images", 0, "pictures to train on, the first of each class (default: all)")
	f.IntVar(&c.opt.TestImages, "test-images", 0, "pictures to test on, the first of each class (default: all)")
	f.StringVarP(&c.recipe, "recipe", "r", "", "name or file of the recipe for all networks (default: by data; for labels, see above)")
	f.StringArrayVarP(&c.set, "set", "s", nil, "change a key of the recipe: KEY=VALUE; may be repeated")
	f.IntVar(&c.epochs, "epochs", 0, "passes over the training data (default: 4 on the sample, else the recipe's)")
	f.IntSliceVar(&c.opt.Depths, "depths", nil, "layers of the networks (default: the experiment's)")
	f.IntVar(&c.opt.Seeds, "seeds", 1, "runs of each network")
	f.IntVar(&c.opt.Grid, "grid", 15, "points per side of a loss landscape")
	f.IntVar(&c.opt.Jobs, "jobs", 0, "runs trained at the same time, which share the threads (default: one per thread)")
	f.StringVarP(&c.opt.Dir, "out", "o", "", "folder for runs and report (default: runs/EXPERIMENT)")
	completeWith(cmd, "recipe", train.RecipeNames())
	cmd.ValidArgs = lab.Names()
	return cmd
}

func (c *compareCommand) run(ctx context.Context, args []string) error {
	if c.opt.Seeds < 1 || c.opt.Images < 0 || c.opt.TestImages < 0 || c.opt.Jobs < 0 || c.opt.Grid < 3 {
		return usagef("--seeds must not be below 1, --grid not below 3, --images, --test-images and --jobs not below 0")
	}
	for _, d := range c.opt.Depths {
		if d < 8 || d%6 != 2 {
			return usagef("--depths %d: the networks have 6n+2 layers: give 8, 20, 32, 44, 56, 110 or the like", d)
		}
	}
	e, err := c.experiment(args)
	if err != nil {
		return err
	}
	if c.opt.Dir == "" {
		c.opt.Dir = filepath.Join("runs", e.Name)
	}
	c.opt.Open, c.opt.Threads, c.opt.Command = openData, c.threads, os.Args
	if c.opt.Threads == 0 {
		c.opt.Threads = runtime.GOMAXPROCS(0)
	}
	line, work, end := c.progress()
	c.opt.Log = lab.Log{Line: line, Work: work}
	s, err := lab.New(e, c.opt)
	if err != nil {
		return err
	}
	c.note("%s: %s, %s, in %s", e.Name, term.Plural(len(s.Variants), "network"), term.Plural(len(s.Runs), "run"), c.opt.Dir)
	began := time.Now()
	saving.Store(true)
	err = s.Train(ctx)
	end()
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return errors.New("stopped, everything saved: the same command continues")
		}
		return err
	}
	c.note("all networks are trained; measuring them")
	p, err := s.Report(ctx, time.Since(began))
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(p)
	}
	for _, f := range p.Findings {
		c.printf("- %s\n", f)
	}
	c.printf("\nreport: %s\n", filepath.Join(c.opt.Dir, "report.html"))
	return nil
}

// experiment finds the experiment and completes the recipe.
func (c *compareCommand) experiment(args []string) (*lab.Experiment, error) {
	if c.opt.Data == "" {
		c.opt.Data = embedded.SampleName
	}
	if len(args) > 0 && strings.HasSuffix(args[0], ".yaml") {
		if c.recipe != "" {
			return nil, usagef("--recipe is given, but recipe files are compared: leave it out")
		}
		var recipes []*train.Recipe
		set := slices.Clone(c.set)
		if c.epochs > 0 {
			set = append(set, fmt.Sprintf("epochs=%d", c.epochs))
		}
		for _, path := range args {
			r, err := train.LoadRecipe(path, set...)
			if wrong := (*train.RecipeError)(nil); errors.As(err, &wrong) {
				return nil, usageError{err}
			}
			if err != nil {
				return nil, err
			}
			recipes = append(recipes, r)
		}
		return lab.Recipes(args, recipes), nil
	}
	if len(args) > 1 {
		return nil, usagef("unexpected argument %q", args[1])
	}
	name := "degradation"
	if len(args) == 1 {
		name = args[0]
	}
	e, err := lab.Lookup(name)
	if err != nil {
		return nil, usageError{err}
	}
	if hasObjects(c.opt.Data) {
		return nil, usagef("%s has boxes or masks of objects, and the networks of %s are classifiers: name data with a label for each picture by --data, as folder:DIR", c.opt.Data, name)
	}
	if err := c.recipes(e); err != nil {
		return nil, err
	}
	return e, nil
}

// recipes settles the recipe of an experiment's networks, and that of the networks which
// learn without labels, where the experiment has any.
func (c *compareCommand) recipes(e *lab.Experiment) error {
	set := slices.Clone(c.set)
	given := func(keys ...string) bool {
		return slices.ContainsFunc(c.set, func(s string) bool {
			key, _, _ := strings.Cut(s, "=")
			return slices.Contains(keys, strings.TrimSpace(key))
		})
	}
	if given("model") {
		return usagef("--set model: the experiment %s has its own networks, of --depths layers: leave it out, or compare recipes, each with its model", e.Name)
	}
	switch {
	case c.epochs > 0:
		set = append(set, fmt.Sprintf("epochs=%d", c.epochs))
	case c.opt.Data == embedded.SampleName && !given("epochs", "iterations"):
		set = append(set, "epochs=4")
	}
	labels, none := set, []string(nil)
	if e.WithoutLabels {
		labels, none = lab.Reach(set)
	}
	chosen := c.recipe
	if chosen != "" {
		r, err := train.LoadRecipe(chosen)
		if err != nil {
			return usageError{err}
		}
		if r.SSL != nil && e.WithoutLabels {
			c.opt.Pretext, chosen = chosen, ""
		}
	}
	var err error
	if chosen == "" { // the networks learn from scratch, so the recipe of a folder does, too
		if _, err := train.LoadRecipe(train.DefaultRecipe("", c.opt.Data), labels...); err != nil {
			return usageError{err}
		}
		fitted, err := train.Choose(train.Config{Data: c.opt.Data, Open: openData, Model: "resnet20-cifar", Set: labels})
		if err != nil {
			return err
		}
		c.opt.Recipe = fitted.Recipe
	} else if c.opt.Recipe, err = train.LoadRecipe(chosen, labels...); err != nil {
		return usageError{err}
	}
	if !e.WithoutLabels {
		return fits(e, c.opt.Recipe)
	}
	c.opt.PretextSet = none
	names, _ := c.opt.Pretexts()
	for _, name := range names {
		if _, err := train.LoadRecipe(name, none...); err != nil && c.recipe == "" {
			return usagef("the networks without labels: %w (--recipe names one method)", err)
		} else if err != nil {
			return usagef("the networks without labels: %w", err)
		}
	}
	return fits(e, c.opt.Recipe)
}

// fits returns a usage error for a recipe that does not train the networks of an
// experiment: new classifiers.
func fits(e *lab.Experiment, r *train.Recipe) error {
	switch {
	case r.SSL != nil:
		return usagef("the recipe %s learns without labels, and the networks of %s are classifiers: resnet compare labels compares such recipes", r.Name, e.Name)
	case r.Detect != nil:
		return usagef("the recipe %s trains detectors, and the networks of %s are classifiers: name another recipe", r.Name, e.Name)
	case r.Finetune != nil:
		return usagef("the recipe %s starts from a trained model, and the networks of %s learn from scratch: name another recipe, or add --set finetune=null", r.Name, e.Name)
	}
	return nil
}

// progress returns what shows lines and the share of the work that is done.
func (c *compareCommand) progress() (line func(string, ...any), work func(done, total float64), end func()) {
	if c.quiet {
		return nil, nil, func() {}
	}
	var mu sync.Mutex
	began := time.Now()
	first := -1.0
	status := ""
	draw := term.IsTerminal(c.err)
	line = func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		text := fmt.Sprintf(format, args...)
		if status != "" {
			text += " · " + status
		}
		if draw {
			fmt.Fprint(c.err, "\r\x1b[K")
		}
		fmt.Fprintln(c.err, text)
	}
	work = func(done, total float64) {
		mu.Lock()
		defer mu.Unlock()
		if first < 0 {
			first = done
		}
		status = term.Percent(done/total) + " trained" // measuring comes after it
		if passed := time.Since(began); done > first && passed > time.Second {
			left := time.Duration(float64(passed) * (total - done) / (done - first))
			status += ", " + term.Duration(left) + " left"
		}
		if draw {
			fmt.Fprintf(c.err, "\r\x1b[K%s", status)
		}
	}
	end = func() {
		mu.Lock()
		defer mu.Unlock()
		if status = ""; draw {
			fmt.Fprint(c.err, "\r\x1b[K")
		}
	}
	return line, work, end
}
