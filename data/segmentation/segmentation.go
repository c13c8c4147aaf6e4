// Package segmentation reads pictures whose pixels have classes: Pascal VOC's
// layout, COCO's objects, and folders of pictures and masks, as data.MaskDataset.
//
// A mask is a picture file of the same size as its picture. Its values are class
// numbers: the indices of a palette, however the palette's colors are, or gray
// values; or its colors stand for classes that a file of the data names.
package segmentation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/suggest"
)

// Kinds returns the kinds of dataset that a SPEC of [Open] may start with.
func Kinds() []string { return []string{"coco", "coco-voc", "masks", "voc"} }

// Open opens the dataset that spec names, KIND:PATH, where PATH is a folder or a
// zip file:
//
//	voc:DIR      Pascal VOC's layout; see [OpenVOC]
//	masks:DIR    folders of pictures and masks; see [OpenMasks]
//	coco:DIR     COCO's JSON, whose objects have polygons or runs; see detection.OpenCOCO.
//	             Class 0 is the background, and pixels of several objects do not count
//	coco-voc:DIR the same with Pascal VOC's 21 classes; objects of others are background,
//	             and pictures to train on have more than 1000 pixels of objects, as
//	             for torchvision's published weights
//
// An error names the file that is missing or wrong. Close the splits when done.
func Open(ctx context.Context, spec string, opt data.Options) (*data.Splits, error) {
	kind, path, ok := strings.Cut(spec, ":")
	if !ok || path == "" {
		return nil, fmt.Errorf("data: %q is not of the form KIND:PATH, such as masks:road (kinds: %s)", spec, strings.Join(Kinds(), ", "))
	}
	if kind == "coco" || kind == "coco-voc" {
		s, err := openCOCO("coco:"+path, opt, kind == "coco-voc")
		if err != nil {
			return nil, fmt.Errorf("data: %s: %w", spec, err)
		}
		s.Spec = spec
		return s, nil
	}
	open := map[string]func(context.Context, *data.Files, data.Options) (*data.Splits, error){"voc": OpenVOC, "masks": OpenMasks}[kind]
	if slices.Contains(data.Kinds(), kind) {
		return nil, fmt.Errorf("data: %s has no masks of pixels: name a dataset that has them, by %s:PATH", spec, strings.Join(Kinds(), ":PATH or "))
	}
	if open == nil {
		return nil, fmt.Errorf("data: unknown kind of dataset %q in %q%s", kind, spec, suggest.Phrase(kind, Kinds()))
	}
	files, err := data.OpenFiles(path, opt)
	if err != nil {
		return nil, fmt.Errorf("data: %s: %w", spec, err)
	}
	s, err := open(ctx, files, opt)
	if err != nil {
		files.Close() // after an error that matters more
		return nil, fmt.Errorf("data: %s: %w", spec, err)
	}
	s.Spec = spec
	s.OnClose(files.Close)
	return s, nil
}

// set is a part of a dataset whose pictures and masks are files.
type set struct {
	files   *data.Files
	classes []string
	read    reading
	samples []sample
	opt     data.Options
}

// sample is a picture and its mask, by the paths of their files.
type sample struct{ picture, mask string }

func (s *set) Len() int           { return len(s.samples) }
func (s *set) Classes() []string  { return s.classes }
func (s *set) MultiLabel() bool   { return true }
func (s *set) Name(i int) string  { return s.samples[i].picture }
func (s *set) Labels(i int) []int { return nil }

// Decode writes the picture.
func (s *set) Decode(i int, dst *imaging.Image) error {
	b, err := s.files.Read(s.samples[i].picture, nil)
	if err != nil {
		return err
	}
	return imaging.DecodeInto(dst, b, s.decodeOptions())
}

func (s *set) decodeOptions() imaging.DecodeOptions {
	return imaging.DecodeOptions{MaxPixels: s.opt.MaxPixels, IgnoreOrientation: s.opt.IgnoreOrientation}
}

// DecodeMask writes the classes of the pixels, turned by the mask's own orientation as a
// picture is by its.
func (s *set) DecodeMask(i int, dst *imaging.Image) error {
	name := s.samples[i].mask
	b, err := s.files.Read(name, nil)
	if err == nil {
		err = s.read.decode(dst, b, s.opt.MaxPixels)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !s.opt.IgnoreOrientation {
		imaging.Orient(dst, imaging.Orientation(b))
	}
	return nil
}

// Content returns the bytes of the picture's file and of the mask's.
func (s *set) Content(i int, buf []byte) ([]byte, error) {
	picture, err := s.files.Read(s.samples[i].picture, buf)
	if err != nil {
		return nil, err
	}
	mask, err := s.files.Read(s.samples[i].mask, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.samples[i].mask, err)
	}
	return append(picture, mask...), nil
}

// OpenAny is Open for the kinds of this package, and [data.Open] for others: pictures
// with masks, or with labels.
func OpenAny(ctx context.Context, spec string, opt data.Options) (*data.Splits, error) {
	if kind, _, _ := strings.Cut(spec, ":"); slices.Contains(Kinds(), kind) {
		return Open(ctx, spec, opt)
	}
	return data.Open(spec, opt)
}
