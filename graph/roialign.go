package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// RoIAlign samples a fixed grid of values from boxes of a feature map (He et al.
// 2017, "Mask R-CNN", section 3): each box is cut into OH x OW bins, and a bin is
// the mean of regularly placed samples, each interpolated bilinearly between the
// four pixels around it. As torchvision.ops.roi_align:
//
//	y0 = y1*Scale - offset, size = (y2-y1)*Scale, bin = size/OH, offset = 1/2 if Aligned else 0
//	sample i of bin p lies at y0 + p*bin + (i+1/2)*bin/samples
//
// and the same for x. Without Aligned, a size below 1 counts as 1. SamplingRatio is
// the number of samples of a bin along each axis; 0 or less chooses ceil(size/bins)
// for each box. A sample more than one pixel outside of the map counts as 0; one
// within that pixel takes the edge. Positions are computed in float32, as PyTorch
// does for float32 maps.
//
// Inputs: x [N C H W]; boxes [K 5], each row the index of its image in the batch
// and x1, y1, x2, y2 in pixels of the image, which Scale brings to those of the
// map. Output [K C OH OW]. A box whose index is -1 is an unused row: its output is
// 0. Any other index outside of the batch, a coordinate that is not finite, and
// more than 65536 samples of a bin stop the run with an error.
//
// Equals ONNX RoiAlign with mode avg, whose coordinate_transformation_mode is
// half_pixel for Aligned and output_half_pixel otherwise.
type RoIAlign struct {
	OH, OW        int
	Scale         float32
	SamplingRatio int
	Aligned       bool
}

func (RoIAlign) Name() string { return "RoIAlign" }

func (o RoIAlign) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 2); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	x, boxes := in[0].Shape, in[1].Shape
	if len(x) != 4 {
		return nil, fmt.Errorf("want an input [N C H W], got %v", x)
	}
	if len(boxes) != 2 || boxes[1] != 5 {
		return nil, fmt.Errorf("want boxes [K 5] of image index, x1, y1, x2, y2, got %v", boxes)
	}
	if o.OH < 1 || o.OW < 1 || max(o.OH, o.OW) > maxExtent {
		return nil, fmt.Errorf("the output is %dx%d bins, must be from 1 to %d", o.OH, o.OW, maxExtent)
	}
	if !(o.Scale > 0) || o.Scale > maxExtent {
		return nil, fmt.Errorf("the scale is %g, must be positive and finite", o.Scale)
	}
	if o.SamplingRatio > MaxRoISamples {
		return nil, fmt.Errorf("the sampling ratio is %d, must not be above %d", o.SamplingRatio, MaxRoISamples)
	}
	return result(boxes[0], x[1], o.OH, o.OW)
}

// MaxRoISamples is the largest number of samples of a bin of [RoIAlign] along an
// axis. A box would have to be as many pixels wide as that, times the bins.
const MaxRoISamples = 256

// Grad spreads dy over the pixels that the samples read. The boxes have no gradient
// and stop with an [*Error]: [Detach] them if they depend on what is trained.
func (o RoIAlign) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	if need[1] {
		panic(&Error{Path: n.Path, Op: o.Name(), Err: fmt.Errorf("the boxes have no gradient: apply Detach to them")})
	}
	return []*Value{g.Must1(RoIAlignGrad{o, n.In[0].Shape}, dout[0], n.In[1]), nil}
}

// RoIAlignGrad is the gradient of [RoIAlign] with respect to its map: each sample
// gives its weights of dy back. Inputs: dy [K C OH OW], boxes [K 5]; output of shape X.
// Each pixel adds up its terms in the order of the boxes.
type RoIAlignGrad struct {
	Of RoIAlign
	X  tensor.Shape
}

func (RoIAlignGrad) Name() string { return "RoIAlignGrad" }

func (o RoIAlignGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 2); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	y, err := o.Of.Infer([]Type{F32(o.X...), in[1]})
	if err != nil {
		return nil, err
	}
	if !y[0].Shape.Equal(in[0].Shape) {
		return nil, fmt.Errorf("want a gradient %v, got %v", y[0].Shape, in[0].Shape)
	}
	return []Type{F32(o.X...)}, nil
}

// Grad is the sampling itself: the operator is the transpose of a linear one.
func (o RoIAlignGrad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	if need[1] {
		panic(&Error{Path: n.Path, Op: o.Name(), Err: fmt.Errorf("the boxes have no gradient: apply Detach to them")})
	}
	return []*Value{g.Must1(o.Of, dout[0], n.In[1]), nil}
}
