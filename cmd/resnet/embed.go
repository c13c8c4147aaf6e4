package main

import (
	"encoding/csv"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/internal/term"
)

type embedCommand struct {
	*app
	modelFlags
}

func (a *app) embedCommand() *cobra.Command {
	c := &embedCommand{app: a}
	cmd := &cobra.Command{
		Use:   "embed IMAGE|DIR|-...",
		Short: "Turn pictures into vectors for search and comparison",
		Long: `embed prints, for each picture, the features that the network's last layer
decides by: a vector for a search index, a nearest-neighbor look-up or a
classifier of your own. Pictures alike have vectors alike.

The output is CSV, the picture's name and then its numbers; with --json a line of
JSON a picture.`,
		Example: `  resnet embed photos/ > vectors.csv
  resnet embed --json --model runs/photos/best.safetensors photo.jpg`,
		Args: atLeast(1, "a picture"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.add(cmd, 16)
	c.addOrientation(cmd)
	return cmd
}

type embeddingLine struct {
	Image     string    `json:"image"`
	Embedding []float32 `json:"embedding"`
	Error     string    `json:"error,omitempty"` // why there is no embedding
}

func (c *embedCommand) run(cmd *cobra.Command, args []string) error {
	names, err := pictureNames(args)
	if err != nil {
		return err
	}
	m, err := c.open(c.app, 0)
	if err != nil {
		return err
	}
	progress := term.NewProgress(c.err, c.quiet || len(names) < 2 || term.IsTerminal(c.out), "pictures", len(names))
	defer progress.Close()
	w := csv.NewWriter(c.out)
	defer w.Flush()
	var bad unreadable
	for r, err := range m.EmbedAll(cmd.Context(), c.pictures(names)) {
		if err != nil {
			return err
		}
		progress.Add(1)
		failed := bad.skip(c.app, r)
		if c.json {
			line := embeddingLine{Image: r.Name, Embedding: r.Embedding}
			if failed {
				line.Error = oneLine(r.Err)
			}
			if err := c.printJSONLine(line); err != nil {
				return err
			}
			continue
		}
		if failed {
			continue
		}
		row := []string{r.Name}
		for _, v := range r.Embedding {
			row = append(row, strconv.FormatFloat(float64(v), 'g', -1, 32))
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return bad.err()
}
