package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
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
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights/safetensors"
)

type embedCommand struct {
	*app
	modelFlags
	scoreFlags
	outFile string

	table      *csv.Writer
	names      []string    // of the vectors in the file
	embeddings [][]float32 // for -o .npy and .safetensors
}

func (a *app) embedCommand() *cobra.Command {
	c := &embedCommand{app: a}
	cmd := &cobra.Command{
		Use:   "embed IMAGE|DIR|FILE.zip|FILE.tar|@LIST|-...",
		Short: "Turn pictures into vectors for search and comparison",
		Long: `embed prints, for each picture, the features that the network's last layer
decides by: a vector for a search index, a nearest-neighbor look-up or a classifier
of your own. Pictures alike have vectors alike.
` + picturesHelp + `

The output is CSV, the picture's name and then its numbers. -o FILE writes a file
instead, whole or not at all: .csv; .npy, a float32 array with a row for each picture,
whose names, one a line and in the same order, go to FILE-names.txt; or .safetensors,
where the tensor "embeddings" has the rows, and the metadata "images" the names as a
JSON list.

A picture that cannot be read is reported on stderr and has no row, and the exit code
is 1.

` + scoreHelp,
		Example: `  resnet embed photos/ > vectors.csv
  resnet embed photos/ -o vectors.npy           # numpy.load("vectors.npy")
  resnet embed photos.zip -o vectors.safetensors
  resnet embed --json --model runs/photos/best.safetensors photo.jpg
  resnet embed --jsonl shards.txt --shard 3/16 --resume vectors-3.jsonl`,
		Args: atLeast(1, "a picture"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.modelFlags.add(cmd, 16)
	c.device.add(cmd, a)
	c.addOrientation(cmd)
	c.scoreFlags.add(cmd)
	cmd.Flags().StringVarP(&c.outFile, "out", "o", "", "file for the vectors: .csv, .npy or .safetensors (default: CSV to stdout)")
	return cmd
}

type embeddingLine struct {
	Image     string    `json:"image"`
	Embedding []float32 `json:"embedding"`
	Error     string    `json:"error,omitempty"` // why there is no embedding
}

// embeddedLine is the line of a picture with --jsonl.
type embeddedLine struct {
	ID        string    `json:"id"` // of the input; of pictures in a folder, zip or tar, with the name there
	Embedding []float32 `json:"embedding"`
	Error     string    `json:"error,omitempty"` // why there is no embedding
}

// vectorScores are the results of embed --jsonl.
type vectorScores struct {
	m    *resnet.Model
	size int // of the embeddings of an earlier run; 0 if it left none
}

func (s *vectorScores) compute(ctx context.Context, ps iter.Seq[resnet.Picture]) iter.Seq2[resnet.Result, error] {
	return s.m.EmbedAll(ctx, ps)
}

func (s *vectorScores) line(r resnet.Result, problem string) any {
	return embeddedLine{r.Name, r.Embedding, problem}
}

func (s *vectorScores) fits(l earlierLine) error {
	if l.Embedding == nil {
		return errors.New("has no embedding")
	}
	n := bytes.Count(l.Embedding, []byte(",")) + 1
	switch {
	case l.Error != "":
	case s.size == 0:
		s.size = n
	case n != s.size:
		return fmt.Errorf("has an embedding of %d numbers, and lines before it %d", n, s.size)
	}
	return nil
}

func (s *vectorScores) follows(r resnet.Result) error {
	if n := len(r.Embedding); r.Err == nil && s.size > 0 && n != s.size {
		return fmt.Errorf("its embeddings have %d numbers, and the model gives %d", s.size, n)
	}
	return nil
}

func (c *embedCommand) run(cmd *cobra.Command, args []string) error {
	if err := checkEnd("-o", c.outFile, ".csv", ".npy", ".safetensors"); err != nil {
		return err
	}
	if c.outFile != "" && c.json {
		return usagef("-o %s and --json exclude each other: the file has a form of its own", c.outFile)
	}
	if c.outFile != "" && c.list != "" {
		return usagef("-o does not go with --jsonl: --resume FILE writes lines of JSON to a file")
	}
	names, err := c.pictureNames(args)
	if err != nil {
		return err
	}
	m, err := c.openFor(c.app, 0, models.Features, "")
	if err != nil {
		return err
	}
	if c.list != "" {
		return c.score(c.app, &vectorScores{m: m})
	}
	switch strings.ToLower(filepath.Ext(c.outFile)) {
	case "":
		return c.all(cmd, m, names, c.out)
	case ".csv":
		var unread error
		err = atomicfile.Write(c.outFile, func(w io.Writer) error {
			err := c.all(cmd, m, names, w)
			if errors.As(err, new(unreadError)) {
				unread, err = err, nil
			}
			return err
		})
		if err == nil {
			err = unread
		}
		return err
	}
	unread := c.all(cmd, m, names, nil)
	if unread != nil && !errors.As(unread, new(unreadError)) {
		return unread
	}
	if len(c.names) == 0 {
		return unread
	}
	if err := c.write(); err != nil {
		return err
	}
	c.note("%s of %s written to %s", term.Plural(len(c.names), "vector"), term.Plural(len(c.embeddings[0]), "number"), c.outFile)
	return unread
}

// all computes the vectors and writes CSV, or lines of JSON, to w; without w, it keeps
// them.
func (c *embedCommand) all(cmd *cobra.Command, m *resnet.Model, names []string, w io.Writer) error {
	progress := term.NewProgress(c.err, c.quiet || len(names) < 2 || w != nil && term.IsTerminal(w), "pictures", len(names))
	defer progress.Close()
	if w != nil {
		c.table = csv.NewWriter(w)
		defer c.table.Flush()
	}
	var bad unreadable
	for r, err := range m.EmbedAll(cmd.Context(), c.pictures(names)) {
		if err != nil {
			return err
		}
		progress.Add(1)
		if err := c.one(r, bad.skip(c.app, r)); err != nil {
			return err
		}
	}
	if c.table != nil {
		c.table.Flush()
		if err := c.table.Error(); err != nil {
			return err
		}
	}
	return bad.err()
}

// one prints or keeps the vector of a picture.
func (c *embedCommand) one(r resnet.Result, failed bool) error {
	switch {
	case c.json:
		line := embeddingLine{Image: r.Name, Embedding: r.Embedding}
		if failed {
			line.Error = oneLine(r.Err)
		}
		return c.printJSONLine(line)
	case failed:
		return nil
	case c.table == nil:
		c.names, c.embeddings = append(c.names, r.Name), append(c.embeddings, r.Embedding)
		return nil
	}
	row := []string{r.Name}
	for _, v := range r.Embedding {
		row = append(row, strconv.FormatFloat(float64(v), 'g', -1, 32))
	}
	return c.table.Write(row)
}

// write writes the vectors as an array.
func (c *embedCommand) write() error {
	n, width := len(c.embeddings), len(c.embeddings[0])
	if strings.EqualFold(filepath.Ext(c.outFile), ".npy") {
		var list strings.Builder
		for _, name := range c.names {
			if strings.ContainsAny(name, "\r\n") {
				return fmt.Errorf("the name %q has a line break, which the list of names cannot hold: rename the file, or use -o FILE.safetensors", name)
			}
			list.WriteString(name + "\n")
		}
		err := atomicfile.Write(c.outFile, func(w io.Writer) error { return writeNPY(w, c.embeddings, n, width) })
		if err != nil {
			return err
		}
		end := filepath.Ext(c.outFile)
		return atomicfile.Write(strings.TrimSuffix(c.outFile, end)+"-names.txt", func(w io.Writer) error {
			_, err := io.WriteString(w, list.String())
			return err
		})
	}
	images, err := json.Marshal(namesAsText(c.names))
	if err != nil {
		return err
	}
	all := tensor.New(n, width)
	for i, e := range c.embeddings {
		copy(all.Float32s()[i*width:], e)
	}
	return atomicfile.Write(c.outFile, func(w io.Writer) error {
		return safetensors.Write(w, []safetensors.Tensor{{Name: "embeddings", Tensor: all}}, map[string]string{"images": string(images)})
	})
}
