package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/segment"
)

type evalCommand struct {
	*app
	modelFlags
	labeledData
	flags     *pflag.FlagSet // of the command
	reference bool
	flip      bool
	worst     int
	threshold float64
	csv       string
	outDir    string
}

func (a *app) evalCommand() *cobra.Command {
	c := &evalCommand{app: a}
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "Measure a model on labeled pictures",
		Long: `eval runs a model over a part of a dataset (test, else val) and prints accuracy,
loss, precision, recall and F1 of each class, the confusion matrix, the classes
that are confused most often, the calibration, and the pictures with the highest
loss among the wrong answers.

With --out, the whole report is written to files: report.json, confusion.json,
confusion.png and predictions.csv.

For data of several labels per picture, the report has average precision,
precision, recall and F1 of each label.

For a segmentation network and pictures with masks, the report has the mean
intersection over union (mIoU), each class's, and the pixel accuracy, computed as
in torchvision: over the pixels of all pictures together, in the size of the
network's input, without the pixels that have no class.

For a detector and pictures with boxes, the report is COCO's: average precision (AP)
over all IoU from 0.50 to 0.95, at 0.50 and 0.75, and by the size of objects, average
recall (AR), and the AP of each class; for masks, too, where model and data have them.
Classes of the data and the model are those of the same name. With --out, results.json
has all detections in the form of COCO's results.`,
		Example: `  resnet eval --model runs/photos/best.safetensors --data folder:photos
  resnet eval --data folder:cifar10.zip --tta --json
  resnet eval -m best.safetensors --data idx:mnist --split test --out report
  resnet eval -m best.safetensors --data folder:photos --bf16=emulate
  resnet eval -m best.safetensors --data folder:photos --reference
  resnet eval -m fcn_resnet50@fcn_resnet50_coco.pth --data voc:VOCdevkit
  resnet eval -m retinanet_resnet50_fpn@retinanet_resnet50_fpn_coco.pth --data coco:coco --split val`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := c.run(cmd.Context())
			if written := strings.TrimSpace(c.outDir + " " + c.csv); written != "" && err != nil && cmd.Context().Err() != nil {
				c.note("nothing was written to %s", written)
			}
			return err
		},
	}
	c.add(cmd, 128)
	c.addData(cmd, "part of the data: train, val or test", []string{"train", "val", "test"}, "selects the validation part if the data have none (default: as the model was trained)")
	c.device.add(cmd, a)
	c.normEps.add(cmd)
	c.addOrientation(cmd)
	f := cmd.Flags()
	c.flags = f
	f.BoolVar(&c.flip, "tta", false, "test-time augmentation: average the logits of the picture and its mirror image")
	f.BoolVar(&c.reference, "reference", false, "also write the distribution of the model's answers to up to 2,000 of the pictures into the model file, for resnet serve --drift")
	f.IntVar(&c.worst, "worst", 10, "number of wrong answers to list, by highest loss")
	f.Float64Var(&c.threshold, "threshold", 0.5, "probability from which a label counts as predicted, for data of several labels per picture")
	f.StringVar(&c.csv, "csv", "", "write the prediction of every picture to this file")
	f.StringVarP(&c.outDir, "out", "o", "", "folder for the report's files")
	return cmd
}

// evaluation is what eval prints: the model's evaluation, and where from.
type evaluation struct {
	Model   string                    `json:"model"`
	Data    string                    `json:"data"`
	Split   string                    `json:"split"`
	TTA     bool                      `json:"tta"`
	Skipped int                       `json:"skipped"` // pictures that could not be decoded
	Single  *metrics.Report           `json:"report,omitempty"`
	Masks   *segment.Evaluation       `json:"segmentation_report,omitempty"`
	Objects *detect.Evaluation        `json:"detection_report,omitempty"`
	Multi   *metrics.MultiLabelReport `json:"multi_label_report,omitempty"`
	Worst   []resnet.SamplePrediction `json:"worst"`
	samples []resnet.SamplePrediction
}

func (c *evalCommand) run(ctx context.Context) error {
	if slices.Contains([]string{"valid", "validation"}, c.split) { // as folders and other programs call it
		c.split = "val"
	}
	if c.worst < 0 {
		return usagef("--worst %d is below 0, must not be negative", c.worst)
	}
	if !(c.threshold > 0 && c.threshold < 1) {
		return usagef("--threshold is %v, must be between 0 and 1", c.threshold)
	}
	if c.model == "" && c.data == "" {
		return usagef("%s", noCIFAR)
	}
	m, err := c.open(c.app, 0)
	if err != nil {
		return err
	}
	var file string
	if c.reference {
		ref, err := parseModel(c.model)
		if err != nil {
			return err
		}
		if file = ref.File; ref.Name != "" {
			file = "" // NAME@FILE has weights alone
		}
		if err := checkReference(m, file); err != nil {
			return err
		}
	}
	switch {
	case m.Task() == models.Features:
		return noClasses(m)
	case m.Task() == models.Segmentation && c.data == "" && m.Meta().Data.Spec == "":
		return usagef("--data is missing: %s is a segmentation network, which is measured on pictures with masks, of kind masks, voc or coco", m.Name())
	case m.Task() == models.Detection && c.data == "" && m.Meta().Data.Spec == "":
		return usagef("--data is missing: %s is a detector, which is measured on pictures with boxes, of kind %s", m.Name(), strings.Join(detection.Kinds(), " or "))
	}
	if err := c.choose(c.app, m); err != nil {
		return err
	}
	switch {
	case m.Task() == models.Detection:
		return c.runBoxes(ctx, m)
	case m.Task() == models.Classification && hasObjects(c.data):
		return usagef("%s is a classifier, but %s has boxes or masks of objects: name a detector or a segmentation network by --model, or data with a label for each picture", m.Name(), c.data)
	}
	splits, err := c.openParts(c.app, m, c.options(m, c.asStored))
	if err != nil {
		return err
	}
	defer splits.Close()
	ds, part, err := split(splits, c.split)
	if err != nil {
		return err
	}
	if masks := data.Masks(ds); masks != nil {
		return c.runMasks(ctx, m, masks, splits.Spec, part)
	}
	if m.Task() == models.Segmentation {
		return usagef("%s is a segmentation network, which is measured on pictures with masks: name data of kind masks, voc or coco, not %s", m.Name(), splits.Spec)
	}
	if ds.MultiLabel() {
		err = without(c.flags, "for data of several labels per picture", "worst")
	} else {
		err = without(c.flags, "for data of one label per picture", "threshold")
	}
	if err != nil {
		return err
	}
	r, err := c.evaluate(ctx, m, ds, splits.Spec)
	if err != nil {
		return err
	}
	for _, n := range r.Notes {
		c.note("%s", n)
	}
	e := &evaluation{Model: m.Name(), Data: splits.Spec, Split: part, TTA: c.flip, Skipped: r.Skipped,
		Single: r.Single, Multi: r.Multi, samples: r.Samples}
	if e.Single != nil {
		e.Worst = r.Worst(c.worst)
	}
	if err := c.write(e, m.Classes()); err != nil {
		return err
	}
	if c.reference {
		if err := c.keepReference(ctx, m, file, ds, c.batch); err != nil {
			return err
		}
	}
	if c.json {
		return c.printJSON(e)
	}
	if e.Multi != nil {
		return c.printMulti(e)
	}
	return c.printSingle(e)
}

const noCIFAR = "the model inside the program is for pictures like CIFAR-10's, which the program does not contain: name data, as " +
	"--data folder:cifar10.zip, or a model trained on the sample inside the program, as --model runs/train/best.safetensors"

// evaluate runs the model on the dataset and shows the progress.
func (c *evalCommand) evaluate(ctx context.Context, m *resnet.Model, ds data.Dataset, spec string) (*resnet.Evaluation, error) {
	progress := term.NewProgress(c.err, c.quiet, "pictures", ds.Len())
	defer progress.Close()
	e, err := m.Evaluate(ctx, ds, resnet.EvaluateOptions{Mirror: c.flip, SkipBad: c.skipBad, Threshold: c.threshold, Progress: progress.Add})
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%s: %w", spec, c.explain(err))
	}
	return e, err
}

func (c *evalCommand) head(e *evaluation) {
	c.printf("%s on %s (%s)\n", e.Model, e.Data, e.Split)
	var with []string
	if e.TTA {
		with = append(with, "mean of each picture and its mirror image")
	}
	if e.Skipped > 0 {
		with = append(with, term.Plural(e.Skipped, "picture")+" that cannot be decoded left out")
	}
	if len(with) > 0 {
		c.printf("%s\n", strings.Join(with, "; "))
	}
	c.printf("\n")
}
