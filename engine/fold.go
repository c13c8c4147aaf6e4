package engine

import (
	"math"

	"github.com/resnet-go/resnet/tensor"
)

// foldWeights returns the weight [K C R S] and bias [K] of the convolution
// that does a convolution (bias may be nil) and a batch norm at once. It works
// in float64 and rounds once.
func foldWeights(w, gamma, beta, mean, variance, bias *tensor.Tensor, eps float32) (fw, fb *tensor.Tensor) {
	fw = w.Clone()
	fb = tensor.New(w.Shape()[0])
	filter := w.Numel() / w.Shape()[0]
	for k := range fb.Float32s() {
		scale := float64(gamma.Float32s()[k]) / math.Sqrt(float64(variance.Float32s()[k])+float64(eps))
		b := -float64(mean.Float32s()[k])
		if bias != nil {
			b += float64(bias.Float32s()[k])
		}
		fb.Float32s()[k] = float32(b*scale + float64(beta.Float32s()[k]))
		for i := k * filter; i < (k+1)*filter; i++ {
			fw.Float32s()[i] = float32(float64(fw.Float32s()[i]) * scale)
		}
	}
	return fw, fb
}
