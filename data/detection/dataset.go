// Package detection reads datasets of pictures with objects, each with a class, a
// box and perhaps a mask: COCO's JSON as COCO, Label Studio, CVAT and Roboflow write
// it, and Pascal VOC's XML ([Open]). It checks them ([Check]), varies pictures, boxes
// and masks together ([Augment]), and makes batches of fixed shapes ([Loader]).
//
// Boxes are x, y, width, height in pixels; the upper left corner of the picture is
// 0, 0, and a pixel is 1 wide.
package detection

import (
	"errors"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/metrics"
)

// Object is an object in a picture.
type Object struct {
	ID    int64 // no two objects of a dataset have the same
	Class int   // an index of Classes
	Box   [4]float64
	// Area is the file's area in pixels, or that of the mask or box where the file
	// has none.
	Area      float64
	Crowd     bool // a group of objects (COCO's iscrowd)
	Difficult bool // hard to recognize (Pascal VOC)

	// The mask: polygons or runs, or the pixels with value instance in a picture's
	// mask file.
	polygons [][]float64
	runs     *masks.RLE
	instance uint8
}

// HasMask reports whether the object has a mask.
func (o *Object) HasMask() bool { return o.polygons != nil || o.runs != nil || o.instance > 0 }

// Picture is a picture and what is in it.
type Picture struct {
	ID   int64
	Name string // the path of its file in the dataset's folder or zip
	// W and H are the width and height that the annotations give, 0 if they give none.
	W, H    int
	Objects []Object

	maskFile string // an indexed PNG with a value for each object
}

// Dataset is one part of a dataset. It is a [data.Dataset] whose samples have the
// classes of their objects as labels. Its methods are safe for concurrent use.
type Dataset struct {
	// Pictures must not be changed while the dataset is used.
	Pictures []Picture
	// Categories are the ids that the files give the classes, rising.
	Categories []int64

	classes []string
	files   *data.Files
	decode  imaging.DecodeOptions
}

// Len returns the number of pictures.
func (d *Dataset) Len() int { return len(d.Pictures) }

// Classes returns the names of the classes, by rising category id.
func (d *Dataset) Classes() []string { return d.classes }

// MultiLabel returns true: a picture may have objects of any classes.
func (d *Dataset) MultiLabel() bool { return true }

// Name returns the path of picture i.
func (d *Dataset) Name(i int) string { return d.Pictures[i].Name }

// Labels returns the classes that occur in picture i, rising.
func (d *Dataset) Labels(i int) []int {
	var classes []int
	for _, o := range d.Pictures[i].Objects {
		classes = append(classes, o.Class)
	}
	slices.Sort(classes)
	return slices.Compact(classes)
}

// HasMasks reports whether all objects have masks, and there are objects.
func (d *Dataset) HasMasks() bool {
	n := 0
	for i := range d.Pictures {
		for k := range d.Pictures[i].Objects {
			if !d.Pictures[i].Objects[k].HasMask() {
				return false
			}
			n++
		}
	}
	return n > 0
}

// Decode writes the pixels of picture i to dst. A picture with an EXIF orientation
// is turned upright unless the annotations give the size that it has unturned. It is
// an error if the annotations give another size than the file has.
func (d *Dataset) Decode(i int, dst *imaging.Image) error {
	b, err := d.Content(i, nil)
	if err != nil {
		return err
	}
	var r imaging.Reader
	if err := d.open(i, &r, b); err != nil {
		return err
	}
	return r.Decode(dst)
}

// Content returns the bytes of picture i's file.
func (d *Dataset) Content(i int, buf []byte) ([]byte, error) {
	return d.files.Read(d.Pictures[i].Name, buf)
}

func (d *Dataset) open(i int, r *imaging.Reader, file []byte) error {
	if err := r.Open(file, d.decode); err != nil {
		return err
	}
	p := &d.Pictures[i]
	if p.W == 0 || p.H == 0 || r.W == p.W && r.H == p.H {
		return nil
	}
	w, h := r.W, r.H
	if w == p.H && h == p.W {
		stored := d.decode
		stored.IgnoreOrientation = true
		if err := r.Open(file, stored); err != nil {
			return err
		}
		if r.W == p.W && r.H == p.H {
			return nil
		}
	}
	return fmt.Errorf("the picture has %d x %d pixels, but its annotation gives %d x %d: give the picture that was annotated, or correct the annotation's width and height", w, h, p.W, p.H)
}

// Size returns the width and height of picture i, from the annotations or, where
// they give none, from the file.
func (d *Dataset) Size(i int) (w, h int, err error) {
	p := &d.Pictures[i]
	if p.W > 0 && p.H > 0 {
		return p.W, p.H, nil
	}
	b, err := d.Content(i, nil)
	if err != nil {
		return 0, 0, err
	}
	var r imaging.Reader
	if err := d.open(i, &r, b); err != nil {
		return 0, 0, err
	}
	return r.W, r.H, nil
}

// ErrNoMask is the error of [Dataset.Masks] for an object without a mask.
var ErrNoMask = errors.New("the object has no mask")

// Masks returns the masks of the objects of picture i, of the picture's size. The
// error names the object, but not the picture.
func (d *Dataset) Masks(i int) ([]masks.RLE, error) {
	w, h, err := d.Size(i)
	if err != nil {
		return nil, err
	}
	return d.masks(i, w, h)
}

// masks is Masks for a picture whose size is known.
func (d *Dataset) masks(i, w, h int) ([]masks.RLE, error) {
	p := &d.Pictures[i]
	var instances *instanceMasks
	all := make([]masks.RLE, len(p.Objects))
	for k := range p.Objects {
		o := &p.Objects[k]
		var err error
		switch {
		case o.runs != nil && (o.runs.H != h || o.runs.W != w):
			err = fmt.Errorf("its mask has %d x %d pixels and the picture %d x %d", o.runs.W, o.runs.H, w, h)
		case o.runs != nil:
			all[k] = *o.runs
		case o.polygons != nil:
			all[k], err = masks.FromPolygons(o.polygons, h, w)
		case o.instance > 0:
			if instances == nil {
				if instances, err = d.readInstances(p, w, h); err != nil {
					return nil, err
				}
			}
			all[k], err = instances.of(o)
		default:
			err = ErrNoMask
		}
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", o.ID, err)
		}
	}
	return all, nil
}

// Evaluation returns the objects of all pictures as package metrics takes them, and
// the ids of all pictures and categories. withMasks gives the objects their masks. The
// error names the picture.
func (d *Dataset) Evaluation(withMasks bool) (objects []metrics.Object, images, categories []int64, err error) {
	for i := range d.Pictures {
		p := &d.Pictures[i]
		images = append(images, p.ID)
		var ms []masks.RLE
		if withMasks {
			if ms, err = d.Masks(i); err != nil {
				return nil, nil, nil, &data.SampleError{Index: i, Name: p.Name, Err: err}
			}
		}
		for k, o := range p.Objects {
			m := metrics.Object{ID: o.ID, Image: p.ID, Category: d.Categories[o.Class], Box: o.Box, Area: o.Area, Crowd: o.Crowd, Difficult: o.Difficult}
			if withMasks {
				m.Mask = &ms[k]
				if o.instance > 0 { // the annotation knows the box alone
					m.Area = float64(ms[k].Area())
				}
			}
			objects = append(objects, m)
		}
	}
	return objects, images, d.Categories, nil
}

// HasObjects reports whether there is an object to measure a detector by: one that is no
// crowd, and whose box has an area in its picture.
func (d *Dataset) HasObjects() bool {
	for i := range d.Pictures {
		if slices.ContainsFunc(d.Pictures[i].Objects, d.Pictures[i].counts) {
			return true
		}
	}
	return false
}

// ForTraining returns the dataset as torchvision's reference recipes train on it:
// crowds are left out; boxes are cut at the picture's edges and left out without
// area; pictures without objects, or whose boxes all have a side of at most one pixel,
// are left out. The error names a picture whose size cannot be read.
func (d *Dataset) ForTraining() (*Dataset, error) {
	t := *d
	t.Pictures = nil
	for i := range d.Pictures {
		p := d.Pictures[i]
		if !slices.ContainsFunc(p.Objects, func(o Object) bool { return o.Box[2] > 1 && o.Box[3] > 1 }) {
			continue
		}
		w, h, err := d.Size(i)
		if err != nil {
			return nil, &data.SampleError{Index: i, Name: p.Name, Err: err}
		}
		var kept []Object
		for _, o := range p.Objects {
			if o.Crowd {
				continue
			}
			if o.Box = clip(o.Box, float64(w), float64(h)); o.Box[2] > 0 && o.Box[3] > 0 {
				kept = append(kept, o)
			}
		}
		if p.Objects = kept; len(kept) > 0 {
			t.Pictures = append(t.Pictures, p)
		}
	}
	return &t, nil
}

// clip cuts a box at the edges of a picture.
func clip(b [4]float64, w, h float64) [4]float64 {
	x0, x1 := min(max(b[0], 0), w), min(max(b[0]+b[2], 0), w)
	y0, y1 := min(max(b[1], 0), h), min(max(b[1]+b[3], 0), h)
	return [4]float64{x0, y0, x1 - x0, y1 - y0}
}

// Part implements [data.Divisible].
func (d *Dataset) Part(indexes []int) data.Dataset { return d.Subset(indexes) }

// Reclassed implements [data.Divisible]. Classes that are new get ids above the others.
func (d *Dataset) Reclassed(classes []string, to []int) data.Dataset {
	r := *d
	r.classes, r.Categories = classes, make([]int64, len(classes))
	known := make([]bool, len(classes))
	next := int64(1)
	for k, c := range to {
		r.Categories[c], known[c] = d.Categories[k], true
		next = max(next, d.Categories[k]+1)
	}
	for c := range classes {
		if !known[c] {
			r.Categories[c] = next
			next++
		}
	}
	r.Pictures = make([]Picture, len(d.Pictures))
	for i, p := range d.Pictures {
		p.Objects = slices.Clone(p.Objects)
		for k := range p.Objects {
			p.Objects[k].Class = to[p.Objects[k].Class]
		}
		r.Pictures[i] = p
	}
	return &r
}

// Subset returns the pictures at those indexes, in that order.
func (d *Dataset) Subset(indexes []int) *Dataset {
	s := *d
	s.Pictures = make([]Picture, len(indexes))
	for k, i := range indexes {
		s.Pictures[k] = d.Pictures[i]
	}
	return &s
}
