package data

import (
	"math"

	"github.com/resnet-go/resnet/internal/philox"
)

// mix applies MixUp (Zhang et al., arXiv 1710.09412) or CutMix (Yun et al.,
// arXiv 1905.04899) to a finished batch, as torchvision does: every sample is
// mixed with the one before it (the first with the last), all by the same share,
// drawn from Beta(alpha, alpha).
func (a *Augment) mix(b *Batch, seed uint64, spare []float32) {
	rng := philox.Keyed(seed, uint32(opMix), uint32(b.Epoch), uint32(b.Step))
	cut := a.CutMix > 0
	if cut && a.MixUp > 0 {
		cut = rng.IntN(2) == 1
	}
	alpha := a.MixUp
	if cut {
		alpha = a.CutMix
	}
	lambda := rng.Beta(alpha, alpha)
	if !cut {
		blend(b.X, b.Real, b.H*b.W*b.C, float32(lambda), spare)
		blend(b.Targets, b.Real, len(b.Targets)/b.N, float32(lambda), spare)
		return
	}
	// The rectangle of CutMix is clipped at the edges; the targets follow the area
	// that remains.
	cx, cy := rng.IntN(b.W), rng.IntN(b.H)
	r := 0.5 * math.Sqrt(1-lambda)
	hw, hh := int(r*float64(b.W)), int(r*float64(b.H))
	x0, x1 := max(cx-hw, 0), min(cx+hw, b.W)
	y0, y1 := max(cy-hh, 0), min(cy+hh, b.H)
	lambda = 1 - float64((x1-x0)*(y1-y0))/float64(b.W*b.H)
	paste(b, x0, y0, x1, y1, spare)
	blend(b.Targets, b.Real, len(b.Targets)/b.N, float32(lambda), spare)
}

// blend sets row n to lambda*row[n] + (1-lambda)*row[n-1] of the old rows.
func blend(x []float32, rows, size int, lambda float32, spare []float32) {
	if rows < 2 {
		return
	}
	last := spare[:size]
	copy(last, x[(rows-1)*size:])
	for n := rows - 1; n >= 0; n-- {
		cur, prev := x[n*size:(n+1)*size], last
		if n > 0 {
			prev = x[(n-1)*size : n*size]
		}
		for i, v := range cur {
			cur[i] = float32(lambda*v) + float32((1-lambda)*prev[i])
		}
	}
}

// paste copies a rectangle of row n-1 into row n, of the old rows.
func paste(b *Batch, x0, y0, x1, y1 int, spare []float32) {
	if b.Real < 2 || x0 >= x1 {
		return
	}
	size := b.H * b.W * b.C
	last := spare[:size]
	copy(last, b.X[(b.Real-1)*size:])
	for n := b.Real - 1; n >= 0; n-- {
		cur, prev := b.X[n*size:(n+1)*size], last
		if n > 0 {
			prev = b.X[(n-1)*size : n*size]
		}
		for y := y0; y < y1; y++ {
			lo, hi := (y*b.W+x0)*b.C, (y*b.W+x1)*b.C
			copy(cur[lo:hi], prev[lo:hi])
		}
	}
}
