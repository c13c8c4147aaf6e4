package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/train"
	"github.com/resnet-go/resnet/weights"
)

type trainCommand struct {
	*app
	model, data, recipe, out  string
	valData                   string
	set                       []string
	keys                      []string
	resume, skipBad, show     bool
	noCheck, recompute, exact bool
	reference                 bool
	findLR                    bool
	bf16                      bf16Flag
	device                    deviceFlags
	seed                      uint64
	epochs, workers, folds    int
	maxTime                   time.Duration
	optimizer                 string
	task, method              string
	flags                     *pflag.FlagSet // of the command
}

func (a *app) trainCommand() *cobra.Command {
	c := &trainCommand{app: a}
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Train a network",
		Long: `train trains a network on labeled pictures and leaves the model in a folder:
best.safetensors to use, last.safetensors to continue from, the recipe,
results.csv, curves, and TensorBoard events.

For your own pictures, --data folder:DIR is enough: batch size, epochs, learning
rate and input size are chosen by the number of pictures and their sizes, and
training starts from the model inside the program where that is best. A model
trained on pictures like yours is better: --model FILE or NAME@FILE. It gets a new
last layer for your classes, which learns first; then everything learns, the rest at
a lower rate.

Pictures with boxes (coco:DIR, coco:FILE.json, voc:DIR) train a detector:
--model names a detector, or the file of a classifier or a detector to start from.
The best model is that of the highest AP on the validation part. Without --model and
--recipe, data with a mask for every object train a segmentation network, others a
detector, as a note tells; docs/detection.md is the guide.

Without labels, --task ssl trains a backbone on a folder of pictures, by --method;
the file has no last layer, and --model FILE begins a training with labels from it.

A recipe describes how to train: a built-in one (` + strings.Join(train.RecipeNames(), ", ") + `)
or a YAML file; --set changes single keys, which train/recipes/README.md lists.
--print-recipe shows what would be used.

Ctrl-C and the end of --max-time finish the step, save, and print how to continue. A
run that is continued by --resume ends with the same bits as one that was never stopped. With
--epochs, --resume also continues a run that has ended.

With --shards, a batch is computed in equal parts, and several machines can train one
network to the same bits: the program resnet-mpi does, started by mpirun or Slurm; see
docs/scale.md.

Without arguments, it trains a small network on the sample inside the program.
With --json, stdout has one line per epoch, and the result as the last line.`,
		Example: `  resnet train
  resnet train --data folder:photos --out runs/photos
  resnet train --data folder:photos --model resnet50@weights.safetensors
  resnet train --data folder:photos --model resnet18@weights.pth --freeze backbone --patience 5
  resnet train --data folder:photos --size 96 --optimizer adamw --class-weights balanced --max-time 10m
  resnet train --data folder:photos --lr-find
  resnet train --data folder:photos --folds 5
  resnet train --data coco:export --model fasterrcnn_resnet50_fpn@weights.pth --size 480
  resnet train --data coco:export --recipe detect --model resnet18@weights.pth --epochs 40
  resnet train --task ssl --method simsiam --data folder:photos --out runs/backbone
  resnet train --data cifar10:cifar-10-batches-bin --recipe cifar --set lr.peak=0.05
  resnet train --model resnet50 --data folder:photos --recipe imagenet-v1 --recompute --bf16
  resnet train --resume --out runs/photos --epochs 60`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	c.flags = f
	f.StringVarP(&c.data, "data", "d", "", "SPEC of the data (default: the sample inside the program)")
	f.StringVar(&c.valData, "val-data", "", "SPEC of other data to evaluate on")
	f.StringVarP(&c.model, "model", "m", "", "network to train, or model file to start from (default: by data and recipe)")
	f.StringVarP(&c.recipe, "recipe", "r", "", "name or file of the recipe (default: by data and model)")
	f.StringVar(&c.task, "task", "", "ssl learns without labels, by the recipe that --method names (default: by data and model)")
	f.StringVar(&c.method, "method", "", "of --task ssl: "+strings.Join(train.SSLMethods(), ", ")+" (default: simsiam)")
	f.StringVarP(&c.out, "out", "o", "", "folder for all files of the run (default: runs/train, runs/train-2, …)")
	f.IntVar(&c.epochs, "epochs", 0, "passes over the training data (default: the recipe's)")
	for _, s := range settings {
		s.add(f)
	}
	f.StringVar(&c.optimizer, "optimizer", "", "sgd, adam, adamw, lamb, lars or rmsprop, with its usual learning rate (default: the recipe's)")
	f.StringArrayVarP(&c.set, "set", "s", nil, "change a key of the recipe: KEY=VALUE; may be repeated")
	f.StringArrayVar(&c.keys, "keys", nil, "rename the tensors of NAME@FILE: OLD=NEW, or a file with one rule per line; may be repeated")
	f.DurationVar(&c.maxTime, "max-time", 0, "stop by this time, such as 10m or 2h30m, the evaluation included")
	f.IntVar(&c.folds, "folds", 0, "cross-validation: train this number of networks, each without another part of the data")
	f.BoolVar(&c.findLR, "lr-find", false, "look for a good learning rate and stop")
	f.BoolVar(&c.resume, "resume", false, "continue the run in --out")
	f.BoolVar(&c.skipBad, "skip-bad", false, "leave out pictures that cannot be decoded, and count them")
	f.BoolVar(&c.reference, "reference", false, "at the end, write the distribution of the best model's answers to up to 2,000 of the evaluated pictures into its file, for resnet serve --drift")
	f.BoolVar(&c.noCheck, "no-check", false, "do not decode every picture before training")
	f.BoolVar(&c.recompute, "recompute", false, "recompute activations in the backward pass: less memory, more time, the same result")
	f.Bool("sync-batch-norm", false, "with ranks of resnet-mpi: batch norm by the statistics of the whole batch; each rank computes one shard")
	f.BoolVar(&c.exact, "exact", false, "disable Winograd convolution (slower, rounding as in PyTorch)")
	c.bf16.add(cmd)
	c.device.add(cmd, a)
	f.IntVar(&c.workers, "workers", 0, "goroutines that decode pictures (default: --threads); results do not depend on it")
	f.BoolVar(&c.show, "print-recipe", false, "print the complete recipe and stop")
	f.Uint64Var(&c.seed, "seed", 0, "seed of initial weights, order, augmentation and dropout")
	completeWith(cmd, "recipe", train.RecipeNames())
	completeWith(cmd, "task", []string{sslTask})
	completeWith(cmd, "method", train.SSLMethods())
	completeWith(cmd, "optimizer", train.OptimizerNames())
	completeWith(cmd, "schedule", train.ScheduleNames())
	completeWith(cmd, "loss", train.LossNames())
	return cmd
}

func (c *trainCommand) run(cmd *cobra.Command) error {
	if c.engines.Ranks == nil {
		if name, n := manyStarted(environment); n > 1 {
			c.note("%s is %d: each of these processes trains a network of its own; the program resnet-mpi trains one with all of them, see docs/scale.md", name, n)
		}
		return c.train(cmd, nil)
	}
	ranks, err := c.engines.Ranks()
	if err != nil {
		return err
	}
	if ranks.Rank() > 0 { // rank 0 reports for all
		c.quiet, c.app.out = true, io.Discard
	}
	err = c.train(cmd, ranks)
	if closeErr := ranks.Close(); err == nil {
		err = closeErr
	}
	if err != nil && ranks.Rank() > 0 && !errors.Is(err, train.ErrRanksLost) {
		return knownError{err}
	}
	return err
}

// knownError is the error of a rank that rank 0 reports.
type knownError struct{ error }

func (e knownError) Unwrap() error { return e.error }

func (c *trainCommand) train(cmd *cobra.Command, ranks Ranks) error {
	cfg, err := c.config(cmd)
	if ranks != nil {
		if err == nil && ranks.Size() > 1 && c.findLR {
			err = usagef("--lr-find looks for a rate in one process: leave out the other ranks")
		}
		if err = train.Together(ranks, err); err == nil {
			cfg.Exchange = ranks
		}
	}
	if err != nil {
		return err
	}
	if c.show {
		text, err := cfg.Recipe.YAML()
		if err != nil {
			return err
		}
		c.printf("%s", text)
		return nil
	}
	saving.Store(true)
	switch {
	case c.findLR:
		return c.runFindLR(cmd.Context(), cfg)
	case c.folds > 0:
		return c.runFolds(cmd.Context(), cfg)
	}
	r, err := train.Run(cmd.Context(), cfg)
	if err != nil {
		return c.explain(err)
	}
	if ranks != nil && ranks.Rank() > 0 {
		return nil // it has no files to report
	}
	if c.reference {
		if err := c.referenceOf(cmd.Context(), r); err != nil {
			return err
		}
	}
	if c.json {
		return c.printJSONLine(trainLine{Kind: "result", Result: r})
	}
	return c.print(r)
}

// trainLine is a line of --json: an event of the run, or how it ended.
type trainLine struct {
	Kind  string             `json:"kind"`
	Note  string             `json:"note,omitempty"`
	Epoch *train.EpochRecord `json:"epoch,omitempty"`
	// DataWait is the share of the time spent waiting for data, of epoch.
	DataWait *float64      `json:"data_wait,omitempty"`
	Result   *train.Result `json:"result,omitempty"`
	Folds    *train.Folds  `json:"folds,omitempty"` // of --folds
}

func (c *trainCommand) config(cmd *cobra.Command) (train.Config, error) {
	keys, err := keyRules(c.keys)
	if err != nil {
		return train.Config{}, err
	}
	cfg := train.Config{
		Model: c.model, Keys: keys, Data: c.data, ValData: c.valData, Open: openData, Out: c.out, Resume: c.resume,
		Seed: c.seed, Threads: c.threads, Workers: c.workers, MaxTime: c.maxTime, SkipBad: c.skipBad, SkipCheck: c.noCheck, Reference: c.reference, Command: os.Args,
	}
	if cfg.Device, err = c.device.open(c.app, c.exact); err != nil {
		return cfg, err
	}
	if !c.quiet {
		cfg.Log.W = c.err
	}
	if c.json {
		cfg.Log.Event = func(e train.Event) {
			if e.Step == nil {
				_ = c.printJSONLine(trainLine{Kind: e.Kind, Note: e.Note, Epoch: e.Epoch, DataWait: e.DataWait}) // a broken pipe is reported when the result is printed
			}
		}
	}
	set, err := c.settings(cmd)
	if err != nil {
		return cfg, err
	}
	if c.resume {
		if c.out == "" {
			return cfg, usagef("--resume needs --out, the folder of the run to continue")
		}
		cfg.Epochs = c.epochs
		return cfg, nil
	}
	if err := c.chooseMethod(); err != nil {
		return cfg, err
	}
	if cfg.Data == "" {
		if err := notOfSample(c.model); err != nil {
			return cfg, err
		}
		cfg.Data = embedded.SampleName
	}
	if cfg.Model, err = c.fetch(c.model); err != nil {
		return cfg, err
	}
	if err := c.bf16.check(cfg.Device); err != nil {
		return cfg, err
	}
	switch {
	case c.method != "":
		cfg.Set = set
		cfg, err = train.ChooseMethod(cfg, c.method)
	case c.recipe != "":
		cfg.Recipe, err = train.LoadRecipe(c.recipe, set...)
	default:
		cfg.Set, cfg.Optimizer = set, c.optimizer
		cfg, err = train.Choose(cfg)
	}
	if err == nil && c.optimizer != "" {
		err = c.setOptimizer(cfg.Recipe, set)
	}
	if err != nil {
		return cfg, c.explain(err)
	}
	if c.folds > 0 && cfg.Recipe.SSL != nil {
		return cfg, usagef("--folds needs labels to learn from, but the recipe %s learns without: leave out --folds, or cross-validate a classifier that starts from the backbone", cfg.Recipe.Name)
	}
	if cfg.Out == "" {
		cfg.Out = newRunFolder()
	}
	return cfg, nil
}

// notOfSample returns a usage error for a file of ours that was trained on other data than
// the sample inside the program, which nobody means to train it on without saying so.
func notOfSample(model string) error {
	ref, err := modelfile.Parse(model)
	if err != nil || ref.File == "" {
		return nil // which opening it reports
	}
	meta, _, err := weights.LoadMeta(ref.File)
	if err != nil || meta.Data.Spec == "" || meta.Data.Spec == embedded.SampleName {
		return nil
	}
	return usagef("--data is missing: %s was trained on %s: name that, or the sample inside the program by --data %s", ref.File, meta.Data.Spec, embedded.SampleName)
}

// sslTask is the value of --task for learning without labels.
const sslTask = "ssl"

// chooseMethod turns --task and --method into the recipe of that name.
func (c *trainCommand) chooseMethod() error {
	switch {
	case c.task == "" && c.method == "":
		return nil
	case c.task != "" && c.task != sslTask:
		return usagef("--task %q is unknown: ssl learns without labels; any other task follows from --data and --model", c.task)
	case c.recipe != "":
		return usagef("--task and --method choose a recipe, but --recipe %s is given: leave out one", c.recipe)
	case c.method == "":
		c.method = train.SSLMethods()[0]
	case !slices.Contains(train.SSLMethods(), c.method):
		return usagef("--method %q is unknown%s", c.method, suggest.Phrase(c.method, train.SSLMethods()))
	}
	return nil
}

// newRunFolder returns the first of runs/train, runs/train-2, … that does not exist.
func newRunFolder() string {
	out := filepath.Join("runs", "train")
	for n := 2; ; n++ {
		if _, err := os.Lstat(out); err != nil {
			return out
		}
		out = filepath.Join("runs", fmt.Sprintf("train-%d", n))
	}
}

// explain turns mistakes of the user into usage errors.
func (c *trainCommand) explain(err error) error {
	if recipe := (*train.RecipeError)(nil); errors.As(err, &recipe) {
		return usageError{c.nameFlag(recipe)}
	}
	if errors.Is(err, train.ErrNoReference) {
		return usageError{fmt.Errorf("--reference: %w", err)}
	}
	if stopped := (*train.Interrupted)(nil); errors.As(err, &stopped) {
		return stoppedError{stopped}
	}
	return err
}

// stoppedError is an interruption whose message describes how to continue.
type stoppedError struct{ stopped *train.Interrupted }

func (e stoppedError) Error() string { return e.stopped.Error() }

func (c *trainCommand) print(r *train.Result) error {
	if r.Stopped != "" {
		c.printf("%s\n", r.Stopped)
	}
	c.printf("trained %s, %s; this session %s, %s images/s, %.1f%% of the time waiting for data\n",
		term.Plural(r.Epochs, "epoch"), term.Plural(r.Steps, "step"), term.Duration(time.Duration(r.Seconds*float64(time.Second))), term.Count(int(r.PerSecond+0.5)), 100*r.DataWait)
	if r.Skipped > 0 {
		c.printf("%s that cannot be decoded left out\n", term.Plural(r.Skipped, "picture"))
	}
	best := r.Last
	which := "last epoch"
	if r.Best != nil {
		best, which = *r.Best, fmt.Sprintf("best epoch, %d", r.Best.Epoch)
	}
	if m := best.Val; m != nil && m.Detection != nil {
		if err := c.printDetection(m.Detection, fmt.Sprintf("evaluation of %s with %s (%s)", term.Plural(m.Samples, "picture"), term.Plural(m.Detection.Objects, "object"), which)); err != nil {
			return err
		}
	} else if m != nil {
		figures := fmt.Sprintf("top-1 %s, top-5 %s", term.Percent(m.Top1), term.Percent(m.Top5))
		switch {
		case m.PixelAccuracy > 0:
			figures = fmt.Sprintf("mIoU %s, pixel accuracy %s", term.Percent(m.MeanIoU), term.Percent(m.PixelAccuracy))
		case m.MAP > 0:
			figures = "mAP " + term.Percent(m.MAP)
		}
		if m.KNN != nil {
			c.printf("nearest neighbors: %s right (%s, %s)\n", term.Percent(*m.KNN), which, term.Plural(m.Samples, "picture"))
		} else {
			c.printf("evaluation: %s, loss %.4f (%s, %s)\n", figures, m.Loss, which, term.Plural(m.Samples, "picture"))
		}
	}
	model := r.BestFile
	if model == "" {
		model = r.LastFile
	}
	meta, _, err := weights.LoadMeta(model)
	if err != nil {
		return err
	}
	spec := ""
	if meta.Data.Spec != embedded.SampleName {
		spec = " --data " + term.Quote(meta.Data.Spec)
	}
	if c.skipBad || r.Skipped > 0 { // the pictures to evaluate on may have bad ones, too
		spec += " --skip-bad"
	}
	for _, w := range r.Warnings {
		c.printf("warning: %s\n", w)
	}
	if r.LinearProbe != nil {
		c.printf("linear probe of the last epoch: %s right\n", term.Percent(*r.LinearProbe))
	}
	if best.Train.Gauge != nil {
		labeled := " --data folder:LABELED"
		if r.LinearProbe != nil || best.Val != nil { // by the labels
			labeled = spec
		}
		again := labeled
		if share := train.DataOptions(*meta).ValFraction; share > 0 && labeled == spec {
			again += fmt.Sprintf(" --val-split %g", share)
		}
		c.printf("model: %s (a backbone without a last layer)\n\nnext:\n", model)
		for _, next := range []string{"linear" + labeled, "train" + again, "map " + term.Quote(meta.Data.Spec) + " -o map.html", "embed PHOTO"} {
			c.printf("  resnet %s --model %s\n", next, term.Quote(model))
		}
		c.printf("  resnet summary %s\n", term.Quote(model))
		return nil
	}
	use := "predict"
	switch {
	case best.Train.Detection != nil:
		use = "detect"
	case best.Train.PixelAccuracy > 0:
		use = "segment"
	}
	named := term.Quote(model)
	c.printf("model: %s\n\nnext:\n  resnet eval --model %s%s\n  resnet %s --model %s PHOTO\n  resnet summary %s\n", model, named, spec, use, named, named)
	return nil
}
