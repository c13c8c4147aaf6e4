package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/train"
	"github.com/resnet-go/resnet/weights"
)

type calibrateCommand struct {
	*evalCommand
	share    float64
	accuracy float64
	out      string
	half     bool
	force    bool
}

func (a *app) calibrateCommand() *cobra.Command {
	c := &calibrateCommand{evalCommand: &evalCommand{app: a}}
	cmd := &cobra.Command{
		Use:   "calibrate MODEL --data SPEC -o OUT.safetensors",
		Short: "Make a classifier's probabilities honest",
		Long: `calibrate divides a classifier's logits by the temperature at which its probabilities
fit best to pictures that it has not been trained on (Guo et al. 2017), and finds the
probability from which its answers are right as often as --accuracy: below it, predict
says that it is unsure. The answers stay the same. Both are written to OUT with the
weights: the temperature as the network's logit_scale, the probability and what was
measured among the metrics that summary prints.

Pictures are those of the test part of --data, val if there is none: with the data of the
training, those that were held out. A share of each class is used for the fit, the others
tell how good it is.`,
		Example: `  resnet calibrate runs/photos/best.safetensors --data folder:photos -o photos.safetensors
  resnet calibrate last.safetensors --data folder:cifar10.zip --accuracy 0.97 --half -o small.safetensors`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := atLeast(1, "MODEL")(cmd, args); err != nil {
				return err
			}
			return atMost(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c.model = args[0]
			return c.run(cmd.Context())
		},
	}
	c.addChoices(cmd, 128)
	c.addOrientation(cmd)
	c.addData(cmd, "part of the data: train, val or test", []string{"train", "val", "test"}, "selects the pictures of the fit")
	f := cmd.Flags()
	f.Lookup("data").Usage = "SPEC of the data; must be given"
	f.Float64Var(&c.share, "share", 0.5, "share of the pictures that the temperature is fitted to")
	f.Float64Var(&c.accuracy, "accuracy", 0.95, "share of right answers from which on they are sure")
	f.StringVarP(&c.out, "out", "o", "", "file to write, .safetensors; must be given")
	f.BoolVar(&c.half, "half", false, "write the weights as float16")
	f.BoolVar(&c.force, "force", false, "replace OUT if it exists")
	return cmd
}

// calibrated is what resnet calibrate --json prints.
type calibrated struct {
	Model       string  `json:"model"`
	Out         string  `json:"out"`
	Data        string  `json:"data"`
	Split       string  `json:"split"`
	Fitted      int     `json:"fitted"`      // pictures of the fit
	Samples     int     `json:"samples"`     // pictures of what follows
	Temperature float64 `json:"temperature"` // that the logits are divided by
	Top1        float64 `json:"top1"`
	LossBefore  float64 `json:"loss_before"`
	Loss        float64 `json:"loss"`
	ECEBefore   float64 `json:"ece_before"`
	ECE         float64 `json:"ece"`
	// SureAbove is the probability from which answers are sure; 0 if no answers are right
	// that often.
	SureAbove    float64 `json:"sure_above"`
	SureShare    float64 `json:"sure_share"`    // of the answers
	SureAccuracy float64 `json:"sure_accuracy"` // of these
}

func (c *calibrateCommand) check() error {
	switch {
	case c.data == "":
		return usagef("--data is missing: name pictures that the model has not been trained on")
	case c.out == "":
		return usagef("-o is missing: the file to write, such as calibrated.safetensors")
	case filepath.Ext(c.out) != ".safetensors":
		return usagef("-o %s: calibrated models are written as .safetensors, which convert turns into other formats", c.out)
	case !(c.share > 0 && c.share < 1):
		return usagef("--share is %v, must be between 0 and 1", c.share)
	case !(c.accuracy > 0 && c.accuracy <= 1):
		return usagef("--accuracy is %v, must be above 0 and up to 1", c.accuracy)
	case exists(c.out) && !c.force:
		return fmt.Errorf("%s exists already; --force replaces it", c.out)
	}
	return nil
}

func (c *calibrateCommand) run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	ref, err := parseModel(c.model)
	if err != nil {
		return err
	}
	const own = "calibrate takes a file that describes its network, one of resnet models: resnet convert makes it"
	if ref.Name != "" || ref.File == "" {
		return usagef("%s: %s", c.model, own)
	}
	file, err := weights.Load(ref.File)
	if err != nil {
		return err
	}
	file = file.ModelOnly()
	if !file.Ours() {
		return fmt.Errorf("%s has weights only: %s", ref.File, own)
	}
	conf, err := models.ParseConfig(file.Architecture)
	if err != nil {
		return fmt.Errorf("%s: %w; %s", ref.File, err, own)
	}
	m, err := c.openFor(c.app, 0, models.Classification, "; only their probabilities can be calibrated")
	if err != nil {
		return err
	}
	if m.MultiLabel() {
		return usagef("%s gives each label a probability of its own: only models of one label per picture can be calibrated", m.Name())
	}
	opt := train.DataOptions(m.Meta())
	opt.IgnoreOrientation = c.asStored
	splits, err := c.openParts(c.app, m, opt)
	if err != nil {
		return err
	}
	defer splits.Close()
	ds, part, err := split(splits, c.split)
	if err != nil {
		return err
	}
	test, fit := data.HoldOut(ds, c.share, c.seed)
	if test.Len() == 0 || fit.Len() == 0 {
		return fmt.Errorf("%s: the part %s has %s: calibrate needs two or more of each class", splits.Spec, part, term.Plural(ds.Len(), "picture"))
	}
	r := &calibrated{Model: m.Name(), Out: c.out, Data: splits.Spec, Split: part}
	if err := c.measure(ctx, m, fit, test, splits.Spec, r); err != nil {
		return err
	}
	if conf.LogitScale == 0 {
		conf.LogitScale = 1
	}
	conf.LogitScale /= float32(r.Temperature)
	if err := conf.Check(); err != nil {
		return err
	}
	if file.Architecture, err = json.Marshal(conf); err != nil {
		return err
	}
	if len(file.Reference) > 0 { // other probabilities than those of OUT
		file.Reference = nil
		c.note("the distribution of the model's answers is left out, because it changes: resnet eval --reference measures it again")
	}
	r.addTo(&file.Meta)
	if err := weights.Save(c.out, file, weights.SaveOptions{Half: c.half}); err != nil {
		return err
	}
	if c.json {
		return c.printJSON(r)
	}
	c.printf("%s: temperature %.3f, fitted to %s of %s (%s)\n", r.Out, r.Temperature, term.Plural(r.Fitted, "picture"), r.Data, r.Split)
	c.printf("on the %d others: top-1 %s; loss %.4f, before %.4f; ECE %s, before %s\n",
		r.Samples, term.Percent(r.Top1), r.Loss, r.LossBefore, term.Percent(r.ECE), term.Percent(r.ECEBefore))
	if r.SureAbove == 0 {
		c.printf("no answers are right in %s of all cases: predict will not tell which are unsure\n", term.Percent(c.accuracy))
		return nil
	}
	c.printf("sure from a probability of %s on: %s of the answers, of which %s are right\n",
		term.Percent(r.SureAbove), term.Percent(r.SureShare), term.Percent(r.SureAccuracy))
	return nil
}

// measure fits the temperature to the pictures of fit, and measures it on those of test.
func (c *calibrateCommand) measure(ctx context.Context, m *resnet.Model, fit, test data.Dataset, spec string, r *calibrated) error {
	classes := len(m.Classes())
	logits, labels, err := c.answers(ctx, m, fit, spec)
	if err != nil {
		return err
	}
	r.Fitted = len(labels)
	r.Temperature = metrics.FitTemperature(logits, labels, classes)
	r.SureAbove = metrics.SureAbove(scaled(logits, r.Temperature), labels, classes, c.accuracy)
	if logits, labels, err = c.answers(ctx, m, test, spec); err != nil {
		return err
	}
	before, err := metrics.Evaluate(logits, labels, m.Classes())
	if err != nil {
		return err
	}
	logits = scaled(logits, r.Temperature)
	after, err := metrics.Evaluate(logits, labels, m.Classes())
	if err != nil {
		return err
	}
	r.Samples, r.Top1 = len(labels), after.Top1
	r.LossBefore, r.Loss, r.ECEBefore, r.ECE = before.Loss, after.Loss, before.Calibration.ECE, after.Calibration.ECE
	sure, right := 0, 0
	for i, label := range labels {
		z := logits[i*classes : (i+1)*classes]
		if top := metrics.ArgMax(z); metrics.Softmax(z, 1)[top] >= r.SureAbove {
			sure++
			if top == label {
				right++
			}
		}
	}
	if r.SureAbove > 0 && sure > 0 {
		r.SureShare, r.SureAccuracy = float64(sure)/float64(len(labels)), float64(right)/float64(sure)
	}
	return nil
}

// answers returns the logits of a dataset's pictures, and their labels as classes of the
// model.
func (c *calibrateCommand) answers(ctx context.Context, m *resnet.Model, ds data.Dataset, spec string) (logits []float32, labels []int, err error) {
	of, err := m.LabelsOf(ds)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", spec, err)
	}
	e, err := c.evaluate(ctx, m, ds, spec)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range e.Index {
		labels = append(labels, of(i)[0])
	}
	return e.Logits, labels, nil
}

// scaled returns the logits divided by a temperature.
func scaled(logits []float32, temperature float64) []float32 {
	out := make([]float32, len(logits))
	for i, z := range logits {
		out[i] = z / float32(temperature)
	}
	return out
}

// addTo adds what was found to the metadata of the calibrated file.
func (r *calibrated) addTo(meta *weights.Meta) {
	if meta.Metrics == nil {
		meta.Metrics = map[string]float64{}
	}
	delete(meta.Metrics, weights.MetricSureAbove)
	for name, v := range map[string]float64{
		"calibration.temperature": r.Temperature, "calibration.ece": r.ECE, "calibration.top1": r.Top1, weights.MetricSureAbove: r.SureAbove,
		"calibration.sure_share": r.SureShare, "calibration.sure_accuracy": r.SureAccuracy,
	} {
		meta.Metrics[name] = v
	}
}
