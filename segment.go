package resnet

import (
	"context"
	"fmt"
	"image"
	"iter"
	"slices"

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
	if m.task == task {
		return nil
	}
	return fmt.Errorf("resnet: %s is a model for %s: %s is for %s", m.name, m.task, method, task)
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
					err = fmt.Errorf("%s: %w", p.Name, err)
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
