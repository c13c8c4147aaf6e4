package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/models"
)

type predictCommand struct {
	*app
	modelFlags
	scoreFlags
	topK      int
	threshold float64
	csv       bool
	outFile   string
	watch     bool

	table *csv.Writer // of --csv
	sure  float64     // the probability from which an answer is sure; 0 if that is not known
}

func (a *app) predictCommand() *cobra.Command {
	c := &predictCommand{app: a}
	cmd := &cobra.Command{
		Use:   "predict IMAGE|DIR|FILE.zip|FILE.tar|@LIST|-...",
		Short: "Classify pictures",
		Long: `predict prints the most probable classes of each picture: JPEG, PNG, GIF, WebP,
BMP, TIFF or PPM; of animations and documents of pages, the first one.
` + picturesHelp + `

--csv prints a line for each class of each picture: image, rank, class, index,
probability, error. -o FILE writes the results to a file, whole or not at all: as CSV
if it ends in .csv, as lines of JSON if it ends in .json or .jsonl.

Answers of a calibrated model (see resnet calibrate) of a lower probability than its
threshold are marked as unsure: the picture may show something else.

--watch goes on: it classifies the pictures in the folders, and each that comes into
them, until it is interrupted. A picture that is still being written waits.

A picture that cannot be read is reported on stderr, the others are still
classified, and the exit code is 1.

` + scoreHelp,
		Example: `  resnet predict photo.jpg
  resnet predict --topk 3 --model runs/photos/best.safetensors holiday/
  resnet predict --threshold 0.5 --tta -o holiday.csv holiday.zip
  resnet predict --watch --json inbox/
  find . -name '*.jpg' > list.txt && resnet predict --csv @list.txt
  curl -s https://example.org/cat.jpg | resnet predict --json -
  resnet predict --jsonl list.txt --shard auto --resume scores.jsonl
  resnet predict --model resnet50@weights.safetensors --preprocess imagenet --classes names.txt photo.jpg`,
		Args: atLeast(1, "a picture"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.modelFlags.add(cmd, 16)
	c.device.add(cmd, a)
	c.addOrientation(cmd)
	c.scoreFlags.add(cmd)
	f := cmd.Flags()
	f.IntVarP(&c.topK, "topk", "k", 5, "classes to print for each picture")
	f.Float64Var(&c.threshold, "threshold", 0, "leave out classes of a lower probability")
	f.BoolVar(&c.mirror, "tta", false, "test-time augmentation: average the logits of the picture and its mirror image")
	f.BoolVar(&c.csv, "csv", false, "print CSV")
	f.StringVarP(&c.outFile, "out", "o", "", "file for the results, .csv, .json, .jsonl or text (default: stdout)")
	f.BoolVar(&c.watch, "watch", false, "wait for more pictures in the folders, and classify them as they come")
	return cmd
}

func (c *predictCommand) run(cmd *cobra.Command, args []string) error {
	if c.topK < 1 {
		return usagef("--topk %d is below 1", c.topK)
	}
	if !(c.threshold >= 0 && c.threshold <= 1) {
		return usagef("--threshold is %v, must be between 0 and 1", c.threshold)
	}
	if c.csv && c.json {
		return usagef("--csv and --json (and what the ending of -o stands for) exclude each other: give one of them")
	}
	switch end := strings.ToLower(filepath.Ext(c.outFile)); {
	case end == ".csv" && c.json:
		return usagef("--json and the ending of -o %s exclude each other: leave out --json, or name a file that ends in .json", c.outFile)
	case (end == ".json" || end == ".jsonl") && c.csv:
		return usagef("--csv and the ending of -o %s exclude each other: leave out --csv, or name a file that ends in .csv", c.outFile)
	case end == ".csv":
		c.csv = true
	case end == ".json" || end == ".jsonl":
		c.json = true
	}
	if c.watch {
		switch {
		case c.outFile != "":
			return usagef("--watch has no end, and -o writes a file when all is done: leave out -o, and redirect the output")
		case c.list != "":
			return usagef("--watch takes folders, not a list: leave out --jsonl")
		}
		if err := checkFolders(args); err != nil {
			return err
		}
	}
	if c.list != "" && (c.csv || c.outFile != "") {
		return usagef("--csv and -o do not go with --jsonl, which prints JSON: --resume FILE writes to a file")
	}
	names, err := c.pictureNames(args)
	if err != nil {
		return err
	}
	m, err := c.openFor(c.app, c.topK, models.Classification, "")
	if err != nil {
		return err
	}
	c.sure = m.SureAbove()
	if c.watch {
		return c.runWatch(cmd.Context(), m, args)
	}
	if c.list != "" {
		return c.score(c.app, classScores{c, m})
	}
	if c.outFile == "" {
		return c.all(cmd, m, names)
	}
	var unread error
	err = atomicfile.Write(c.outFile, func(w io.Writer) error {
		file := &output{w: w, failed: func(error) {}}
		c.app.out = file
		err := c.all(cmd, m, names)
		if file.err != nil {
			return file.err
		}
		if errors.As(err, new(unreadError)) { // the others are worth keeping
			unread, err = err, nil
		}
		return err
	})
	if err != nil {
		return err
	}
	c.note("results written to %s", c.outFile)
	return unread
}

// all classifies the pictures and prints the results.
func (c *predictCommand) all(cmd *cobra.Command, m *resnet.Model, names []string) error {
	widest := 0
	for _, n := range names {
		widest = max(widest, term.Columns(n))
	}
	if c.csv {
		if err := c.beginCSV(); err != nil {
			return err
		}
	}
	progress := term.NewProgress(c.err, c.quiet || len(names) < 2 || term.IsTerminal(c.out), "pictures", len(names))
	defer progress.Close()

	var bad unreadable
	for r, err := range m.ClassifyAll(cmd.Context(), c.pictures(names)) {
		if err != nil {
			return err
		}
		progress.Add(1)
		if err := c.print(r, &bad, len(names) == 1, widest); err != nil {
			return err
		}
	}
	return bad.err()
}

type predictionLine struct {
	Image       string              `json:"image"`
	Predictions []resnet.Prediction `json:"predictions"`
	Unsure      bool                `json:"unsure,omitempty"` // the first has a lower probability than the threshold of a calibrated model
	Error       string              `json:"error,omitempty"`  // why there are no predictions
}

// scoredLine is the line of a picture with --jsonl.
type scoredLine struct {
	ID          string              `json:"id"` // of the input; of pictures in a folder, zip or tar, with the name there
	Predictions []resnet.Prediction `json:"predictions"`
	Unsure      bool                `json:"unsure,omitempty"` // as of predict without --jsonl
	Error       string              `json:"error,omitempty"`  // why there are no predictions
}

// classScores are the results of predict --jsonl.
type classScores struct {
	*predictCommand
	m *resnet.Model
}

func (s classScores) compute(ctx context.Context, ps iter.Seq[resnet.Picture]) iter.Seq2[resnet.Result, error] {
	return s.m.ClassifyAll(ctx, ps)
}

func (s classScores) line(r resnet.Result, problem string) any {
	return scoredLine{r.Name, s.kept(r.Predictions), s.unsure(r.Predictions), problem}
}

func (s classScores) fits(l earlierLine) error {
	if l.Predictions == nil {
		return errors.New("has no predictions")
	}
	classes := s.m.Classes()
	for _, p := range l.Predictions {
		switch {
		case p.Index < 0 || p.Index >= len(classes):
			return fmt.Errorf("has a class %d (%s), and the model has %d classes", p.Index, p.Class, len(classes))
		case classes[p.Index] != p.Class:
			return fmt.Errorf("has %q as class %d, which is %q in the model", p.Class, p.Index, classes[p.Index])
		}
	}
	return nil
}

// follows needs no look: fits knows the model's classes.
func (classScores) follows(resnet.Result) error { return nil }

// kept returns the predictions that --threshold leaves.
func (c *predictCommand) kept(all []resnet.Prediction) (kept []resnet.Prediction) {
	for _, p := range all {
		if p.Probability >= c.threshold {
			kept = append(kept, p)
		}
	}
	return kept
}

// unsure reports whether the answer has a lower probability than the threshold of a
// calibrated model.
func (c *predictCommand) unsure(all []resnet.Prediction) bool {
	return len(all) > 0 && all[0].Probability < c.sure
}

func (c *predictCommand) print(r resnet.Result, bad *unreadable, single bool, widest int) error {
	line := predictionLine{Image: r.Name, Predictions: c.kept(r.Predictions), Unsure: c.unsure(r.Predictions)}
	if bad.skip(c.app, r) {
		line.Error = oneLine(r.Err)
	}
	switch {
	case c.json:
		return c.printJSONLine(line)
	case c.csv:
		return c.printCSV(line)
	case line.Error != "":
		return nil
	case single && len(line.Predictions) > 0:
		t := term.NewTable("class", ">probability")
		for _, p := range line.Predictions {
			t.Row(p.Class, term.Percent(p.Probability))
		}
		if _, err := t.WriteTo(c.out); err != nil || !line.Unsure {
			return err
		}
		c.printf("unsure: below %s, the picture may show something else\n", term.Percent(c.sure))
		return nil
	}
	var ps []string
	for _, p := range line.Predictions {
		ps = append(ps, fmt.Sprintf("%s %s", p.Class, term.Percent(p.Probability)))
	}
	if len(ps) == 0 {
		ps = []string{fmt.Sprintf("no class with a probability of %v or more", c.threshold)}
	}
	if line.Unsure {
		ps[0] = "unsure: " + ps[0]
	}
	name := term.Plain(r.Name)
	c.printf("%s%s  %s\n", name, strings.Repeat(" ", max(widest-term.Columns(name), 0)), strings.Join(ps, ", "))
	return nil
}

// printCSV prints a line for each class, and for a picture without any one with its
// name and error. It comes at once, as a line of JSON does.
func (c *predictCommand) printCSV(line predictionLine) error {
	for i, p := range line.Predictions {
		row := []string{line.Image, strconv.Itoa(i + 1), p.Class, strconv.Itoa(p.Index), strconv.FormatFloat(p.Probability, 'g', -1, 64), ""}
		if err := c.table.Write(row); err != nil {
			return err
		}
	}
	if len(line.Predictions) == 0 {
		if err := c.table.Write([]string{line.Image, "", "", "", "", line.Error}); err != nil {
			return err
		}
	}
	c.table.Flush()
	return c.table.Error()
}
