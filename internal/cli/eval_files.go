package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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
	err := writeReport(c.outDir, func(dir string) error {
		if err := writeJSON(filepath.Join(dir, "report.json"), e); err != nil || e.Single == nil {
			return err
		}
		m := e.Single.Confusion
		if err := writeJSON(filepath.Join(dir, "confusion.json"), m); err != nil {
			return err
		}
		title := fmt.Sprintf("%s on %s (%s)", e.Model, e.Data, e.Split)
		picture, err := chart.Confusion(title, classes, m.Counts)
		if err != nil {
			return err
		}
		if err := picture.Save(filepath.Join(dir, "confusion.png")); err != nil {
			return err
		}
		return writeCSV(filepath.Join(dir, "predictions.csv"), e.samples)
	})
	if err != nil {
		return err
	}
	c.note("report written to %s", c.outDir)
	return nil
}

// writeReport puts the files that write writes into the folder dir: all of them, or, if
// one cannot be written, none. Other files in the folder stay.
func writeReport(dir string, write func(dir string) error) error {
	var tmp string
	err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755)
	if err == nil {
		if _, err = os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			err = atomicfile.Folder(dir, func(folder string) error {
				tmp = folder
				return write(folder)
			})
		} else if err == nil {
			tmp, err = addReport(dir, write)
		}
	}
	if err != nil {
		return reportError{dir, tmp, err}
	}
	return nil
}

// addReport moves the files into a folder that is there when all of them are written.
func addReport(dir string, write func(dir string) error) (tmp string, err error) {
	if tmp, err = os.MkdirTemp(dir, ".report*"); err != nil {
		if p := (*fs.PathError)(nil); errors.As(err, &p) { // not with the name of what is not there
			err = p.Err
		}
		return "", fmt.Errorf("cannot write to the folder %s: %w", dir, err)
	}
	defer os.RemoveAll(tmp) // what was not moved
	if err := write(tmp); err != nil {
		return tmp, err
	}
	files, err := os.ReadDir(tmp)
	for _, f := range files {
		if err == nil {
			err = os.Rename(filepath.Join(tmp, f.Name()), filepath.Join(dir, f.Name()))
		}
	}
	return tmp, err
}

// reportError names the folder of the report instead of the one where it is written.
type reportError struct {
	dir, tmp string
	err      error
}

// Error is the message.
func (e reportError) Error() string {
	text := e.err.Error()
	if e.tmp != "" {
		text = strings.ReplaceAll(text, e.tmp, e.dir)
	}
	return "--out: " + text
}

// Unwrap returns the cause.
func (e reportError) Unwrap() error { return e.err }

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
