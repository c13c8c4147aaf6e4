package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/cli/atlas"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/tensor"
)

type mapCommand struct {
	*app
	modelFlags
	out      string
	title    string
	clusters int
	limit    int
	seed     uint64
}

func (a *app) mapCommand() *cobra.Command {
	c := &mapCommand{app: a}
	cmd := &cobra.Command{
		Use:   "map IMAGE|DIR|FILE.zip|FILE.tar|@LIST|SPEC...",
		Short: "Make a page with a map of pictures, by what a model finds alike",
		Long: `map lays out pictures in the plane by the features of a model, so that pictures that
it finds alike lie near each other (t-SNE), and writes one HTML file: the map, the most
similar pictures of each, groups (k-means) with their most typical pictures,
near-duplicates, outliers and, of pictures with classes, those that are perhaps in the
wrong one. The file works offline, on a desk and on a phone, by pointer and keyboard.

Any backbone or classifier will do; one that learned without labels from the same
pictures shows best what is in them.
` + picturesHelp + `
SPEC names data with classes, such as folder:photos: the pictures of all parts.

The file has thumbnails, of at most 96 pixels for up to 2,000 pictures, 64 for 4,500, 48
for 8,000 and 32 for 20,000, so it stays below about 20 MB. Of more pictures than
--limit, evenly spaced ones are taken. A picture that cannot be read is reported on
stderr and left out, and the exit code is 1.`,
		Example: `  resnet map photos -o map.html
  resnet map photos --model runs/backbone/best.safetensors -o map.html
  resnet map folder:photos -m timm/resnet50.a1_in1k -o map.html --clusters 12
  resnet map holiday.zip -o holiday.html --json`,
		Args: atLeast(1, "a picture"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	c.add(cmd, 64)
	c.addOrientation(cmd)
	f := cmd.Flags()
	f.StringVarP(&c.out, "out", "o", "", "HTML file to write")
	f.StringVar(&c.title, "title", "", "title of the page (default: the names of the pictures)")
	f.IntVar(&c.clusters, "clusters", 0, "number of groups (default: by the number of pictures, 2 to 20)")
	f.IntVar(&c.limit, "limit", 10_000, fmt.Sprintf("largest number of pictures, at most %d", atlas.MaxPictures))
	f.Uint64Var(&c.seed, "seed", 0, "selects the beginnings of the groups")
	return cmd
}

// mapReport is what map prints.
type mapReport struct {
	Out        string          `json:"out"`
	Bytes      int64           `json:"bytes"`    // of the file
	Pictures   int             `json:"pictures"` // on the map
	Found      int             `json:"found"`    // pictures, of which evenly spaced ones were taken
	Skipped    int             `json:"skipped"`  // pictures that could not be read
	Model      string          `json:"model"`
	Features   int             `json:"features"`   // numbers for each picture
	Clusters   []mapCluster    `json:"clusters"`   // the largest first
	Duplicates [][]string      `json:"duplicates"` // groups of pictures
	Outliers   []string        `json:"outliers"`   // pictures, the farthest first
	Mislabeled []mapMislabeled `json:"mislabeled"` // of pictures with classes
}

type mapCluster struct {
	Size    int      `json:"size"`
	Typical []string `json:"typical"`         // pictures, the most typical first
	Class   string   `json:"class,omitempty"` // that most of its pictures have
	Share   float64  `json:"share,omitempty"` // of the pictures with that class
}

type mapMislabeled struct {
	Image   string  `json:"image"`
	Class   string  `json:"class"`
	Instead string  `json:"instead"` // the class of the most similar pictures
	Share   float64 `json:"share"`   // of them with that class
}

// mapped are the pictures to lay out.
type mapped struct {
	names   []string
	picture func(i int) resnet.Picture
	label   func(i int) int
	classes []string
	close   func() error
}

func (c *mapCommand) run(ctx context.Context, args []string) error {
	switch {
	case c.out == "":
		return usagef("-o FILE.html is missing: the file for the page")
	case c.clusters < 0:
		return usagef("--clusters %d is below 0", c.clusters)
	case c.limit < 2 || c.limit > atlas.MaxPictures:
		return usagef("--limit %d is not from 2 to %d", c.limit, atlas.MaxPictures)
	}
	if err := checkEnd("-o", c.out, ".html", ".htm"); err != nil {
		return err
	}
	all, err := c.find(args)
	if err != nil {
		return err
	}
	defer all.close()
	m, err := c.openFor(c.app, 0, models.Features, "")
	if err != nil {
		return err
	}
	r := &mapReport{Out: c.out, Found: len(all.names), Model: m.Name()}
	var bad unreadable
	pictures, x, err := c.embed(ctx, m, all, &bad)
	if err != nil {
		return err
	}
	if len(pictures) < 2 {
		return errors.Join(bad.err(), fmt.Errorf("a map needs 2 pictures or more that can be read, and there are %d", len(pictures)))
	}
	r.Pictures, r.Skipped, r.Features = len(pictures), bad.bad, x.Shape()[1]
	if c.title == "" {
		c.title = strings.Join(args, ", ")
	}
	about := fmt.Sprintf("%s by the %d features of %s.", term.Plural(r.Pictures, "picture"), r.Features, m.Name())
	if taken := r.Pictures + r.Skipped; r.Found > taken {
		about = fmt.Sprintf("%s of %s pictures, evenly spaced, by the %d features of %s.", term.Count(r.Pictures), term.Count(r.Found), r.Features, m.Name())
		c.note("%s of %s pictures are taken: --limit takes more, up to %d", term.Count(taken), term.Count(r.Found), atlas.MaxPictures)
	}
	progress := term.NewProgress(c.err, c.quiet, "steps", atlas.Steps)
	page, err := atlas.Make(ctx, pictures, x, atlas.Options{Title: c.title, About: about, Classes: all.classes, Clusters: c.clusters,
		Seed: c.seed, Threads: c.threads, Progress: func() { progress.Add(1) }})
	progress.Close()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(c.out, func(w io.Writer) error { return page.HTML(w) }); err != nil {
		return err
	}
	info, err := os.Stat(c.out)
	if err != nil {
		return err
	}
	r.Bytes = info.Size()
	r.fill(page)
	if c.json {
		err = c.printJSON(r)
	} else {
		c.print(r)
	}
	if err != nil {
		return err
	}
	return bad.err()
}

// find returns the pictures of the arguments: a SPEC, or pictures as predict takes them.
func (c *mapCommand) find(args []string) (*mapped, error) {
	if kind, _, ok := strings.Cut(args[0], ":"); ok && !exists(args[0]) && !isAddress(args[0]) && filepath.VolumeName(args[0]) == "" && !strings.ContainsAny(kind, `/\.`) {
		if len(args) > 1 {
			return nil, usagef("%s is a SPEC of data, which does not go with other arguments", args[0])
		}
		return c.findData(args[0])
	}
	names, err := c.pictureNames(args)
	if err != nil {
		return nil, err
	}
	return &mapped{names: names, picture: func(i int) resnet.Picture { return c.picture(names[i]) },
		label: func(int) int { return -1 }, close: func() error { return nil }}, nil
}

func (c *mapCommand) findData(spec string) (*mapped, error) {
	s, err := c.openNoted(openData, spec, data.Options{ValFraction: -1, Unlabeled: true, IgnoreOrientation: c.asStored}, true)
	if err != nil {
		return nil, err
	}
	all := &mapped{classes: s.Classes(), close: s.Close}
	type at struct {
		ds data.Dataset
		i  int
	}
	var where []at
	for _, ds := range []data.Dataset{s.Train, s.Val, s.Test} {
		if ds == nil {
			continue
		}
		if data.Masks(ds) != nil || ds.MultiLabel() && len(ds.Classes()) > 0 {
			all.classes = nil
		}
		for i := range ds.Len() {
			where, all.names = append(where, at{ds, i}), append(all.names, ds.Name(i))
		}
	}
	all.picture = func(k int) resnet.Picture {
		w := where[k]
		return resnet.PictureFunc(w.ds.Name(w.i), func(imaging.DecodeOptions) (*imaging.Image, error) {
			m := new(imaging.Image)
			return m, w.ds.Decode(w.i, m)
		})
	}
	all.label = func(k int) int {
		if l := where[k].ds.Labels(where[k].i); len(l) == 1 && len(all.classes) > 0 {
			return l[0]
		}
		return -1
	}
	return all, nil
}

// embed computes the features and keeps thumbnails, each picture decoded once.
func (c *mapCommand) embed(ctx context.Context, m *resnet.Model, all *mapped, bad *unreadable) ([]atlas.Picture, *tensor.Tensor, error) {
	n := min(len(all.names), c.limit)
	side := atlas.Side(n)
	thumbs := make([]*imaging.Image, n)
	index := func(k int) int { return k * len(all.names) / n } // evenly spaced
	ps := iter.Seq[resnet.Picture](func(yield func(resnet.Picture) bool) {
		for k := range n {
			p := all.picture(index(k))
			if !yield(resnet.PictureFunc(p.Name, func(opt imaging.DecodeOptions) (*imaging.Image, error) {
				im, err := p.Decode(opt)
				if err == nil {
					thumbs[k] = atlas.Thumbnail(im, side)
				}
				return im, err
			})) {
				return
			}
		}
	})
	progress := term.NewProgress(c.err, c.quiet, "pictures", n)
	defer progress.Close()
	var pictures []atlas.Picture
	var rows []float32
	k := 0
	for r, err := range m.EmbedAll(ctx, ps) {
		if err != nil {
			return nil, nil, err
		}
		progress.Add(1)
		if !bad.skip(c.app, r) {
			pictures = append(pictures, atlas.Picture{Name: r.Name, Label: all.label(index(k)), Thumb: thumbs[k]})
			rows = append(rows, r.Embedding...)
		}
		k++
	}
	if len(pictures) == 0 {
		return nil, nil, nil
	}
	x, err := tensor.FromFloat32(rows, len(pictures), len(rows)/len(pictures))
	return pictures, x, err
}

// fill takes what the page has into the report.
func (r *mapReport) fill(m *atlas.Map) {
	names := func(index []int) []string {
		var list []string
		for _, i := range index {
			list = append(list, m.Pictures[i].Name)
		}
		return list
	}
	for _, g := range m.Clusters {
		k := mapCluster{Size: g.Size, Typical: names(g.Typical)}
		if g.Class >= 0 {
			k.Class, k.Share = m.Classes[g.Class], g.Share
		}
		r.Clusters = append(r.Clusters, k)
	}
	for _, g := range m.Duplicates {
		r.Duplicates = append(r.Duplicates, names(g))
	}
	r.Outliers = names(m.Outliers)
	for _, w := range m.Mislabeled {
		r.Mislabeled = append(r.Mislabeled, mapMislabeled{m.Pictures[w.Picture].Name, m.Classes[m.Pictures[w.Picture].Label], m.Classes[w.Instead], w.Share})
	}
}

func (c *mapCommand) print(r *mapReport) {
	c.printf("%s: %s in %s, %s\n", r.Out, term.Plural(r.Pictures, "picture"), term.Plural(len(r.Clusters), "group"), term.Bytes(r.Bytes))
	in := 0
	for _, g := range r.Duplicates {
		in += len(g)
	}
	c.printf("near-duplicates: %s in %s; outliers listed: %d\n", term.Plural(in, "picture"), term.Plural(len(r.Duplicates), "group"), len(r.Outliers))
	for i, w := range r.Mislabeled {
		if i == 10 {
			c.printf("and %d more; the page has them\n", len(r.Mislabeled)-10)
			break
		}
		c.printf("perhaps %s, not %s: %s\n", w.Instead, w.Class, w.Image)
	}
}
