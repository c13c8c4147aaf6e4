package resnet

import (
	"context"
	"fmt"
	"image"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/segment"
)

// Segmentation is a class for each pixel of a picture.
type Segmentation struct {
	Name string // of the picture
	// Mask has the index of each pixel's class, in the picture's own size.
	Mask *segment.Mask
	// Areas are what the classes cover, the largest first.
	Areas []Area
	// Picture is what was segmented.
	Picture *image.RGBA
	Err     error // why the picture could not be decoded; the rest is then empty
}

// Area is what one class covers of a picture.
type Area struct {
	Class string `json:"class"`
	segment.Area
}

// Overlay returns the picture with the colors of the classes over it, with opacity
// from 0 to 1. Class 0, the background of most models, leaves it as it is.
func (s *Segmentation) Overlay(opacity float64) *image.RGBA {
	return s.Mask.Overlay(s.Picture, opacity)
}

// Segment finds the class of each pixel of a picture of any size. The model must be
// for segmentation. An error names the picture.
func (m *Model) Segment(ctx context.Context, p Picture) (*Segmentation, error) {
	for s, err := range m.SegmentAll(ctx, slices.Values([]Picture{p})) {
		if err != nil {
			return nil, err
		}
		return s, s.Err
	}
	return nil, ctx.Err()
}

// SegmentAll is Segment for any number of pictures, one after the other; the next
// one is decoded meanwhile. A picture that cannot be decoded has its error in its
// result; an error of the sequence ends it.
func (m *Model) SegmentAll(ctx context.Context, ps iter.Seq[Picture]) iter.Seq2[*Segmentation, error] {
	return func(yield func(*Segmentation, error) bool) {
		net, err := m.segmenter()
		if err != nil {
			yield(nil, err)
			return
		}
		for d := range m.decodeNext(ctx, ps) {
			s := &Segmentation{Name: d.name, Err: d.err}
			if d.err == nil {
				if s.Mask, err = net.Segment(ctx, d.image); err != nil {
					yield(nil, fmt.Errorf("resnet: %s: %w", d.name, err))
					return
				}
				s.Picture, s.Areas = d.image.RGBA(), m.areas(s.Mask)
			}
			if !yield(s, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

func (m *Model) segmenter() (*segment.Network, error) {
	if err := m.isFor(models.Segmentation, "Segment"); err != nil {
		return nil, err
	}
	return segment.New(m.runner, m.prep, len(m.classes), m.opt.Threads)
}

func (m *Model) areas(mask *segment.Mask) []Area {
	areas := []Area{}
	for _, a := range mask.Areas() {
		areas = append(areas, Area{m.classes[a.Class], a})
	}
	return areas
}

// isFor returns an error unless the model is for a task, which a method needs.
func (m *Model) isFor(task models.Task, method string) error {
	switch {
	case m.task == task:
		return nil
	case m.task == models.Features:
		return fmt.Errorf("resnet: %s has no last layer, so it gives features and no classes, but %s takes a model for %s: "+
			"train one from it with resnet train --model %s --data folder:PHOTOS, or get its features with Embed or resnet embed", m.name, method, task, m.name)
	}
	use := map[models.Task]string{models.Classification: "Classify", models.Segmentation: "Segment", models.Detection: "Detect"}[m.task]
	return fmt.Errorf("resnet: %s is a model for %s, but %s takes one for %s: use %s", m.name, m.task, method, task, use)
}

// decoded is a picture, or why it is none.
type decoded struct {
	name  string
	image *imaging.Image
	err   error
}

// decodeNext decodes each picture while the one before it is used. It stops early
// when ctx ends, even if a reader is stuck in the middle of a picture.
func (m *Model) decodeNext(ctx context.Context, ps iter.Seq[Picture]) iter.Seq[decoded] {
	return func(yield func(decoded) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		pictures := make(chan decoded)
		go func() {
			defer close(pictures)
			for p := range ps {
				img, err := p.load(m.opt.decode())
				if err != nil {
					err = named(p.Name, err)
				}
				select {
				case pictures <- decoded{p.Name, img, err}:
				case <-ctx.Done():
					return
				}
			}
		}()
		for {
			select {
			case d, more := <-pictures:
				if !more || !yield(d) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// EvaluateMasks compares the classes of pixels that the model finds with the masks
// of a dataset (see [data.Masks]), as torchvision's reference evaluation does. The
// data's classes are found by their names among the model's; names that are numbers
// stand for the model's classes of these numbers. The error for a picture that
// cannot be decoded is a *data.SampleError.
func (m *Model) EvaluateMasks(ctx context.Context, ds data.MaskDataset, opt EvaluateOptions) (*segment.Evaluation, error) {
	net, err := m.segmenter()
	if err != nil {
		return nil, err
	}
	masks, err := m.masksOf(ds)
	if err != nil {
		return nil, err
	}
	e, err := net.Evaluate(ctx, masks, segment.EvaluateOptions{Batch: m.opt.Batch, SkipBad: opt.SkipBad, Progress: opt.Progress})
	if err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	return e, nil
}

// masksOf returns a dataset with the model's classes.
func (m *Model) masksOf(ds data.MaskDataset) (data.MaskDataset, error) {
	if slices.Equal(ds.Classes(), m.classes) {
		return ds, nil
	}
	r := &renamed{MaskDataset: ds, classes: m.classes}
	for i := range r.to {
		r.to[i] = uint8(i)
	}
	numbers := allNumbers(ds.Classes()) || allNumbers(m.classes)
	for i, class := range ds.Classes() {
		k := slices.Index(m.classes, class)
		switch {
		case numbers && i < len(m.classes):
			k = i
		case k < 0:
			return nil, fmt.Errorf("resnet: the data have the class %q, which %s does not know; its classes are %s", class, m.name, strings.Join(m.classes, ", "))
		}
		r.to[i] = uint8(k)
	}
	return r, nil
}

func allNumbers(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { _, err := strconv.Atoi(name); return err != nil })
}

// renamed is a dataset whose classes have other numbers.
type renamed struct {
	data.MaskDataset
	classes []string
	to      [256]uint8
}

func (r *renamed) Classes() []string { return r.classes }

func (r *renamed) DecodeMask(i int, dst *imaging.Image) error {
	if err := r.MaskDataset.DecodeMask(i, dst); err != nil {
		return err
	}
	for at, v := range dst.Pix {
		dst.Pix[at] = r.to[v]
	}
	return nil
}
