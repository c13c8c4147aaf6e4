package data

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/philox"
)

// RandAugment applies Ops random transforms, all of the same Magnitude from 0 to
// 30 (Cubuk et al., arXiv 1909.13719, in torchvision's version, whose defaults are
// 2 and 9).
type RandAugment struct {
	Ops       int `json:"ops" yaml:"ops"`
	Magnitude int `json:"magnitude" yaml:"magnitude"`
}

// ColorJitter changes brightness, contrast and saturation by random factors
// from 1-x to 1+x, and the hue by up to x of the circle, in random order
// (torchvision's ColorJitter).
type ColorJitter struct {
	Brightness float64 `json:"brightness,omitempty" yaml:"brightness,omitempty"`
	Contrast   float64 `json:"contrast,omitempty" yaml:"contrast,omitempty"`
	Saturation float64 `json:"saturation,omitempty" yaml:"saturation,omitempty"`
	Hue        float64 `json:"hue,omitempty" yaml:"hue,omitempty"` // up to 0.5
	// P is the probability that it is applied at all; 0 means 1.
	P float64 `json:"p,omitempty" yaml:"p,omitempty"`
}

func (r *RandAugment) valid() error {
	if r.Ops < 1 || r.Ops > 16 {
		return fmt.Errorf("data: augment: rand_augment.ops %d is not within 1 to 16", r.Ops)
	}
	if r.Magnitude < 0 || r.Magnitude > bins-1 {
		return fmt.Errorf("data: augment: rand_augment.magnitude %d is not within 0 to %d", r.Magnitude, bins-1)
	}
	return nil
}

func (j *ColorJitter) valid() error {
	for _, p := range []struct {
		name     string
		v, limit float64
	}{
		{"brightness", j.Brightness, math.Inf(1)}, {"contrast", j.Contrast, math.Inf(1)},
		{"saturation", j.Saturation, math.Inf(1)}, {"hue", j.Hue, 0.5},
	} {
		if !(p.v >= 0 && p.v <= p.limit) || math.IsInf(p.v, 1) {
			return fmt.Errorf("data: augment: color_jitter.%s %v is not within 0 to %v", p.name, p.v, p.limit)
		}
	}
	return probability("color_jitter.p", j.P)
}

// bins is the number of magnitudes that a transform may have.
const bins = 31

// transform is one of the operations of TrivialAugment and RandAugment.
type transform int

const (
	identity transform = iota
	shearX
	shearY
	translateX
	translateY
	rotate
	brightness
	saturation
	contrast
	sharpness
	posterize
	solarize
	autoContrast
	equalize
	transforms // how many there are
)

// space returns the magnitude of a transform for a bin, and whether its sign is
// random.
type space func(t transform, bin, w, h int) (magnitude float64, signed bool)

// wide is TrivialAugment's wide space (Müller and Hutter, arXiv 2103.10158,
// table 1 as in torchvision's TrivialAugmentWide).
func wide(t transform, bin, w, h int) (float64, bool) {
	part := float64(bin) / (bins - 1)
	switch t {
	case shearX, shearY, brightness, saturation, contrast, sharpness:
		return 0.99 * part, true
	case translateX, translateY:
		return 32 * part, true
	case rotate:
		return 135 * part, true
	case posterize:
		return 8 - math.RoundToEven(6*part), false
	case solarize:
		return 255 - 255*part, false
	}
	return 0, false
}

// narrow is RandAugment's space.
func narrow(t transform, bin, w, h int) (float64, bool) {
	part := float64(bin) / (bins - 1)
	switch t {
	case shearX, shearY:
		return 0.3 * part, true
	case brightness, saturation, contrast, sharpness:
		return 0.9 * part, true
	case translateX:
		return 150.0 / 331 * float64(w) * part, true
	case translateY:
		return 150.0 / 331 * float64(h) * part, true
	case rotate:
		return 30 * part, true
	case posterize:
		return 8 - math.RoundToEven(4*part), false
	case solarize:
		return 255 - 255*part, false
	}
	return 0, false
}

// draw returns a random transform with its magnitude. A negative bin stands for a
// random one.
func (s space) draw(rng *philox.Rand, bin, w, h int) (transform, float64) {
	t := transform(rng.IntN(int(transforms)))
	if bin < 0 {
		bin = rng.IntN(bins)
	}
	v, signed := s(t, bin, w, h)
	if signed && rng.IntN(2) == 1 {
		v = -v
	}
	return t, v
}

// transform changes s.ops.
func (s *stages) transform(t transform, v float64) {
	m := &s.ops
	switch t {
	case brightness:
		imaging.Brightness(m, 1+v)
	case saturation:
		imaging.Saturation(m, 1+v)
	case contrast:
		imaging.Contrast(m, 1+v)
	case sharpness:
		imaging.Sharpness(m, &s.spare, 1+v)
	case posterize:
		imaging.Posterize(m, int(v))
	case solarize:
		imaging.Solarize(m, v)
	case autoContrast:
		imaging.AutoContrast(m)
	case equalize:
		imaging.Equalize(m)
	case shearX, shearY, translateX, translateY, rotate:
		switch t {
		case shearX:
			imaging.ShearX(&s.spare, m, v)
		case shearY:
			imaging.ShearY(&s.spare, m, v)
		case translateX:
			imaging.Translate(&s.spare, m, int(v), 0)
		case translateY:
			imaging.Translate(&s.spare, m, 0, int(v))
		default:
			imaging.Rotate(&s.spare, m, v)
		}
		s.ops, s.spare = s.spare, s.ops
	}
}

// pixels runs the steps of training that change pixel values: the policies, and what
// changes colors.
func (a *Augment) pixels(s *stages, v view, key sampleKey) (view, error) {
	if !a.TrivialAugment && a.RandAugment == nil && !a.changesColors() {
		return v, nil
	}
	s.cut(v)
	w, h := s.ops.W, s.ops.H
	if a.TrivialAugment {
		rng := key.rand(opTrivial)
		s.transform(space(wide).draw(&rng, -1, w, h))
	}
	if r := a.RandAugment; r != nil {
		rng := key.rand(opRand)
		for range r.Ops {
			s.transform(space(narrow).draw(&rng, r.Magnitude, w, h))
		}
	}
	err := a.colors(&s.ops, &s.blur, key)
	return view{m: &s.ops, r: imaging.Rect{W: w, H: h}}, err
}

// cut makes s.ops the picture of a view.
func (s *stages) cut(v view) {
	if v.m != &s.ops {
		imaging.CropPad(&s.ops, v.m, v.r)
	}
	if v.flip {
		imaging.FlipH(&s.ops)
	}
}

func (j *ColorJitter) apply(rng *philox.Rand, m *imaging.Image) {
	order := [4]int{0, 1, 2, 3}
	rng.Shuffle(4, func(a, b int) { order[a], order[b] = order[b], order[a] })
	factor := func(x float64) float64 { return rng.Uniform(max(0, 1-x), 1+x) }
	b, c, s := factor(j.Brightness), factor(j.Contrast), factor(j.Saturation)
	hue := rng.Uniform(-j.Hue, j.Hue)
	for _, o := range order {
		switch {
		case o == 0 && j.Brightness > 0:
			imaging.Brightness(m, b)
		case o == 1 && j.Contrast > 0:
			imaging.Contrast(m, c)
		case o == 2 && j.Saturation > 0:
			imaging.Saturation(m, s)
		case o == 3 && j.Hue > 0:
			imaging.Hue(m, hue)
		}
	}
}
