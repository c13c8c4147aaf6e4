package data

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data/imaging"
)

// GaussianBlur blurs with probability P by a Kernel x Kernel window whose standard
// deviation is drawn from Sigma, in pixels (torchvision's GaussianBlur).
type GaussianBlur struct {
	P float64 `json:"p" yaml:"p"`
	// Kernel is an odd number; 0 is a tenth of the input's shorter side, at least 3, as
	// of SimCLR (Chen et al. 2020, arXiv 2002.05709, appendix A: 23 at 224).
	Kernel int        `json:"kernel,omitempty" yaml:"kernel,omitempty"`
	Sigma  [2]float64 `json:"sigma" yaml:"sigma,flow"` // usually 0.1 to 2
}

// Solarize inverts, with probability P, all values of at least Threshold, from 0 to 255
// (torchvision's RandomSolarize).
type Solarize struct {
	P         float64 `json:"p" yaml:"p"`
	Threshold float64 `json:"threshold" yaml:"threshold"` // usually 128
}

// maxKernel is the largest window of GaussianBlur.
const maxKernel = 255

func (b *GaussianBlur) valid() error {
	switch {
	case b.Kernel < 0 || b.Kernel > maxKernel || b.Kernel != 0 && b.Kernel%2 == 0:
		return fmt.Errorf("data: augment: gaussian_blur.kernel %d is not an odd number from 1 to %d", b.Kernel, maxKernel)
	case !(b.Sigma[0] > 0 && b.Sigma[0] <= b.Sigma[1] && b.Sigma[1] < math.Inf(1)):
		return fmt.Errorf("data: augment: gaussian_blur.sigma %v is not two rising numbers above 0", b.Sigma)
	}
	return probability("gaussian_blur.p", b.P)
}

func (s *Solarize) valid() error {
	if !(s.Threshold >= 0 && s.Threshold <= 256) {
		return fmt.Errorf("data: augment: solarize.threshold %v is not within 0 to 256", s.Threshold)
	}
	return probability("solarize.p", s.P)
}

// window returns the kernel for a picture.
func (b *GaussianBlur) window(m *imaging.Image) (int, error) {
	k, side := b.Kernel, min(m.W, m.H)
	if k == 0 {
		k = max(3, (side/10-1)|1)
	}
	if k/2 >= side {
		return 0, fmt.Errorf("gaussian_blur's kernel of %d is too large for an input of %d x %d", k, m.W, m.H)
	}
	return k, nil
}

// Colors applies the ColorJitter and Grayscale of a to m, which it changes, by the
// random numbers of a sample in an epoch. It is for loaders of other packages, which
// vary the geometry themselves. a must be valid.
func (a *Augment) Colors(m *imaging.Image, seed uint64, epoch, sample, copy uint32) {
	a.tint(m, sampleKey{seed: seed, epoch: epoch, index: sample, copy: copy})
}

// tint applies ColorJitter and Grayscale.
func (a *Augment) tint(m *imaging.Image, key sampleKey) {
	if j := a.ColorJitter; j != nil && key.happens(opJitterChance, j.P, 1) {
		rng := key.rand(opJitter)
		j.apply(&rng, m)
	}
	if a.Grayscale > 0 {
		rng := key.rand(opGrayscale)
		if rng.Float64() < a.Grayscale {
			imaging.Grayscale(m)
		}
	}
}

// happens draws whether something of probability p is done; 0 stands for usual.
func (k sampleKey) happens(o op, p, usual float64) bool {
	if p == 0 {
		p = usual
	}
	if p == 1 {
		return true
	}
	rng := k.rand(o)
	return rng.Float64() < p
}

// changesColors reports whether colors does anything.
func (a *Augment) changesColors() bool {
	return a.ColorJitter != nil || a.Grayscale > 0 || a.GaussianBlur != nil || a.Solarize != nil
}

// colors applies what changes colors, in the order of the fields. tmp is memory.
func (a *Augment) colors(m *imaging.Image, tmp *[]float32, key sampleKey) error {
	a.tint(m, key)
	if b := a.GaussianBlur; b != nil {
		rng := key.rand(opBlur)
		if rng.Float64() < b.P {
			k, err := b.window(m)
			if err != nil {
				return err
			}
			imaging.GaussianBlur(m, tmp, k, rng.Uniform(b.Sigma[0], b.Sigma[1]))
		}
	}
	if s := a.Solarize; s != nil && key.happens(opSolarize, s.P, 0) {
		imaging.Solarize(m, s.Threshold)
	}
	return nil
}
