package cli

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/sheet"
	"github.com/resnet-go/resnet/internal/suggest"
)

type inspectCommand struct {
	*app
	modelFlags
	layer      string
	channels   int
	out        string
	listLayers bool
}

func (a *app) inspectCommand() *cobra.Command {
	c := &inspectCommand{app: a}
	cmd := &cobra.Command{
		Use:   "inspect [IMAGE|-]",
		Short: "Draw a layer's filters, or its feature maps for a picture",
		Long: `inspect draws a layer. Without a picture it draws the filters of a convolution: in
color where the input is RGB, otherwise in gray, one tile for each filter and input
channel, and a 1×1 convolution as a matrix. With a picture it draws the feature
maps, the output of each channel.

A feature map is drawn from its smallest value (black) to its largest (white); the
caption gives both. Filters are drawn with 0 in mid gray, all on one scale.`,
		Example: `  resnet inspect -o filters.png
  resnet inspect photo.jpg --layer layer1.0 -o features.png
  resnet inspect --layer layer2.0.conv2 --model runs/photos/best.safetensors -o filters.png
  resnet inspect --list-layers`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.add(cmd, 1)
	c.addOrientation(cmd)
	f := cmd.Flags()
	f.StringVar(&c.layer, "layer", "", "module to look at (default: the first convolution)")
	f.IntVar(&c.channels, "channels", 64, "largest number of filters, of feature maps, or of tiles of filters by inputs")
	f.StringVarP(&c.out, "out", "o", "", "PNG file to write the sheet to")
	f.BoolVar(&c.listLayers, "list-layers", false, "list the modules that --layer can name, and exit")
	return cmd
}

func (c *inspectCommand) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	switch {
	case c.listLayers && len(args) > 0:
		return usagef("unexpected argument %q with --list-layers", args[0])
	case c.channels < 1:
		return usagef("--channels %d is below 1", c.channels)
	case c.out == "" && !c.listLayers:
		return usagef("-o FILE.png is missing: the file for the sheet")
	}
	if err := checkEnd("-o", c.out, ".png"); err != nil {
		return err
	}
	var err error
	switch {
	case c.listLayers:
		err = without(cmd.Flags(), "with --list-layers", "out", "layer", "channels", "ignore-orientation")
	case len(args) == 0:
		err = without(cmd.Flags(), "without a picture", "ignore-orientation")
	}
	if err != nil {
		return err
	}
	m, err := c.open(c.app, 1)
	if err != nil {
		return err
	}
	if c.listLayers {
		return listLayers(c.app, m)
	}
	if err := checkLayer(m, c.layer); err != nil {
		return err
	}
	var s sheet.Sheet
	if len(args) == 0 {
		s, err = c.filters(m)
	} else {
		s, err = c.features(ctx, m, args)
	}
	if err != nil {
		return err
	}
	picture, err := s.Draw()
	if err != nil {
		return err
	}
	return c.writePNG(c.out, picture)
}

type inspectLine struct {
	Layer string `json:"layer"`
	Image string `json:"image,omitempty"` // empty for filters
	Shape []int  `json:"shape"`           // of the filters or of the feature maps
	Drawn int    `json:"drawn"`           // channels or filters
}

func (c *inspectCommand) tell(l inspectLine) error {
	if c.json {
		return c.printJSONLine(l)
	}
	what := "filters"
	if l.Image != "" {
		what = "feature maps of " + l.Image
	}
	c.printf("%s  %s %s, %d drawn\n", l.Layer, what, shapeString(l.Shape), l.Drawn)
	return nil
}

// scaleFor returns the factor that enlarges a tile to about want pixels.
func scaleFor(w, h, want int) int { return max(want/max(w, h), 1) }

func (c *inspectCommand) filters(m *resnet.Model) (sheet.Sheet, error) {
	e, err := m.Explainer()
	if err != nil {
		return sheet.Sheet{}, err
	}
	path, w, err := e.Filters(c.layer)
	if err != nil {
		return sheet.Sheet{}, usageError{err}
	}
	shape, v := w.Shape(), w.Float32s()
	out, in, kh, kw := shape[0], shape[1], shape[2], shape[3]
	top := largestOf(v)
	title := func(n int) string {
		return fmt.Sprintf("%s: %s filters, %d drawn, from -%.3g to %.3g", path, shapeString(shape), n, top, top)
	}
	scale := scaleFor(kw, kh, 56)
	s := sheet.Sheet{}
	n := min(out, c.channels)
	switch {
	case kh*kw == 1:
		n = out
		s.Columns, s.Title = 1, title(n)
		s.Tiles = []sheet.Tile{{Image: sheet.Gray(v, in, out, scaleFor(in, out, 512), -top, top), Caption: []string{"filters down, inputs across"}}}
	case in == 3:
		s.Columns, s.Title = columnsFor(n), title(n)
		for i := range n {
			s.Tiles = append(s.Tiles, sheet.Tile{Image: sheet.RGB(v[i*3*kh*kw:(i+1)*3*kh*kw], kw, kh, scale, -top, top), Caption: []string{fmt.Sprint(i)}})
		}
	default:
		side := max(int(math.Sqrt(float64(c.channels))), 1)
		cols := min(side, in)
		n = min(out, c.channels/cols)
		s.Columns, s.Title = cols, title(n)+fmt.Sprintf("; filter:input, the first %d inputs", cols)
		for i := range n {
			for j := range cols {
				at := (i*in + j) * kh * kw
				s.Tiles = append(s.Tiles, sheet.Tile{Image: sheet.Gray(v[at:at+kh*kw], kw, kh, scale, -top, top), Caption: []string{fmt.Sprintf("%d:%d", i, j)}})
			}
		}
	}
	return s, c.tell(inspectLine{Layer: path, Shape: shape, Drawn: n})
}

func (c *inspectCommand) features(ctx context.Context, m *resnet.Model, args []string) (sheet.Sheet, error) {
	names, err := c.pictureNames(args)
	if err != nil {
		return sheet.Sheet{}, err
	}
	if len(names) != 1 {
		return sheet.Sheet{}, usagef("%s is a folder of %d pictures; inspect takes one", args[0], len(names))
	}
	layer := c.layer
	if layer == "" {
		e, err := m.Explainer()
		if err != nil {
			return sheet.Sheet{}, err
		}
		if layer, _, err = e.Filters(""); err != nil {
			return sheet.Sheet{}, err
		}
	}
	for p := range c.pictures(names) {
		f, err := m.Features(ctx, p, layer)
		if err != nil {
			return sheet.Sheet{}, err
		}
		v, shape := f.Float32s(), f.Shape()
		s := sheet.Sheet{Title: fmt.Sprintf("%s: %s, %s", layer, shapeString(shape), filepath.Base(p.Name))}
		n := min(shape[0], c.channels)
		if len(shape) != 3 { // a vector
			cols := columnsFor(len(v))
			rows := (len(v) + cols - 1) / cols
			padded := append(slices.Clone(v), make([]float32, rows*cols-len(v))...)
			low, high := slices.Min(v), slices.Max(v)
			s.Columns, n = 1, len(v)
			s.Tiles = []sheet.Tile{{Image: sheet.Gray(padded, cols, rows, scaleFor(cols, rows, 256), low, high), Caption: []string{fmt.Sprintf("%.3g to %.3g, row by row", low, high)}}}
			return s, c.tell(inspectLine{layer, p.Name, shape, n})
		}
		h, w := shape[1], shape[2]
		s.Columns = columnsFor(n)
		for i := range n {
			one := v[i*h*w : (i+1)*h*w]
			low, high := slices.Min(one), slices.Max(one)
			s.Tiles = append(s.Tiles, sheet.Tile{Image: sheet.Gray(one, w, h, scaleFor(w, h, 96), low, high),
				Caption: []string{fmt.Sprint(i), fmt.Sprintf("%.2g to %.2g", low, high)}})
		}
		return s, c.tell(inspectLine{layer, p.Name, shape, n})
	}
	return sheet.Sheet{}, fmt.Errorf("no picture")
}

func columnsFor(n int) int { return max(int(math.Ceil(math.Sqrt(float64(n)))), 1) }

// largestOf returns the largest magnitude.
func largestOf(v []float32) float32 {
	top := float32(0)
	for _, x := range v {
		top = max(top, x, -x)
	}
	return top
}

// nearest is suggest.Phrase without the list of names, which may be long.
func nearest(name string, names []string) string {
	if near, ok := suggest.Nearest(name, names); ok {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
