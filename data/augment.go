package data

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/philox"
)

// Augment describes how training pictures are varied. It is plain data for
// recipes; the zero value changes nothing. The steps run in the order of the fields,
// as in torchvision's reference recipes.
type Augment struct {
	// RandomResizedCrop cuts out a random part and resizes it to the input
	// size; it replaces the resize and crop of [Preprocess].
	RandomResizedCrop *RandomResizedCrop `json:"random_resized_crop,omitempty" yaml:"random_resized_crop,omitempty"`
	// RandomScale varies the size of pictures with masks, of which a random part of the
	// input's size is then cut out, with its mask. Pixels outside the picture are black
	// and have no class.
	RandomScale *RandomScale `json:"random_scale,omitempty" yaml:"random_scale,omitempty"`
	// PadCrop is the number of black pixels added at each side after the resize of
	// [Preprocess], before the input size is cut out at a random place (He et al.,
	// arXiv 1512.03385, section 4.2: 4 for CIFAR).
	PadCrop int `json:"pad_crop,omitempty" yaml:"pad_crop,omitempty"`
	// PadReflect mirrors the picture for PadCrop instead of black.
	PadReflect bool `json:"pad_reflect,omitempty" yaml:"pad_reflect,omitempty"`
	// HFlip and VFlip are the probabilities of mirroring left to right and top
	// to bottom.
	HFlip float64 `json:"hflip,omitempty" yaml:"hflip,omitempty"`
	VFlip float64 `json:"vflip,omitempty" yaml:"vflip,omitempty"`
	// AlternateFlip mirrors each picture left to right in every second epoch: half of
	// them, drawn once, in the first, third and so on, the others in between. Two epochs
	// in a row then have each picture both ways; HFlip draws anew each time (Jordan 2024,
	// arXiv 2404.00498, section 3.6).
	AlternateFlip bool `json:"alternate_flip,omitempty" yaml:"alternate_flip,omitempty"`
	// TrivialAugment applies one random transform of random strength (Müller
	// and Hutter, arXiv 2103.10158, torchvision's TrivialAugmentWide).
	TrivialAugment bool `json:"trivial_augment,omitempty" yaml:"trivial_augment,omitempty"`
	// RandAugment applies some random transforms of one strength.
	RandAugment *RandAugment `json:"rand_augment,omitempty" yaml:"rand_augment,omitempty"`
	// ColorJitter changes brightness, contrast, saturation and hue.
	ColorJitter *ColorJitter `json:"color_jitter,omitempty" yaml:"color_jitter,omitempty"`
	// Grayscale is the probability of losing the colors.
	Grayscale float64 `json:"grayscale,omitempty" yaml:"grayscale,omitempty"`
	// GaussianBlur and Solarize make views of one picture differ, for learning without
	// labels.
	GaussianBlur *GaussianBlur `json:"gaussian_blur,omitempty" yaml:"gaussian_blur,omitempty"`
	Solarize     *Solarize     `json:"solarize,omitempty" yaml:"solarize,omitempty"`
	// RandomErasing fills a random rectangle of the normalized input.
	RandomErasing *RandomErasing `json:"random_erasing,omitempty" yaml:"random_erasing,omitempty"`
	// MixUp and CutMix are the parameters alpha of the two ways to mix the
	// samples of a batch; 0 is off. With both, each batch takes one of them
	// with equal chance. They make [Batch.Targets] soft.
	MixUp  float64 `json:"mixup,omitempty" yaml:"mixup,omitempty"`
	CutMix float64 `json:"cutmix,omitempty" yaml:"cutmix,omitempty"`
}

// RandomResizedCrop is the crop of Szegedy et al. (arXiv 1409.4842, section 6)
// with torchvision's way of drawing it.
type RandomResizedCrop struct {
	Scale [2]float64 `json:"scale" yaml:"scale,flow"` // share of the area, usually 0.08 to 1
	Ratio [2]float64 `json:"ratio" yaml:"ratio,flow"` // width over height, usually 3/4 to 4/3
	// FullDecode decodes JPEG files at full size even where the part is at least
	// twice as wide and high as the input. Without it, such files are decoded at
	// 1/2, 1/4 or 1/8 of their size, as Pillow's Image.draft does: a fraction of the
	// time, and pixels that differ a little from a full decoding.
	FullDecode bool `json:"full_decode,omitempty" yaml:"full_decode,omitempty"`
}

// RandomErasing is Zhong et al., arXiv 1708.04896, with torchvision's way of
// drawing the rectangle.
type RandomErasing struct {
	P     float64    `json:"p" yaml:"p"`
	Scale [2]float64 `json:"scale" yaml:"scale,flow"` // share of the area, usually 0.02 to 0.33
	Ratio [2]float64 `json:"ratio" yaml:"ratio,flow"` // height over width, usually 0.3 to 3.3
	// Noise fills with normally distributed numbers instead of zero, which is
	// the mean color.
	Noise bool `json:"noise,omitempty" yaml:"noise,omitempty"`
}

// Valid returns an error that names the field that is out of range.
func (a *Augment) Valid() error {
	if r := a.RandomResizedCrop; r != nil {
		if a.PadCrop != 0 {
			return fmt.Errorf("data: augment: random_resized_crop and pad_crop are both set, and exclude each other: leave one out")
		}
		if err := ranges("random_resized_crop", r.Scale, r.Ratio, "usually [0.08, 1] and [0.75, 1.3333]"); err != nil {
			return err
		}
	}
	if a.RandomScale != nil {
		if err := a.RandomScale.valid(); err != nil {
			return err
		}
	}
	if a.RandAugment != nil {
		if err := a.RandAugment.valid(); err != nil {
			return err
		}
	}
	if a.ColorJitter != nil {
		if err := a.ColorJitter.valid(); err != nil {
			return err
		}
	}
	if b := a.GaussianBlur; b != nil {
		if err := b.valid(); err != nil {
			return err
		}
	}
	if s := a.Solarize; s != nil {
		if err := s.valid(); err != nil {
			return err
		}
	}
	if r := a.RandomErasing; r != nil {
		if err := ranges("random_erasing", r.Scale, r.Ratio, "usually [0.02, 0.33] and [0.3, 3.3]"); err != nil {
			return err
		}
		if err := probability("random_erasing.p", r.P); err != nil {
			return err
		}
	}
	if a.PadCrop < 0 || a.PadCrop > maxSide {
		return fmt.Errorf("data: augment: pad_crop %d is not within 0 to %d", a.PadCrop, maxSide)
	}
	if a.PadReflect && a.PadCrop == 0 {
		return fmt.Errorf("data: augment: pad_reflect is set without pad_crop: set the number of pixels by pad_crop")
	}
	if a.AlternateFlip && a.HFlip != 0 {
		return fmt.Errorf("data: augment: alternate_flip and hflip are both set, and exclude each other: set hflip to 0")
	}
	for _, p := range []struct {
		name string
		v    float64
	}{{"hflip", a.HFlip}, {"vflip", a.VFlip}, {"grayscale", a.Grayscale}} {
		if err := probability(p.name, p.v); err != nil {
			return err
		}
	}
	if !(a.MixUp >= 0) || !(a.CutMix >= 0) {
		return fmt.Errorf("data: augment: mixup %v and cutmix %v must be 0 (off) or above", a.MixUp, a.CutMix)
	}
	return nil
}

func probability(name string, p float64) error {
	if !(p >= 0 && p <= 1) {
		return fmt.Errorf("data: augment: %s %v is not a probability", name, p)
	}
	return nil
}

// ranges checks the scale and the ratio of a field. usual are both as torchvision has them.
func ranges(name string, scale, ratio [2]float64, usual string) error {
	if !(scale[0] > 0 && scale[0] <= scale[1] && scale[1] <= 1) {
		return fmt.Errorf("data: augment: %s.scale %v is not two rising shares of the area, above 0 and up to 1 (scale and ratio are %s)", name, scale, usual)
	}
	if !(ratio[0] > 0 && ratio[0] <= ratio[1] && ratio[1] < math.Inf(1)) {
		return fmt.Errorf("data: augment: %s.ratio %v is not two rising numbers above 0 (scale and ratio are %s)", name, ratio, usual)
	}
	return nil
}

// Mixes reports whether the rows of a batch are mixed: MixUp or CutMix is on.
func (a *Augment) Mixes() bool { return a != nil && (a.MixUp > 0 || a.CutMix > 0) }

// op numbers the kinds of random decisions. Each has a separate stream for every
// sample and epoch. The values are part of what a seed means: never reuse one.
type op uint32

const (
	opShuffle op = iota + 1
	opBalance
	opReplace
	opResizedCrop
	opPadCrop
	opFlip
	opErase
	opMix
	opTrivial
	opRand
	opJitter
	opGrayscale
	opMaskScale
	opMaskCrop
	opJitterChance
	opBlur
	opSolarize
)

// sampleKey is what the random decisions for one sample depend on.
type sampleKey struct {
	seed         uint64
	epoch, index uint32
	copy         uint32 // which occurrence of the sample in the epoch
	view         uint32 // which view of it in the batch, see LoaderConfig.Views
}

// viewShift is the bit at which the view begins, above the copy.
const viewShift = 28

func (k sampleKey) rand(o op) philox.Rand {
	return philox.Keyed(k.seed, uint32(o)|k.copy<<8|k.view<<viewShift, k.epoch, k.index)
}

// view runs the steps of training before normalization.
func (a *Augment) view(s *stages, p Preprocess, src *picture, key sampleKey) (view, error) {
	var v view
	if rrc := a.RandomResizedCrop; rrc != nil {
		w, h := src.size()
		if w < 1 || h < 1 {
			return v, errEmpty
		}
		rng := key.rand(opResizedCrop)
		if err := src.crop(s, rrc.draw(&rng, w, h), p.Channels, p.Width, p.Height, p.Interpolation, !rrc.FullDecode); err != nil {
			return v, err
		}
		v = view{m: &s.sized, r: imaging.Rect{W: p.Width, H: p.Height}}
	} else {
		if err := src.decode(); err != nil {
			return v, err
		}
		m, err := s.resize(p, src.m)
		if err != nil {
			return v, err
		}
		v = view{m: m, r: imaging.CenterCropRect(m.W, m.H, p.Width, p.Height)}
		if pad := a.PadCrop; pad > 0 {
			rng := key.rand(opPadCrop)
			v.r.Y = offset(&rng, m.H+2*pad, p.Height) - pad
			v.r.X = offset(&rng, m.W+2*pad, p.Width) - pad
			if a.PadReflect {
				if max(-v.r.X, v.r.X+v.r.W-m.W) >= m.W || max(-v.r.Y, v.r.Y+v.r.H-m.H) >= m.H {
					return v, fmt.Errorf("a picture of %d x %d is too small for pad_reflect", m.W, m.H)
				}
				imaging.CropReflect(&s.spare, m, v.r)
				v = view{m: &s.spare, r: imaging.Rect{W: p.Width, H: p.Height}}
			}
		}
	}
	if a.HFlip > 0 || a.VFlip > 0 {
		rng := key.rand(opFlip)
		v.flip = rng.Float64() < a.HFlip
		if rng.Float64() < a.VFlip {
			imaging.CropPad(&s.ops, v.m, v.r)
			imaging.FlipV(&s.ops)
			v.m, v.r.X, v.r.Y = &s.ops, 0, 0
		}
	}
	if a.AlternateFlip {
		v.flip = key.alternates()
	}
	return a.pixels(s, v, key)
}

// alternates draws whether the sample is mirrored in the first epoch, and returns that
// or, in every second epoch, the opposite.
func (k sampleKey) alternates() bool {
	odd := k.epoch%2 == 1
	k.epoch = 0
	rng := k.rand(opFlip)
	return (rng.Float64() < 0.5) != odd
}

// offset draws where a crop of size begins in n pixels; a crop that is larger
// sits in the middle.
func offset(rng *philox.Rand, n, size int) int {
	if n <= size {
		return (n - size) / 2
	}
	return rng.IntN(n - size + 1)
}

// draw returns the part of a w by h picture to take: ten tries for a random
// area and aspect ratio, then the largest centered part within the ratios.
func (r *RandomResizedCrop) draw(rng *philox.Rand, w, h int) imaging.Rect {
	area := float64(w) * float64(h)
	lo, hi := math.Log(r.Ratio[0]), math.Log(r.Ratio[1])
	for range 10 {
		target := area * rng.Uniform(r.Scale[0], r.Scale[1])
		ratio := math.Exp(rng.Uniform(lo, hi))
		cw := int(math.RoundToEven(math.Sqrt(target * ratio)))
		ch := int(math.RoundToEven(math.Sqrt(target / ratio)))
		if cw > 0 && cw <= w && ch > 0 && ch <= h {
			y := rng.IntN(h - ch + 1)
			return imaging.Rect{X: rng.IntN(w - cw + 1), Y: y, W: cw, H: ch}
		}
	}
	cw, ch := w, h
	if in := float64(w) / float64(h); in < r.Ratio[0] {
		ch = min(h, max(1, int(math.RoundToEven(float64(w)/r.Ratio[0]))))
	} else if in > r.Ratio[1] {
		cw = min(w, max(1, int(math.RoundToEven(float64(h)*r.Ratio[1]))))
	}
	return imaging.Rect{X: (w - cw) / 2, Y: (h - ch) / 2, W: cw, H: ch}
}

// erase fills a rectangle of an input of h rows, w columns and c channels.
func (r *RandomErasing) erase(x []float32, h, w, c int, key sampleKey) {
	rng := key.rand(opErase)
	if rng.Float64() >= r.P {
		return
	}
	area := float64(h) * float64(w)
	lo, hi := math.Log(r.Ratio[0]), math.Log(r.Ratio[1])
	for range 10 {
		target := area * rng.Uniform(r.Scale[0], r.Scale[1])
		ratio := math.Exp(rng.Uniform(lo, hi))
		eh := int(math.RoundToEven(math.Sqrt(target * ratio)))
		ew := int(math.RoundToEven(math.Sqrt(target / ratio)))
		if eh >= h || ew >= w || eh < 1 || ew < 1 {
			continue
		}
		top := rng.IntN(h - eh + 1)
		left := rng.IntN(w - ew + 1)
		for y := top; y < top+eh; y++ {
			row := x[(y*w+left)*c : (y*w+left+ew)*c]
			if !r.Noise {
				clear(row)
				continue
			}
			for i := range row {
				row[i] = float32(rng.Norm())
			}
		}
		return
	}
}
