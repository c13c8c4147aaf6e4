// Package segment gives every pixel of a picture a class with a segmentation
// network: pictures of any size become inputs, and the logits masks of the
// picture's own size. It also measures a network on pictures with masks.
package segment

import (
	"context"
	"fmt"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// MaxClasses is the largest number of classes: a mask has a byte for each pixel,
// and [Ignore] is none of them.
const MaxClasses = 255

// Ignore is the class of pixels of a labeled mask that count nowhere: the borders
// of objects in Pascal VOC.
const Ignore = 255

// Plans is a good number of plans for the runner of a [Network], whose inputs have
// many shapes.
const Plans = 8

// Network is a segmentation network with its preprocessing, ready for pictures. It
// is safe for concurrent use.
type Network struct {
	runner  *infer.Runner
	prep    data.Preprocess
	classes int
	threads int
}

// New returns the network that a runner runs, whose output is logits
// [N classes H W]. Pictures become inputs by p without its crop (see
// [data.Preprocess.Whole]). threads is for the work on masks; 0 means one per CPU.
func New(r *infer.Runner, p data.Preprocess, classes, threads int) (*Network, error) {
	if classes < 1 || classes > MaxClasses {
		return nil, fmt.Errorf("segment: the network has %d classes, must be 1 to %d", classes, MaxClasses)
	}
	if err := p.Valid(); err != nil {
		return nil, err
	}
	return &Network{r, p, classes, threads}, nil
}

// Logits computes the logits of a picture, [1 classes H W] in the size of the
// network's input.
func (n *Network) Logits(ctx context.Context, m *imaging.Image) (*tensor.Tensor, error) {
	return n.logits(ctx, []*imaging.Image{m})
}

// input makes pictures of one size an input of the network.
func (n *Network) input(ms []*imaging.Image) (*tensor.Tensor, error) {
	p, err := n.prep.Whole(ms[0].W, ms[0].H)
	if err != nil {
		return nil, err
	}
	size := p.Height * p.Width * p.Channels
	rows := make([]float32, len(ms)*size)
	for i, m := range ms {
		if err := p.ApplyNHWC(rows[i*size:(i+1)*size], m); err != nil {
			return nil, err
		}
	}
	return tensor.FromNHWC(rows, len(ms), p.Channels, p.Height, p.Width)
}

// logits is [Network.Logits] for pictures of one size.
func (n *Network) logits(ctx context.Context, ms []*imaging.Image) (*tensor.Tensor, error) {
	x, err := n.input(ms)
	if err != nil {
		return nil, err
	}
	out, err := n.runner.Run(ctx, infer.Query{}, infer.Tensors{nn.ImageInput: x})
	if err != nil {
		return nil, err
	}
	z := out[infer.Output]
	if s := z.Shape(); len(s) != 4 || s[0] != len(ms) || s[1] != n.classes {
		return nil, fmt.Errorf("segment: the network's output is %v, must be logits [%d %d H W]", s, len(ms), n.classes)
	}
	return z, nil
}

// Segment returns the class of each pixel of a picture: the logits, interpolated
// bilinearly to the picture's size as PyTorch does, decide.
func (n *Network) Segment(ctx context.Context, m *imaging.Image) (*Mask, error) {
	z, err := n.Logits(ctx, m)
	if err != nil {
		return nil, err
	}
	s := z.Shape()
	return upsampled(z.Float32s(), s[1], s[2], s[3], m.W, m.H, n.threads), nil
}
