package data

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data/imaging"
)

// MaskDataset is a dataset whose samples have a class for each pixel. It has
// MultiLabel set and no Labels: which classes a picture has is known from its mask.
type MaskDataset interface {
	Dataset
	// DecodeMask writes the class of each pixel of sample i to dst, one channel: the
	// size is the picture's, and a value is an index of Classes or [IgnoredClass].
	// The error does not repeat the sample's name.
	DecodeMask(i int, dst *imaging.Image) error
}

// IgnoredClass is the value of pixels of a mask that count neither in the loss nor
// in the evaluation, such as the borders of objects in Pascal VOC.
const IgnoredClass = 255

// IgnoredLabel is what [IgnoredClass] becomes in Batch.Labels; graph.IgnoreLabel is
// the same.
const IgnoredLabel = -100

// Masks returns ds as a dataset with masks, also if it is a subset of one; nil if
// it has none.
func Masks(ds Dataset) MaskDataset {
	if w, ok := ds.(*withInputs); ok {
		return Masks(w.Dataset)
	}
	if s, ok := ds.(*subset); ok {
		if Masks(s.of) == nil {
			return nil
		}
		return maskSubset{s}
	}
	m, _ := ds.(MaskDataset)
	return m
}

// maskSubset is a subset of a dataset with masks.
type maskSubset struct{ *subset }

func (s maskSubset) DecodeMask(i int, dst *imaging.Image) error {
	ds, k := origin(s.subset, i)
	return ds.(MaskDataset).DecodeMask(k, dst)
}

// DecodeMasked decodes sample i and its mask, and returns an error if the sizes
// differ or the mask has a class that ds does not have.
func DecodeMasked(ds MaskDataset, i int, picture, mask *imaging.Image) error {
	if err := ds.Decode(i, picture); err != nil {
		return err
	}
	return decodeMask(ds, i, picture, mask)
}

// decodeMask decodes the mask of a picture.
func decodeMask(ds MaskDataset, i int, picture, mask *imaging.Image) error {
	if err := ds.DecodeMask(i, mask); err != nil {
		return fmt.Errorf("its mask: %w", err)
	}
	if mask.C != 1 {
		return fmt.Errorf("its mask has %d channels, must have one", mask.C)
	}
	if mask.W != picture.W || mask.H != picture.H {
		return fmt.Errorf("its mask has %d x %d pixels and the picture %d x %d: they must be of one size", mask.W, mask.H, picture.W, picture.H)
	}
	classes := len(ds.Classes())
	for at, v := range mask.Pix {
		if int(v) >= classes && v != IgnoredClass {
			return fmt.Errorf("its mask has class %d at x %d, y %d, but there are %d classes (0 to %d, and %d for pixels that do not count)",
				v, at%mask.W, at/mask.W, classes, classes-1, IgnoredClass)
		}
	}
	return nil
}

// RandomScale makes the shorter side of a picture, as [Preprocess] resizes it,
// longer or shorter by a random factor, before the input's size is cut out at a
// random place: torchvision's augmentation of pictures with masks.
type RandomScale struct {
	Min float64 `json:"min" yaml:"min"` // usually 0.5
	Max float64 `json:"max" yaml:"max"` // usually 2
}

func (r *RandomScale) valid() error {
	if !(r.Min > 0 && r.Min <= r.Max && r.Max <= 100) {
		return fmt.Errorf("data: augment: random_scale from %v to %v is not two rising factors above 0 and up to 100", r.Min, r.Max)
	}
	return nil
}

// forMasks returns an error that names a field that cannot vary a picture together
// with its mask.
func (a *Augment) forMasks() error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"random_resized_crop", a.RandomResizedCrop != nil}, {"pad_crop", a.PadCrop != 0}, {"mixup", a.MixUp != 0}, {"cutmix", a.CutMix != 0}, {"alternate_flip", a.AlternateFlip},
		{"trivial_augment", a.TrivialAugment}, {"rand_augment", a.RandAugment != nil}, {"random_erasing", a.RandomErasing != nil},
	} {
		if f.set {
			return fmt.Errorf("data: augment: %s is not for pictures with masks: leave it out; random_scale, hflip, vflip, color_jitter and grayscale are", f.name)
		}
	}
	return nil
}

// dense writes an input and the class of each of its pixels. Without augmentation
// the middle is cut out.
func (l *Loader) dense(dst []float32, labels []int64, epoch int, e entry, ws *workerState) error {
	if err := l.fetch(ws, int(e.index)); err != nil {
		return err
	}
	if err := ws.source.decode(); err != nil {
		return err
	}
	m := ws.source.m
	if err := decodeMask(l.masks, int(e.index), m, &ws.mask); err != nil {
		return err
	}
	p, a, key := l.cfg.Preprocess, l.cfg.Augment, l.key(epoch, e)
	w, h, err := a.scaled(p, m.W, m.H, key)
	if err != nil {
		return err
	}
	r := imaging.Rect{X: max(0, (w-p.Width)/2), Y: max(0, (h-p.Height)/2), W: min(p.Width, w), H: min(p.Height, h)}
	if a != nil {
		rng := key.rand(opMaskCrop)
		r.Y, r.X = rng.IntN(h-r.H+1), rng.IntN(w-r.W+1)
	}
	imaging.ResizeCrop(&ws.sized, ws.convert(m, p.Channels), w, h, r, p.Interpolation)
	imaging.ResizeCrop(&ws.maskCrop, &ws.mask, w, h, r, imaging.Nearest)
	v := view{m: &ws.sized, r: imaging.Rect{W: p.Width, H: p.Height}}
	if a != nil {
		rng := key.rand(opFlip)
		if rng.Float64() < a.HFlip {
			imaging.FlipH(&ws.sized)
			imaging.FlipH(&ws.maskCrop)
		}
		if rng.Float64() < a.VFlip {
			imaging.FlipV(&ws.sized)
			imaging.FlipV(&ws.maskCrop)
		}
		if v, err = a.pixels(&ws.stages, v, key); err != nil {
			return err
		}
	}
	l.norm.write(dst, v)
	writeLabels(labels, &ws.maskCrop, p.Width, p.Height)
	return nil
}

// scaled returns the size that a w by h picture is resized to.
func (a *Augment) scaled(p Preprocess, w, h int, key sampleKey) (int, int, error) {
	w0, h0 := w, h
	w, h, err := p.resized(w, h)
	if err != nil || a == nil || a.RandomScale == nil {
		return w, h, err
	}
	// As torchvision: the length of the shorter side is a whole number, all equally
	// likely.
	side := float64(min(w, h))
	lo, hi := max(1, int(math.Floor(a.RandomScale.Min*side))), max(1, int(math.Floor(a.RandomScale.Max*side)))
	rng := key.rand(opMaskScale)
	short := lo + rng.IntN(hi-lo+1)
	if !p.Squash { // from the picture's own size, since a rounded form would be rounded again
		w, h = w0, h0
	}
	w, h = imaging.ShorterSide(w, h, short)
	if w > maxPixelsResized/h {
		return 0, 0, fmt.Errorf("the picture of %d x %d would be resized to %d x %d, which is too large", w0, h0, w, h)
	}
	return w, h, nil
}

// writeLabels writes the classes of a mask to the top left of w by h labels; those
// outside the mask are ignored.
func writeLabels(labels []int64, mask *imaging.Image, w, h int) {
	for y := range h {
		row := labels[y*w : (y+1)*w]
		n := 0
		if y < mask.H {
			for x, v := range mask.Row(y) {
				row[x] = int64(v)
				if v == IgnoredClass {
					row[x] = IgnoredLabel
				}
			}
			n = mask.W
		}
		for x := n; x < w; x++ {
			row[x] = IgnoredLabel
		}
	}
}
