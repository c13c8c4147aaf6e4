package models

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// UNet is a backbone whose stages are joined again from the coarsest to the finest
// (Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image
// Segmentation"), in the layout of segmentation_models_pytorch. Input [N 3 H W] of
// any size, output logits [N classes H W].
type UNet struct {
	Encoder          *ResNet
	Decoder          *UNetDecoder
	SegmentationHead nn.Sequential
}

// UNetDecoder has a block for each level of the encoder but the coarsest, and one
// for the size of the input.
type UNetDecoder struct {
	Blocks []*UNetBlock
}

// Forward decodes x alone: all blocks without finer levels.
func (d *UNetDecoder) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return d.join(c, []*graph.Value{x}, x)
}

// join decodes the levels, the coarsest last, up to the size of the picture.
func (d *UNetDecoder) join(c *nn.Context, levels []*graph.Value, picture *graph.Value) *graph.Value {
	last := len(levels) - 1
	y := levels[last]
	for i, b := range d.Blocks {
		coarse := y
		y = c.CallFunc(b, coarse, func() *graph.Value {
			if i >= last {
				return b.Forward(c, resizeTo(c, coarse, picture, false))
			}
			skip := levels[last-1-i]
			return b.Forward(c, c.Concat(1, resizeTo(c, coarse, skip, false), skip))
		})
	}
	return y
}

// UNetBlock scales its input up to the size of a finer level, joins that level's
// channels, and has two 3x3 convolutions, each with norm and ReLU.
type UNetBlock struct {
	Conv1, Conv2 nn.Sequential
}

// Forward runs the convolutions on the joined channels.
func (b *UNetBlock) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Call(b.Conv2, c.Call(b.Conv1, x))
}

// newUNet builds a U-Net on an encoder whose levels have those channels.
func newUNet(encoder *ResNet, channels []int, cfg Config) *UNet {
	opt := BlockOptions{NoNorm: cfg.NoNorm}
	conv := func(in, out int) nn.Sequential {
		m := headConv(in, out, 3, 1)
		m.Weight.Init = nn.HeUniform(nn.FanIn)
		conv, norm := opt.norm(m)
		return nn.Sequential{conv, norm, nn.NewReLU()}
	}
	u := &UNet{Encoder: encoder, Decoder: &UNetDecoder{}}
	last := len(channels) - 1
	in := channels[last]
	for i, out := range cfg.Segmentation.Decoder {
		skip := 0
		if i < last {
			skip = channels[last-1-i]
		}
		u.Decoder.Blocks = append(u.Decoder.Blocks, &UNetBlock{conv(in+skip, out), conv(out, out)})
		in = out
	}
	head := nn.NewConv2d(in, cfg.Classes, 3, nn.Padding(1))
	head.Weight.Init, head.Bias.Init = nn.XavierUniform(), nil
	u.SegmentationHead = nn.Sequential{head}
	return u
}

// Forward runs the encoder and the decoder. A block takes a level of any size, so
// that the input need not be a multiple of 32.
func (u *UNet) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	var levels []*graph.Value
	y := c.CallFunc(u.Encoder, x, func() *graph.Value {
		levels = u.Encoder.levels(c, x)
		return levels[len(levels)-1]
	})
	y = c.CallFunc(u.Decoder, y, func() *graph.Value { return u.Decoder.join(c, levels, x) })
	return c.Call(u.SegmentationHead, y)
}

// Heads returns the decoder and the last layer.
func (u *UNet) Heads() []Head {
	return []Head{{Path: "decoder"}, {Path: "segmentation_head", Last: "segmentation_head.0"}}
}
