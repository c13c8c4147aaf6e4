package detect

import (
	"fmt"

	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/tensor"
)

// sizeDivisor is what the height and width of an input are rounded up to: the
// coarsest stage of a backbone has a 32nd of it.
const sizeDivisor = 32

// padded returns n rounded up to a multiple of [sizeDivisor].
func padded(n int) int { return (n + sizeDivisor - 1) / sizeDivisor * sizeDivisor }

// Preprocess returns how pictures become inputs of a detector that cfg describes.
func Preprocess(cfg models.Config) (detection.Preprocess, error) {
	h := cfg.Detection
	if h == nil {
		return detection.Preprocess{}, fmt.Errorf("detect: %s is not a detector", cfg.Name)
	}
	if cfg.InChannels != 3 {
		return detection.Preprocess{}, fmt.Errorf("detect: %s takes %d channels, a detector of pictures must take 3", cfg.Name, cfg.InChannels)
	}
	p := detection.Preprocess{MinSize: h.MinSize, MaxSize: h.MaxSize, Mean: h.Mean, Std: h.Std}
	return p, p.Valid()
}

// input returns a picture as an input [1 3 H W], and the height and width of the
// part that is not padding, which is zero.
func input(p detection.Preprocess, m *imaging.Image) (x *tensor.Tensor, h, w int, err error) {
	if m.C != 3 {
		converted := new(imaging.Image)
		imaging.Convert(converted, m, 3)
		m = converted
	}
	w, h = p.Size(m.W, m.H)
	ph, pw := padded(h), padded(w)
	pix := make([]float32, ph*pw*3)
	p.Apply(pix, pw, m, w, h)
	x, err = tensor.FromNHWC(pix, 1, 3, ph, pw)
	return x, h, w, err
}
