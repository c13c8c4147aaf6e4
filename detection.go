package resnet

import (
	"context"
	"fmt"
	"image"
	"iter"
	"slices"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/internal/sheet"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/models"
)

// Object is something that a detector has found in a picture.
type Object struct {
	Class string    `json:"class"`
	Index int       `json:"index"` // of the class
	Score float64   `json:"score"` // 0 to 1
	Box   boxes.Box `json:"box"`   // in pixels of the picture
	// Mask is the object's part of the picture, where the model finds masks; else nil.
	Mask *masks.RLE `json:"-"`
}

// Detections are the objects in a picture.
type Detections struct {
	Name    string      // of the picture
	Objects []Object    // the highest score first
	Picture *image.RGBA // in which they are
	Err     error       // why the picture could not be decoded; the rest is then empty
}

// Draw returns the picture with the objects of at least that score: boxes in the
// colors of their classes with names and scores, and masks over the picture.
func (d *Detections) Draw(threshold float64) (*image.RGBA, error) {
	var marks []sheet.Mark
	for _, o := range slices.Backward(d.Objects) { // the best are drawn last, over the others
		if o.Score >= threshold {
			marks = append(marks, sheet.Mark{
				Box:  [4]float64{float64(o.Box.X1), float64(o.Box.Y1), float64(o.Box.X2), float64(o.Box.Y2)},
				Kind: o.Index, Label: fmt.Sprintf("%s %.2f", o.Class, o.Score), Mask: o.Mask,
			})
		}
	}
	return sheet.Marks(d.Picture, marks)
}

// Detect finds the objects in a picture of any size. The model must be a detector.
// An error names the picture. Objects with low scores are part of the result:
// detectors keep those above 0.05, because measures of quality need them.
func (m *Model) Detect(ctx context.Context, p Picture) (*Detections, error) {
	for d, err := range m.DetectAll(ctx, slices.Values([]Picture{p})) {
		if err != nil {
			return nil, err
		}
		return d, d.Err
	}
	return nil, ctx.Err()
}

// DetectAll is Detect for any number of pictures, one after the other; the next one
// is decoded meanwhile. A picture that cannot be decoded has its error in its
// result; an error of the sequence ends it.
func (m *Model) DetectAll(ctx context.Context, ps iter.Seq[Picture]) iter.Seq2[*Detections, error] {
	return func(yield func(*Detections, error) bool) {
		if err := m.isFor(models.Detection, "Detect"); err != nil {
			yield(nil, err)
			return
		}
		for p := range m.decodeNext(ctx, ps) {
			d := &Detections{Name: p.name, Err: p.err}
			if p.err == nil {
				found, err := m.detector.Detect(ctx, p.image)
				if err != nil {
					yield(nil, fmt.Errorf("resnet: %s: %w", p.name, err))
					return
				}
				d.Picture = p.image.RGBA()
				for _, o := range found {
					d.Objects = append(d.Objects, Object{m.classes[o.Class], o.Class, float64(o.Score), o.Box, o.Mask})
				}
			}
			if !yield(d, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// EvaluateObjects measures a detector on a dataset with boxes as COCO does: the 12
// numbers of its table and the average precision of each class. Of opt, SkipBad and
// Progress count.
func (m *Model) EvaluateObjects(ctx context.Context, ds *detection.Dataset, opt EvaluateOptions) (*detect.Evaluation, error) {
	if err := m.isFor(models.Detection, "EvaluateObjects"); err != nil {
		return nil, err
	}
	return m.detector.Evaluate(ctx, ds, m.classes, detect.EvaluateOptions{SkipBad: opt.SkipBad, Progress: opt.Progress})
}
