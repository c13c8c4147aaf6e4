package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// SigmoidFocal is the focal loss of sigmoid(logits) (Lin et al. 2017, "Focal Loss for
// Dense Object Detection", section 3), one question per class, summed over all of
// them. With p = σ(x), the target t and pt = p*t + (1-p)*(1-t), an element's loss is
//
//	a * (1-pt)^Gamma * -(t*log p + (1-t)*log(1-p)),  a = Alpha*t + (1-Alpha)*(1-t)
//
// and a = 1 if Alpha is negative, as torchvision.ops.sigmoid_focal_loss. Each row, such
// as an anchor, is multiplied by its weight: 1 over the number of objects, 0 for rows
// that do not count.
//
// Inputs: logits [R C]; targets, int64 classes [R] or float32 [R C] in [0, 1];
// optionally weights [R]. A class of -1 is background, all of whose targets are 0;
// [IgnoreLabel] is a row that does not count; any other outside of 0..C-1 stops the run
// with an error. Output: a scalar.
type SigmoidFocal struct{ Alpha, Gamma float32 }

func (SigmoidFocal) Name() string { return "SigmoidFocal" }

func (o SigmoidFocal) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 3); err != nil {
		return nil, err
	}
	logits, target := in[0], in[1]
	if logits.DType != tensor.Float32 || len(logits.Shape) != 2 {
		return nil, fmt.Errorf("want logits float32[R C], got %s", logits)
	}
	rows := logits.Shape[0]
	labels := target.DType == tensor.Int64 && target.Shape.Equal(tensor.Shape{rows})
	soft := target.DType == tensor.Float32 && target.Shape.Equal(logits.Shape)
	if !labels && !soft {
		return nil, fmt.Errorf("want targets int64[%d] or float32%v, got %s", rows, logits.Shape, target)
	}
	if len(in) == 3 && (in[2].DType != tensor.Float32 || !in[2].Shape.Equal(tensor.Shape{rows})) {
		return nil, fmt.Errorf("want weights float32[%d], got %s", rows, in[2])
	}
	if !(o.Alpha <= 1) || !(o.Gamma >= 0) || o.Gamma > maxExtent {
		return nil, fmt.Errorf("alpha is %g, must be at most 1; gamma is %g, must not be negative", o.Alpha, o.Gamma)
	}
	return []Type{F32()}, nil
}

// Grad exists for the logits; targets and weights stop with an [*Error].
func (o SigmoidFocal) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	onlyLogits(n, need)
	d := make([]*Value, len(n.In))
	d[0] = g.Must1(SigmoidFocalGrad{o}, append([]*Value{dout[0]}, n.In...)...)
	return d
}

// SigmoidFocalGrad is the gradient of [SigmoidFocal] with respect to the logits.
// Inputs: the gradient of the scalar loss, then the inputs of SigmoidFocal; output
// [R C].
type SigmoidFocalGrad struct{ Of SigmoidFocal }

func (SigmoidFocalGrad) Name() string { return "SigmoidFocalGrad" }

func (o SigmoidFocalGrad) Infer(in []Type) ([]Type, error) { return lossGradType(o.Of, in) }

// OneHot is 1 at the class of each label and 0 elsewhere. Input: labels int64 of any
// shape; output float32 of that shape and a last axis of Classes elements. The row of
// [IgnoreLabel] is 0 everywhere; any other label outside of 0..Classes-1 stops the run
// with an error. Equals ONNX OneHot with axis -1 and values 0, 1.
type OneHot struct{ Classes int }

func (OneHot) Name() string { return "OneHot" }

func (o OneHot) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if in[0].DType != tensor.Int64 {
		return nil, fmt.Errorf("want int64 labels, got %s", in[0])
	}
	if o.Classes < 1 || o.Classes > maxExtent {
		return nil, fmt.Errorf("the number of classes is %d, must be positive", o.Classes)
	}
	return result(append(in[0].Shape.Clone(), o.Classes)...)
}
