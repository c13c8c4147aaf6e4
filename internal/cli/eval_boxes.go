package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/train"
)

// runBoxes evaluates a detector.
func (c *evalCommand) runBoxes(ctx context.Context, m *resnet.Model) error {
	switch {
	case !hasBoxes(c.data):
		return usagef("%s is a detector, which is measured on pictures with boxes: name data of kind %s by --data, not %q", m.Name(), strings.Join(detection.Kinds(), " or "), c.data)
	case c.flip:
		return usagef("--tta is for classifiers: leave it out")
	case c.csv != "":
		return usagef("--csv is for data of one label per picture: --out FOLDER writes all detections")
	}
	if err := without(c.flags, "for a detector", "threshold", "worst"); err != nil {
		return err
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
	progress := term.NewProgress(c.err, c.quiet, "pictures", ds.Len())
	found, err := m.EvaluateObjects(ctx, ds.(*detection.Dataset), resnet.EvaluateOptions{SkipBad: c.skipBad, Progress: progress.Add})
	progress.Close()
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%s: %w", splits.Spec, c.explain(err))
		}
		return err
	}
	if len(found.Missing) > 0 {
		c.note("classes of the data that %s does not know: %s", m.Name(), strings.Join(found.Missing, ", "))
	}
	e := &evaluation{Model: m.Name(), Data: splits.Spec, Split: part, Skipped: found.Skipped, Objects: found}
	if c.outDir != "" {
		if err := c.writeBoxes(e); err != nil {
			return err
		}
	}
	if c.json {
		return c.printJSON(e)
	}
	return c.printBoxesOf(e)
}

// writeBoxes writes the report and all detections.
func (c *evalCommand) writeBoxes(e *evaluation) error {
	results := make([]cocoResult, len(e.Objects.Found))
	for i, d := range e.Objects.Found {
		results[i] = cocoResult{ImageID: d.Image, CategoryID: int(d.Category), Box: d.Box, Score: d.Score}
		if d.Mask != nil {
			results[i].Segmentation = &cocoRunCodes{[2]int{d.Mask.H, d.Mask.W}, d.Mask.String()}
		}
	}
	return writeReport(c.outDir, func(dir string) error {
		if err := writeJSON(filepath.Join(dir, "report.json"), e); err != nil {
			return err
		}
		return atomicfile.Write(filepath.Join(dir, "results.json"), func(w io.Writer) error { return encodeJSON(w, results, "", true) })
	})
}

// cocoLines are the rows of COCO's table, in its order.
var cocoLines = [12]struct{ what, iou, area, most string }{
	{"AP", "0.50:0.95", "all", "100"}, {"AP", "0.50", "all", "100"}, {"AP", "0.75", "all", "100"},
	{"AP", "0.50:0.95", "small", "100"}, {"AP", "0.50:0.95", "medium", "100"}, {"AP", "0.50:0.95", "large", "100"},
	{"AR", "0.50:0.95", "all", "1"}, {"AR", "0.50:0.95", "all", "10"}, {"AR", "0.50:0.95", "all", "100"},
	{"AR", "0.50:0.95", "small", "100"}, {"AR", "0.50:0.95", "medium", "100"}, {"AR", "0.50:0.95", "large", "100"},
}

func (c *evalCommand) printBoxesOf(e *evaluation) error {
	c.head(e)
	r := e.Objects
	c.printf("%s, %s\n\n", term.Plural(r.Pictures, "picture"), term.Plural(r.Objects, "object"))
	kinds, stats := []*metrics.COCO{r.Boxes}, r.Boxes.Stats()
	numbers := [][]float64{stats[:]}
	if r.Masks != nil {
		stats := r.Masks.Stats()
		kinds, numbers = append(kinds, r.Masks), append(numbers, stats[:])
	}
	if err := c.printCOCO(numbers); err != nil {
		return err
	}
	c.printf("\n")
	return c.printClassAP(r, kinds)
}

// printCOCO prints COCO's table of the 12 numbers of boxes and, if there are any, of
// masks.
func (a *app) printCOCO(numbers [][]float64) error {
	columns := []string{"", "IoU", "area", ">detections", ">boxes"}
	if len(numbers) > 1 {
		columns = append(columns, ">masks")
	}
	t := term.NewTable(columns...)
	for i, l := range cocoLines {
		cells := []any{l.what, l.iou, l.area, l.most}
		for _, k := range numbers {
			cells = append(cells, precision(k[i]))
		}
		t.Row(cells...)
	}
	_, err := t.WriteTo(a.out)
	return err
}

// printDetection prints the evaluation of a detector after training.
func (c *trainCommand) printDetection(d *train.DetectionMetrics, head string) error {
	c.printf("%s:\n\n", head)
	numbers := [][]float64{d.Boxes}
	if d.Masks != nil {
		numbers = append(numbers, d.Masks)
	}
	if err := c.printCOCO(numbers); err != nil {
		return err
	}
	c.printf("\n")
	return nil
}

func (c *evalCommand) printClassAP(r *detect.Evaluation, kinds []*metrics.COCO) error {
	columns := []string{"class", ">objects", ">AP", ">AP50"}
	if len(kinds) > 1 {
		columns = append(columns, ">mask AP", ">mask AP50")
	}
	t := term.NewTable(columns...)
	for i, name := range r.Categories {
		cells := []any{name, term.Count(r.Boxes.PerClass[i].Objects)}
		for _, k := range kinds {
			cells = append(cells, precision(k.PerClass[i].AP), precision(k.PerClass[i].AP50))
		}
		t.Row(cells...)
	}
	_, err := t.WriteTo(c.out)
	return err
}

// precision prints a number of COCO's table; -1 stands for no object to measure by.
func precision(v float64) string {
	if v < 0 {
		return "none"
	}
	return fmt.Sprintf("%.3f", v)
}
