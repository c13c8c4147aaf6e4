package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/diagram"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

type summaryCommand struct {
	*app
	input string
	depth int
	batch int
	graph string
}

func (a *app) summaryCommand() *cobra.Command {
	c := &summaryCommand{app: a}
	cmd := &cobra.Command{
		Use:   "summary [MODEL|FILE|NAME@FILE]",
		Short: "Show a network's layers, and how a model file was made",
		Long: `summary prints each layer with its output shape, parameters, multiply-accumulates
(MACs) and the memory of its output. The row of a block includes its layers.

With --graph it also draws the network with its shortcuts, as an SVG picture or as
an HTML page whose stages and blocks fold.

For a model file it also prints where the weights come from: the command, seed,
recipe and data of the training, what was measured, the classes, and how pictures
become inputs. Without an argument, it shows the model inside the program.`,
		Example: `  resnet summary resnet50
  resnet summary resnet18 --input 3x320x320 --depth 1
  resnet summary runs/photos/best.safetensors
  resnet summary model.onnx --depth 1
  resnet summary resnet50 --graph resnet50.html   # or .svg`,
		Args: atMost(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.run(strings.Join(args, "")) },
	}
	f := cmd.Flags()
	f.StringVar(&c.input, "input", "", "input as CxHxW, such as 3x224x224 (default: the network's own)")
	f.IntVar(&c.depth, "depth", 99, "levels of blocks to show")
	f.IntVar(&c.batch, "batch", 1, "pictures per batch")
	f.StringVar(&c.graph, "graph", "", "file to draw the network to: .svg or .html")
	return cmd
}

type summary struct {
	Model           string       `json:"model"`
	Input           []int        `json:"input"` // N, C, H, W
	Parameters      int          `json:"parameters"`
	MACs            int64        `json:"macs"`
	WeightBytes     int64        `json:"weight_bytes"`     // parameters as float32
	ActivationBytes int64        `json:"activation_bytes"` // outputs of all layers together
	Layers          []layerLine  `json:"layers"`
	File            *fileSummary `json:"file,omitempty"`
}

type layerLine struct {
	Path            string `json:"path"`
	Kind            string `json:"kind"`
	Depth           int    `json:"depth"`
	Output          []int  `json:"output"`
	Parameters      int    `json:"parameters"`
	MACs            int64  `json:"macs"`
	ActivationBytes int64  `json:"activation_bytes"`
}

// fileSummary are the metadata of a model file.
type fileSummary struct {
	Path       string             `json:"path"`
	Format     weights.Format     `json:"format"` // empty for the model inside the program
	Notes      []string           `json:"notes"`
	Bytes      int64              `json:"bytes"`
	Command    []string           `json:"command"`
	Seed       uint64             `json:"seed"`
	Data       weights.DataInfo   `json:"data"`
	Metrics    map[string]float64 `json:"metrics"`
	MultiLabel bool               `json:"multi_label"`
	Classes    []string           `json:"classes"`
	Preprocess json.RawMessage    `json:"preprocess"`
	Recipe     string             `json:"recipe"`
	Resumable  bool               `json:"resumable"` // holds the state of the training
}

func (c *summaryCommand) run(name string) error {
	if c.depth < 0 {
		return usagef("--depth is %d, must not be negative", c.depth)
	}
	if c.batch < 1 {
		return usagef("--batch %d is below 1", c.batch)
	}
	if err := checkEnd("--graph", c.graph, ".svg", ".html"); err != nil {
		return err
	}
	net, input, file, err := c.summarized(name)
	if err != nil {
		return err
	}
	if name == "" {
		name = file.Path
	}
	if c.input != "" {
		if input, err = parseInput(c.input); err != nil {
			return err
		}
	}
	rows, err := nn.Summarize(net, graph.F32(append([]int{c.batch}, input...)...))
	if err != nil {
		return fmt.Errorf("%s with input %s: %w", name, shapeString(input), err)
	}
	s := summary{
		Model: name, Input: append([]int{c.batch}, input...), File: file,
		Parameters: rows[0].Params, MACs: rows[0].MACs, WeightBytes: 4 * int64(rows[0].Params), ActivationBytes: rows[0].ActivationBytes,
	}
	for _, r := range rows[1:] {
		if r.Depth <= c.depth {
			s.Layers = append(s.Layers, layerLine{r.Path, r.Kind, r.Depth, r.Out, r.Params, r.MACs, r.ActivationBytes})
		}
	}
	if c.graph != "" {
		if err := drawNetwork(c.graph, name, net, input); err != nil {
			return err
		}
	}
	if c.json {
		return c.printJSON(s)
	}
	return c.print(s)
}

// drawNetwork writes the picture of a network by the ending of path.
func drawNetwork(path, name string, net nn.Module, input []int) error {
	d, err := diagram.New(filepath.Base(name), net, graph.F32(append([]int{1}, input...)...))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	write := d.SVG
	if strings.EqualFold(filepath.Ext(path), ".html") {
		write = d.HTML
	}
	if err := atomicfile.Write(path, write); err != nil {
		return fmt.Errorf("drawing the network: %w", err)
	}
	return nil
}

// summarized returns the network that a text names (see [modelfile.Ref]), its
// input as C, H, W, and a summary of its file, nil for a network without weights.
func (a *app) summarized(model string) (nn.Module, []int, *fileSummary, error) {
	model, err := a.fetch(model)
	if err != nil {
		return nil, nil, nil, err
	}
	ref, err := parseModel(model)
	if err != nil {
		return nil, nil, nil, err
	}
	if !ref.HasWeights() {
		net, err := models.New(ref.Name)
		if err != nil {
			return nil, nil, nil, err
		}
		return net, net.Input(), nil, nil
	}
	r, err := ref.Open(modelfile.Options{})
	if err != nil {
		return nil, nil, nil, err
	}
	input := []int(r.Input)
	if len(r.File.Preprocess) > 0 {
		var p data.Preprocess
		if err := json.Unmarshal(r.File.Preprocess, &p); err != nil {
			return nil, nil, nil, fmt.Errorf("%s: preprocessing: %w", model, err)
		}
		input = []int{p.Channels, p.Height, p.Width}
	}
	if model == "" {
		return r.Module, input, newFileSummary(modelfile.EmbeddedName, r.Size, r.File.Meta), nil
	}
	file := newFileSummary(model, r.Size, r.File.Meta)
	file.Format, file.Notes, file.Resumable = r.Source.Format, r.Notes, r.Resumable()
	return r.Module, input, file, nil
}

func newFileSummary(path string, size int64, meta weights.Meta) *fileSummary {
	return &fileSummary{
		Path: path, Bytes: size, Command: meta.Command, Seed: meta.Seed, Data: meta.Data, Metrics: meta.Metrics,
		MultiLabel: meta.MultiLabel, Classes: meta.Classes, Preprocess: meta.Preprocess, Recipe: meta.Recipe,
	}
}

func parseInput(s string) ([]int, error) {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == 'x' || r == '×' || r == ',' })
	var shape []int
	for _, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 1<<16 {
			return nil, usagef("--input %q is not of the form CxHxW, such as 3x224x224", s)
		}
		shape = append(shape, n)
	}
	if len(shape) != 3 {
		return nil, usagef("--input %q is not of the form CxHxW, such as 3x224x224", s)
	}
	return shape, nil
}

func (c *summaryCommand) print(s summary) error {
	t := term.NewTable("layer", "kind", ">output", ">parameters", ">MACs", ">memory")
	for _, l := range s.Layers {
		t.Row(strings.Repeat("  ", max(l.Depth-1, 0))+l.Path, l.Kind, shapeString(l.Output),
			term.Count(l.Parameters), term.Ops(l.MACs), term.Bytes(l.ActivationBytes))
	}
	if t.Len() > 0 {
		t.Rule()
	}
	t.Row(s.Model, "", "", term.Count(s.Parameters), term.Ops(s.MACs), term.Bytes(s.ActivationBytes))
	if _, err := t.WriteTo(c.out); err != nil {
		return err
	}
	c.printf("\ninput %s, weights %s\n", shapeString(s.Input), term.Bytes(s.WeightBytes))
	if s.File != nil {
		c.printFile(s.File)
	}
	return nil
}

func (c *summaryCommand) printFile(f *fileSummary) {
	line := func(name, value string) {
		if value != "" {
			c.printf("%-11s %s\n", name, value)
		}
	}
	c.printf("\n")
	format := ""
	if f.Format != "" && f.Format != weights.Safetensors {
		format = ", " + string(f.Format)
	}
	line("file", fmt.Sprintf("%s, %s%s", f.Path, term.Bytes(f.Bytes), format))
	for _, n := range f.Notes {
		line("", n)
	}
	if f.Resumable {
		line("", "with the state of the training: train --resume continues it")
	}
	line("command", term.Quote(f.Command...))
	if len(f.Command) > 0 || f.Seed != 0 {
		line("seed", strconv.FormatUint(f.Seed, 10))
	}
	line("data", f.Data.Spec)
	line("data hash", f.Data.Hash)
	for _, k := range slices.Sorted(maps.Keys(f.Metrics)) {
		line(k, strconv.FormatFloat(f.Metrics[k], 'g', 5, 64))
	}
	kind := "classes"
	if f.MultiLabel {
		kind = "labels"
	}
	if len(f.Classes) > 0 {
		line(kind, fmt.Sprintf("%d: %s", len(f.Classes), abbreviated(f.Classes, 20)))
	}
	line("pictures", string(f.Preprocess))
	if f.Recipe != "" {
		c.printf("recipe\n")
		for l := range strings.Lines(f.Recipe) {
			c.printf("    %s", l)
		}
		if !strings.HasSuffix(f.Recipe, "\n") {
			c.printf("\n")
		}
	}
}

func abbreviated(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", …"
}
