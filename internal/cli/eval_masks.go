package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/models"
)

// runMasks evaluates a segmentation network.
func (c *evalCommand) runMasks(ctx context.Context, m *resnet.Model, ds data.MaskDataset, spec, part string) error {
	switch {
	case m.Task() != models.Segmentation:
		return usagef("%s is %s, but %s has masks: name a segmentation network by --model", m.Name(), ofTask[m.Task()].name, spec)
	case c.flip:
		return usagef("--tta is for classifiers: leave it out")
	case c.csv != "":
		return usagef("--csv is for data of one label per picture: --out FOLDER writes the figures of each class")
	}
	if err := without(c.flags, "for a segmentation network", "threshold", "worst"); err != nil {
		return err
	}
	progress := term.NewProgress(c.err, c.quiet, "pictures", ds.Len())
	found, err := m.EvaluateMasks(ctx, ds, resnet.EvaluateOptions{SkipBad: c.skipBad, Progress: progress.Add})
	progress.Close()
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%s: %w", spec, c.explain(err))
		}
		return err
	}
	e := &evaluation{Model: m.Name(), Data: spec, Split: part, Skipped: found.Skipped, Masks: found}
	if c.outDir != "" {
		err := writeReport(c.outDir, func(dir string) error {
			if err := writeJSON(filepath.Join(dir, "report.json"), e); err != nil {
				return err
			}
			return atomicfile.Write(filepath.Join(dir, "classes.csv"), e.writeClasses)
		})
		if err != nil {
			return err
		}
	}
	if c.json {
		return c.printJSON(e)
	}
	return c.printMasks(e)
}

// writeClasses writes a line for each class.
func (e *evaluation) writeClasses(w io.Writer) error {
	text := func(x *float64) string {
		if x == nil {
			return ""
		}
		return strconv.FormatFloat(*x, 'g', 8, 64)
	}
	out := csv.NewWriter(w)
	if err := out.Write([]string{"class", "iou", "accuracy", "dice", "pixels"}); err != nil {
		return err
	}
	for _, r := range e.Masks.PerClass {
		if err := out.Write([]string{r.Class, text(r.IoU), text(r.Accuracy), text(r.Dice), strconv.FormatInt(r.Pixels, 10)}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func (c *evalCommand) printMasks(e *evaluation) error {
	c.head(e)
	r := e.Masks
	c.printf("mIoU            %s\n", term.Percent(r.MeanIoU))
	c.printf("pixel accuracy  %s\n", term.Percent(r.PixelAccuracy))
	c.printf("mean accuracy   %s\n", term.Percent(r.MeanAccuracy))
	c.printf("loss            %.4f\n", r.Loss)
	c.printf("pictures        %s, %s pixels, and %s that do not count\n\n", term.Count(r.Pictures), term.Count(int(r.Pixels)), term.Count(int(r.Ignored)))
	text := func(x *float64) string {
		if x == nil {
			return "none"
		}
		return term.Percent(*x)
	}
	t := term.NewTable("class", ">IoU", ">accuracy", ">Dice", ">pixels")
	for _, row := range r.PerClass {
		t.Row(row.Class, text(row.IoU), text(row.Accuracy), text(row.Dice), term.Count(int(row.Pixels)))
	}
	_, err := t.WriteTo(c.out)
	return err
}
