package train

import (
	"errors"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Loss is what training minimizes: [CrossEntropy], [BCE], [Focal], a [LossRecipe] as
// recipes have it, or one of your own.
type Loss interface {
	// Loss adds the loss of a batch to the graph and returns it, a scalar. logits are
	// the network's output [N classes], targets int64 labels [N], or distributions
	// [N classes] where batches are mixed or the loss is a [SoftLoss]. Of pictures with
	// masks, N counts all pixels of the batch.
	Loss(g *graph.Graph, logits, targets *graph.Value) (*graph.Value, error)
}

// SoftLoss is implemented by a [Loss] whose targets are float32 [N classes] always,
// such as one for pictures with any number of labels.
type SoftLoss interface {
	Loss
	SoftTargets() bool
}

// OutputsLoss is implemented by a [Loss] of a network with several outputs (see
// nn.Context.Output), or of data with more to learn than classes.
type OutputsLoss interface {
	Loss
	// OutputsLoss adds the loss of a batch to the graph and returns it, a scalar. out
	// are the network's outputs by name, nn.MainOutput is what Forward returns. targets
	// are what the data have: "target" as in Loss, and [N …] by name what
	// data.WithInputs added.
	OutputsLoss(g *graph.Graph, out, targets map[string]*graph.Value) (*graph.Value, error)
}

// LossFunc is a function that is a [Loss].
type LossFunc func(g *graph.Graph, logits, targets *graph.Value) (*graph.Value, error)

// Loss calls f.
func (f LossFunc) Loss(g *graph.Graph, logits, targets *graph.Value) (*graph.Value, error) {
	return f(g, logits, targets)
}

// ownLoss is the Kind of a Loss that is not of this package.
const ownLoss = "own"

// lossOf returns a loss as recipes have it.
func lossOf(l Loss) LossRecipe {
	if r, ok := l.(interface{ recipe() LossRecipe }); ok {
		return r.recipe()
	}
	return LossRecipe{Kind: ownLoss, own: l}
}

// Loss adds the loss, see [Loss].
func (l CrossEntropy) Loss(g *graph.Graph, logits, targets *graph.Value) (*graph.Value, error) {
	return l.recipe().Loss(g, logits, targets)
}

// Loss adds the loss, see [Loss].
func (l BCE) Loss(g *graph.Graph, logits, targets *graph.Value) (*graph.Value, error) {
	return l.recipe().Loss(g, logits, targets)
}

// Loss adds the loss, see [Loss].
func (l Focal) Loss(g *graph.Graph, logits, targets *graph.Value) (*graph.Value, error) {
	return l.recipe().Loss(g, logits, targets)
}

// Loss adds the loss, see [Loss]. Its class weights must be numbers.
func (l LossRecipe) Loss(g *graph.Graph, logits, targets *graph.Value) (*graph.Value, error) {
	if l.ClassWeights.Balanced || len(l.ClassWeights.ByName) > 0 {
		return nil, errors.New("train: the class weights are balanced or by name, which needs data: give the weights")
	}
	in := []*graph.Value{logits, targets}
	if w := l.ClassWeights.Weights; len(w) > 0 {
		c := tensor.New(len(w))
		for i, x := range w {
			c.Float32s()[i] = float32(x)
		}
		in = append(in, g.Const(c))
	}
	var loss *graph.Value
	var failed error
	if err := graph.Try(func() { loss, failed = l.add(g, in) }); err != nil {
		return nil, err
	}
	return loss, failed
}

// lossKinds are the names of losses in recipes.
var lossKinds = []string{"cross-entropy", "bce", "focal", "sigmoid-focal"}

// CrossEntropy is for pictures of one class each; see graph.CrossEntropy.
type CrossEntropy struct {
	LabelSmoothing float64
	Weights        []float64 // one per class; nil for all 1
}

func (l CrossEntropy) recipe() LossRecipe {
	return LossRecipe{Kind: "cross-entropy", LabelSmoothing: l.LabelSmoothing, ClassWeights: ClassWeights{Weights: l.Weights}}
}

// BCE is the binary cross-entropy, one yes-or-no question per class, for
// pictures with any number of labels; see graph.BCEWithLogits.
type BCE struct {
	Weights []float64 // of the positives, one per class; nil for all 1
}

func (l BCE) recipe() LossRecipe {
	return LossRecipe{Kind: "bce", ClassWeights: ClassWeights{Weights: l.Weights}}
}

// Focal is the focal loss (Lin et al. 2017, arXiv 1708.02002): pictures of one class
// each, where those that are recognized well count little. With p the softmax of the
// logits, a picture's loss is -w*(1-p)^Gamma*log p, of its class; the mean is over the
// pictures. With Gamma 0 and no Weights it is the cross entropy.
type Focal struct {
	Gamma   float64   // 0 is 2, as in the paper; below 0 is 0
	Weights []float64 // one per class; nil for all 1
}

func (l Focal) recipe() LossRecipe {
	return LossRecipe{Kind: "focal", Gamma: l.Gamma, ClassWeights: ClassWeights{Weights: l.Weights}}
}

func (l LossRecipe) recipe() LossRecipe { return l }

// bce reports whether the loss asks a yes-or-no question per class.
func (l LossRecipe) bce() bool {
	if soft, ok := l.own.(SoftLoss); ok {
		return soft.SoftTargets()
	}
	return l.Kind == "bce" || l.Kind == "sigmoid-focal"
}

// add adds the loss to the graph. in are the logits, the targets and, if there are
// any, the class weights.
func (l LossRecipe) add(g *graph.Graph, in []*graph.Value) (*graph.Value, error) {
	switch l.Kind {
	case ownLoss:
		loss, err := l.own.Loss(g, in[0], in[1])
		if err == nil && (loss == nil || len(loss.Shape) != 0 || loss.DType != tensor.Float32) {
			err = fmt.Errorf("train: the loss %T must be a scalar of float32", l.own)
		}
		return loss, err
	case "bce":
		return g.Must1(graph.BCEWithLogits{}, in...), nil
	case "focal":
		return l.focal(g, in), nil
	case "sigmoid-focal":
		rows := in[0].Shape[0]
		share := g.Must1(graph.BroadcastTo{Shape: tensor.Shape{rows}}, g.Scalar(1/float32(in[0].Shape.Numel())))
		return g.Must1(graph.SigmoidFocal{Alpha: -1, Gamma: float32(l.gamma())}, in[0], in[1], share), nil
	}
	return g.Must1(graph.CrossEntropy{LabelSmoothing: float32(l.LabelSmoothing)}, in...), nil
}

func (l LossRecipe) gamma() float64 { return max(orDefault(l.Gamma, 2), 0) }

// focal adds the loss of [Focal]. Targets may be distributions.
func (l LossRecipe) focal(g *graph.Graph, in []*graph.Value) *graph.Value {
	logits, target := in[0], in[1]
	rows, classes := logits.Shape[0], logits.Shape[1]
	if target.DType == tensor.Int64 {
		target = g.Must1(graph.OneHot{Classes: classes}, target)
	}
	if s := float32(l.LabelSmoothing); s > 0 {
		target = g.Must1(graph.Affine{Scale: 1 - s, Shift: s / float32(classes)}, target)
	}
	mul := func(a, b *graph.Value) *graph.Value { return g.Must1(graph.Binary{Fn: graph.Mul}, a, b) }
	if len(in) == 3 {
		target = mul(target, in[2])
	}
	logp := g.Must1(graph.LogSoftmax{}, logits)
	loss := mul(target, logp)
	if gamma := float32(l.gamma()); gamma > 0 {
		// The shift keeps the logarithm finite where p is 1.
		rest := g.Must1(graph.Affine{Scale: -1, Shift: 1 + 1e-6}, g.Must1(graph.Unary{Fn: graph.Exp}, logp))
		power := g.Must1(graph.Affine{Scale: gamma}, g.Must1(graph.Unary{Fn: graph.Log}, rest))
		loss = mul(loss, g.Must1(graph.Unary{Fn: graph.Exp}, power))
	}
	sum := g.Must1(graph.Reduce{Fn: graph.Sum, Axes: []int{0, 1}}, loss)
	return g.Must1(graph.Affine{Scale: -1 / float32(rows)}, sum)
}

// on settles what the recipe leaves to the data: an empty Kind and balanced
// class weights.
func (l LossRecipe) on(ds data.Dataset, spec string) (LossRecipe, error) {
	multi := ds.MultiLabel() && data.Masks(ds) == nil
	switch {
	case multi == ds.MultiLabel():
		if l.Dice != 0 {
			return l, errors.New("loss.dice is for pictures with masks")
		}
	case l.Kind != "" && l.Kind != "cross-entropy" && l.Kind != ownLoss:
		return l, fmt.Errorf("loss.name: the pictures of %s have masks, whose pixels need cross-entropy, not %s", spec, l.Kind)
	case l.ClassWeights.Balanced:
		return l, errors.New("loss.class_weights: balanced is for labels of whole pictures: give a number for each class, by name or as a list")
	}
	if l.Kind == "focal" && multi {
		l.Kind = "sigmoid-focal"
	}
	if l.Kind == "" {
		l.Kind = "cross-entropy"
		if multi {
			l.Kind = "bce"
		}
	}
	switch {
	case multi && !l.bce():
		return l, fmt.Errorf("loss.name: the pictures of %s have any number of labels, which needs bce", spec)
	case l.bce() && l.LabelSmoothing > 0:
		return l, fmt.Errorf("loss.label_smoothing belongs to cross-entropy, not to %s", l.Kind)
	case l.Kind == "sigmoid-focal" && !l.ClassWeights.IsZero():
		return l, errors.New("loss.class_weights belongs to cross-entropy, bce and focal, not to sigmoid-focal")
	}
	weights, err := l.ClassWeights.on(ds.Classes())
	if err != nil {
		return l, err
	}
	l.ClassWeights.Weights, l.ClassWeights.ByName = weights, nil
	if l.ClassWeights.Balanced {
		l.ClassWeights = ClassWeights{}
		for _, w := range data.ClassWeights(ds) {
			l.ClassWeights.Weights = append(l.ClassWeights.Weights, float64(w))
		}
	}
	return l, nil
}

// LossNames returns the names of the losses that recipes have.
func LossNames() []string { return slices.Clone(lossKinds) }
