package detection

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/masks"
)

// Augment describes how training pictures are varied, their boxes and masks with
// them. It is plain data for recipes; the zero value changes nothing. The steps run in
// the order of the fields.
type Augment struct {
	// ColorJitter and Grayscale change colors; see [data.Augment].
	ColorJitter *data.ColorJitter `json:"color_jitter,omitempty" yaml:"color_jitter,omitempty"`
	Grayscale   float64           `json:"grayscale,omitempty" yaml:"grayscale,omitempty"`
	// Mosaic is the probability of joining four pictures, each cut to a quarter, at a
	// random point of the first (Bochkovskiy et al., arXiv 2004.10934, section 3.3).
	Mosaic float64 `json:"mosaic,omitempty" yaml:"mosaic,omitempty"`
	// IoUCrop cuts out a random part that overlaps the objects by at least a random
	// share (Liu et al., "SSD", arXiv 1512.02325, section 2.2, in torchvision's version).
	IoUCrop bool `json:"iou_crop,omitempty" yaml:"iou_crop,omitempty"`
	// HFlip is the probability of mirroring left to right.
	HFlip float64 `json:"hflip,omitempty" yaml:"hflip,omitempty"`
	// MinSizes are sizes one of which replaces Preprocess.MinSize at random (torchvision's
	// "multiscale": 480, 512, …, 800).
	MinSizes []int `json:"min_sizes,omitempty" yaml:"min_sizes,omitempty,flow"`
	// ScaleJitter resizes by a random factor and cuts out a square.
	ScaleJitter *ScaleJitter `json:"scale_jitter,omitempty" yaml:"scale_jitter,omitempty"`
}

// ScaleJitter is large-scale jitter (Ghiasi et al., "Simple Copy-Paste", arXiv
// 2012.07177, section 3): the picture is resized to fit Size by Size pixels times a
// random factor, and a part of Size by Size pixels is cut out at a random place; what
// is smaller is padded. It replaces the resizing of [Preprocess].
type ScaleJitter struct {
	Size int     `json:"size" yaml:"size"` // usually 1024
	Min  float64 `json:"min" yaml:"min"`   // usually 0.1
	Max  float64 `json:"max" yaml:"max"`   // usually 2
}

// Valid returns an error that names the field that is out of range.
func (a *Augment) Valid() error {
	colors := data.Augment{ColorJitter: a.ColorJitter, Grayscale: a.Grayscale, HFlip: a.HFlip}
	if err := colors.Valid(); err != nil {
		return err
	}
	if !(a.Mosaic >= 0 && a.Mosaic <= 1) {
		return fmt.Errorf("detection: augment: mosaic %v is not a probability", a.Mosaic)
	}
	for _, s := range a.MinSizes {
		if s < 1 || s > maxSide {
			return fmt.Errorf("detection: augment: min_sizes has %d, which is not within 1 to %d", s, maxSide)
		}
	}
	if j := a.ScaleJitter; j != nil {
		switch {
		case j.Size < 1 || j.Size > maxSide:
			return fmt.Errorf("detection: augment: scale_jitter.size %d is not within 1 to %d", j.Size, maxSide)
		case !(j.Min > 0 && j.Min <= j.Max && j.Max <= 16):
			return fmt.Errorf("detection: augment: scale_jitter from %v to %v is not two rising factors above 0 and up to 16", j.Min, j.Max)
		case len(a.MinSizes) > 0:
			return fmt.Errorf("detection: augment: min_sizes and scale_jitter are both set, and exclude each other: leave one out")
		}
	}
	return nil
}

// op numbers the kinds of random decisions, beside those of package data. The values
// are part of what a seed means: never reuse one.
type op uint32

const (
	opShuffle op = iota + 64
	opReplace
	opMosaic
	opIoUCrop
	opFlip
	opMinSize
	opScaleJitter
)

// sampleKey is what the random decisions for one picture depend on.
type sampleKey struct {
	seed               uint64
	epoch, index, copy uint32
}

func (k sampleKey) rand(o op) philox.Rand {
	return philox.Keyed(k.seed, uint32(o)|k.copy<<8, k.epoch, k.index)
}

// scene is a picture with its objects on the way into a batch.
type scene struct {
	m       *imaging.Image
	objects []target
}

// target is an object of a scene.
type target struct {
	box   [4]float64 // x0, y0, x1, y1
	class int
	mask  *masks.Bitmap // nil unless masks are wanted
}

// crop cuts the scene to a part of the picture, which may reach outside, and drops
// objects that are no longer there.
func (s *scene) crop(r imaging.Rect) {
	m := new(imaging.Image)
	imaging.CropPad(m, s.m, r)
	s.m = m
	s.cropObjects(r)
}

func (s *scene) cropObjects(r imaging.Rect) {
	kept := s.objects[:0]
	for _, o := range s.objects {
		for k := range 2 {
			at, size := float64(r.X), float64(r.W)
			if k == 1 {
				at, size = float64(r.Y), float64(r.H)
			}
			o.box[k], o.box[k+2] = min(max(o.box[k]-at, 0), size), min(max(o.box[k+2]-at, 0), size)
		}
		if !(o.box[2] > o.box[0] && o.box[3] > o.box[1]) {
			continue
		}
		if o.mask != nil {
			o.mask = o.mask.Crop(r.Y, r.X, r.H, r.W)
		}
		kept = append(kept, o)
	}
	s.objects = kept
}

// scaleObjects moves the objects as when the picture is resized from (w0, h0) to (w, h)
// pixels: by float32 ratios, as in torchvision.
func (s *scene) scaleObjects(w0, h0, w, h int) {
	rw, rh := float32(w)/float32(w0), float32(h)/float32(h0)
	for i := range s.objects {
		o := &s.objects[i]
		for k, r := range [4]float32{rw, rh, rw, rh} {
			o.box[k] = float64(float32(o.box[k]) * r)
		}
		if o.mask != nil {
			o.mask = o.mask.Resize(h, w)
		}
	}
}

func (s *scene) flip() {
	w := float64(s.m.W)
	imaging.FlipH(s.m)
	for i := range s.objects {
		o := &s.objects[i]
		o.box[0], o.box[2] = w-o.box[2], w-o.box[0]
		if o.mask != nil {
			o.mask = o.mask.FlipH()
		}
	}
}

// iouOptions are the shares of which one is drawn; from 1 on the picture stays whole.
var iouOptions = []float64{0, 0.1, 0.3, 0.5, 0.7, 0.9, 1}

// iouCrop is torchvision's RandomIoUCrop.
func (s *scene) iouCrop(rng *philox.Rand) {
	if len(s.objects) == 0 {
		return
	}
	w, h := float64(s.m.W), float64(s.m.H)
	for { // ends: every round draws the whole picture with a chance of 1 in 7
		share := iouOptions[rng.IntN(len(iouOptions))]
		if share >= 1 {
			return
		}
		for range 40 {
			cw, ch := int(w*rng.Uniform(0.3, 1)), int(h*rng.Uniform(0.3, 1))
			if ch < 1 || cw < 1 || float64(cw)/float64(ch) < 0.5 || float64(cw)/float64(ch) > 2 {
				continue
			}
			r := imaging.Rect{X: int((w - float64(cw)) * rng.Float64()), Y: int((h - float64(ch)) * rng.Float64()), W: cw, H: ch}
			part := [4]float64{float64(r.X), float64(r.Y), float64(r.W), float64(r.H)}
			var inside []target
			best := 0.0
			for _, o := range s.objects {
				cx, cy := (o.box[0]+o.box[2])/2-part[0], (o.box[1]+o.box[3])/2-part[1]
				if !(cx > 0 && cx < part[2] && cy > 0 && cy < part[3]) {
					continue
				}
				inside = append(inside, o)
				b := [4]float64{o.box[0], o.box[1], o.box[2] - o.box[0], o.box[3] - o.box[1]}
				best = max(best, masks.BoxIoU([][4]float64{b}, [][4]float64{part}, nil)[0])
			}
			if len(inside) > 0 && best >= share {
				s.objects = inside
				s.crop(r)
				return
			}
		}
	}
}

// mosaic joins four scenes at a random point of the first one's picture.
func mosaic(parts [4]*scene, rng *philox.Rand) *scene {
	w, h := parts[0].m.W, parts[0].m.H
	if w < 4 || h < 4 {
		return parts[0]
	}
	cx, cy := int(float64(w)*rng.Uniform(0.25, 0.75)), int(float64(h)*rng.Uniform(0.25, 0.75))
	out := &scene{m: imaging.New(w, h, 3)}
	for i, s := range parts {
		at := imaging.Rect{W: cx, H: cy}
		if i%2 == 1 {
			at.X, at.W = cx, w-cx
		}
		if i >= 2 {
			at.Y, at.H = cy, h-cy
		}
		scale := max(float64(at.W)/float64(s.m.W), float64(at.H)/float64(s.m.H))
		// An extreme strip would be enlarged beyond all bounds: it is squeezed instead.
		rw := min(max(int(float64(s.m.W)*scale+0.5), at.W), 8*w)
		rh := min(max(int(float64(s.m.H)*scale+0.5), at.H), 8*h)
		r := imaging.Rect{X: rng.IntN(rw - at.W + 1), Y: rng.IntN(rh - at.H + 1), W: at.W, H: at.H}
		s.scaleObjects(s.m.W, s.m.H, rw, rh)
		tile := new(imaging.Image)
		imaging.ResizeCrop(tile, s.m, rw, rh, r, imaging.Bilinear)
		s.m = tile
		s.cropObjects(r)
		for y := range at.H {
			copy(out.m.Row(at.Y + y)[3*at.X:], tile.Row(y))
		}
		for _, o := range s.objects {
			for k := range 2 {
				o.box[2*k] += float64(at.X)
				o.box[2*k+1] += float64(at.Y)
			}
			if o.mask != nil {
				o.mask = o.mask.Crop(-at.Y, -at.X, h, w)
			}
			out.objects = append(out.objects, o)
		}
	}
	return out
}

// jitter resizes the scene by a random factor and cuts out a part.
func (j *ScaleJitter) apply(s *scene, rng *philox.Rand) {
	fit := min(float64(j.Size)/float64(s.m.W), float64(j.Size)/float64(s.m.H)) * rng.Uniform(j.Min, j.Max)
	w, h := max(int(float64(s.m.W)*fit), 1), max(int(float64(s.m.H)*fit), 1)
	r := imaging.Rect{W: min(w, j.Size), H: min(h, j.Size)}
	r.X, r.Y = rng.IntN(w-r.W+1), rng.IntN(h-r.H+1)
	s.scaleObjects(s.m.W, s.m.H, w, h)
	m := new(imaging.Image)
	imaging.ResizeCrop(m, s.m, w, h, r, imaging.Bilinear)
	s.m = m
	s.cropObjects(r)
}

// minSize draws the size of the shorter side.
func (a *Augment) minSize(p Preprocess, key sampleKey) Preprocess {
	if a == nil || len(a.MinSizes) == 0 {
		return p
	}
	rng := key.rand(opMinSize)
	p.MinSize = a.MinSizes[rng.IntN(len(a.MinSizes))]
	return p
}

// largest returns the preprocessing of the largest inputs.
func (a *Augment) largest(p Preprocess) Preprocess {
	if a == nil {
		return p
	}
	for i, s := range a.MinSizes {
		if i == 0 || s > p.MinSize {
			p.MinSize = s
		}
	}
	p.MaxSize = max(p.MaxSize, p.MinSize)
	return p
}

// roundUp returns n rounded up to a multiple of 32.
func roundUp(n int) int { return int(math.Ceil(float64(n)/32)) * 32 }
