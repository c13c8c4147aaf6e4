package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/models"
)

type detectCommand struct {
	*app
	modelFlags
	outDir    string
	results   string
	threshold float64
	taken     takenNames // of files in the folder
}

func (a *app) detectCommand() *cobra.Command {
	c := &detectCommand{app: a, taken: takenNames{}}
	cmd := &cobra.Command{
		Use:   "detect IMAGE|DIR|FILE.zip|FILE.tar|@LIST|-...",
		Short: "Find objects in pictures",
		Long: `detect prints the objects in each picture: class, score and box. With --out it
also draws them: boxes in the colors of the classes with names and scores, and masks
where the model finds them. The model must be a detector: one that train has made from
pictures with boxes (resnet train --data coco:DIR, coco:FILE.json or voc:DIR, see
docs/detection.md), torchvision's weights for retinanet_resnet50_fpn,
fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn or their second versions (_v2), an ONNX
file that PyTorch has exported of these, or a file that convert has made.

--out FOLDER gets a file NAME-objects.png for each picture; for one picture, --out
FILE.png is that file. --results FILE.json gets all objects in the form of COCO's
results, with masks as run lengths; after Ctrl-C, those of the pictures that are done. The image_id of a picture is the number that its
file's name consists of (000000000139.jpg is 139); if not all names are numbers, the
pictures are numbered from 1. A file that is there is replaced only if it has such
results: annotations are JSON, too.

Objects with a score below --threshold are left out everywhere. To measure a model by
its results, keep them: --threshold 0.

` + picturesHelp + `

A picture that cannot be read is reported on stderr, the others are still
done, and the exit code is 1.`,
		Example: `  resnet detect -m retinanet_resnet50_fpn@retinanet_resnet50_fpn_coco-eeacb38b.pth photo.jpg -o objects.png
  resnet detect -m torchvision/fasterrcnn_resnet50_fpn --threshold 0.7 -o found holiday/
  resnet detect -m fasterrcnn.onnx photo.jpg
  resnet detect -m maskrcnn.safetensors --threshold 0 --results results.json val2017/`,
		Args: atLeast(1, "a picture"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.addFor(cmd, models.Detection, 1)
	c.normEps.add(cmd)
	c.addOrientation(cmd)
	f := cmd.Flags()
	f.StringVarP(&c.outDir, "out", "o", "", "folder for pictures with the objects drawn; for one picture also a file, ending in .png")
	f.StringVar(&c.results, "results", "", "file for all objects in the form of COCO's results, ending in .json")
	f.Float64Var(&c.threshold, "threshold", 0.5, "least score of an object, 0 to 1")
	return cmd
}

func (c *detectCommand) run(cmd *cobra.Command, args []string) (err error) {
	if !(c.threshold >= 0 && c.threshold <= 1) {
		return usagef("--threshold is %v, must be between 0 and 1", c.threshold)
	}
	if err := checkEnd("--results", c.results, ".json"); err != nil {
		return err
	}
	if err := checkResults(c.results); err != nil {
		return err
	}
	names, err := c.pictureNames(args)
	if err != nil {
		return err
	}
	names, single, err := drawingsOf(c.app, c.outDir, names, "-objects.png")
	if err != nil {
		return err
	}
	if single && len(names) > 1 {
		return usagef("there are %d pictures: name a folder by --out instead of a file", len(names))
	}
	m, err := c.openFor(c.app, 0, models.Detection, ", such as torchvision/retinanet_resnet50_fpn or retinanet_resnet50_fpn@FILE")
	if err != nil {
		return err
	}
	progress := term.NewProgress(c.err, c.quiet || len(names) < 2 || term.IsTerminal(c.out), "pictures", len(names))
	defer progress.Close()
	var bad unreadable
	ids, results, at := imageIDs(names), []cocoResult{}, 0
	if c.results != "" {
		saving.Store(true) // what is done is written when it is interrupted
		defer func() { err = errors.Join(err, c.writeResults(results, at, len(names), err != nil)) }()
	}
	for d, err := range m.DetectAll(cmd.Context(), c.pictures(names)) {
		if err != nil {
			return err
		}
		progress.Add(1)
		found, err := c.one(d, ids[at], &bad, single)
		if err != nil {
			return err
		}
		results = append(results, found...)
		at++
	}
	return bad.err()
}

// writeResults writes the objects of the pictures that are done. cut tells that not all
// are, or not all could be read.
func (c *detectCommand) writeResults(results []cocoResult, done, of int, cut bool) error {
	switch {
	case done == 0:
		c.note("nothing was written to %s: no picture was done", c.results)
		return nil
	case cut && done < of:
		c.note("%s has the objects of the first %d of %d pictures", c.results, done, of)
	}
	if err := atomicfile.Write(c.results, func(w io.Writer) error { return encodeJSON(w, results, "", true) }); err != nil {
		return fmt.Errorf("--results: %w", err)
	}
	return nil
}

// checkResults returns an error if a file is there that is not a list of results, of
// which the first one tells.
func checkResults(path string) error {
	if path == "" {
		return nil
	}
	f, err := steadyfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--results: %w", err)
	}
	defer f.Close()
	d := json.NewDecoder(io.NewSectionReader(f, 0, min(f.Size(), 64<<20))) // of one result, with its mask
	is := f.Size() == 0
	if t, err := d.Token(); err == nil && t == json.Delim('[') {
		var r struct {
			ImageID    *json.Number `json:"image_id"`
			CategoryID *json.Number `json:"category_id"`
			Score      *json.Number `json:"score"`
		}
		if is = !d.More(); !is {
			is = d.Decode(&r) == nil && r.ImageID != nil && r.CategoryID != nil && r.Score != nil
		} else if _, err := d.Token(); err != nil {
			is = false
		}
	}
	if !is {
		return usagef("--results %s is there, and is not a file of results, which it would be replaced by: name another file, or remove it", path)
	}
	return nil
}

// imageIDs returns the number of each picture in COCO's files.
func imageIDs(names []string) []int64 {
	ids, seen := make([]int64, len(names)), map[int64]bool{}
	for i, name := range names {
		stem := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
		n, err := strconv.ParseInt(stem, 10, 64)
		if err != nil || n < 0 || seen[n] {
			for i := range ids {
				ids[i] = int64(i + 1)
			}
			return ids
		}
		ids[i], seen[n] = n, true
	}
	return ids
}

// cocoResult is an object in the form of COCO's results.
type cocoResult struct {
	ImageID      int64         `json:"image_id"`
	CategoryID   int           `json:"category_id"`
	Box          [4]float64    `json:"bbox"` // x, y, width, height
	Score        float64       `json:"score"`
	Segmentation *cocoRunCodes `json:"segmentation,omitempty"`
}

// cocoBox returns a box as COCO's files have it: x, y, width, height.
func cocoBox(b boxes.Box) *[4]float64 {
	return &[4]float64{float64(b.X1), float64(b.Y1), float64(b.W()), float64(b.H())}
}

// cocoRunCodes is a mask in COCO's compressed form.
type cocoRunCodes struct {
	Size   [2]int `json:"size"` // height, width
	Counts string `json:"counts"`
}

type detectLine struct {
	Image   string         `json:"image"`
	Width   int            `json:"width,omitempty"`
	Height  int            `json:"height,omitempty"`
	Objects []detectedLine `json:"objects"`
	Drawn   string         `json:"drawn,omitempty"` // file that was written
	Error   string         `json:"error,omitempty"`
}

type detectedLine struct {
	Class string `json:"class"`
	cocoResult
}

// one writes the file of a picture, prints its objects and returns them.
func (c *detectCommand) one(d *resnet.Detections, id int64, bad *unreadable, single bool) ([]cocoResult, error) {
	line := detectLine{Image: d.Name, Objects: []detectedLine{}}
	if bad.skip(c.app, resnet.Result{Name: d.Name, Err: d.Err}) {
		line.Error = oneLine(d.Err)
		if c.json {
			return nil, c.printJSONLine(line)
		}
		return nil, nil
	}
	line.Width, line.Height = d.Picture.Bounds().Dx(), d.Picture.Bounds().Dy()
	var results []cocoResult
	for _, o := range d.Objects {
		if o.Score < c.threshold {
			break // the scores fall
		}
		r := cocoResult{ImageID: id, CategoryID: o.Index, Score: o.Score, Box: *cocoBox(o.Box)}
		if o.Mask != nil {
			r.Segmentation = &cocoRunCodes{[2]int{o.Mask.H, o.Mask.W}, o.Mask.String()}
		}
		results, line.Objects = append(results, r), append(line.Objects, detectedLine{o.Class, r})
	}
	if c.outDir != "" {
		line.Drawn = c.outDir
		if !single {
			line.Drawn = c.file(d.Name)
		}
		drawn, err := d.Draw(c.threshold)
		if err == nil {
			err = savePNG(line.Drawn, drawn)
		}
		if err != nil {
			return nil, err
		}
	}
	if c.json {
		return results, c.printJSONLine(line)
	}
	c.printf("%s, %d×%d\n", line.Image, line.Width, line.Height)
	if len(line.Objects) == 0 {
		c.printf("no object found with a score of %v or more\n", c.threshold)
		return results, nil
	}
	t := term.NewTable("class", ">score", ">x", ">y", ">width", ">height")
	for _, o := range line.Objects {
		t.Row(o.Class, term.Percent(o.Score), round(o.Box[0]), round(o.Box[1]), round(o.Box[2]), round(o.Box[3]))
	}
	_, err := t.WriteTo(c.out)
	return results, err
}

func round(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// file returns the name of a picture's file in the folder.
func (c *detectCommand) file(name string) string {
	stem := c.taken.stem(name)
	return filepath.Join(c.outDir, stem+"-objects.png")
}
