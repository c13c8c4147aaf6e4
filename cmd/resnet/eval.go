package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/tensor"
)

type evalCommand struct {
	*app
	modelFlags
	data      string
	split     string
	seed      uint64
	flip      bool
	skipBad   bool
	worst     int
	threshold float64
	csv       string
	outDir    string
}

func (a *app) evalCommand() *cobra.Command {
	c := &evalCommand{app: a}
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "Measure a model on labelled pictures",
		Long: `eval runs a model over a part of a dataset (test, else val) and prints accuracy,
loss, the figures of each class, the confusion matrix, the classes mixed up most,
the calibration, and the pictures that the model is most wrong about.

With --out, the whole report goes to files: report.json, confusion.json,
confusion.png and predictions.csv.

Data of several labels a picture get average precision, precision, recall and F1
instead.`,
		Example: `  resnet eval --model runs/photos/best.safetensors --data folder:photos
  resnet eval --data folder:cifar10.zip --tta --json
  resnet eval -m best.safetensors --data idx:mnist --split test --out report
  resnet eval -m best.safetensors --data folder:photos --bf16=emulate`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	c.add(cmd, 128)
	f := cmd.Flags()
	f.StringVarP(&c.data, "data", "d", "", "SPEC of the data (default: the sample inside the program, for models trained on it)")
	f.StringVar(&c.split, "split", "", "part of the data: train, val or test (default: test, else val)")
	f.Uint64Var(&c.seed, "seed", 0, "chooses the validation part where the data has none, as in train")
	f.BoolVar(&c.flip, "tta", false, "test-time augmentation: mean of the picture and its mirror image")
	f.BoolVar(&c.skipBad, "skip-bad", false, "go on where a picture cannot be decoded, and count it")
	f.IntVar(&c.worst, "worst", 10, "how many of the pictures with the highest loss to list")
	f.Float64Var(&c.threshold, "threshold", 0.5, "probability from which a label counts, for data of several labels a picture")
	f.StringVar(&c.csv, "csv", "", "write the prediction of every picture to this file")
	f.StringVarP(&c.outDir, "out", "o", "", "folder for the report's files")
	completeWith(cmd, "split", []string{"train", "val", "test"})
	return cmd
}

// evaluation is the result of eval: one of the two reports, and where from.
type evaluation struct {
	Model     string                    `json:"model"`
	Data      string                    `json:"data"`
	Split     string                    `json:"split"`
	TTA       bool                      `json:"tta"`
	Skipped   int                       `json:"skipped"` // pictures that could not be decoded
	Single    *metrics.Report           `json:"report,omitempty"`
	Multi     *metrics.MultiLabelReport `json:"multi_label_report,omitempty"`
	Worst     []samplePrediction        `json:"worst"`
	predicted []samplePrediction
}

func (c *evalCommand) run(ctx context.Context) error {
	if c.worst < 0 {
		return usagef("--worst %d is below 0", c.worst)
	}
	if c.model == "" && c.data == "" {
		return usagef("the model inside the program is for pictures like CIFAR-10's, of which the program holds none: name data, as --data folder:cifar10.zip; or evaluate on the sample inside what resnet train has made of it, as --model runs/train/best.safetensors")
	}
	m, err := c.open(c.app, 0)
	if err != nil {
		return err
	}
	splits, err := openData(c.data, data.Options{Seed: c.seed})
	if err != nil {
		return err
	}
	defer splits.Close()
	for _, n := range splits.Notes {
		c.note("%s", n)
	}
	ds, part, err := split(splits, c.split)
	if err != nil {
		return err
	}
	labels, err := alignClasses(m, ds)
	if err != nil {
		return fmt.Errorf("%s: %w", splits.Spec, err)
	}

	s, err := c.score(ctx, m, ds)
	if err != nil {
		return err
	}
	e := &evaluation{Model: m.Name(), Data: splits.Spec, Split: part, TTA: c.flip, Skipped: s.skipped}
	if m.MultiLabel() {
		truth := make([][]int, len(s.index))
		for i, k := range s.index {
			truth[i] = labels(k)
		}
		e.Multi, err = metrics.EvaluateMultiLabel(s.logits, truth, m.Classes(), c.threshold)
	} else {
		truth := make([]int, len(s.index))
		for i, k := range s.index {
			truth[i] = labels(k)[0]
		}
		if e.Single, err = metrics.Evaluate(s.logits, truth, m.Classes()); err == nil {
			e.predicted = predicted(ds, m.Classes(), s, truth)
			e.Worst = worst(e.predicted, c.worst)
		}
	}
	if err != nil {
		return fmt.Errorf("%s on %s: %w", m.Name(), splits.Spec, err)
	}

	if err := c.write(e, m.Classes()); err != nil {
		return err
	}
	if c.json {
		return c.printJSON(e)
	}
	if e.Multi != nil {
		return c.printMulti(e)
	}
	return c.printSingle(e)
}

// scored are the logits of a dataset's samples.
type scored struct {
	index   []int // of each row in the dataset
	logits  []float32
	skipped int
}

// score runs the model over the dataset.
func (c *evalCommand) score(ctx context.Context, m *resnet.Model, ds data.Dataset) (*scored, error) {
	loader, err := data.NewLoader(ds, data.LoaderConfig{
		BatchSize: c.batch, Preprocess: m.Preprocess(), Last: data.Keep,
		SkipBad: c.skipBad, Workers: c.threads, CacheBytes: -1,
	})
	if err != nil {
		return nil, err
	}
	progress := term.NewProgress(c.err, c.quiet, "pictures", ds.Len())
	defer progress.Close()
	s := new(scored)
	for b, err := range loader.Epoch(ctx, 0, 0) {
		if err != nil {
			return nil, c.explain(err)
		}
		x, err := tensor.FromNHWC(b.X[:b.Real*b.H*b.W*b.C], b.Real, b.C, b.H, b.W)
		if err != nil {
			return nil, err
		}
		z, _, err := m.Forward(ctx, x)
		if err != nil {
			return nil, err
		}
		logits := z.Float32s()
		if c.flip {
			mirror(x.Float32s(), b.W, b.C)
			flipped, _, err := m.Forward(ctx, x)
			if err != nil {
				return nil, err
			}
			for i, v := range flipped.Float32s() {
				logits[i] = (logits[i] + v) / 2
			}
		}
		s.logits = append(s.logits, logits...)
		s.index = append(s.index, b.Index[:b.Real]...)
		progress.Add(b.Real)
	}
	s.skipped = len(loader.Bad())
	return s, nil
}

// explain adds what to do about a picture that cannot be decoded.
func (c *evalCommand) explain(err error) error {
	var bad *data.SampleError
	if errors.As(err, &bad) && !c.skipBad {
		return fmt.Errorf("%w (--skip-bad goes on without it)", err)
	}
	return err
}

// mirror turns pictures, [N H W C], left to right.
func mirror(x []float32, w, c int) {
	for row := 0; row < len(x); row += w * c {
		for i, j := 0, w-1; i < j; i, j = i+1, j-1 {
			for k := range c {
				a, b := row+i*c+k, row+j*c+k
				x[a], x[b] = x[b], x[a]
			}
		}
	}
}

// alignClasses returns what gives the labels of a sample as the model numbers
// its classes. Classes are told by name; where either side has only numbers for
// names, by their order, if there are as many.
func alignClasses(m *resnet.Model, ds data.Dataset) (func(sample int) []int, error) {
	if m.MultiLabel() != ds.MultiLabel() {
		if m.MultiLabel() {
			return nil, errors.New("one label a picture, but the model gives any number of labels a picture")
		}
		return nil, errors.New("any number of labels a picture, but the model gives one")
	}
	place := make(map[string]int)
	for i, name := range m.Classes() {
		place[name] = i
	}
	to := make([]int, len(ds.Classes()))
	var unknown []string
	for i, name := range ds.Classes() {
		k, ok := place[name]
		if !ok {
			unknown = append(unknown, name)
		}
		to[i] = k
	}
	if len(unknown) > 0 {
		if len(to) != len(m.Classes()) || !(numbers(m.Classes()) || numbers(ds.Classes())) {
			return nil, fmt.Errorf("%d classes (%s), but the model knows %d others (%s): not known to it: %s",
				len(to), abbreviated(ds.Classes(), 3), len(m.Classes()), abbreviated(m.Classes(), 3), abbreviated(unknown, 5))
		}
		return ds.Labels, nil
	}
	return func(sample int) []int {
		ls := ds.Labels(sample)
		out := make([]int, len(ls))
		for i, l := range ls {
			out[i] = to[l]
		}
		return out
	}, nil
}

// numbers reports whether names are but 0, 1, 2, …
func numbers(names []string) bool {
	for i, n := range names {
		if n != fmt.Sprint(i) {
			return false
		}
	}
	return true
}

func (c *evalCommand) head(e *evaluation) {
	c.printf("%s on %s (%s)\n", e.Model, e.Data, e.Split)
	var with []string
	if e.TTA {
		with = append(with, "mean of each picture and its mirror image")
	}
	if e.Skipped > 0 {
		with = append(with, fmt.Sprintf("%d pictures that cannot be decoded left out", e.Skipped))
	}
	if len(with) > 0 {
		c.printf("%s\n", strings.Join(with, "; "))
	}
	c.printf("\n")
}
