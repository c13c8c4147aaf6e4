package scenes

import (
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

// Masks are scenes in memory with the class of each pixel, 0 for the background: a
// data.MaskDataset for tests.
type Masks struct {
	classes         []string
	pictures, masks []*imaging.Image
}

// NewMasks draws n scenes of objects of those classes, all if there are none: of the
// training part, or of the part to evaluate on.
func NewMasks(o Options, eval bool, n int, classes ...string) (*Masks, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	part, objects := uint32(0), o.Objects.Train
	if eval {
		part, objects = 1, o.evalObjects()
	}
	all := objects.Classes()
	if len(classes) == 0 {
		classes = all
	}
	number := make([]uint8, len(all))
	var members []int
	for i, c := range classes {
		k := slices.Index(all, c)
		if k < 0 {
			return nil, fmt.Errorf("scenes: the objects have no class %q", c)
		}
		number[k] = uint8(i + 1)
	}
	for i := range objects.Len() {
		if l := objects.Labels(i); len(l) > 0 && number[l[0]] > 0 {
			members = append(members, i)
		}
	}
	objects = data.Subset(objects, members)
	d := &Masks{classes: append([]string{"background"}, classes...)}
	for i := range n {
		s, err := o.draw(part, i, objects)
		if err != nil {
			return nil, err
		}
		mask := imaging.New(s.w, s.h, 1)
		for _, o := range s.objects {
			for y := range s.h {
				for x := range s.w {
					if o.mask.At(y, x) != 0 {
						mask.Pix[y*s.w+x] = number[o.class]
					}
				}
			}
		}
		d.pictures, d.masks = append(d.pictures, s.m), append(d.masks, mask)
	}
	return d, nil
}

// evalObjects returns the objects of pictures to evaluate on.
func (o *Options) evalObjects() data.Dataset {
	for _, ds := range []data.Dataset{o.Objects.Test, o.Objects.Val} {
		if ds != nil {
			return ds
		}
	}
	return o.Objects.Train
}

// Len returns the number of scenes.
func (d *Masks) Len() int { return len(d.pictures) }

// Classes returns the names of the classes, the background first.
func (d *Masks) Classes() []string { return d.classes }

// MultiLabel returns true: the labels are those of pixels.
func (d *Masks) MultiLabel() bool { return true }

// Name returns "scene i".
func (d *Masks) Name(i int) string { return fmt.Sprintf("scene %d", i) }

// Labels returns nil.
func (d *Masks) Labels(int) []int { return nil }

// Decode copies the picture.
func (d *Masks) Decode(i int, dst *imaging.Image) error {
	dst.CopyFrom(d.pictures[i])
	return nil
}

// DecodeMask copies the mask.
func (d *Masks) DecodeMask(i int, dst *imaging.Image) error {
	dst.CopyFrom(d.masks[i])
	return nil
}
