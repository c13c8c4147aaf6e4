package cli

import (
	"fmt"
	"image"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/models"
)

type segmentCommand struct {
	*app
	modelFlags
	outDir  string
	mask    string
	opacity float64
	taken   takenNames // of files in the folder
}

func (a *app) segmentCommand() *cobra.Command {
	c := &segmentCommand{app: a, taken: takenNames{}}
	cmd := &cobra.Command{
		Use:   "segment IMAGE|DIR|FILE.zip|FILE.tar|@LIST|-...",
		Short: "Find the class of every pixel of pictures",
		Long: `segment prints what each class covers of each picture, and with --out also draws
it. The model must be a segmentation network: one that train has made from
pictures with masks, torchvision's weights for fcn_resnet50, fcn_resnet101,
deeplabv3_resnet50 or deeplabv3_resnet101, a U-Net of segmentation_models_pytorch,
or an ONNX file. Pictures may have any size; the mask has the picture's. To train one,
name pictures with masks by "resnet train --data": masks:DIR, voc:DIR, coco:DIR or
coco-voc:DIR (docs/segmentation.md).

--out FOLDER gets two files for each picture: NAME-overlay.png, the picture under
the colors of the classes, and NAME-mask.png, whose color indices are the classes
(as in Pascal VOC). For one picture, --out FILE.png is the overlay and --mask
FILE.png the mask.

` + picturesHelp + `

A picture that cannot be read is reported on stderr, the others are still
done, and the exit code is 1.`,
		Example: `  resnet segment -m runs/road/best.safetensors photo.jpg -o overlay.png
  resnet segment -m fcn_resnet50@fcn_resnet50_coco-1167a1af.pth -o segmented holiday/
  resnet segment -m deeplabv3.onnx --preprocess segmentation --json photo.jpg`,
		Args: atLeast(1, "a picture"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.addFor(cmd, models.Segmentation, 1)
	c.device.add(cmd, a)
	c.addOrientation(cmd)
	f := cmd.Flags()
	f.StringVarP(&c.outDir, "out", "o", "", "folder for overlays and masks; for one picture also the overlay's file, ending in .png")
	f.StringVar(&c.mask, "mask", "", "file for the mask of one picture, ending in .png")
	f.Float64Var(&c.opacity, "opacity", 0.5, "of the classes' colors over the picture, 0 to 1")
	return cmd
}

func (c *segmentCommand) run(cmd *cobra.Command, args []string) error {
	if !(c.opacity >= 0 && c.opacity <= 1) {
		return usagef("--opacity is %v, must be between 0 and 1", c.opacity)
	}
	if err := checkEnd("--mask", c.mask, ".png"); err != nil {
		return err
	}
	names, err := c.pictureNames(args)
	if err != nil {
		return err
	}
	if c.mask != "" && c.outDir != "" && !data.IsPicture(c.outDir) {
		return usagef("--mask names the file of one mask: leave it out with --out FOLDER, which gets the masks, too")
	}
	names, single, err := drawingsOf(c.app, c.outDir, names, "-overlay.png", "-mask.png")
	if err != nil {
		return err
	}
	if (single || c.mask != "") && len(names) > 1 {
		return usagef("there are %d pictures: name a folder by --out instead of a file", len(names))
	}
	m, err := c.openFor(c.app, 0, models.Segmentation, ", such as fcn_resnet50@FILE or one that train has made from masks")
	if err != nil {
		return err
	}
	progress := term.NewProgress(c.err, c.quiet || len(names) < 2 || term.IsTerminal(c.out), "pictures", len(names))
	defer progress.Close()
	var bad unreadable
	for s, err := range m.SegmentAll(cmd.Context(), c.pictures(names)) {
		if err != nil {
			return err
		}
		progress.Add(1)
		if err := c.one(s, &bad, single); err != nil {
			return err
		}
	}
	return bad.err()
}

type segmentLine struct {
	Image   string        `json:"image"`
	Width   int           `json:"width,omitempty"`
	Height  int           `json:"height,omitempty"`
	Areas   []resnet.Area `json:"areas,omitempty"`
	Overlay string        `json:"overlay,omitempty"` // file that was written
	Mask    string        `json:"mask,omitempty"`    // likewise
	Error   string        `json:"error,omitempty"`
}

// one writes the files of a picture and prints its areas.
func (c *segmentCommand) one(s *resnet.Segmentation, bad *unreadable, single bool) error {
	line := segmentLine{Image: s.Name}
	if bad.skip(c.app, resnet.Result{Name: s.Name, Err: s.Err}) {
		line.Error = oneLine(s.Err)
		if c.json {
			return c.printJSONLine(line)
		}
		return nil
	}
	line.Width, line.Height, line.Areas = s.Mask.W, s.Mask.H, s.Areas
	line.Overlay, line.Mask = c.outDir, c.mask
	if c.outDir != "" && !single {
		line.Overlay, line.Mask = c.files(s.Name)
	}
	for _, file := range []struct {
		path string
		draw func() image.Image
	}{
		{line.Overlay, func() image.Image { return s.Overlay(c.opacity) }},
		{line.Mask, func() image.Image { return s.Mask.Paletted() }},
	} {
		if file.path != "" {
			if err := savePNG(file.path, file.draw()); err != nil {
				return err
			}
		}
	}
	if c.json {
		return c.printJSONLine(line)
	}
	c.printf("%s, %d×%d\n", line.Image, line.Width, line.Height)
	t := term.NewTable("class", ">share", ">pixels", ">x", ">y", ">width", ">height")
	for _, a := range line.Areas {
		t.Row(a.Class, term.Percent(a.Share), term.Count(a.Pixels), fmt.Sprint(a.Box[0]), fmt.Sprint(a.Box[1]), fmt.Sprint(a.Box[2]), fmt.Sprint(a.Box[3]))
	}
	_, err := t.WriteTo(c.out)
	return err
}

// files returns the names of a picture's files in the folder.
func (c *segmentCommand) files(name string) (overlay, mask string) {
	stem := c.taken.stem(name)
	return filepath.Join(c.outDir, stem+"-overlay.png"), filepath.Join(c.outDir, stem+"-mask.png")
}
