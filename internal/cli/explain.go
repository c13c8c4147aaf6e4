package cli

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"image"
	"image/png"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/ownpng"
	"github.com/resnet-go/resnet/internal/sheet"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/models"
)

type explainCommand struct {
	*app
	modelFlags
	method, layer string
	class         []string
	boxes         objectNumbers
	top           int
	patch, stride int
	out, raw      string
	listLayers    bool
}

func methodNames() []string {
	var names []string
	for _, m := range explain.Methods() {
		names = append(names, string(m))
	}
	return names
}

func (a *app) explainCommand() *cobra.Command {
	c := &explainCommand{app: a}
	cmd := &cobra.Command{
		Use:   "explain IMAGE|DIR|FILE.zip|FILE.tar|@LIST|-...",
		Short: "Show which parts of a picture raise a class's score",
		Long: `explain draws a sheet: for each picture the network's input, and the input under a
heat map for each class. Black is 0, white is the largest value of the map (the
upper 1 % together).

Methods:
  gradcam    activations of a layer, each channel weighted by the mean gradient of
             the class's logit (Selvaraju et al. 2017)
  gradcam++  the same with weights for several objects (Chattopadhay et al. 2018)
  occlusion  how much probability the class loses when a gray patch covers a place
             (Zeiler & Fergus 2014); slow, because it runs the network many times
  guided     guided backpropagation to the pixels (Springenberg et al. 2015)
  saliency   the plain gradient (Simonyan et al. 2014)

Of a detector, what raises the class score of an object is explained: of the best one,
of the best of each --class, or of the objects numbered by --box, in the order in
which detect --threshold 0 prints them, from 1. The heat map is then that of the level
of the feature pyramid from which the box comes, unless --layer names another module,
such as backbone.body.layer4. Of a segmentation network, what raises a class's mean
logit over the picture is explained, by default of the class that covers most beside
the background. Occlusion is for classifiers alone.

A heat map shows what the class's score depends on, not whether the class is right.
` + picturesHelp,
		Example: `  resnet explain photo.jpg -o sheet.png
  resnet explain cat.jpg dog.jpg --top 3 --method gradcam++ -o sheet.png
  resnet explain photo.jpg --class dog --layer layer2 -o sheet.png
  resnet explain photo.jpg --method occlusion --raw map.npy -o sheet.png
  resnet explain street.jpg --model torchvision/fasterrcnn_resnet50_fpn --box 2 -o sheet.png
  resnet explain --list-layers --model runs/photos/best.safetensors`,
		Args: func(cmd *cobra.Command, args []string) error {
			if c.listLayers {
				return noMore(0, args)
			}
			return atLeast(1, "a picture")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.add(cmd, 16)
	c.normEps.add(cmd)
	c.addOrientation(cmd)
	f := cmd.Flags()
	f.StringVar(&c.method, "method", string(explain.GradCAM), strings.Join(methodNames(), ", "))
	f.StringVar(&c.layer, "layer", "", "module whose output is explained (default: the last one with height and width; for guided and saliency the image)")
	f.StringArrayVar(&c.class, "class", nil, "class by name or number; may be repeated (default: the most probable)")
	f.Var(&c.boxes, "box", "of a detector: number of the object, 1 for the best; several as 1,2,5")
	f.IntVar(&c.top, "top", 1, "without --class and --box: number of most probable classes, or of objects")
	f.IntVar(&c.patch, "patch", 0, "occlusion: side of the patch in the network's pixels (default: a seventh of the input)")
	f.IntVar(&c.stride, "stride", 0, "occlusion: step of the patch (default: a quarter of the patch)")
	f.StringVarP(&c.out, "out", "o", "", "PNG file to write the sheet to")
	f.StringVar(&c.raw, "raw", "", "file to write the maps' numbers to: .npy (float32, pictures x classes x height x width) or .csv")
	f.BoolVar(&c.listLayers, "list-layers", false, "list the modules that --layer can name, and exit")
	completeWith(cmd, "method", methodNames())
	return cmd
}

func (c *explainCommand) run(cmd *cobra.Command, args []string) error {
	method, err := explain.ParseMethod(c.method)
	switch {
	case err != nil:
		return usageError{err}
	case c.top < 1:
		return usagef("--top %d is below 1", c.top)
	case len(c.class) > 0 && cmd.Flags().Changed("top"):
		return usagef("--top chooses the most probable classes: leave it out with --class")
	case len(c.boxes) > 0 && (len(c.class) > 0 || cmd.Flags().Changed("top")):
		return usagef("--box chooses the objects: leave out --class and --top")
	case slices.ContainsFunc(c.boxes, func(n int) bool { return n < 1 }):
		return usagef("--box %d is below 1, the number of the best object", slices.Min(c.boxes))
	case method != explain.Occlusion && (c.patch != 0 || c.stride != 0):
		return usagef("--patch and --stride are for --method occlusion")
	case method == explain.Occlusion && c.layer != "":
		return usagef("--method occlusion covers the image: leave out --layer")
	}
	if c.listLayers {
		if err := without(cmd.Flags(), "with --list-layers", "out", "raw", "class", "box", "top", "method", "layer", "patch", "stride", "ignore-orientation"); err != nil {
			return err
		}
	} else {
		if c.out == "" && c.raw == "" {
			return usagef("-o FILE.png (or --raw FILE) is missing: the file for the maps")
		}
		if err := checkEnd("-o", c.out, ".png"); err != nil {
			return err
		}
		if err := checkEnd("--raw", c.raw, ".npy", ".csv"); err != nil {
			return err
		}
	}
	var names []string
	if names, err = c.pictureNames(args); err != nil {
		return err
	}
	m, err := c.open(c.app, c.top)
	if err != nil {
		return err
	}
	if c.listLayers {
		return listLayers(c.app, m)
	}
	if err := checkLayer(m, c.layer); err != nil {
		return err
	}
	switch {
	case m.Task() == models.Features:
		return noClasses(m)
	case len(c.boxes) > 0 && m.Task() != models.Detection:
		return usagef("--box is for detectors: %s is a model for %s", m.Name(), m.Task())
	case method == explain.Occlusion && m.Task() != models.Classification:
		return usagef("--method occlusion is for classifiers: %s is a model for %s", m.Name(), m.Task())
	}
	opt := resnet.ExplainOptions{Top: c.top}
	for _, n := range c.boxes {
		opt.Objects = append(opt.Objects, n-1)
	}
	opt.Method, opt.Layer, opt.Patch, opt.Stride = method, c.layer, c.patch, c.stride
	for _, name := range c.class {
		i, err := m.ClassIndex(name)
		if err != nil {
			return usageError{err}
		}
		if slices.Contains(opt.Classes, i) { // by its name and by its number, perhaps
			c.note("--class %s is given twice, and counts once", name)
			continue
		}
		opt.Classes = append(opt.Classes, i)
	}
	parts := len(names)
	progress := term.NewProgress(c.err, c.quiet, "pictures", parts)
	if method == explain.Occlusion {
		progress.Close()
		progress = nil
		opt.Progress = c.occlusionProgress(&progress, len(names))
	}
	defer func() { progress.Close() }()

	var all []*resnet.Explanation
	var bad unreadable
	for p := range c.pictures(names) {
		x, err := m.Explain(cmd.Context(), p, opt)
		if err != nil && cmd.Context().Err() != nil {
			return err
		}
		if bad.skip(c.app, resnet.Result{Name: p.Name, Err: err}) {
			if c.json {
				if err := c.printJSONLine(explainLine{Image: p.Name, Method: c.method, Error: oneLine(err)}); err != nil {
					return err
				}
			}
			continue
		}
		all = append(all, x)
		if method != explain.Occlusion {
			progress.Add(1)
		}
		if err := c.print(x); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		return bad.err()
	}
	if c.out != "" {
		if err := c.draw(all); err != nil {
			return err
		}
	}
	if c.raw != "" {
		if err := writeMaps(c.raw, all); err != nil {
			return err
		}
	}
	return bad.err()
}

// occlusionProgress counts patches over all pictures.
func (c *explainCommand) occlusionProgress(p **term.Progress, pictures int) func(done, total int) {
	last := 0
	return func(done, total int) {
		if *p == nil {
			*p = term.NewProgress(c.err, c.quiet, "patches", total*pictures)
		}
		(*p).Add(done - last)
		if last = done; done == total {
			last = 0
		}
	}
}

type explainLine struct {
	Image  string       `json:"image"`
	Method string       `json:"method"`
	Maps   []explainMap `json:"maps"`
	Error  string       `json:"error,omitempty"` // why there are no maps
}

type explainMap struct {
	resnet.Prediction
	Logit  float32 `json:"logit"`
	Layer  string  `json:"layer"` // "" for the image
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Top    float64 `json:"top"` // the value of the brightest color
	// Of a detector: the number of the object, 1 for the best, and its box.
	Object int         `json:"object,omitempty"`
	Box    *[4]float64 `json:"bbox,omitempty"` // x, y, width, height
}

func (c *explainCommand) print(x *resnet.Explanation) error {
	line := explainLine{Image: x.Name, Method: c.method}
	for i, m := range x.Maps {
		e := explainMap{Prediction: x.Classes[i], Logit: m.Logit, Layer: m.Layer, Width: m.W, Height: m.H, Top: sheet.Top(m.Values)}
		if x.Objects != nil {
			e.Object, e.Box = x.Objects[i].Number+1, cocoBox(x.Objects[i].Box)
		}
		line.Maps = append(line.Maps, e)
	}
	if c.json {
		return c.printJSONLine(line)
	}
	for _, m := range line.Maps {
		at := "the image"
		if m.Layer != "" {
			at = m.Layer
		}
		class := m.Class
		if m.Object > 0 {
			class = fmt.Sprintf("object %d, %s", m.Object, m.Class)
		}
		c.printf("%s  %s %s, %s of %s, %d×%d, up to %.2g\n", x.Name, class, term.Percent(m.Probability), c.method, at, m.Width, m.Height, m.Top)
	}
	return nil
}

// draw writes the sheet: a picture and its maps side by side, and as many
// pictures per row as fit in six tiles.
func (c *explainCommand) draw(all []*resnet.Explanation) error {
	tiles := 1 + len(all[0].Maps)
	s := sheet.Sheet{Columns: tiles * max(6/tiles, 1), Low: "0", High: "top 1 %"}
	for _, x := range all {
		s.Tiles = append(s.Tiles, sheet.Tile{Image: x.Picture, Caption: []string{filepath.Base(x.Name)}})
		for i, m := range x.Maps {
			at := c.method
			if m.Layer != "" {
				at += ", " + m.Layer
			}
			s.Tiles = append(s.Tiles, sheet.Tile{Image: x.Overlay(i), Caption: []string{
				fmt.Sprintf("%s %s", x.Classes[i].Class, term.Percent(x.Classes[i].Probability)), at}})
		}
	}
	m, err := s.Draw()
	if err != nil {
		return err
	}
	return c.writePNG(c.out, m)
}

func (a *app) writePNG(path string, m image.Image) error {
	if err := savePNG(path, m); err != nil {
		return fmt.Errorf("writing the sheet: %w", err)
	}
	a.note("%s: %d×%d pixels", path, m.Bounds().Dx(), m.Bounds().Dy())
	return nil
}

func savePNG(path string, m image.Image) error {
	return atomicfile.Write(path, func(w io.Writer) error { return ownpng.Encode(w, m, png.DefaultCompression) })
}

// writeMaps writes the numbers of the maps.
func writeMaps(path string, all []*resnet.Explanation) error {
	write := writeMapsCSV
	if strings.EqualFold(filepath.Ext(path), ".npy") {
		write = writeMapsNPY
	}
	if err := atomicfile.Write(path, func(w io.Writer) error { return write(w, all) }); err != nil {
		return fmt.Errorf("writing the numbers: %w", err)
	}
	return nil
}

func writeMapsNPY(w io.Writer, all []*resnet.Explanation) error {
	first := all[0].Maps[0]
	var parts [][]float32
	for _, x := range all {
		for _, m := range x.Maps {
			if m.W != first.W || m.H != first.H || len(x.Maps) != len(all[0].Maps) {
				return fmt.Errorf("the map of %s is %d×%d, that of %s %d×%d, which an array cannot hold: write .csv, or name one --layer and one picture", x.Name, m.W, m.H, all[0].Name, first.W, first.H)
			}
			parts = append(parts, m.Values)
		}
	}
	return writeNPY(w, parts, len(all), len(all[0].Maps), first.H, first.W)
}

func writeMapsCSV(w io.Writer, all []*resnet.Explanation) error {
	buffered := bufio.NewWriter(w)
	out := csv.NewWriter(buffered)
	if err := out.Write([]string{"image", "class", "y", "x", "value"}); err != nil {
		return err
	}
	for _, e := range all {
		for i, m := range e.Maps {
			for j, v := range m.Values {
				err := out.Write([]string{e.Name, e.Classes[i].Class, strconv.Itoa(j / m.W), strconv.Itoa(j % m.W), strconv.FormatFloat(float64(v), 'g', -1, 32)})
				if err != nil {
					return err
				}
			}
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return err
	}
	return buffered.Flush()
}

// checkEnd returns a usage error unless path is empty or has one of the endings.
func checkEnd(flag, path string, ends ...string) error {
	if path == "" {
		return nil
	}
	for _, end := range ends {
		if strings.EqualFold(filepath.Ext(path), end) {
			return nil
		}
	}
	return usagef("%s %s does not end in %s", flag, path, strings.Join(ends, " or "))
}

// checkLayer returns a usage error if the network has no such module.
func checkLayer(m *resnet.Model, layer string) error {
	if layer == "" {
		return nil
	}
	e, err := m.Explainer()
	if err != nil {
		return err
	}
	list := e.Layers()
	var names []string
	for _, l := range list {
		if l.Path == layer {
			return nil
		}
		names = append(names, l.Path)
	}
	return usagef("no layer %q%s; --list-layers lists them", layer, nearest(layer, names))
}

// listedLayer is a module that --layer can name.
type listedLayer struct {
	Layer  string `json:"layer"`
	Kind   string `json:"kind"`
	Output []int  `json:"output"`
}

func listLayers(a *app, m *resnet.Model) error {
	e, err := m.Explainer()
	if err != nil {
		return err
	}
	list := e.Layers()
	if a.json {
		var lines []listedLayer
		for _, l := range list {
			lines = append(lines, listedLayer{l.Path, l.Kind, l.Shape})
		}
		return a.printJSON(lines)
	}
	t := term.NewTable("layer", "kind", ">output")
	for _, l := range list {
		t.Row(l.Path, l.Kind, shapeString(l.Shape))
	}
	_, err = t.WriteTo(a.out)
	return err
}

// objectNumbers is the value of --box.
type objectNumbers []int

// String implements pflag.Value.
func (n *objectNumbers) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*n)), " ", ","), "[]")
}

// GetSlice implements pflag.SliceValue, as Append and Replace do.
func (n *objectNumbers) GetSlice() []string {
	var list []string
	for _, k := range *n {
		list = append(list, strconv.Itoa(k))
	}
	return list
}

// Append is Set.
func (n *objectNumbers) Append(s string) error { return n.Set(s) }

// Replace sets the numbers anew.
func (n *objectNumbers) Replace(list []string) error {
	*n = nil
	return n.Set(strings.Join(list, ","))
}

// Type implements pflag.Value.
func (*objectNumbers) Type() string { return "numbers" }

// Set adds the numbers of a list, with or without spaces.
func (n *objectNumbers) Set(s string) error {
	for item := range strings.SplitSeq(s, ",") {
		k, err := strconv.Atoi(strings.TrimSpace(item))
		if err != nil {
			return fmt.Errorf("%q is not the number of an object, such as 1 or 1,2,5", strings.TrimSpace(item))
		}
		*n = append(*n, k)
	}
	return nil
}
