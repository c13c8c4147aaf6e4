package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/train"
)

// setting is a flag of train that is short for a key of the recipe.
type setting struct {
	flag, key string
	kind      string // what the value is, for help and messages
	usage     string
	// value turns the flag's text into the key's value; an error describes what the
	// text should be.
	value func(text string) (string, error)
}

var settings = []setting{
	{"batch", "batch_size", "number", "pictures per step (default: the recipe's)", atLeastOne},
	{"lr", "lr.peak", "rate", "highest learning rate (default: the recipe's)", aboveZero},
	{"size", "size", "pixels", "side of the network's inputs (default: the recipe's or the model file's)", atLeastOne},
	{"freeze", "finetune.freeze", "modules", "with a trained model: modules that keep their weights, such as layer1,layer2, or backbone for all but the last layer", anyText},
	{"patience", "early_stop", "evaluations", "stop after this number of evaluations without a better one", patience},
	{"schedule", "lr.schedule", "name", "constant, step, multistep, cosine, polynomial, one-cycle or plateau (default: the recipe's)", anyText},
	{"loss", "loss.name", "name", strings.Join(train.LossNames(), ", ") + " (default: by the data)", anyText},
	{"class-weights", "loss.class_weights", "weights", "balanced (rare classes count more), or NAME=WEIGHT,…; a class without a weight has 1", classWeights},
	{"val-split", "validation", "share", "share of the training pictures to hold out, if there are none for validation (default 0.1 to 0.2)", belowOne},
	{"accumulate", "accumulate", "number", "batches whose gradients are averaged for an update (default 1)", atLeastOne},
	{"shards", "shards", "number", "equal parts that a batch is computed in, with batch norm of its own each: what ranks share (default 0, of resnet-mpi 8)", atLeastOne},
	{"swa", "swa.start", "share", "average the weights of the epochs after this share of the run, such as 0.75", belowOne},
	{"teacher", "distill.from", "FILE", "trained model of the same classes to learn from, too (distillation)", anyText},
	{"keep-every", "checkpoint.every_epochs", "epochs", "keep the model of each such epoch in a file of its own", atLeastOne},
}

func (s setting) add(f *pflag.FlagSet) { f.VarPF(&settingValue{kind: s.kind}, s.flag, "", s.usage) }

// settingValue is the text of a setting.
type settingValue struct{ text, kind string }

func (v *settingValue) String() string     { return v.text }
func (v *settingValue) Set(t string) error { v.text = t; return nil }
func (v *settingValue) Type() string       { return v.kind }

func anyText(text string) (string, error) {
	if text == "" {
		return "", errors.New("is empty")
	}
	return text, nil
}

func atLeastOne(text string) (string, error) {
	if n, err := strconv.Atoi(text); err != nil || n < 1 {
		return "", errors.New("is not a whole number of 1 or more")
	}
	return text, nil
}

func aboveZero(text string) (string, error) {
	if x, err := strconv.ParseFloat(text, 64); err != nil || !(x > 0 && x <= math.MaxFloat32) {
		return "", errors.New("is not a number above 0, such as 0.01")
	}
	return text, nil
}

func belowOne(text string) (string, error) {
	if x, err := strconv.ParseFloat(text, 64); err != nil || !(x > 0 && x < 1) {
		return "", errors.New("is not a share between 0 and 1, such as 0.2")
	}
	return text, nil
}

func patience(text string) (string, error) {
	if _, err := atLeastOne(text); err != nil {
		return "", err
	}
	return "{patience: " + text + "}", nil
}

// classWeights turns NAME=WEIGHT,… into YAML.
func classWeights(text string) (string, error) {
	if text == "balanced" || strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{") {
		return text, nil
	}
	var pairs []string
	for pair := range strings.SplitSeq(text, ",") {
		at := strings.LastIndex(pair, "=")
		if at < 1 {
			return "", errors.New("is neither balanced nor NAME=WEIGHT,…, such as cat=2,dog=1")
		}
		w, err := aboveZero(pair[at+1:])
		if err != nil {
			return "", fmt.Errorf("gives %s a weight that %w", pair[:at], err)
		}
		pairs = append(pairs, strconv.Quote(strings.TrimSpace(pair[:at]))+": "+w)
	}
	return "{" + strings.Join(pairs, ", ") + "}", nil
}

// settings returns the flags as KEY=VALUE of the recipe, after those of --set. It
// checks all flags, with messages that name the flag.
func (c *trainCommand) settings(cmd *cobra.Command) ([]string, error) {
	changed := cmd.Flags().Changed
	set := c.set
	if c.resume {
		own := []string{"model", "keys", "recipe", "task", "method", "set", "optimizer", "val-data", "skip-bad", "recompute", "exact", "bf16", "sync-batch-norm", "seed", "print-recipe", "lr-find", "folds"}
		for _, s := range settings {
			own = append(own, s.flag)
		}
		for _, flag := range own {
			if changed(flag) {
				return nil, usagef("--%s cannot be combined with --resume: the run in --out has its own", flag)
			}
		}
	}
	for _, s := range settings {
		f := cmd.Flags().Lookup(s.flag)
		if !f.Changed {
			continue
		}
		v, err := s.value(f.Value.String())
		if err != nil {
			return nil, usagef("--%s %q %w", s.flag, f.Value.String(), err)
		}
		set = append(set, s.key+"="+v)
	}
	if names := train.OptimizerNames(); c.optimizer != "" && !slices.Contains(names, c.optimizer) {
		return nil, usagef("--optimizer: unknown optimizer %q%s", c.optimizer, suggest.Phrase(c.optimizer, names))
	}
	switch {
	case changed("epochs") && c.epochs < 1:
		return nil, usagef("--epochs %d is not a number of epochs, 1 or more", c.epochs)
	case changed("max-time") && c.maxTime <= 0:
		return nil, usagef("--max-time %s is not a time above 0", c.maxTime)
	case c.workers < 0:
		return nil, usagef("--workers %d is below 0 (0 means as many as --threads)", c.workers)
	case changed("folds") && c.folds < 2:
		return nil, usagef("--folds %d are too few: give two or more", c.folds)
	case c.reference && (c.folds > 0 || c.findLR):
		return nil, usagef("--reference is of one trained model: leave out --folds and --lr-find")
	case c.folds > 0 && c.findLR:
		return nil, usagef("--folds and --lr-find exclude each other")
	case c.findLR:
		if err := without(cmd.Flags(), "with --lr-find, which ends after a number of updates", "max-time", "patience"); err != nil {
			return nil, err
		}
	}
	for _, flag := range ownKeys {
		if f := cmd.Flags().Lookup(flag); f.Changed && !c.resume {
			set = append(set, strings.ReplaceAll(flag, "-", "_")+"="+f.Value.String())
		}
	}
	return set, nil
}

// keyOf returns the key of the recipe that a flag is short for; "" if it is none.
func keyOf(flag string) string {
	for _, s := range settings {
		if s.flag == flag {
			return s.key
		}
	}
	if slices.Contains(ownKeys, flag) {
		return strings.ReplaceAll(flag, "-", "_")
	}
	return ""
}

// ownKeys are the other flags that are keys of the recipe, of the same name.
var ownKeys = []string{"epochs", "recompute", "exact", "bf16", "sync-batch-norm"}

// nameFlag gives a mistake in a key of the recipe the names of the flags that set it, or
// a part of it. A key that a flag has set is in no line.
func (c *trainCommand) nameFlag(e *train.RecipeError) error {
	var flags []string
	c.flags.Visit(func(f *pflag.Flag) {
		if key := keyOf(f.Name); key != "" && (key == e.Key && e.Line == 0 || strings.HasPrefix(key, e.Key+".")) {
			flags = append(flags, "--"+f.Name)
		}
	})
	if len(flags) == 0 {
		return e
	}
	return fmt.Errorf("%s: %s", strings.Join(flags, ", "), e.Text())
}

// setOptimizer carries out --optimizer, which train.Choose has done already for a
// recipe that it has chosen.
func (c *trainCommand) setOptimizer(r *train.Recipe, set []string) error {
	keep := slices.ContainsFunc(set, func(s string) bool { return strings.HasPrefix(s, "lr.peak=") })
	if err := r.SetOptimizer(c.optimizer, keep); err != nil {
		return err
	}
	if !keep {
		c.note("optimizer %s, at the learning rate %.3g; change it by --lr, or look for one by --lr-find", c.optimizer, r.LR.Peak)
	}
	return nil
}

func (c *trainCommand) runFindLR(ctx context.Context, cfg train.Config) error {
	s, err := train.FindLR(ctx, cfg)
	if err != nil {
		return c.explain(err)
	}
	chart := ""
	if c.out != "" {
		if err := os.MkdirAll(c.out, 0o755); err != nil {
			return err
		}
		if chart, err = s.Chart(c.out); err != nil {
			return err
		}
	}
	if c.json {
		return c.printJSON(s)
	}
	t := term.NewTable(">learning rate", ">loss")
	for i := 0; i < len(s.Points); i += 6 {
		t.Row(fmt.Sprintf("%.2g", s.Points[i].LR), fmt.Sprintf("%.4f", s.Points[i].Smooth))
	}
	if _, err := t.WriteTo(c.app.out); err != nil {
		return err
	}
	c.printf("\nlearning rate: %g (the recipe has %g)\n", s.Suggestion, s.Current)
	if chart != "" {
		c.printf("chart: %s\n", chart)
	}
	c.printf("\nnext: the same command with --lr %g instead of --lr-find\n", s.Suggestion)
	return nil
}

func (c *trainCommand) runFolds(ctx context.Context, cfg train.Config) error {
	f, err := train.CrossValidate(ctx, cfg, c.folds)
	if err != nil {
		return c.explain(err)
	}
	if c.json {
		return c.printJSONLine(trainLine{Kind: "folds", Folds: f})
	}
	t := term.NewTable("fold", ">evaluation", ">best epoch", "model")
	for i, r := range f.Results {
		if r.Best == nil || r.Best.Val == nil {
			continue
		}
		t.Row(fmt.Sprint(i+1), term.Percent(r.Best.Val.Top1+r.Best.Val.MAP), fmt.Sprint(r.Best.Epoch), r.BestFile)
	}
	if _, err := t.WriteTo(c.app.out); err != nil {
		return err
	}
	c.printf("\nmean of %d folds: %s, standard deviation %s\n", len(f.Results), term.Percent(f.Mean), term.Percent(f.Std))
	for i, r := range f.Results {
		for _, w := range r.Warnings {
			c.printf("warning: fold %d: %s\n", i+1, w)
		}
	}
	return nil
}
