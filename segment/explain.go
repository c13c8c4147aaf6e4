package segment

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Explanation is what raises the logits of classes in a picture.
type Explanation struct {
	// Maps has a map for each class, of the network's input. Its Logit is the mean of
	// the class's logits over all pixels.
	Maps []explain.Map
	// Shares are the probabilities of the classes, the means over all pixels.
	Shares []float64
	Input  *tensor.Tensor // of the network, [1 C H W]
}

// Explain finds which parts of a picture raise the mean logit of classes, by an
// explainer of the network. choose returns the classes, given the shares of all (see
// [Explanation]). Unless opt names a layer, activations are read at layer, the last
// of the backbone.
func (n *Network) Explain(ctx context.Context, e *explain.Explainer, m *imaging.Image, choose func(shares []float64) []int, layer string, opt explain.Options) (*Explanation, error) {
	if m == nil || m.W < 1 || m.H < 1 {
		return nil, errors.New("segment: the picture is empty")
	}
	x, err := n.input([]*imaging.Image{m})
	if err != nil {
		return nil, err
	}
	z, err := n.Logits(ctx, m)
	if err != nil {
		return nil, err
	}
	all, shape := shares(z.Float32s(), n.classes), z.Shape()
	pixels := shape[2] * shape[3]
	out := &Explanation{Input: x}
	chosen := choose(all)
	for k, c := range chosen {
		if c < 0 || c >= n.classes {
			return nil, fmt.Errorf("segment: no class %d: the network has %d", c, n.classes)
		}
		weights := tensor.New(shape...)
		for i := c * pixels; i < (c+1)*pixels; i++ {
			weights.Float32s()[i] = 1 / float32(pixels)
		}
		s := explain.Score{
			Name: "output", Weights: weights, Layer: layer,
			Value: func(t *nn.Traced) (*graph.Value, error) { return t.Output, nil },
		}
		one, err := e.Map(ctx, infer.Tensors{nn.ImageInput: x}, s, opt)
		if err != nil {
			return nil, err
		}
		one.Class = c
		out.Maps, out.Shares = append(out.Maps, one), append(out.Shares, all[c])
		if opt.Progress != nil {
			opt.Progress(k+1, len(chosen))
		}
	}
	return out, nil
}

// shares returns the mean probability of each class over the pixels of logits
// [1 classes H W].
func shares(z []float32, classes int) []float64 {
	out := make([]float64, classes)
	pixels := len(z) / classes
	p := make([]float64, classes)
	for i := range pixels {
		top := math.Inf(-1)
		for c := range p {
			top = max(top, float64(z[c*pixels+i]))
		}
		sum := 0.0
		for c := range p {
			p[c] = math.Exp(float64(z[c*pixels+i]) - top)
			sum += p[c]
		}
		for c := range p {
			out[c] += p[c] / sum / float64(pixels)
		}
	}
	return out
}
