package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// IgnoreLabel is the label of a row, or of a pixel of a segmentation, that does
// not count in the loss.
const IgnoreLabel = -100

// CrossEntropy is the mean cross entropy of softmax(logits) against targets:
//
//	loss = Σ_n w[t_n] * -log p[n, t_n] / Σ_n w[t_n]
//
// as PyTorch's CrossEntropyLoss, with w = 1 where no weights are given. With
// LabelSmoothing s (Szegedy et al. 2016, section 7) the target distribution
// becomes (1-s)*target + s/C. Rows with the label [IgnoreLabel] do not count;
// any other label outside 0..C-1 stops the run with an error. Where no row counts, or
// all that do have the weight 0, the loss is 0 (PyTorch's is NaN). With targets that are
// distributions the sum is divided by N, not by the class weights, as in PyTorch.
//
// Logits [N C H W] are those of a segmentation, whose pixels count as rows.
//
// Inputs: logits [N C] or [N C H W]; targets, int64 labels [N] or [N H W], or float32
// distributions like the logits (mixup, cutmix); optionally class weights [C]. Output: a
// scalar.
type CrossEntropy struct{ LabelSmoothing float32 }

func (CrossEntropy) Name() string { return "CrossEntropy" }

func (o CrossEntropy) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 3); err != nil {
		return nil, err
	}
	logits, target := in[0], in[1]
	if logits.DType != tensor.Float32 || len(logits.Shape) != 2 && len(logits.Shape) != 4 {
		return nil, fmt.Errorf("want logits float32[N C] or float32[N C H W], got %s", logits)
	}
	c := logits.Shape[1]
	dense := append(logits.Shape[:1].Clone(), logits.Shape[2:]...)
	labels := target.DType == tensor.Int64 && target.Shape.Equal(dense)
	soft := target.DType == tensor.Float32 && target.Shape.Equal(logits.Shape)
	if !labels && !soft {
		return nil, fmt.Errorf("want targets int64%v or float32%v, got %s", dense, logits.Shape, target)
	}
	if len(in) == 3 && (in[2].DType != tensor.Float32 || !in[2].Shape.Equal(tensor.Shape{c})) {
		return nil, fmt.Errorf("want class weights float32[%d], got %s", c, in[2])
	}
	if !(o.LabelSmoothing >= 0 && o.LabelSmoothing < 1) {
		return nil, fmt.Errorf("label smoothing %g is not in [0, 1)", o.LabelSmoothing)
	}
	return []Type{F32()}, nil
}

// Grad is w*(softmax(logits) - target) / Σ w for each row. It exists for the
// logits; targets and weights stop with an [*Error].
func (o CrossEntropy) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	onlyLogits(n, need)
	d := make([]*Value, len(n.In))
	in := append([]*Value{dout[0]}, n.In...)
	d[0] = g.Must1(CrossEntropyGrad{o}, in...)
	return d
}

// CrossEntropyGrad is the gradient of [CrossEntropy] with respect to the logits. Inputs:
// the gradient of the scalar loss, then the inputs of CrossEntropy; output like the logits.
type CrossEntropyGrad struct{ Of CrossEntropy }

func (CrossEntropyGrad) Name() string { return "CrossEntropyGrad" }

func (o CrossEntropyGrad) Infer(in []Type) ([]Type, error) { return lossGradType(o.Of, in) }

// BCEWithLogits is the mean binary cross entropy of sigmoid(logits), one
// question per class, for pictures with any number of labels:
//
//	loss = mean( -(p*t*log σ(x) + (1-t)*log(1-σ(x))) )
//
// Inputs: logits and targets in [0,1], both [N C]; optionally p, the weight of
// positives [C] (PyTorch's pos_weight). Output: a scalar.
type BCEWithLogits struct{}

func (BCEWithLogits) Name() string { return "BCEWithLogits" }

func (BCEWithLogits) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 3); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	if len(in[0].Shape) != 2 || !in[0].Shape.Equal(in[1].Shape) {
		return nil, fmt.Errorf("want logits and targets of one shape [N C], got %v and %v", in[0].Shape, in[1].Shape)
	}
	if len(in) == 3 && !in[2].Shape.Equal(in[0].Shape[1:]) {
		return nil, fmt.Errorf("want positive weights [%d], got %v", in[0].Shape[1], in[2].Shape)
	}
	return []Type{F32()}, nil
}

// Grad exists for the logits; targets and weights stop with an [*Error].
func (o BCEWithLogits) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	onlyLogits(n, need)
	d := make([]*Value, len(n.In))
	in := append([]*Value{dout[0]}, n.In...)
	d[0] = g.Must1(BCEWithLogitsGrad{}, in...)
	return d
}

// BCEWithLogitsGrad is the gradient of [BCEWithLogits] with respect to the logits. Inputs:
// the gradient of the scalar loss, then the inputs of BCEWithLogits; output [N C].
type BCEWithLogitsGrad struct{}

func (BCEWithLogitsGrad) Name() string { return "BCEWithLogitsGrad" }

func (BCEWithLogitsGrad) Infer(in []Type) ([]Type, error) { return lossGradType(BCEWithLogits{}, in) }

// onlyLogits stops if a gradient with respect to targets or weights is needed.
func onlyLogits(n *Node, need []bool) {
	for _, needed := range need[1:] {
		if needed {
			panic(&Error{Path: n.Path, Op: n.Op.Name(), Err: fmt.Errorf("only the logits have a gradient, not targets and weights")})
		}
	}
}

func lossGradType(of Op, in []Type) ([]Type, error) {
	if len(in) == 0 || in[0].DType != tensor.Float32 || len(in[0].Shape) != 0 {
		return nil, fmt.Errorf("the first input must be the gradient of the loss, a scalar")
	}
	if _, err := of.Infer(in[1:]); err != nil {
		return nil, err
	}
	return []Type{in[1]}, nil
}
