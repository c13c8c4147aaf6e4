package data

import (
	"github.com/resnet-go/resnet/data/imaging"
)

// Colors applies the ColorJitter and Grayscale of a to m, which it changes, by the
// random numbers of a sample in an epoch. It is for loaders of other packages, which
// vary the geometry themselves. a must be valid.
func (a *Augment) Colors(m *imaging.Image, seed uint64, epoch, sample, copy uint32) {
	key := sampleKey{seed: seed, epoch: epoch, index: sample, copy: copy}
	if a.ColorJitter != nil {
		rng := key.rand(opJitter)
		a.ColorJitter.apply(&rng, m)
	}
	if a.Grayscale > 0 {
		rng := key.rand(opGrayscale)
		if rng.Float64() < a.Grayscale {
			imaging.Grayscale(m)
		}
	}
}
