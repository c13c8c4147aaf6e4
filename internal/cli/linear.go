package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/features"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/weights"
)

type linearCommand struct {
	*app
	modelFlags
	labeledData
	labels    []int
	draws     int
	neighbors int
	decay     float64
	out       string
}

func (a *app) linearCommand() *cobra.Command {
	c := &linearCommand{app: a}
	cmd := &cobra.Command{
		Use:   "linear",
		Short: "Fit a linear classifier to a model's features, in seconds",
		Long: `linear judges the features of a model, a backbone or a classifier without its last
layer, by what simple classifiers make of them: a linear one (logistic regression,
fitted by L-BFGS to all training pictures at once) and the nearest neighbors, which
vote with the weight e^(similarity/0.1). The network itself does not change, so each
picture passes through it once.

The classifiers are fitted to the training part of the data, and judged by the test
part, else the validation part. -o FILE writes the network with the linear classifier
as its last layer: a model file for predict, eval, serve and further training.

--labels 5,10,50 also fits them to so few labels of each class, and prints mean and
standard deviation of --draws random choices of the labeled pictures.`,
		Example: `  resnet linear --model runs/backbone/best.safetensors --data folder:photos
  resnet linear -m runs/backbone/best.safetensors -d folder:photos -o photos.safetensors
  resnet linear -m timm/resnet50.a1_in1k --data folder:photos --labels 5,10,50 --draws 10
  resnet linear -m torchvision/resnet18 -d folder:photos --json`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(c.labels) == 0 {
				if err := without(cmd.Flags(), "without --labels", "draws"); err != nil {
					return err
				}
			}
			return c.run(cmd.Context())
		},
	}
	c.add(cmd, 128)
	c.addData(cmd, "part of the data to judge by: val or test", []string{"val", "test"}, "selects the few labels, and the validation part if the data have none (default: as the model was trained)")
	c.addOrientation(cmd)
	f := cmd.Flags()
	f.IntSliceVar(&c.labels, "labels", nil, "numbers of labels of each class to fit to as well, such as 5,10,50")
	f.IntVar(&c.draws, "draws", 5, "random choices of the few labels")
	f.IntVar(&c.neighbors, "neighbors", 200, "neighbors that vote")
	f.Float64Var(&c.decay, "decay", 0, "weight of the penalty on the linear classifier's weights; below 0 none (default: 1 over the number of pictures)")
	f.StringVarP(&c.out, "out", "o", "", "file for the network with the linear classifier: .safetensors")
	return cmd
}

// linearReport is what linear prints.
type linearReport struct {
	Model    string `json:"model"`
	Data     string `json:"data"`
	Split    string `json:"split"`    // the part judged by
	Classes  int    `json:"classes"`  // of the data
	Features int    `json:"features"` // numbers for each picture
	Known    int    `json:"known"`    // pictures fitted to
	Queries  int    `json:"queries"`  // pictures judged by
	Skipped  int    `json:"skipped"`  // pictures that could not be decoded
	// Fitted is the share of the pictures fitted to that the linear classifier has right.
	Fitted float64 `json:"fitted"`
	features.Judgement
	Few []fewReport `json:"few"` // in the order of --labels
	Out string      `json:"out,omitempty"`
}

// fewReport is what classifiers make of a few labels of each class.
type fewReport struct {
	Labels    int                  `json:"labels"`     // of each class
	Linear    float64              `json:"linear"`     // mean of the draws
	LinearStd float64              `json:"linear_std"` // standard deviation of the draws
	KNN       float64              `json:"knn"`        // mean of the draws
	KNNStd    float64              `json:"knn_std"`    // standard deviation of the draws
	Draws     []features.Judgement `json:"draws"`
}

func (c *linearCommand) check() error {
	switch {
	case c.draws < 1:
		return usagef("--draws %d is below 1", c.draws)
	case c.neighbors < 1:
		return usagef("--neighbors %d is below 1", c.neighbors)
	case c.decay-c.decay != 0:
		return usagef("--decay %v is not a finite number", c.decay)
	case c.split == "train":
		return usagef("--split train: the classifiers are fitted to the training part, so it cannot judge them: name val or test")
	case c.model == "" && c.data == "":
		return usagef("%s", noCIFAR)
	}
	for _, n := range c.labels {
		if n < 1 {
			return usagef("--labels %d is below 1", n)
		}
	}
	return checkEnd("-o", c.out, ".safetensors")
}

func (c *linearCommand) run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	m, err := c.openFor(c.app, 0, models.Features, "")
	if err != nil {
		return err
	}
	if _, ours := m.Network().(*models.Model); c.out != "" && !ours {
		return usagef("-o: %s is not a network of \"resnet models\", so its last layer cannot be replaced: leave -o out", m.Name())
	}
	if err := c.choose(c.app, m); err != nil {
		return err
	}
	opt := c.options(m, c.asStored)
	splits, err := c.openParts(c.app, m, opt)
	if err != nil {
		return err
	}
	defer splits.Close()
	if splits.Train == nil {
		return usagef("%s has no training part to fit a classifier to", splits.Spec)
	}
	judged, part, err := split(splits, c.split)
	switch {
	case err != nil:
		return err
	case part == "train":
		return usagef("%s has no part to judge by: val or test is needed", splits.Spec)
	case splits.MultiLabel():
		return usagef("%s has several labels for each picture, and linear fits one", splits.Spec)
	case len(splits.Classes()) < 2:
		return usagef("%s has %d classes, and a classifier needs 2 or more: a folder of pictures for each", splits.Spec, len(splits.Classes()))
	}
	known, err := c.embed(ctx, m, splits.Train, splits.Spec)
	if err != nil {
		return err
	}
	queries, err := c.embed(ctx, m, judged, splits.Spec)
	if err != nil {
		return err
	}
	r := &linearReport{Model: m.Name(), Data: splits.Spec, Split: part, Classes: known.Classes, Features: known.X.Shape()[1],
		Known: len(known.Labels), Queries: len(queries.Labels), Skipped: known.Skipped + queries.Skipped, Out: c.out}
	head, err := c.judge(ctx, r, known.Set, queries.Set, splits.Classes(), opt.Seed)
	if err != nil {
		return err
	}
	if c.out != "" {
		if err := c.save(m, head, r, splits, opt.Seed); err != nil {
			return err
		}
	}
	if c.json {
		return c.printJSON(r)
	}
	return c.print(r)
}

// embed computes the features of a part and shows the progress.
func (c *linearCommand) embed(ctx context.Context, m *resnet.Model, ds data.Dataset, spec string) (*resnet.FeatureSet, error) {
	progress := term.NewProgress(c.err, c.quiet, "pictures", ds.Len())
	defer progress.Close()
	s, err := m.EmbedDataset(ctx, ds, resnet.EvaluateOptions{SkipBad: c.skipBad, Progress: progress.Add})
	if err == nil || ctx.Err() != nil {
		return s, err
	}
	return nil, fmt.Errorf("%s: %w", spec, c.explain(err))
}

// judge fits and judges the classifiers: of all labels, whose linear one it returns, and
// of few.
func (c *linearCommand) judge(ctx context.Context, r *linearReport, known, queries features.Set, classes []string, seed uint64) (*features.Linear, error) {
	n, opt := features.Neighbors{K: c.neighbors, Threads: c.threads}, features.LinearOptions{Decay: c.decay, Threads: c.threads}
	head, all, err := features.Judge(known, queries, n, opt)
	if err != nil {
		return nil, err
	}
	r.Judgement = all
	fitted, err := head.Classify(known.X)
	if err != nil {
		return nil, err
	}
	r.Fitted = known.Accuracy(fitted)
	for _, each := range c.labels {
		draws, err := features.JudgeFew(ctx, known, queries, each, c.draws, seed, n, opt)
		if few := (*features.FewerError)(nil); errors.As(err, &few) {
			return nil, usagef("--labels %d: the class %s has only %s to fit to", each, classes[few.Class], term.Plural(few.Have, "picture"))
		}
		if err != nil {
			return nil, err
		}
		f := fewReport{Labels: each, Draws: draws}
		f.Linear, f.LinearStd = features.MeanStd(draws, func(j features.Judgement) float64 { return j.Linear })
		f.KNN, f.KNNStd = features.MeanStd(draws, func(j features.Judgement) float64 { return j.KNN })
		r.Few = append(r.Few, f)
	}
	return head, nil
}

// save writes the network with its new last layer.
func (c *linearCommand) save(m *resnet.Model, head *features.Linear, r *linearReport, splits *data.Splits, seed uint64) error {
	full, err := m.WithHead(head, resnet.Description{Name: m.Name(), Classes: splits.Classes(), Meta: weights.Meta{
		Recipe: m.Meta().Recipe, // which divides the data as here
		Seed:   seed, Command: os.Args, Data: weights.DataInfo{Spec: splits.Spec}, Metrics: map[string]float64{"train.top1": r.Fitted, r.Split + ".top1": r.Linear},
	}})
	if err != nil {
		return err
	}
	return full.Save(c.out)
}

func (c *linearCommand) print(r *linearReport) error {
	c.printf("%s on %s\n%d features of each picture; fitted to %s of %d classes, judged by %s (%s)\n", r.Model, r.Data,
		r.Features, term.Plural(r.Known, "picture"), r.Classes, term.Count(r.Queries), r.Split)
	if r.Skipped > 0 {
		c.printf("%s that cannot be decoded left out\n", term.Plural(r.Skipped, "picture"))
	}
	c.printf("\n")
	t := term.NewTable("labels", ">linear", ">neighbors")
	t.Row("all", term.Percent(r.Linear), term.Percent(r.KNN))
	spread := func(mean, std float64) string {
		if c.draws < 2 {
			return term.Percent(mean)
		}
		return fmt.Sprintf("%s ± %.1f", term.Percent(mean), 100*std)
	}
	for _, f := range r.Few {
		t.Row(fmt.Sprintf("%d a class", f.Labels), spread(f.Linear, f.LinearStd), spread(f.KNN, f.KNNStd))
	}
	if _, err := t.WriteTo(c.app.out); err != nil {
		return err
	}
	c.printf("\nThe linear classifier has %s of the pictures right that it was fitted to.\n", term.Percent(r.Fitted))
	if r.Out != "" {
		c.printf("%s: the network with it as its last layer\n", r.Out)
	}
	return nil
}
