package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"image"
	"image/png"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/sheet"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/tensor"
)

type explainCommand struct {
	*app
	modelFlags
	methods   []string
	layer     string
	class     string
	file, raw string
	patch     int
	stride    int
	list      bool
	features  bool
	filters   bool
}

func (a *app) explainCommand() *cobra.Command {
	c := &explainCommand{app: a}
	cmd := &cobra.Command{
		Use:   "explain IMAGE|DIR...",
		Short: "Show where in a picture a class is seen, and what layers see",
		Long: `explain draws, for each picture, what the network saw and maps of where it sees a
class, by one or several methods:

  gradcam    the last block's channels by their gradients (Selvaraju et al. 2017)
  gradcam++  weighted by place, too (Chattopadhay et al. 2018)
  occlusion  how much less probable the class is with a square covered
  guided     guided backpropagation to the pixels (Springenberg et al. 2015)
  saliency   the gradient at the pixels (Simonyan et al. 2014)

--layer takes another layer than the last; --list-layers lists them. With
--features, it draws the channels of the layer's output instead; with --filters,
the weights of a convolution (no picture needed).`,
		Example: `  resnet explain photo.jpg
  resnet explain photo.jpg --method gradcam,gradcam++,occlusion,guided --class cat -o why.png
  resnet explain holiday/ --model runs/photos/best.safetensors --raw heat.csv
  resnet explain photo.jpg --features --layer layer1.0
  resnet explain --filters -o filters.png`,
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	c.add(cmd, 16)
	f := cmd.Flags()
	f.StringSliceVar(&c.methods, "method", []string{resnet.GradCAM}, "how to explain: "+strings.Join(resnet.ExplainMethods(), ", "))
	f.StringVar(&c.layer, "layer", "", "module to look at (default: the last with height and width; with --filters, the first convolution)")
	f.StringVar(&c.class, "class", "", "name or index of the class to explain (default: the most probable)")
	f.StringVarP(&c.file, "out", "o", "explain.png", "PNG to write")
	f.StringVar(&c.raw, "raw", "", "write the maps' numbers to this CSV file")
	f.IntVar(&c.patch, "patch", 0, "side of the square of occlusion, pixels of the input (default: a quarter of it)")
	f.IntVar(&c.stride, "stride", 0, "step of the square (default: half of it)")
	f.BoolVar(&c.list, "list-layers", false, "list the layers and stop")
	f.BoolVar(&c.features, "features", false, "draw the channels of the layer's output")
	f.BoolVar(&c.filters, "filters", false, "draw the weights of the convolution")
	completeWith(cmd, "method", resnet.ExplainMethods())
	return cmd
}

func (c *explainCommand) run(ctx context.Context, args []string) error {
	switch {
	case c.features && c.filters:
		return usagef("--features and --filters do not go together")
	case len(args) == 0 && !c.list && !c.filters:
		return usagef("a picture is missing")
	case strings.ToLower(filepath.Ext(c.file)) != ".png":
		return usagef("--out %s: the sheet is a PNG, so its name ends in .png", c.file)
	}
	m, err := c.open(c.app, 0)
	if err != nil {
		return err
	}
	if c.list {
		return c.printLayers(m)
	}
	var names []string
	if !c.filters {
		if names, err = pictureNames(args); err != nil {
			return err
		}
	}
	var page *image.RGBA
	switch {
	case c.filters:
		page, err = c.filterSheet(m)
	case c.features:
		page, err = c.featureSheet(m, names)
	default:
		page, err = c.explain(ctx, m, names)
	}
	if err != nil {
		return err
	}
	if err := atomicfile.Write(c.file, func(w io.Writer) error { return png.Encode(w, page) }); err != nil {
		return err
	}
	if !c.json {
		c.printf("%s: %d x %d pixels\n", c.file, page.Bounds().Dx(), page.Bounds().Dy())
	}
	return nil
}

func (c *explainCommand) printLayers(m *resnet.Model) error {
	layers, err := m.Layers()
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(layers)
	}
	t := term.NewTable("layer", "kind", ">output")
	for _, l := range layers {
		t.Row(l.Path, l.Kind, shapeString(l.Shape))
	}
	_, err = t.WriteTo(c.app.out)
	return err
}

const cellSide = 224

// explained is a line of --json.
type explained struct {
	Image  string            `json:"image"`
	Method string            `json:"method"`
	Layer  string            `json:"layer,omitempty"`
	Class  resnet.Prediction `json:"class"`
	Scale  float64           `json:"scale"`
	Width  int               `json:"width"`
	Height int               `json:"height"`
	Heat   []float32         `json:"heat"`
}

func (c *explainCommand) explain(ctx context.Context, m *resnet.Model, names []string) (*image.RGBA, error) {
	class := 0
	if c.class != "" {
		var err error
		if class, err = m.ClassIndex(c.class); err != nil {
			return nil, usageError{err}
		}
	}
	progress := term.NewProgress(c.err, c.quiet, "maps", len(names)*len(c.methods))
	defer progress.Close()
	var rows [][]sheet.Cell
	var all []*resnet.Explanation
	for _, name := range names {
		var row []sheet.Cell
		for _, method := range c.methods {
			opt := resnet.ExplainOptions{Method: method, Class: class, Patch: c.patch, Stride: c.stride}
			if method == resnet.GradCAM || method == resnet.GradCAMPlusPlus {
				opt.Layer = c.layer
			}
			e, err := m.Explain(ctx, resnet.File(name), opt)
			if err != nil {
				return nil, err
			}
			progress.Add(1)
			all = append(all, e)
			under := sheet.Picture(e.Picture, cellSide)
			if row == nil {
				row = append(row, sheet.Cell{Picture: under, Caption: []string{filepath.Base(name)}})
			}
			row = append(row, sheet.Cell{
				Picture: sheet.Overlay(under, e.Heat, e.Width, e.Height),
				Caption: []string{fmt.Sprintf("%s %s", e.Class, term.Percent(e.Probability)), strings.TrimSpace(e.Method + " " + e.Layer)},
			})
			if c.json {
				err = c.printJSONLine(explained{name, e.Method, e.Layer, e.Prediction, e.Scale, e.Width, e.Height, e.Heat})
			} else {
				c.printf("%s: %s %s (%s)\n", name, e.Class, term.Percent(e.Probability), strings.TrimSpace(e.Method+" "+e.Layer))
			}
			if err != nil {
				return nil, err
			}
		}
		row = append(row, sheet.Cell{Picture: sheet.Bar(row[0].Picture.Bounds().Dy(), "0", "max")})
		rows = append(rows, row)
	}
	if c.raw != "" {
		if err := atomicfile.Write(c.raw, func(w io.Writer) error { return writeHeat(w, all) }); err != nil {
			return nil, err
		}
	}
	return sheet.Grid(m.Name(), rows), nil
}

// writeHeat writes the maps' numbers, a line a place.
func writeHeat(w io.Writer, all []*resnet.Explanation) error {
	c := csv.NewWriter(w)
	if err := c.Write([]string{"image", "method", "layer", "class", "x", "y", "heat", "scale"}); err != nil {
		return err
	}
	for _, e := range all {
		for i, v := range e.Heat {
			line := []string{e.Name, e.Method, e.Layer, e.Class, strconv.Itoa(i % e.Width), strconv.Itoa(i / e.Width),
				strconv.FormatFloat(float64(v), 'g', 6, 32), strconv.FormatFloat(e.Scale, 'g', 6, 64)}
			if err := c.Write(line); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}

// featureSheet draws the channels of a layer's output for each picture.
func (c *explainCommand) featureSheet(m *resnet.Model, names []string) (*image.RGBA, error) {
	var rows [][]sheet.Cell
	title := ""
	for _, name := range names {
		a, path, err := m.Activation(resnet.File(name), c.layer)
		if err != nil {
			return nil, err
		}
		s := a.Shape()
		title = fmt.Sprintf("%s, %s: %s, each channel from its least (dark) to its greatest value", m.Name(), path, shapeString(s))
		_, seen, err := m.Prepare(resnet.File(name))
		if err != nil {
			return nil, err
		}
		row := []sheet.Cell{{Picture: sheet.Picture(seen, 2*planeSide), Caption: []string{filepath.Base(name)}}}
		rows = append(rows, append(row, planes(a, s[0], s[1], s[2])...))
	}
	return sheet.Grid(title, wrap(rows)), nil
}

const (
	planeSide = 64
	perRow    = 16
)

// planes draws n planes of h by w numbers, numbered.
func planes(t *tensor.Tensor, n, h, w int) []sheet.Cell {
	var cells []sheet.Cell
	for k := range n {
		cells = append(cells, sheet.Cell{Picture: sheet.Plane(t.Float32s()[k*h*w:(k+1)*h*w], w, h, planeSide), Caption: []string{strconv.Itoa(k)}})
	}
	return cells
}

// wrap breaks rows of cells, the first of each a picture, after perRow.
func wrap(rows [][]sheet.Cell) [][]sheet.Cell {
	var out [][]sheet.Cell
	for _, r := range rows {
		first := r[:1]
		for r = r[1:]; len(r) > 0; r = r[min(perRow, len(r)):] {
			out = append(out, append(append([]sheet.Cell{}, first...), r[:min(perRow, len(r))]...))
			first = []sheet.Cell{{Picture: image.NewRGBA(image.Rect(0, 0, 1, 1))}}
		}
	}
	return out
}

// filterSheet draws a convolution's weights: in colours where it reads colours.
func (c *explainCommand) filterSheet(m *resnet.Model) (*image.RGBA, error) {
	w, path, err := m.Filters(c.layer)
	if err != nil {
		return nil, err
	}
	s := w.Shape()
	var cells []sheet.Cell
	title := fmt.Sprintf("%s, %s: %s", m.Name(), path, shapeString(s))
	if size := s[2] * s[3]; s[1] == 3 && size > 1 {
		for k := range s[0] {
			cells = append(cells, sheet.Cell{Picture: sheet.RGB(w.Float32s()[3*k*size:3*(k+1)*size], s[3], s[2], planeSide), Caption: []string{strconv.Itoa(k)}})
		}
	} else {
		// A row of the sheet is an output channel, a plane an input channel.
		if most := 1024; s[0]*s[1] > most {
			title += fmt.Sprintf(", the first %d", most)
		}
		cells = planes(w, min(s[0]*s[1], 1024), s[2], s[3])
	}
	var rows [][]sheet.Cell
	for ; len(cells) > 0; cells = cells[min(perRow, len(cells)):] {
		rows = append(rows, cells[:min(perRow, len(cells))])
	}
	return sheet.Grid(title, rows), nil
}
