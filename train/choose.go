package train

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	segmentations "github.com/resnet-go/resnet/data/segmentation"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/weights"
)

// hasWeights reports whether a text names a model with weights. An error is
// reported where the model is opened.
func hasWeights(model string) bool {
	ref, err := modelfile.Parse(model)
	return err == nil && model != "" && ref.HasWeights()
}

// DefaultRecipe returns the name of the recipe for a model and data where none is
// named: fine-tuning for a model file, else by the kind of data. [Choose] fits the
// recipe photos to the data besides.
func DefaultRecipe(model, spec string) string {
	kind, _, _ := cut(spec)
	switch {
	case model != "" && slices.Contains(detection.Kinds(), kind) && taskOfModel(model) != models.Segmentation:
		return detectRecipe
	case kind == "folder" || kind == "multilabel" || kind == "tar":
		return photosRecipe
	case slices.Contains(segmentations.Kinds(), kind):
		return "segment"
	case hasWeights(model):
		return "finetune"
	case kind == "cifar10" || kind == "cifar100":
		return "cifar-fast"
	case kind == "idx" || kind == "embedded" || kind == "":
		return "fashion-quick"
	}
	return "imagenet-v1"
}

// detectRecipe is the recipe of detectors.
const detectRecipe = "detect"

// taskOfModel returns what a model is for, as its name or the metadata of its file
// tell: classification if they do not.
func taskOfModel(model string) models.Task {
	ref, err := modelfile.Parse(model)
	if err != nil {
		return models.Classification
	}
	if ref.Name != "" {
		if conf, err := models.Lookup(ref.Name); err == nil {
			return conf.Task()
		}
	}
	if ref.File != "" {
		if meta, _, err := weights.LoadMeta(ref.File); err == nil && len(meta.Architecture) > 0 {
			if conf, err := models.ParseConfig(meta.Architecture); err == nil {
				return conf.Task()
			}
		}
	}
	return models.Classification
}

// chooseOfObjects chooses between masks and boxes for data that may have both, where
// no model is named, and notes it.
func (c *Config) chooseOfObjects() string {
	const others = "for boxes: --recipe detect, or --model fasterrcnn_resnet18_fpn; for the box and the mask of each object: --model maskrcnn_resnet18_fpn"
	s, err := segmentations.Open(context.Background(), c.Data, data.Options{ValFraction: -1})
	if err == nil {
		s.Close()
		c.chosen = append(c.chosen, c.Data+" has masks: what is trained is a segmentation network, which gives every pixel a class; "+others)
		return "segment"
	}
	d, failed := detection.Open(c.Data, detection.Options{Options: data.Options{ValFraction: -1}})
	if failed != nil {
		return "segment" // whose error describes the data
	}
	d.Close()
	c.chosen = append(c.chosen, c.Data+" has no mask for every object: what is trained is a detector, which finds boxes")
	return detectRecipe
}

// Choose returns cfg with a Recipe, and with a Model if the recipe leaves none: the
// Recipe as it is if there is one, else that of [DefaultRecipe]. The recipe photos is
// fitted to the data, which are opened for it: batch size, epochs, rates and input
// size, and what is trained. Keys in Set stay as they are given there.
func Choose(cfg Config) (Config, error) {
	if cfg.Recipe != nil {
		if len(cfg.Set) > 0 || cfg.Optimizer != "" {
			return cfg, errors.New("train: Config.Set and Optimizer change a recipe that is chosen, but Recipe is given: leave out one")
		}
		return cfg, nil
	}
	var err error
	name := DefaultRecipe(cfg.Model, cfg.Data)
	if kind, _, _ := cut(cfg.Data); cfg.Model == "" && cfg.Splits == nil && slices.Contains(detection.Kinds(), kind) {
		name = cfg.chooseOfObjects()
	}
	if name == photosRecipe {
		cfg, err = choosePhotos(cfg)
	} else {
		cfg.Recipe, err = LoadRecipe(name, cfg.Set...)
		if err == nil {
			err = cfg.useOptimizer()
		}
	}
	cfg.Set, cfg.Optimizer = nil, ""
	return cfg, err
}

// useOptimizer gives the recipe the Optimizer.
func (c *Config) useOptimizer() error {
	if c.Optimizer == "" {
		return nil
	}
	return c.Recipe.SetOptimizer(c.Optimizer, slices.Contains(keysOf(c.Set), "lr.peak"))
}

// openSplits opens the data of a run. valSpec names other data to evaluate on.
func openSplits(cfg Config, rec *Recipe, spec, valSpec string, share float64, seed uint64) (*data.Splits, error) {
	open := cfg.Open
	switch {
	case rec != nil && rec.Detect != nil:
		open = detection.OpenData
	case open == nil:
		open = func(spec string, opt data.Options) (*data.Splits, error) {
			return segmentations.OpenAny(context.Background(), spec, opt)
		}
	}
	if spec == "" {
		return nil, errors.New("no data given: name them as KIND:PATH, such as folder:photos")
	}
	unlabeled := rec != nil && rec.SSL != nil
	if kind, _, _ := cut(spec); unlabeled && slices.Contains(segmentations.Kinds(), kind) {
		return nil, fmt.Errorf("%s has boxes or masks of objects, and training without labels takes pictures alone: give their folder, as folder:DIR", spec)
	}
	elsewhere := cfg.ValData != "" || valSpec != "" || rec != nil && rec.Validation > 0
	if valSpec == "" {
		s, err := data.OpenSparing(open, spec, data.Options{ValFraction: share, Seed: seed, Unlabeled: unlabeled}, elsewhere)
		return s, needsOther(err)
	}
	whole := data.Options{ValFraction: -1, Seed: seed, Unlabeled: unlabeled}
	s, err := data.OpenSparing(open, spec, whole, elsewhere)
	if err != nil {
		return nil, needsOther(err)
	}
	v, err := data.OpenSparing(open, valSpec, whole, false)
	if err == nil && unlabeled && (!judges(s) || !judges(v)) {
		s.Notes = append(s.Notes, fmt.Sprintf("the data to evaluate on, %s, have no effect: features are judged by pictures with one label each, there and in the data to learn from", valSpec))
		return s, v.Close()
	}
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data to evaluate on: %w", err), s.Close())
	}
	return s, nil
}

// needsOther adds what can be trained to the error for objects without masks, and to that
// for a test part that cannot be used.
func needsOther(err error) error {
	if bad := (*data.PartError)(nil); errors.As(err, &bad) && bad.Part == "test" {
		return fmt.Errorf("%w. Without the test part: --val-split 0.1 evaluates on a share of the training pictures", err)
	}
	if none := (*segmentations.NoMaskError)(nil); errors.As(err, &none) {
		return fmt.Errorf("%w. Detectors learn from boxes: --recipe detect, or --model fasterrcnn_resnet18_fpn, trains one; classifiers learn from pictures with a label, as folder:DIR", err)
	}
	return err
}

// fitBatch makes a batch that is larger than the training data smaller, and notes
// which pictures an epoch leaves out.
func (j *job) fitBatch() {
	n, was := j.readable("train", j.splits.Train), j.rec.BatchSize
	if was > n {
		rec := *j.rec
		rec.BatchSize = smallBatch(n, was)
		note := fmt.Sprintf("the batch size of %d is above the number of training pictures, %d: batches of %d are used", was, n, rec.BatchSize)
		if of := rec.batchOfRate; rec.LR.PeakBatch == 0 && rec.BatchSize < of {
			rec.LR.Peak *= float64(rec.BatchSize) / float64(of)
			note += fmt.Sprintf(", and the learning rate goes down in proportion, from %g to %.4g", j.rec.LR.Peak, rec.LR.Peak)
		}
		j.rec = &rec
		j.notes = append(j.notes, note)
	}
	if j.rec.Detect != nil {
		return // whose loader fills the last batch
	}
	batch := j.rec.BatchSize * max(1, j.rec.Accumulate)
	if left := n % batch; left*100 > n && batch <= n {
		j.notes = append(j.notes, fmt.Sprintf("each epoch leaves out %d of the %d training pictures, others each time, as they do not fill a batch of %d",
			left, n, batch))
	}
}

// smallBatch returns a batch size for n samples: a power of two that gives at least
// four batches, from eight, where there are eight samples, to 256.
func smallBatch(n, most int) int {
	b := 8
	for b*2*4 <= n && b*2 <= min(most, 256) {
		b *= 2
	}
	return min(b, n, most)
}

// extend gives a run that is continued a new length; 0 leaves it.
func (s *session) extend(epochs int) error {
	if epochs == 0 {
		return nil
	}
	if s.rec.Iterations > 0 {
		return fmt.Errorf("the run's length is %d iterations, so it cannot get a number of epochs", s.rec.Iterations)
	}
	if epochs <= s.state.Epoch {
		return fmt.Errorf("the run has done %s: to continue it, give more than that, not %d", term.Plural(s.state.Epoch, "epoch"), epochs)
	}
	s.notes = append(s.notes, fmt.Sprintf("the run now has %s instead of %d; the learning rate follows the schedule of the new length", term.Plural(epochs, "epoch"), s.rec.Epochs))
	s.rec.Epochs = epochs
	s.state.Stopped, s.state.Waited = "", 0
	text, err := s.rec.YAML()
	s.meta.Recipe = string(text)
	return err
}

// keysOf returns the keys that KEY=VALUE texts set.
func keysOf(set []string) []string {
	var keys []string
	for _, s := range set {
		key, _, _ := cutSet(s)
		keys = append(keys, key)
	}
	return keys
}
