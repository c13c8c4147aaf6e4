package cli

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/chart"
)

// write writes what --out and --csv ask for.
func (c *evalCommand) write(e *evaluation, classes []string) error {
	if c.csv != "" {
		if e.Single == nil {
			return usagef("--csv is for data of one label per picture")
		}
		if err := writeCSV(c.csv, e.samples); err != nil {
			return err
		}
	}
	if c.outDir == "" {
		return nil
	}
	if err := os.MkdirAll(c.outDir, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := writeJSON(filepath.Join(c.outDir, "report.json"), e); err != nil {
		return err
	}
	if e.Single != nil {
		m := e.Single.Confusion
		if err := writeJSON(filepath.Join(c.outDir, "confusion.json"), m); err != nil {
			return err
		}
		title := fmt.Sprintf("%s on %s (%s)", e.Model, e.Data, e.Split)
		picture, err := chart.Confusion(title, classes, m.Counts)
		if err != nil {
			return err
		}
		if err := picture.Save(filepath.Join(c.outDir, "confusion.png")); err != nil {
			return err
		}
		if err := writeCSV(filepath.Join(c.outDir, "predictions.csv"), e.samples); err != nil {
			return err
		}
	}
	c.note("report written to %s", c.outDir)
	return nil
}

func writeJSON(path string, v any) error {
	return atomicfile.Write(path, func(w io.Writer) error { return encodeJSON(w, v, "  ", true) })
}

func writeCSV(path string, ps []resnet.SamplePrediction) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		c := csv.NewWriter(w)
		rows := [][]string{{"name", "true", "predicted", "probability", "true_probability", "loss"}}
		for _, p := range ps {
			rows = append(rows, []string{p.Name, p.True, p.Predicted,
				strconv.FormatFloat(p.Probability, 'g', 6, 64), strconv.FormatFloat(p.TrueProbability, 'g', 6, 64), strconv.FormatFloat(p.Loss, 'g', 6, 64)})
		}
		return c.WriteAll(rows)
	})
}
