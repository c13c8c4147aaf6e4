package train

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/internal/suggest"
)

// Recipe describes how to train: everything but the data, the seed and the machine.
// [LoadRecipe] reads it; README.md in recipes/ explains each key.
type Recipe struct {
	Name  string `yaml:"name"`
	About string `yaml:"about,omitempty"` // what it is for and where its numbers come from
	Model string `yaml:"model,omitempty"` // of package models, when the user names none
	// The length of the run, in either epochs or iterations (updates).
	Epochs     int `yaml:"epochs,omitempty"`
	Iterations int `yaml:"iterations,omitempty"`
	BatchSize  int `yaml:"batch_size"`
	// Accumulate is the number of batches whose gradients are averaged for each
	// update, for batches that do not fit into memory. The learning rate's steps are
	// updates. Batch norm sees single batches. 0 means 1.
	Accumulate int `yaml:"accumulate,omitempty"`
	// Recompute keeps only the inputs and outputs of the network's blocks until the
	// backward pass, and computes the rest again there: less memory, more time, the
	// same bits.
	Recompute bool `yaml:"recompute,omitempty"`
	// Exact disables Winograd's algorithm for 3x3 convolutions and their gradients.
	// Winograd is faster and rounds differently.
	Exact bool `yaml:"exact,omitempty"`
	// BF16 is native or emulate to train with bfloat16 operands, see engine.BF16.
	// Weights, gradients, updates and evaluation stay float32. Empty or off means
	// float32.
	BF16 string `yaml:"bf16,omitempty"`

	Optimizer OptimizerRecipe `yaml:"optimizer"`
	LR        Schedule        `yaml:"lr"`
	Loss      LossRecipe      `yaml:"loss"`
	EMA       *EMARecipe      `yaml:"ema,omitempty"`

	// Preprocess is how pictures are prepared at evaluation: a name that
	// data.Preset knows, or the fields of data.Preprocess.
	Preprocess Preprocess   `yaml:"preprocess"`
	Augment    data.Augment `yaml:"augment"`
	// TrainSize is the side of the training inputs in pixels, if it differs from the
	// evaluation's (Touvron et al. 2019, FixRes).
	TrainSize int `yaml:"train_size,omitempty"`
	// Balanced draws all classes with equal probability.
	Balanced bool `yaml:"balanced,omitempty"`
	// Validation is the share of the training pictures to hold out if the data have
	// no validation part; see data.Options.ValFraction.
	Validation float64 `yaml:"validation,omitempty"`

	EvalBatch int `yaml:"eval_batch,omitempty"` // default: batch_size
	EvalEvery int `yaml:"eval_every,omitempty"` // epochs, default 1; the last epoch always

	EarlyStop  *EarlyStop `yaml:"early_stop,omitempty"`
	Checkpoint Checkpoint `yaml:"checkpoint,omitempty"`
	Finetune   *Finetune  `yaml:"finetune,omitempty"`
}

// OptimizerRecipe is the [Optimizer] of a recipe.
type OptimizerRecipe struct {
	Kind        string  `yaml:"name"` // sgd, adamw or lars
	Momentum    float64 `yaml:"momentum,omitempty"`
	Nesterov    bool    `yaml:"nesterov,omitempty"`
	WeightDecay float64 `yaml:"weight_decay,omitempty"`
	// DecayNorm and DecayBias apply the weight decay to the parameters of
	// normalization layers and to biases, too; usually it is not applied to them.
	DecayNorm bool    `yaml:"decay_norm,omitempty"`
	DecayBias bool    `yaml:"decay_bias,omitempty"`
	Beta1     float64 `yaml:"beta1,omitempty"`     // AdamW, default 0.9
	Beta2     float64 `yaml:"beta2,omitempty"`     // AdamW, default 0.999
	Eps       float64 `yaml:"eps,omitempty"`       // AdamW and LARS, default 1e-8
	Trust     float64 `yaml:"trust,omitempty"`     // LARS, default 0.001
	ClipNorm  float64 `yaml:"clip_norm,omitempty"` // limit of the gradients' norm; 0 is off
}

// LossRecipe is the [Loss] of a recipe.
type LossRecipe struct {
	// Kind is cross-entropy, bce (for data with any number of labels per picture,
	// or as Wightman et al. 2021), or empty: bce for multi-label data, else
	// cross-entropy.
	Kind           string  `yaml:"name,omitempty"`
	LabelSmoothing float64 `yaml:"label_smoothing,omitempty"`
	// ClassWeights is empty (all 1), "balanced" (by the inverse of the class's
	// frequency), or a list with a weight for each class.
	ClassWeights ClassWeights `yaml:"class_weights,omitempty"`
}

// ClassWeights is a list of weights or the word balanced.
type ClassWeights struct {
	Balanced bool
	Weights  []float64
}

// IsZero reports whether there are no weights, so that the YAML encoder leaves the
// key out.
func (c ClassWeights) IsZero() bool { return !c.Balanced && len(c.Weights) == 0 }

// UnmarshalYAML reads either form.
func (c *ClassWeights) UnmarshalYAML(n *yaml.Node) error {
	*c = ClassWeights{}
	if n.Kind == yaml.ScalarNode {
		switch n.Value {
		case "balanced":
			c.Balanced = true
			return nil
		case "", "none", "null":
			return nil
		}
		return fmt.Errorf("line %d: %q is neither balanced, none nor a list of numbers", n.Line, n.Value)
	}
	return n.Decode(&c.Weights)
}

// MarshalYAML writes either form.
func (c ClassWeights) MarshalYAML() (any, error) {
	if c.Balanced {
		return "balanced", nil
	}
	return c.Weights, nil
}

// EMARecipe keeps an exponential moving average of all weights and running
// statistics, which is evaluated and saved as the model.
type EMARecipe struct {
	Decay float64 `yaml:"decay"`
	Every int     `yaml:"every,omitempty"` // steps between two updates, default 1
}

// Preprocess is a data.Preprocess, given in YAML by its fields or by name.
type Preprocess struct {
	Preset string
	Custom *data.Preprocess
}

// UnmarshalYAML reads a name or the fields.
func (p *Preprocess) UnmarshalYAML(n *yaml.Node) error {
	*p = Preprocess{}
	if n.Kind == yaml.ScalarNode {
		p.Preset = n.Value
		return nil
	}
	p.Custom = new(data.Preprocess)
	return n.Decode(p.Custom)
}

// MarshalYAML writes the form that was given.
func (p Preprocess) MarshalYAML() (any, error) {
	if p.Custom != nil {
		return p.Custom, nil
	}
	return p.Preset, nil
}

// Resolve returns the preprocessing that is given or named.
func (p Preprocess) Resolve() (data.Preprocess, error) {
	if p.Custom != nil {
		return *p.Custom, p.Custom.Valid()
	}
	return data.Preset(p.Preset)
}

// EarlyStop ends a run that no longer improves.
type EarlyStop struct {
	// Patience is the number of evaluations without a new best.
	Patience int     `yaml:"patience"`
	MinDelta float64 `yaml:"min_delta,omitempty"` // smallest improvement that counts
}

// Checkpoint is how often to save within epochs; 0 means never.
type Checkpoint struct {
	EverySteps   int     `yaml:"every_steps,omitempty"`
	EverySeconds float64 `yaml:"every_seconds,omitempty"`
}

// Finetune describes how to start from a trained model.
type Finetune struct {
	// From is the model file, unless the user names one by --model FILE.
	From string `yaml:"from,omitempty"`
	// Freeze names the modules that keep their weights, by the beginning of
	// their path, or "backbone" for all but the last layer. Their batch norms
	// use the running statistics.
	Freeze []string `yaml:"freeze,omitempty,flow"`
	// BackboneLR scales the learning rate of all but the last layer; 0 means 1.
	BackboneLR float64 `yaml:"backbone_lr,omitempty"`
}

// Valid returns an error that names the key at fault.
func (r *Recipe) Valid() error {
	o := &r.Optimizer
	switch {
	case r.Epochs < 0 || r.Iterations < 0 || (r.Epochs > 0) == (r.Iterations > 0):
		return badKey("epochs", "give either epochs or iterations, and a number above 0")
	case r.BatchSize < 1:
		return badKey("batch_size", "%d is below 1", r.BatchSize)
	case r.Accumulate < 0:
		return badKey("accumulate", "%d is below 0", r.Accumulate)
	case r.EvalBatch < 0:
		return badKey("eval_batch", "%d is below 0", r.EvalBatch)
	case r.EvalEvery < 0:
		return badKey("eval_every", "%d is below 0", r.EvalEvery)
	case r.TrainSize < 0:
		return badKey("train_size", "%d is below 0", r.TrainSize)
	case r.Validation >= 1:
		return badKey("validation", "%v is not a share below 1", r.Validation)
	case o.Kind != "sgd" && o.Kind != "adamw" && o.Kind != "lars":
		return &keyError{"optimizer.name", fmt.Sprintf("unknown optimizer %q", o.Kind), suggest.Name(o.Kind, []string{"sgd", "adamw", "lars"})}
	case o.Nesterov && (o.Kind != "sgd" || o.Momentum == 0):
		return badKey("optimizer.nesterov", "belongs to sgd with a momentum")
	case r.Loss.Kind != "" && r.Loss.Kind != "cross-entropy" && r.Loss.Kind != "bce":
		return &keyError{"loss.name", fmt.Sprintf("unknown loss %q", r.Loss.Kind), suggest.Name(r.Loss.Kind, []string{"cross-entropy", "bce"})}
	case !(r.Loss.LabelSmoothing >= 0 && r.Loss.LabelSmoothing < 1):
		return badKey("loss.label_smoothing", "%v is not a share below 1", r.Loss.LabelSmoothing)
	case r.EMA != nil && !(r.EMA.Decay >= 0 && r.EMA.Decay < 1):
		return badKey("ema.decay", "%v is not a share below 1", r.EMA.Decay)
	case r.EMA != nil && r.EMA.Every < 0:
		return badKey("ema.every", "%d is below 0", r.EMA.Every)
	case r.EarlyStop != nil && r.EarlyStop.Patience < 1:
		return badKey("early_stop.patience", "%d is below 1", r.EarlyStop.Patience)
	case r.Checkpoint.EverySteps < 0:
		return badKey("checkpoint.every_steps", "%d is below 0", r.Checkpoint.EverySteps)
	case !(r.Checkpoint.EverySeconds >= 0):
		return badKey("checkpoint.every_seconds", "%v is below 0", r.Checkpoint.EverySeconds)
	case r.Finetune != nil && !(r.Finetune.BackboneLR >= 0):
		return badKey("finetune.backbone_lr", "%v is below 0", r.Finetune.BackboneLR)
	}
	if _, err := engine.ParseBF16(r.BF16); err != nil {
		return badKey("bf16", "%q is neither native, emulate nor off", r.BF16)
	}
	for _, f := range []struct {
		key   string
		v     float64
		below float64
	}{
		{"optimizer.momentum", o.Momentum, 1}, {"optimizer.weight_decay", o.WeightDecay, 1},
		{"optimizer.beta1", o.Beta1, 1}, {"optimizer.beta2", o.Beta2, 1}, {"optimizer.eps", o.Eps, 1},
		{"optimizer.trust", o.Trust, 1000}, {"optimizer.clip_norm", o.ClipNorm, 1e30},
	} {
		if !(f.v >= 0 && f.v < f.below) {
			return badKey(f.key, "%v is not a number from 0 to below %g", f.v, f.below)
		}
	}
	for _, w := range r.Loss.ClassWeights.Weights {
		if !(w >= 0 && w < 1e30) {
			return badKey("loss.class_weights", "%v is not a weight of 0 or more", w)
		}
	}
	if err := r.LR.valid(); err != nil {
		return err
	}
	if _, err := r.Preprocess.Resolve(); err != nil {
		return badKey("preprocess", "%v", err)
	}
	if err := r.Augment.Valid(); err != nil {
		return badKey("augment", "%v", err)
	}
	return nil
}

// YAML returns the recipe as a file that [LoadRecipe] reads back.
func (r *Recipe) YAML() ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("train: write the recipe: %w", err)
	}
	return b.Bytes(), enc.Close()
}
