package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/term"
)

type predictCommand struct {
	*app
	modelFlags
	topK int
}

func (a *app) predictCommand() *cobra.Command {
	c := &predictCommand{app: a}
	cmd := &cobra.Command{
		Use:   "predict IMAGE|DIR|-...",
		Short: "Classify pictures",
		Long: `predict prints the most probable classes of each picture: JPEG, PNG, GIF, WebP,
BMP, TIFF or PPM; of animations and documents of pages, the first one. DIR stands
for all pictures in the folder and below; "-" reads one picture from stdin.

A picture that cannot be read is reported on stderr, the others are still
classified, and the exit code is 1.`,
		Example: `  resnet predict photo.jpg
  resnet predict --topk 3 --model runs/photos/best.safetensors holiday/
  curl -s https://example.org/cat.jpg | resnet predict --json -
  resnet predict --model resnet50@weights.safetensors --preprocess imagenet --classes names.txt photo.jpg`,
		Args: atLeast(1, "a picture"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.add(cmd, 16)
	c.addOrientation(cmd)
	cmd.Flags().IntVarP(&c.topK, "topk", "k", 5, "classes to print for each picture")
	return cmd
}

func (c *predictCommand) run(cmd *cobra.Command, args []string) error {
	if c.topK < 1 {
		return usagef("--topk %d is below 1", c.topK)
	}
	names, err := pictureNames(args)
	if err != nil {
		return err
	}
	m, err := c.open(c.app, c.topK)
	if err != nil {
		return err
	}
	widest := 0
	for _, n := range names {
		widest = max(widest, term.Columns(n))
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
	Error       string              `json:"error,omitempty"` // why there are no predictions
}

func (c *predictCommand) print(r resnet.Result, bad *unreadable, single bool, widest int) error {
	failed := bad.skip(c.app, r)
	switch {
	case c.json:
		line := predictionLine{Image: r.Name, Predictions: r.Predictions}
		if failed {
			line.Error = oneLine(r.Err)
		}
		return c.printJSONLine(line)
	case failed:
		return nil
	case single:
		t := term.NewTable("class", ">probability")
		for _, p := range r.Predictions {
			t.Row(p.Class, term.Percent(p.Probability))
		}
		_, err := t.WriteTo(c.out)
		return err
	}
	var ps []string
	for _, p := range r.Predictions {
		ps = append(ps, fmt.Sprintf("%s %s", p.Class, term.Percent(p.Probability)))
	}
	c.printf("%s%s  %s\n", r.Name, strings.Repeat(" ", max(widest-term.Columns(r.Name), 0)), strings.Join(ps, ", "))
	return nil
}
