package detection

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data/imaging"
)

// Preprocess describes how a picture becomes a detector's input, as torchvision's
// GeneralizedRCNNTransform does it: (v/255 - Mean) / Std for each channel, then the
// shorter side is resized to MinSize, or the longer to MaxSize if it would get longer
// than that, by bilinear interpolation without antialias.
type Preprocess struct {
	MinSize int       `json:"min_size" yaml:"min_size"` // pixels
	MaxSize int       `json:"max_size" yaml:"max_size"`
	Mean    []float32 `json:"mean" yaml:"mean,flow"` // of red, green, blue, of values from 0 to 1
	Std     []float32 `json:"std" yaml:"std,flow"`
}

// Standard returns the preprocessing of torchvision's detectors: 800 and 1333 pixels,
// ImageNet's mean and standard deviation.
func Standard() Preprocess {
	return Preprocess{MinSize: 800, MaxSize: 1333, Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225}}
}

// maxSide limits the side of an input.
const maxSide = 1 << 14

// Valid returns an error that names the field that is out of range.
func (p Preprocess) Valid() error {
	switch {
	case p.MinSize < 1 || p.MinSize > maxSide:
		return fmt.Errorf("detection: min_size %d is not within 1 to %d", p.MinSize, maxSide)
	case p.MaxSize < p.MinSize || p.MaxSize > maxSide:
		return fmt.Errorf("detection: max_size %d is not within min_size, %d, to %d", p.MaxSize, p.MinSize, maxSide)
	case len(p.Mean) != 3 || len(p.Std) != 3:
		return fmt.Errorf("detection: mean %v and std %v must have three numbers each", p.Mean, p.Std)
	}
	for _, v := range append(p.Mean[:3:3], p.Std...) {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("detection: mean %v and std %v must be finite", p.Mean, p.Std)
		}
	}
	for _, v := range p.Std {
		if !(v > 0) {
			return fmt.Errorf("detection: std %v must be above 0", p.Std)
		}
	}
	return nil
}

// Size returns the width and height that a picture of w by h pixels is resized to. It
// rounds down, as torchvision does, which for some sizes gives a pixel less than
// MinSize.
func (p Preprocess) Size(w, h int) (int, int) {
	scale := min(float64(p.MinSize)/float64(min(w, h)), float64(p.MaxSize)/float64(max(w, h)))
	side := func(n int) int { return max(int(math.Floor(float64(float64(n)*scale))), 1) }
	return side(w), side(h)
}

// normalizer is (v/255 - mean) / std for the 256 values of each channel.
type normalizer [3][256]float32

func (n *normalizer) init(p Preprocess) {
	for c := range n {
		for v := range n[c] {
			n[c][v] = (float32(v)/255 - p.Mean[c]) / p.Std[c]
		}
	}
}

// Apply writes a picture in RGB, resized to w by h pixels and normalized, to the
// upper left corner of an input with rows of stride pixels, channels last. The rest of
// dst stays as it is. It panics if dst is too small.
func (p Preprocess) Apply(dst []float32, stride int, m *imaging.Image, w, h int) {
	var n normalizer
	n.init(p)
	n.resize(dst, stride, m, w, h)
}

// lerp is a position between two pixels: the share of the second.
type lerp struct {
	first, second int
	share         float32
}

// lerps returns where the centers of out pixels are among n pixels, in float32 as
// PyTorch computes it.
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

func (n *normalizer) resize(dst []float32, stride int, m *imaging.Image, w, h int) {
	if m.C != 3 {
		rgb := new(imaging.Image)
		imaging.Convert(rgb, m, 3)
		m = rgb
	}
	xs := lerps(m.W, w)
	// A row of the picture serves several rows of the input: two are kept.
	kept := [2][]float32{make([]float32, 3*w), make([]float32, 3*w)}
	keptY := [2]int{-1, -1}
	row := func(y int) []float32 {
		k := y & 1
		if keptY[k] != y {
			keptY[k] = y
			n.row(kept[k], m.Row(y), xs)
		}
		return kept[k]
	}
	for y, at := range lerps(m.H, h) {
		a, b := row(at.first), row(at.second)
		out := dst[3*y*stride:][:3*w]
		for i := range out {
			out[i] = float32(a[i]*(1-at.share)) + float32(b[i]*at.share)
		}
	}
}

// row normalizes a row of the picture and resizes it.
func (n *normalizer) row(dst []float32, src []uint8, xs []lerp) {
	for x, at := range xs {
		a, b := src[3*at.first:][:3], src[3*at.second:][:3]
		for c := range 3 {
			dst[3*x+c] = float32(n[c][a[c]]*(1-at.share)) + float32(n[c][b[c]]*at.share)
		}
	}
}
