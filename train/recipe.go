package train

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

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
	// Shards is the number of equal parts that a batch is cut into. Each is computed
	// separately, with batch-norm statistics of its own, and the update takes the mean of
	// their gradients and running statistics, summed in a fixed order: so the result is
	// the same on any number of ranks, see [Exchange]. 0 computes the batch as a whole.
	Shards int `yaml:"shards,omitempty"`
	// SyncBatchNorm makes batch norms normalize by the statistics of the whole batch
	// although ranks compute its shards: each computes one, so the result depends on
	// their number. Without labels, losses compare the pictures of the whole batch, too. See
	// [Exchange].
	SyncBatchNorm bool `yaml:"sync_batch_norm,omitempty"`
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
	SWA       *SWARecipe      `yaml:"swa,omitempty"`
	Whiten    *Whiten         `yaml:"whiten,omitempty"`
	Distill   *Distill        `yaml:"distill,omitempty"`

	// Preprocess is how pictures are prepared at evaluation: a name that
	// data.Preset knows, or the fields of data.Preprocess.
	Preprocess Preprocess   `yaml:"preprocess"`
	Augment    data.Augment `yaml:"augment"`
	// Size is the side of the network's inputs in pixels, if it differs from that
	// of Preprocess, or of the model file in fine-tuning; the size that pictures are
	// resized to before the middle is cut out changes in proportion.
	Size int `yaml:"size,omitempty"`
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
	// EvalMirror evaluates the mean of the logits of each picture and of its mirror
	// image, as resnet eval --tta does, in twice the time.
	EvalMirror bool `yaml:"eval_mirror,omitempty"`

	EarlyStop  *EarlyStop `yaml:"early_stop,omitempty"`
	Checkpoint Checkpoint `yaml:"checkpoint,omitempty"`
	Finetune   *Finetune  `yaml:"finetune,omitempty"`
	// Detect is set in recipes of detectors.
	Detect *DetectRecipe `yaml:"detect,omitempty"`
	// SSL is set in recipes that train a backbone without labels.
	SSL *SSLRecipe `yaml:"ssl,omitempty"`

	// batchOfRate is the batch size that the recipe has without changes by KEY=VALUE:
	// the one that its learning rate is meant for. 0 if it is not known.
	batchOfRate int
	// shortened are the times that a shorter run has changed.
	shortened []shortened
}

// optimizerKinds are the names of optimizers in recipes.
var optimizerKinds = []string{"sgd", "adam", "adamw", "lamb", "lars", "rmsprop"}

// OptimizerRecipe is the [Optimizer] of a recipe.
type OptimizerRecipe struct {
	Kind        string  `yaml:"name"`               // sgd, adam, adamw, lamb, lars or rmsprop
	Momentum    float64 `yaml:"momentum,omitempty"` // of SGD, LARS and RMSprop
	Nesterov    bool    `yaml:"nesterov,omitempty"`
	WeightDecay float64 `yaml:"weight_decay,omitempty"`
	// DecayNorm and DecayBias apply the weight decay to the parameters of
	// normalization layers and to biases, too; usually it is not applied to them.
	DecayNorm bool    `yaml:"decay_norm,omitempty"`
	DecayBias bool    `yaml:"decay_bias,omitempty"`
	Beta1     float64 `yaml:"beta1,omitempty"` // Adam, AdamW and LAMB, default 0.9
	Beta2     float64 `yaml:"beta2,omitempty"` // Adam, AdamW and LAMB, default 0.999
	Alpha     float64 `yaml:"alpha,omitempty"` // RMSprop, default 0.99
	Eps       float64 `yaml:"eps,omitempty"`   // all but SGD, default 1e-8 (LAMB: 1e-6)
	Trust     float64 `yaml:"trust,omitempty"` // LARS, default 0.001
	// WeightsOnly makes LARS adapt only the rates of weights; biases and the parameters of
	// normalization are updated as by SGD, as in the code of SimCLR and BYOL.
	WeightsOnly bool    `yaml:"weights_only,omitempty"`
	ClipNorm    float64 `yaml:"clip_norm,omitempty"` // limit of the gradients' norm; 0 is off

	own Updater // an optimizer that is not of this package
}

// LossRecipe is the [Loss] of a recipe.
type LossRecipe struct {
	// Kind is cross-entropy, bce (for data with any number of labels per picture,
	// or as Wightman et al. 2021), focal (see [Focal]), sigmoid-focal (focal with a
	// yes-or-no question per class, what focal is for multi-label data), or empty: bce
	// for multi-label data, else cross-entropy.
	Kind           string  `yaml:"name,omitempty"`
	Gamma          float64 `yaml:"gamma,omitempty"` // of focal, default 2
	LabelSmoothing float64 `yaml:"label_smoothing,omitempty"`
	// ClassWeights is empty (all 1), "balanced" (by the inverse of the class's
	// frequency), a list with a weight for each class, or weights by class name.
	ClassWeights ClassWeights `yaml:"class_weights,omitempty"`
	// Aux is the weight of the loss of a segmentation network's auxiliary classifier,
	// where it has one; 0 means 0.5. Dice is the weight of the Dice loss of pixels
	// besides their cross-entropy; 0 is off.
	Aux  float64 `yaml:"aux,omitempty"`
	Dice float64 `yaml:"dice,omitempty"`

	own Loss // of Kind ownLoss
}

// EMARecipe keeps an exponential moving average of all weights and running
// statistics, which is evaluated and saved as the model.
type EMARecipe struct {
	Decay float64 `yaml:"decay"`
	Every int     `yaml:"every,omitempty"` // steps between two updates, default 1
	// Power above 0 makes the decay grow with the run: Decay times the share of the run
	// that is over, to this power. 0 leaves it constant.
	Power float64 `yaml:"power,omitempty"`
	// Lookahead makes the weights and running statistics go on from the average after
	// each of its updates (Zhang et al. 2019, arXiv 1907.08610, where 1-Decay is alpha and
	// Every is k).
	Lookahead bool `yaml:"lookahead,omitempty"`
}

// SWARecipe keeps the plain mean of the weights and running statistics at the ends
// of the last epochs, which is evaluated and saved as the model (stochastic weight
// averaging; Izmailov et al. 2018, arXiv 1803.05407). It goes well with a rate that
// stays high, such as lr.schedule constant, or cosine with lr.final=0.5.
type SWARecipe struct {
	// Start is the share of the run after which the mean begins; 0 means 0.75.
	Start float64 `yaml:"start,omitempty"`
}

// Distill makes the network learn from a trained one, the teacher, besides the labels
// (Hinton, Vinyals and Dean 2015, arXiv 1503.02531, section 2): the loss is
//
//	(1-Weight)*loss(labels) + Weight*T²*CrossEntropy(logits/T, softmax(teacher's logits/T))
type Distill struct {
	From        string  `yaml:"from"`                  // the teacher's model file, of the same classes
	Weight      float64 `yaml:"weight,omitempty"`      // default 0.5
	Temperature float64 `yaml:"temperature,omitempty"` // T, default 4
}

// EarlyStop ends a run that no longer improves.
type EarlyStop struct {
	// Patience is the number of evaluations without a new best.
	Patience int     `yaml:"patience"`
	MinDelta float64 `yaml:"min_delta,omitempty"` // smallest improvement that counts
}

// Checkpoint is how often to save besides the end of each epoch; 0 means never.
type Checkpoint struct {
	EverySteps int `yaml:"every_steps,omitempty"`
	// EveryEpochs is the number of epochs between two models that are kept in files
	// of their own, such as epoch-0010.safetensors.
	EveryEpochs  int     `yaml:"every_epochs,omitempty"`
	EverySeconds float64 `yaml:"every_seconds,omitempty"`
}

// Finetune describes how to start from a trained model.
type Finetune struct {
	// From is the model file, unless the user names one by --model FILE.
	From string `yaml:"from,omitempty"`
	// Freeze names the modules that keep their weights, by the beginning of
	// their path, or "backbone" for all but the last layer. Their batch norms
	// use the running statistics.
	Freeze Names `yaml:"freeze,omitempty,flow"`
	// BackboneLR scales the learning rate of all but the last layer; 0 means 1.
	BackboneLR float64 `yaml:"backbone_lr,omitempty"`
	// WarmHead is the number of epochs at the start in which only the last layer
	// learns, before it passes useful gradients to the others.
	WarmHead int `yaml:"warm_head,omitempty"`
	// FreezeNorm makes all batch norms use their running statistics, without
	// updating them: small batches have poor statistics. Their weights and biases
	// learn.
	FreezeNorm bool `yaml:"freeze_norm,omitempty"`
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
	case r.Shards < 0:
		return badKey("shards", "%d is below 0", r.Shards)
	case r.EvalBatch < 0:
		return badKey("eval_batch", "%d is below 0", r.EvalBatch)
	case r.EvalEvery < 0:
		return badKey("eval_every", "%d is below 0", r.EvalEvery)
	case r.Size < 0 || r.Size > maxSide:
		return badKey("size", "%d is not a side in pixels, 1 to %d", r.Size, maxSide)
	case r.TrainSize < 0:
		return badKey("train_size", "%d is below 0", r.TrainSize)
	case r.Validation >= 1:
		return badKey("validation", "%v is not a share below 1", r.Validation)
	case o.own == nil && !slices.Contains(optimizerKinds, o.Kind):
		return unknownName("optimizer.name", "optimizer", o.Kind, optimizerKinds)
	case o.WeightsOnly && o.Kind != "lars":
		return badKey("optimizer.weights_only", "belongs to lars")
	case o.Nesterov && (o.Kind != "sgd" || o.Momentum == 0):
		return badKey("optimizer.nesterov", "belongs to sgd with a momentum")
	case r.Loss.own == nil && r.Loss.Kind != "" && !slices.Contains(lossKinds, r.Loss.Kind):
		return unknownName("loss.name", "loss", r.Loss.Kind, lossKinds)
	case !(r.Loss.Gamma >= 0 && r.Loss.Gamma < 100):
		return badKey("loss.gamma", "%v is not a power from 0 on", r.Loss.Gamma)
	case !(r.Loss.LabelSmoothing >= 0 && r.Loss.LabelSmoothing < 1):
		return badKey("loss.label_smoothing", "%v is not a share below 1", r.Loss.LabelSmoothing)
	case !(r.Loss.Aux >= 0 && r.Loss.Aux < 1000):
		return badKey("loss.aux", "%v is not a weight from 0 to below 1000", r.Loss.Aux)
	case !(r.Loss.Dice >= 0 && r.Loss.Dice < 1000):
		return badKey("loss.dice", "%v is not a weight from 0 to below 1000", r.Loss.Dice)
	case r.EMA != nil && !(r.EMA.Decay >= 0 && r.EMA.Decay < 1):
		return badKey("ema.decay", "%v is not a share below 1", r.EMA.Decay)
	case r.EMA != nil && r.EMA.Every < 0:
		return badKey("ema.every", "%d is below 0", r.EMA.Every)
	case r.EMA != nil && !(r.EMA.Power >= 0 && r.EMA.Power <= 100):
		return badKey("ema.power", "%v is not a power from 0 to 100", r.EMA.Power)
	case r.SWA != nil && r.EMA != nil:
		return badKey("swa", "is another average than ema: set one of them to null")
	case r.SWA != nil && !(r.SWA.Start >= 0 && r.SWA.Start < 1):
		return badKey("swa.start", "%v is not a share below 1", r.SWA.Start)
	case r.Distill != nil && r.Distill.From == "":
		return badKey("distill.from", "names no file: give the teacher's model file")
	case r.Distill != nil && !(r.Distill.Weight >= 0 && r.Distill.Weight <= 1):
		return badKey("distill.weight", "%v is not a share from 0 to 1", r.Distill.Weight)
	case r.Distill != nil && !(r.Distill.Temperature >= 0 && r.Distill.Temperature < 1000):
		return badKey("distill.temperature", "%v is not a temperature above 0", r.Distill.Temperature)
	case r.EarlyStop != nil && r.EarlyStop.Patience < 1:
		return badKey("early_stop.patience", "%d is below 1", r.EarlyStop.Patience)
	case r.Checkpoint.EverySteps < 0:
		return badKey("checkpoint.every_steps", "%d is below 0", r.Checkpoint.EverySteps)
	case r.Checkpoint.EveryEpochs < 0:
		return badKey("checkpoint.every_epochs", "%d is below 0", r.Checkpoint.EveryEpochs)
	case !(r.Checkpoint.EverySeconds >= 0):
		return badKey("checkpoint.every_seconds", "%v is below 0", r.Checkpoint.EverySeconds)
	case r.Finetune != nil && !(r.Finetune.BackboneLR >= 0):
		return badKey("finetune.backbone_lr", "%v is below 0", r.Finetune.BackboneLR)
	case r.Finetune != nil && r.Finetune.WarmHead < 0:
		return badKey("finetune.warm_head", "%d is below 0", r.Finetune.WarmHead)
	case r.Finetune != nil && r.Finetune.WarmHead > 0 && r.Iterations > 0:
		return badKey("finetune.warm_head", "counts epochs, but the recipe's length is in iterations")
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
		{"optimizer.beta1", o.Beta1, 1}, {"optimizer.beta2", o.Beta2, 1}, {"optimizer.alpha", o.Alpha, 1}, {"optimizer.eps", o.Eps, 1},
		{"optimizer.trust", o.Trust, 1000}, {"optimizer.clip_norm", o.ClipNorm, 1e30},
	} {
		if !(f.v >= 0 && f.v < f.below) {
			return badKey(f.key, "%v is not a number from 0 to below %g", f.v, f.below)
		}
	}
	for _, w := range slices.Concat(r.Loss.ClassWeights.Weights, slices.Collect(maps.Values(r.Loss.ClassWeights.ByName))) {
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
	if err := r.validWhiten(); err != nil {
		return err
	}
	if err := r.validDetect(); err != nil {
		return err
	}
	return r.validSSL()
}

// maxSide is the largest Size.
const maxSide = 1 << 14

func unknownName(key, what, name string, known []string) error {
	e := &keyError{key, fmt.Sprintf("unknown %s %q", what, name), suggest.Name(name, known)}
	if e.suggest == "" {
		e.problem += " (known: " + strings.Join(known, ", ") + ")"
	}
	return e
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
