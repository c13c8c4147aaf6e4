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
	// Part is which pictures this process evaluates, where several share an evaluation,
	// counted as batches of one. Gather then gives each of them what all have found, by
	// process. nil for one process.
	Part   data.Part
	Gather func(own []Found) ([][]Found, error)
}

// Found is what a detector has found in a picture. It is plain data, to be sent.
type Found struct {
	Index      int  // of the picture in the dataset
	Bad        bool // it could not be decoded
	Detections []metrics.Detection
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
	if err := opt.Part.Valid(); err != nil {
		return nil, err
	}
	own, err := d.find(ctx, ds, category, opt)
	if err != nil {
		return nil, err
	}
	if opt.Gather != nil {
		all, err := opt.Gather(own)
		if err != nil {
			return nil, err
		}
		own = slices.Concat(all...)
		slices.SortFunc(own, func(a, b Found) int { return a.Index - b.Index })
	}
	var good []int
	withMasks := ds.HasMasks()
	for _, f := range own {
		if f.Bad {
			e.Skipped++
			continue
		}
		good = append(good, f.Index)
		for _, o := range f.Detections {
			withMasks = withMasks && o.Mask != nil
		}
		e.Found = append(e.Found, f.Detections...)
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

// find returns what the detector finds in the pictures of opt.Part, in the order of the
// dataset. category has the categories of the detector's classes.
func (d *Detector) find(ctx context.Context, ds *detection.Dataset, category map[int]int64, opt EvaluateOptions) ([]Found, error) {
	var all []Found
	var img imaging.Image
	for i := range ds.Len() {
		if !opt.Part.Has(i) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := ds.Decode(i, &img); err != nil {
			if opt.SkipBad {
				all = append(all, Found{Index: i, Bad: true})
				continue
			}
			return nil, &data.SampleError{Index: i, Name: ds.Name(i), Err: err}
		}
		objects, err := d.Detect(ctx, &img)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ds.Name(i), err)
		}
		f := Found{Index: i}
		for _, o := range objects {
			if id, ok := category[o.Class]; ok {
				f.Detections = append(f.Detections, metrics.Detection{
					Image: ds.Pictures[i].ID, Category: id, Score: float64(o.Score), Mask: o.Mask,
					Box: [4]float64{float64(o.Box.X1), float64(o.Box.Y1), float64(o.Box.W()), float64(o.Box.H())},
				})
			}
		}
		all = append(all, f)
		if opt.Progress != nil {
			opt.Progress(1)
		}
	}
	return all, nil
}
