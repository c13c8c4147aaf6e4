package detect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/metrics"
)

// Evaluation is how well a detector finds the objects of a dataset.
type Evaluation struct {
	Pictures int `json:"pictures"`
	Objects  int `json:"objects"` // true ones, crowds left out
	Skipped  int `json:"skipped"` // pictures that could not be decoded, and count as not there
	// Categories are the names of the classes of the dataset, in the order of PerClass.
	Categories []string `json:"categories"`
	// Missing are the classes of the dataset that the detector does not know.
	Missing []string      `json:"missing,omitempty"`
	Boxes   *metrics.COCO `json:"boxes"`
	// Masks measures masks; nil unless the detector finds them and the dataset has them.
	Masks *metrics.COCO `json:"masks,omitempty"`
	// Found are all detections, in COCO's form.
	Found []metrics.Detection `json:"-"`
}

// EvaluateOptions are the choices of [Detector.Evaluate].
type EvaluateOptions struct {
	SkipBad  bool        // leave out pictures that cannot be decoded
	Progress func(n int) // called as pictures are done; may be nil
}

// Evaluate measures the detector on a dataset as COCO does, see
// [metrics.EvaluateCOCO]. classes are the names of the detector's classes by index; a
// class of the dataset is the one with the same name.
func (d *Detector) Evaluate(ctx context.Context, ds *detection.Dataset, classes []string, opt EvaluateOptions) (*Evaluation, error) {
	e := &Evaluation{Categories: ds.Classes()}
	category := map[int]int64{} // of a class
	for k, name := range ds.Classes() {
		c := slices.Index(classes, name)
		if c < 0 {
			e.Missing = append(e.Missing, name)
			continue
		}
		category[c] = ds.Categories[k]
	}
	if len(category) == 0 {
		names := classes[min(classesFrom, len(classes)):]
		if !slices.ContainsFunc(names, func(name string) bool { _, err := strconv.Atoi(name); return err != nil }) {
			return nil, fmt.Errorf("detect: the detector's classes have only numbers for names, so none of them is one of %q: give it the names of its classes, such as by --classes FILE", ds.Classes())
		}
		return nil, fmt.Errorf("detect: the detector knows none of the classes %q: their names must be those of its own, such as %q", ds.Classes(), names[:min(len(names), 5)])
	}
	var good []int
	var img imaging.Image
	withMasks := ds.HasMasks()
	for i := range ds.Len() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := ds.Decode(i, &img); err != nil {
			if opt.SkipBad {
				e.Skipped++
				continue
			}
			return nil, &data.SampleError{Index: i, Name: ds.Name(i), Err: err}
		}
		found, err := d.Detect(ctx, &img)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ds.Name(i), err)
		}
		for _, o := range found {
			if id, ok := category[o.Class]; ok {
				e.Found = append(e.Found, metrics.Detection{
					Image: ds.Pictures[i].ID, Category: id, Score: float64(o.Score), Mask: o.Mask,
					Box: [4]float64{float64(o.Box.X1), float64(o.Box.Y1), float64(o.Box.W()), float64(o.Box.H())},
				})
				withMasks = withMasks && o.Mask != nil
			}
		}
		good = append(good, i)
		if opt.Progress != nil {
			opt.Progress(1)
		}
	}
	if len(good) == 0 {
		return nil, errors.New("detect: no picture could be decoded")
	}
	withMasks = withMasks && len(e.Found) > 0
	objects, images, categories, err := ds.Subset(good).Evaluation(withMasks)
	if err != nil {
		return nil, err
	}
	e.Pictures = len(good)
	for _, o := range objects {
		if !o.Crowd {
			e.Objects++
		}
	}
	cfg := metrics.COCOConfig{Images: images, Categories: categories}
	if e.Boxes, err = metrics.EvaluateCOCO(objects, e.Found, cfg); err != nil {
		return nil, err
	}
	if cfg.Masks = withMasks; withMasks {
		if e.Masks, err = metrics.EvaluateCOCO(objects, e.Found, cfg); err != nil {
			return nil, err
		}
	}
	// PerClass is by rising category id, Categories by the dataset's order.
	names := map[int64]string{}
	for k, name := range ds.Classes() {
		names[ds.Categories[k]] = name
	}
	e.Categories = nil
	for _, c := range e.Boxes.PerClass {
		e.Categories = append(e.Categories, names[c.Category])
	}
	return e, nil
}
