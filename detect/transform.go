package detect

import (
	"math"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/tensor"
)

// sizeDivisor is what the height and width of an input are rounded up to: the
// coarsest stage of a backbone has a 32nd of it.
const sizeDivisor = 32

// transform turns pictures into a detector's input as torchvision's
// GeneralizedRCNNTransform does: normalized first, then resized by bilinear
// interpolation without smoothing, then padded with zeros on the right and at the
// bottom.
type transform struct {
	minSize, maxSize int
	level            [][256]float32 // of each channel: the normalized value of each byte
}

func newTransform(h *models.DetectionHead) *transform {
	t := &transform{minSize: h.MinSize, maxSize: h.MaxSize, level: make([][256]float32, len(h.Mean))}
	for c := range t.level {
		for v := range 256 {
			t.level[c][v] = (float32(v)/255 - h.Mean[c]) / h.Std[c]
		}
	}
	return t
}

// size returns the height and width to which a picture is resized. The products
// are rounded down, which takes a pixel more than it should where h*(800/h) is
// below 800 in double precision, as for h = 97: torchvision does the same.
func (t *transform) size(h, w int) (int, int) {
	scale := min(float64(t.minSize)/float64(min(h, w)), float64(t.maxSize)/float64(max(h, w)))
	side := func(n int) int { return max(int(math.Floor(float64(float64(n)*scale))), 1) }
	return side(h), side(w)
}

// padded returns n rounded up to a multiple of [sizeDivisor].
func padded(n int) int { return (n + sizeDivisor - 1) / sizeDivisor * sizeDivisor }

// apply returns a picture as an input [1 C H W], and the height and width of the
// part that is not padding.
func (t *transform) apply(m *imaging.Image) (x *tensor.Tensor, h, w int, err error) {
	if channels := len(t.level); m.C != channels {
		converted := new(imaging.Image)
		imaging.Convert(converted, m, channels)
		m = converted
	}
	h, w = t.size(m.H, m.W)
	ph, pw := padded(h), padded(w)
	pix := make([]float32, ph*pw*m.C)
	t.resize(pix, pw, m, h, w)
	x, err = tensor.FromNHWC(pix, 1, m.C, ph, pw)
	return x, h, w, err
}

// resize writes the normalized picture, resized to h by w, to rows of pw pixels.
func (t *transform) resize(dst []float32, pw int, m *imaging.Image, h, w int) {
	xs, ys := lerps(m.W, w), lerps(m.H, h)
	// A row of the picture serves several rows of the output: two are kept.
	var kept [2][]float32
	keptY := [2]int{-1, -1}
	row := func(y int) []float32 {
		i := y & 1
		if keptY[i] != y {
			keptY[i] = y
			kept[i] = t.resizeRow(kept[i], m.Row(y), m.C, xs)
		}
		return kept[i]
	}
	n := w * m.C
	for y, at := range ys {
		a, b := row(at.first), row(at.second)
		out := dst[y*pw*m.C:][:n]
		for i := range out {
			out[i] = float32(a[i]*(1-at.share)) + float32(b[i]*at.share)
		}
	}
}

// resizeRow returns a normalized row, resized.
func (t *transform) resizeRow(dst []float32, src []uint8, channels int, xs []lerp) []float32 {
	if dst == nil {
		dst = make([]float32, len(xs)*channels)
	}
	for x, at := range xs {
		a, b := src[at.first*channels:], src[at.second*channels:]
		for c := range channels {
			level := &t.level[c]
			dst[x*channels+c] = float32(level[a[c]]*(1-at.share)) + float32(level[b[c]]*at.share)
		}
	}
	return dst
}

// lerp is a position between two pixels: the share of the second.
type lerp struct {
	first, second int
	share         float32
}

// lerps returns the positions in n pixels of the centers of out pixels, as PyTorch
// computes them in float32.
func lerps(n, out int) []lerp {
	at := make([]lerp, out)
	scale := float32(n) / float32(out)
	for i := range at {
		x := max(float32(scale*(float32(i)+0.5))-0.5, 0)
		first := min(int(x), n-1)
		at[i] = lerp{first, min(first+1, n-1), min(x-float32(first), 1)}
	}
	return at
}
