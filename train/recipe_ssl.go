package train

import (
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/ssl"
)

// SSLRecipe makes a run train a backbone without labels, see package ssl. Pictures of
// the training part are seen in two views, or turned; labels, where there are any, serve
// to measure the features during training.
type SSLRecipe struct {
	ssl.Config `yaml:",inline"`
	// Second is how second views are varied; nil is Augment.
	Second *data.Augment `yaml:"second,omitempty"`
	// FixPredictorLR keeps the predictor's learning rate at the peak (Chen and He 2021,
	// section 4.2 and appendix A).
	FixPredictorLR bool `yaml:"fix_predictor_lr,omitempty"`
}

// SSLMethods returns the names of the ways to train without labels. A built-in recipe of
// each name trains so.
func SSLMethods() []string { return ssl.Methods() }

// validSSL returns an error that names the key at fault of a recipe without labels.
func (r *Recipe) validSSL() error {
	s := r.SSL
	if s == nil {
		return nil
	}
	if err := s.Config.Check(); err != nil {
		return badKey("ssl", "%v", err)
	}
	loss := r.Loss
	loss.Kind = ""
	switch {
	case s.Second != nil && s.Method == ssl.Rotation:
		return badKey("ssl.second", "is of methods with two views, not of rotation")
	case s.FixPredictorLR && s.Method != ssl.SimSiam && s.Method != ssl.BYOL:
		return badKey("ssl.fix_predictor_lr", "is of methods with a predictor, simsiam and byol")
	case r.Detect != nil:
		return badKey("ssl", "and detect exclude each other: leave out one")
	case r.Augment.Mixes() || s.Second.Mixes():
		return badKey("augment", "mixup and cutmix mix labels, which are not used here: leave them out")
	case r.Augment.RandomScale != nil:
		return badKey("augment.random_scale", "is for pictures with masks; random_resized_crop is for pictures without")
	case r.Loss.Kind != "" || loss.LabelSmoothing != 0 || loss.Gamma != 0 || loss.Dice != 0 || loss.Aux != 0 || !loss.ClassWeights.IsZero():
		return badKey("loss", "the method has its own loss: leave out the settings of loss")
	case r.Balanced:
		return badKey("balanced", "needs labels, which are not used here")
	case r.Distill != nil:
		return badKey("distill", "is for classifiers, which learn from labels")
	case r.LR.Gate != nil:
		return badKey("lr.gate", "is for classifiers, which learn from labels")
	case r.LR.Kind == Plateau:
		return badKey("lr.schedule", "plateau follows the validation loss, which a run without labels does not have: take cosine")
	case r.Finetune != nil && r.Finetune.WarmHead > 0:
		return badKey("finetune.warm_head", "is for networks with a last layer")
	case r.BatchSize < 2:
		return badKey("batch_size", "%d is below 2: pictures are compared with the others of their batch", r.BatchSize)
	}
	if s.Second != nil {
		if err := s.Second.Valid(); err != nil {
			return badKey("ssl.second", "%v", err)
		}
	}
	return nil
}
