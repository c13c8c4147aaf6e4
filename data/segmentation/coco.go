package segmentation

import (
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/models"
)

// NoMaskError is the error for an object that has a box and no mask, from which a
// segmentation network cannot learn.
type NoMaskError struct {
	Picture string
	Object  int64 // its id
}

func (e *NoMaskError) Error() string {
	return fmt.Sprintf("%s: object %d has a box and no mask: segmentation needs polygons or runs for each object", e.Picture, e.Object)
}

// openCOCO opens COCO's JSON (see detection.OpenCOCO), whose objects have polygons
// or runs. A pixel has the class of its object, also in a crowd; where objects overlap
// it does not count, as in torchvision's reference. The background is class 0.
//
// With voc, the classes are the 21 of Pascal VOC, in its order, and objects of other
// categories are background: what torchvision's published weights know. Training
// pictures then need more than 1000 pixels of objects.
func openCOCO(spec string, opt data.Options, voc bool) (*data.Splits, error) {
	d, err := detection.Open(spec, detection.Options{Options: opt})
	if err != nil {
		return nil, err
	}
	s := &data.Splits{Notes: slices.Clone(d.Notes)}
	for _, part := range []struct {
		name string
		ds   *detection.Dataset
		to   *data.Dataset
	}{{"train", d.Train, &s.Train}, {"val", d.Val, &s.Val}, {"test", d.Test, &s.Test}} {
		if part.ds == nil {
			continue
		}
		m, err := newCOCO(part.ds, voc, part.name == "train")
		if err != nil {
			d.Close() // after an error that matters more
			return nil, err
		}
		if left := part.ds.Len() - m.Len(); left > 0 {
			s.Notes = append(s.Notes, fmt.Sprintf("%s: pictures with at most %d pixels of objects are left out: %d of %d", part.name, fewPixels, left, part.ds.Len()))
		}
		*part.to = m
	}
	s.OnClose(d.Close)
	return s, nil
}

// fewPixels is torchvision's limit for pictures to train on.
const fewPixels = 1000

// vocNamesInCOCO are Pascal VOC's classes, without the background, as COCO calls them.
var vocNamesInCOCO = []string{"airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table",
	"dog", "horse", "motorcycle", "person", "potted plant", "sheep", "couch", "train", "tv"}

// coco is COCO's pictures with a class for each pixel.
type coco struct {
	of      *detection.Dataset // not embedded: a part of it would have no masks
	classes []string
	to      []uint8 // the class of each of the dataset's
	index   []int   // of the dataset's pictures
}

func newCOCO(ds *detection.Dataset, voc, train bool) (*coco, error) {
	c := &coco{of: ds, classes: append([]string{"background"}, ds.Classes()...)}
	if voc {
		c.classes = models.VOCNames()
	}
	if len(c.classes) > maxClasses {
		return nil, fmt.Errorf("there are %d classes, more than %d", len(c.classes), maxClasses)
	}
	known := 0
	for k, name := range ds.Classes() {
		class := k + 1
		if voc {
			class = slices.Index(vocNamesInCOCO, name) + 1
		}
		if class > 0 {
			known++
		}
		c.to = append(c.to, uint8(class))
	}
	if known == 0 {
		return nil, fmt.Errorf("none of the categories %q is a class of Pascal VOC: use coco instead of coco-voc", ds.Classes())
	}
	for i, p := range ds.Pictures {
		area := 0.0
		for _, o := range p.Objects {
			if !o.HasMask() {
				return nil, &NoMaskError{Picture: p.Name, Object: o.ID}
			}
			if c.to[o.Class] > 0 {
				area += o.Area
			}
		}
		if !voc || !train || area > fewPixels {
			c.index = append(c.index, i)
		}
	}
	return c, nil
}

func (c *coco) Len() int           { return len(c.index) }
func (c *coco) Classes() []string  { return c.classes }
func (c *coco) Name(i int) string  { return c.of.Name(c.index[i]) }
func (c *coco) Labels(i int) []int { return nil }
func (c *coco) MultiLabel() bool   { return true }

func (c *coco) Decode(i int, dst *imaging.Image) error { return c.of.Decode(c.index[i], dst) }

// DecodeMask draws the objects.
func (c *coco) DecodeMask(i int, dst *imaging.Image) error {
	k := c.index[i]
	w, h, err := c.of.Size(k)
	if err != nil {
		return err
	}
	all, err := c.of.Masks(k)
	if err != nil {
		return err
	}
	dst.Reset(w, h, 1)
	clear(dst.Pix)
	taken := make([]bool, w*h)
	var bits []uint8
	for j, m := range all {
		o := c.of.Pictures[k].Objects[j]
		class := c.to[o.Class]
		if class == 0 {
			continue
		}
		bits = m.Bitmap().Bits(bits)
		for at, v := range bits {
			switch {
			case v == 0:
			case taken[at]:
				dst.Pix[at] = data.IgnoredClass
			default:
				dst.Pix[at], taken[at] = class, true
			}
		}
	}
	return nil
}

// Content returns the bytes of the picture's file and the pixels of its mask.
func (c *coco) Content(i int, buf []byte) ([]byte, error) {
	b, err := c.of.Content(c.index[i], buf)
	if err != nil {
		return nil, err
	}
	var mask imaging.Image
	if err := c.DecodeMask(i, &mask); err != nil {
		return nil, fmt.Errorf("its mask: %w", err)
	}
	return append(b, mask.Pix...), nil
}
