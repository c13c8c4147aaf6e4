package train

import (
	"errors"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
)

// Loss is what training minimizes: [CrossEntropy], [BCE], or a [LossRecipe] as
// recipes have it.
type Loss interface {
	// recipe returns the loss as recipes have it.
	recipe() LossRecipe
}

// lossKinds are the names of losses in recipes.
var lossKinds = []string{"cross-entropy", "bce"}

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

func (l LossRecipe) recipe() LossRecipe { return l }

// bce reports whether the loss asks a yes-or-no question per class.
func (l LossRecipe) bce() bool { return l.Kind == "bce" }

// op returns the loss as an operator.
func (l LossRecipe) op() graph.Op {
	if l.bce() {
		return graph.BCEWithLogits{}
	}
	return graph.CrossEntropy{LabelSmoothing: float32(l.LabelSmoothing)}
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
	case l.bce():
		return l, fmt.Errorf("loss.name: the pictures of %s have masks, whose pixels need cross-entropy, not bce", spec)
	case l.ClassWeights.Balanced:
		return l, errors.New("loss.class_weights: balanced is for labels of whole pictures: give a number for each class, by name or as a list")
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
		return l, errors.New("loss.label_smoothing belongs to cross-entropy, not to bce")
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
