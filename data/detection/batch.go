package detection

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/masks"
)

// Batch is a number of pictures as a detector takes them. All arrays have fixed
// shapes; how much of them counts is in Real, Sizes and Valid. Its memory is reused:
// everything in it is valid only until the next turn of the loop over [Loader.Epoch].
type Batch struct {
	Epoch, Step int

	// N is the number of rows. The first Real rows are pictures; the others are zeros
	// without objects.
	N, Real int
	H, W    int       // of the input: one of LoaderConfig.Shapes
	X       []float32 // inputs, [N, H, W, 3] (channels last), zero beside the picture
	Sizes   [][2]int  // height and width of each picture in the input
	// Original is the height and width of each picture before it was resized, after
	// cropping.
	Original [][2]int
	Index    []int // which picture of the dataset each row is; -1 in padding

	Capacity int       // objects per picture that there is room for
	Valid    []int     // objects of each picture
	Boxes    []float32 // [N, Capacity, 4]: x0, y0, x1, y1 in pixels of the input; zero beyond Valid
	Labels   []int64   // [N, Capacity]: classes; -1 beyond Valid
	// Masks are the objects' masks, of the size in Sizes, with LoaderConfig.Masks; else
	// empty.
	Masks [][]*masks.Bitmap
}

// slot is a batch that is being made.
type slot struct {
	Batch
	plan    plannedBatch
	errs    []error
	pending atomic.Int32
	ready   chan struct{}
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// prepare sets a slot up for a batch.
func (l *Loader) prepare(b *slot, epoch, step int, p plannedBatch) {
	n := l.cfg.BatchSize
	b.plan, b.Epoch, b.Step, b.N, b.Real = p, epoch, step, n, len(p.entries)
	b.H, b.W, b.Capacity = p.shape.H, p.shape.W, l.cfg.Capacity
	b.X = resized(b.X, n*b.H*b.W*3)
	b.Sizes, b.Original = resized(b.Sizes, n), resized(b.Original, n)
	b.Index, b.Valid = resized(b.Index, n), resized(b.Valid, n)
	b.Boxes, b.Labels = resized(b.Boxes, n*b.Capacity*4), resized(b.Labels, n*b.Capacity)
	b.Masks = resized(b.Masks, n)
	b.errs = resized(b.errs, n)
	clear(b.errs)
	for row := len(p.entries); row < n; row++ {
		b.clear(row)
	}
	b.pending.Store(int32(len(p.entries)))
}

// clear makes a row padding.
func (b *Batch) clear(row int) {
	clear(b.X[row*b.H*b.W*3 : (row+1)*b.H*b.W*3])
	b.Sizes[row], b.Original[row], b.Index[row], b.Valid[row] = [2]int{}, [2]int{}, -1, 0
	clear(b.Boxes[row*b.Capacity*4 : (row+1)*b.Capacity*4])
	labels := b.Labels[row*b.Capacity : (row+1)*b.Capacity]
	for i := range labels {
		labels[i] = -1
	}
	b.Masks[row] = nil
}

// move makes row to what row from is.
func (b *Batch) move(to, from int) {
	size := b.H * b.W * 3
	copy(b.X[to*size:(to+1)*size], b.X[from*size:])
	b.Sizes[to], b.Original[to], b.Index[to], b.Valid[to] = b.Sizes[from], b.Original[from], b.Index[from], b.Valid[from]
	copy(b.Boxes[to*b.Capacity*4:(to+1)*b.Capacity*4], b.Boxes[from*b.Capacity*4:])
	copy(b.Labels[to*b.Capacity:(to+1)*b.Capacity], b.Labels[from*b.Capacity:])
	b.Masks[to] = b.Masks[from]
}

var errSkipped = errors.New("skipped")

const maxReplace = 100

// fill makes a row.
func (l *Loader) fill(b *slot, row int, e entry) error {
	err := l.sample(b, row, e)
	if err == nil || !l.cfg.SkipBad {
		return err
	}
	if !l.cfg.Shuffle {
		return errSkipped
	}
	// The replacement is drawn by the bad picture's number, so that it does not depend
	// on which others are bad.
	key := l.key(b.Epoch, e)
	rng := key.rand(opReplace)
	group := l.groups[b.plan.group]
	for range maxReplace {
		if l.sample(b, row, entry{group[rng.IntN(len(group))], e.copy + 1}) == nil {
			return nil
		}
	}
	return fmt.Errorf("detection: %d pictures drawn as replacements for %s were bad too: %w", maxReplace, l.ds.Name(int(e.index)), err)
}

func (l *Loader) key(epoch int, e entry) sampleKey {
	return sampleKey{l.cfg.Seed, uint32(epoch), e.index, e.copy}
}

// sample writes a picture and its objects to a row.
func (l *Loader) sample(b *slot, row int, e entry) error {
	s, p, err := l.scene(b.Epoch, e)
	if err != nil {
		l.remember(int(e.index), err)
		return err
	}
	w, h := s.m.W, s.m.H
	if l.cfg.Augment == nil || l.cfg.Augment.ScaleJitter == nil {
		w, h = p.Size(w, h)
	}
	if w > b.W || h > b.H {
		return fmt.Errorf("detection: %s is resized to %d x %d pixels, but the input has %d x %d: give LoaderConfig.Shapes a larger one", l.ds.Name(int(e.index)), w, h, b.W, b.H)
	}
	b.clear(row)
	b.Index[row], b.Sizes[row], b.Original[row] = int(e.index), [2]int{h, w}, [2]int{s.m.H, s.m.W}
	s.scaleObjects(s.m.W, s.m.H, w, h)
	l.norm.resize(b.X[row*b.H*b.W*3:], b.W, s.m, w, h)
	objects := s.objects
	if len(objects) > b.Capacity {
		// The largest are kept, in their order.
		area := func(o target) float64 { return (o.box[2] - o.box[0]) * (o.box[3] - o.box[1]) }
		order := make([]int, len(objects))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(i, j int) int {
			switch d := area(objects[j]) - area(objects[i]); {
			case d > 0:
				return 1
			case d < 0:
				return -1
			}
			return 0
		})
		order = order[:b.Capacity]
		slices.Sort(order)
		kept := make([]target, len(order))
		for i, k := range order {
			kept[i] = objects[k]
		}
		objects = kept
	}
	b.Valid[row] = len(objects)
	for i, o := range objects {
		at := row*b.Capacity + i
		for k, v := range o.box {
			b.Boxes[4*at+k] = float32(v)
		}
		b.Labels[at] = int64(o.class)
		if l.cfg.Masks {
			b.Masks[row] = append(b.Masks[row], o.mask)
		}
	}
	return nil
}

// remember keeps a bad picture for [Loader.Bad].
func (l *Loader) remember(i int, err error) {
	bad := (*data.SampleError)(nil)
	if l.cfg.SkipBad && errors.As(err, &bad) {
		l.mu.Lock()
		l.bad[bad.Index] = bad
		l.mu.Unlock()
	}
}

// scene returns a picture, augmented, and how it is to be resized.
func (l *Loader) scene(epoch int, e entry) (*scene, Preprocess, error) {
	key, a := l.key(epoch, e), l.cfg.Augment
	p := a.minSize(l.cfg.Preprocess, key)
	s, err := l.load(epoch, e)
	if err != nil || a == nil {
		return s, p, err
	}
	if a.Mosaic > 0 {
		if rng := key.rand(opMosaic); rng.Float64() < a.Mosaic {
			parts := [4]*scene{s}
			for k := 1; k < 4; k++ {
				other := entry{uint32(rng.IntN(l.ds.Len())), e.copy<<2 + uint32(k)}
				if parts[k], err = l.load(epoch, other); err != nil {
					return nil, p, err
				}
			}
			s = mosaic(parts, &rng)
		}
	}
	if a.IoUCrop {
		rng := key.rand(opIoUCrop)
		s.iouCrop(&rng)
	}
	if a.HFlip > 0 {
		if rng := key.rand(opFlip); rng.Float64() < a.HFlip {
			s.flip()
		}
	}
	if j := a.ScaleJitter; j != nil {
		rng := key.rand(opScaleJitter)
		j.apply(s, &rng)
	}
	return s, p, nil
}

// load returns a picture with its objects, without crowds, in its own colors or varied
// ones. The error is a *data.SampleError.
func (l *Loader) load(epoch int, e entry) (*scene, error) {
	i := int(e.index)
	fail := func(err error) error { return &data.SampleError{Index: i, Name: l.ds.Name(i), Err: err} }
	m := new(imaging.Image)
	if err := l.ds.Decode(i, m); err != nil {
		return nil, fail(err)
	}
	if m.C != 3 {
		rgb := new(imaging.Image)
		imaging.Convert(rgb, m, 3)
		m = rgb
	}
	s := &scene{m: m}
	if a := l.cfg.Augment; a != nil {
		colors := data.Augment{ColorJitter: a.ColorJitter, Grayscale: a.Grayscale}
		colors.Colors(m, l.cfg.Seed, uint32(epoch), e.index, e.copy)
	}
	var ms []masks.RLE
	if l.cfg.Masks {
		var err error
		if ms, err = l.ds.masks(i, m.W, m.H); err != nil {
			return nil, fail(err)
		}
	}
	for k, o := range l.ds.Pictures[i].Objects {
		if o.Crowd {
			continue
		}
		t := target{box: [4]float64{o.Box[0], o.Box[1], o.Box[0] + o.Box[2], o.Box[1] + o.Box[3]}, class: o.Class}
		if l.cfg.Masks {
			t.mask = ms[k].Bitmap()
		}
		s.objects = append(s.objects, t)
	}
	s.cropObjects(imaging.Rect{W: m.W, H: m.H})
	return s, nil
}
