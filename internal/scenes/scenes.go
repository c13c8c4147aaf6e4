// Package scenes draws pictures of several things with a class for each pixel, for
// tests and trials of segmentation and detection: clothes of Fashion-MNIST, tinted
// and scaled, on backgrounds of blurred noise. The command in write makes folders of
// them.
package scenes

import (
	"errors"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/internal/philox"
)

// Options are what scenes look like.
type Options struct {
	Size  int      // width and height of a picture
	Most  int      // things in a picture, 1 to Most
	Sorts []string // names of the classes of things; nil for all ten
	Test  bool     // things from the test part, which no other scene has
	Seed  uint64
}

// Thing is one thing in a scene.
type Thing struct {
	Class int        // from 1; 0 is the background
	Box   [4]int     // of what can be seen of it: x, y, width, height
	Mask  []uint8    // 1 where it can be seen, [Size*Size]
	color [3]float64 // of its brightest pixel
}

// Scene is a picture with things.
type Scene struct {
	Picture *imaging.Image
	Mask    *imaging.Image // the class of each pixel, one channel
	Things  []Thing        // in the order in which they were put, the last in front
}

// Maker draws scenes.
type Maker struct {
	opt     Options
	classes []string
	things  data.Dataset
	byClass [][]int
}

// New returns a maker of scenes.
func New(opt Options) (*Maker, error) {
	if opt.Size < 32 || opt.Most < 1 {
		return nil, fmt.Errorf("scenes: size %d and %d things must be at least 32 and 1", opt.Size, opt.Most)
	}
	s, err := data.OpenIDX(embedded.Fashion(), data.Options{ValFraction: -1})
	if err != nil {
		return nil, err
	}
	m := &Maker{opt: opt, classes: []string{"background"}, things: s.Train}
	if opt.Test {
		m.things = s.Test
	}
	names := opt.Sorts
	if names == nil {
		names = s.Classes()
	}
	all := make([][]int, len(s.Classes()))
	for i := range m.things.Len() {
		k := m.things.Labels(i)[0]
		all[k] = append(all[k], i)
	}
	for _, name := range names {
		found := false
		for k, class := range s.Classes() {
			if class == name {
				m.classes, m.byClass, found = append(m.classes, name), append(m.byClass, all[k]), true
			}
		}
		if !found {
			return nil, fmt.Errorf("scenes: there is no thing %q, only %q", name, s.Classes())
		}
	}
	return m, nil
}

// Classes returns the names of the classes, the background first.
func (m *Maker) Classes() []string { return m.classes }

// Scene draws scene number n, the same each time.
func (m *Maker) Scene(n int) (*Scene, error) {
	size := m.opt.Size
	rng := philox.New(m.opt.Seed, uint64(n))
	s := &Scene{Picture: background(&rng, size), Mask: imaging.New(size, size, 1)}
	for range 1 + rng.IntN(m.opt.Most) {
		if err := m.put(s, &rng); err != nil {
			return nil, err
		}
	}
	var seen []Thing
	for _, t := range s.Things {
		if t.bound(size) {
			seen = append(seen, t)
		}
	}
	s.Things = seen
	return s, nil
}

// background returns smooth noise: random colors on a coarse grid, interpolated.
func background(rng *philox.Rand, size int) *imaging.Image {
	cells := 2 + rng.IntN(4)
	coarse := imaging.New(cells, cells, 3)
	for i := range coarse.Pix {
		coarse.Pix[i] = uint8(40 + rng.IntN(150))
	}
	out := new(imaging.Image)
	imaging.Resize(out, coarse, size, size, imaging.Bicubic)
	for i, v := range out.Pix {
		out.Pix[i] = uint8(min(max(int(v)+rng.IntN(21)-10, 0), 255))
	}
	return out
}

// put adds a thing in front of the others.
func (m *Maker) put(s *Scene, rng *philox.Rand) error {
	size := m.opt.Size
	class := rng.IntN(len(m.byClass))
	var thing, scaled imaging.Image
	if err := m.things.Decode(m.byClass[class][rng.IntN(len(m.byClass[class]))], &thing); err != nil {
		return err
	}
	side := max(20, int(float64(size)*rng.Uniform(0.3, 0.65)))
	imaging.Resize(&scaled, &thing, side, side, imaging.Bilinear)
	x0, y0 := rng.IntN(size-side/2)-side/4, rng.IntN(size-side/2)-side/4
	t := Thing{Class: class + 1, Mask: make([]uint8, size*size)}
	for k := range t.color {
		t.color[k] = rng.Uniform(90, 255)
	}
	for y := range side {
		for x, v := range scaled.Row(y) {
			px, py := x0+x, y0+y
			if px < 0 || py < 0 || px >= size || py >= size || v < 25 {
				continue
			}
			at := py*size + px
			for k := range 3 {
				s.Picture.Pix[at*3+k] = uint8(math.Min(255, t.color[k]*(0.25+0.75*float64(v)/255)))
			}
			for i := range s.Things {
				s.Things[i].Mask[at] = 0
			}
			t.Mask[at], s.Mask.Pix[at] = 1, uint8(t.Class)
		}
	}
	s.Things = append(s.Things, t)
	return nil
}

// bound sets the box and reports whether anything can be seen.
func (t *Thing) bound(size int) bool {
	x0, y0, x1, y1 := size, size, -1, -1
	for at, v := range t.Mask {
		if v == 0 {
			continue
		}
		x, y := at%size, at/size
		x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
	}
	t.Box = [4]int{x0, y0, x1 - x0 + 1, y1 - y0 + 1}
	return x1 >= 0
}

// Masks is a number of scenes as a dataset with masks.
type Masks struct {
	classes []string
	scenes  []*Scene
}

// Masks returns the scenes from, from+1, … as a dataset in memory.
func (m *Maker) Masks(from, n int) (*Masks, error) {
	d := &Masks{classes: m.classes}
	for i := range n {
		s, err := m.Scene(from + i)
		if err != nil {
			return nil, err
		}
		d.scenes = append(d.scenes, s)
	}
	if n == 0 {
		return nil, errors.New("scenes: no scenes")
	}
	return d, nil
}

// Len returns the number of scenes.
func (d *Masks) Len() int { return len(d.scenes) }

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
	dst.CopyFrom(d.scenes[i].Picture)
	return nil
}

// DecodeMask copies the mask.
func (d *Masks) DecodeMask(i int, dst *imaging.Image) error {
	dst.CopyFrom(d.scenes[i].Mask)
	return nil
}
