package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// Trainer is a network with a loss and an optimizer, ready for [Trainer.Fit]. It
// is not safe for concurrent use.
type Trainer struct {
	module nn.Module
	loss   Loss
	opt    Optimizer

	classes []string
	multi   bool
	prep    data.Preprocess // zero before Fit
	seed    uint64
	last    *Result
	predict *infer.Runner // of Predict, nil before it and after Fit

	// Where the next Fit continues.
	done    position
	history []EpochRecord
	slots   map[string]*tensor.Tensor // the optimizer's, and the moving averages
	// trained holds the weights under the moving averages, which are the module's
	// values.
	trained map[string]*tensor.Tensor
}

// Compile prepares a network for training: any module whose output is logits
// [N, classes], or a detector of package models, which has its own losses: loss is nil
// for it, and its first class, 0, is never an object. If the network has no weights yet, it is initialized with seed 0; call
// nn.Init or nn.Load before for others.
func Compile(m nn.Module, loss Loss, opt Optimizer) (*Trainer, error) {
	if m == nil || loss == nil && !isDetector(m) || opt == nil {
		return nil, errors.New("train: Compile needs a module, a loss and an optimizer")
	}
	if loss != nil && isDetector(m) {
		return nil, errors.New("train: Compile: a detector has its own losses: leave out the loss")
	}
	if withoutLabels(m) != nil {
		return nil, errors.New("train: Compile is for networks that learn from labels: give the backbone of an ssl.Network to Run, with a recipe such as simsiam")
	}
	if err := nn.Check(m); err != nil {
		return nil, err
	}
	for _, e := range nn.Params(m) {
		if e.Param.Value == nil {
			if err := nn.Init(m, 0); err != nil {
				return nil, err
			}
			break
		}
	}
	return &Trainer{module: m, loss: loss, opt: opt}, nil
}

// FitOptions are the choices of [Trainer.Fit]. Only Epochs must be given.
type FitOptions struct {
	Epochs    int          // of this Fit
	BatchSize int          // 0 is 32
	Val       data.Dataset // evaluated after each epoch; may be nil
	// Preprocess is how pictures become inputs. The zero value takes that of the
	// Fit before, or at first the size of the first picture and the mean and
	// deviation of the training data.
	Preprocess data.Preprocess
	Augment    data.Augment
	// Schedule is of the learning rate, over the epochs of this Fit; nil is
	// constant. Its Peak is the optimizer's LR.
	Schedule *Schedule
	// Rate, if it is not nil, gives the learning rate of each update instead of
	// Schedule and the optimizer's LR.
	Rate     RateFunc
	EMA      float64 // decay of the moving averages that are evaluated and kept; 0 is off
	Patience int     // evaluations without a better one before it stops; 0 never stops
	Seed     uint64
	Threads  int
	Log      Log
	// OnStep and OnEpoch are called after each update and each epoch, with its
	// evaluation; nil for none. An error ends the Fit and is its error, but for
	// [ErrStop], which ends it as if it were complete.
	OnStep  func(StepRecord) error
	OnEpoch func(EpochRecord) error
	// Accumulate is the number of batches whose gradients are averaged for an update;
	// 0 means 1.
	Accumulate int
	// Detect has the choices for a detector, which learns from a *detection.Dataset; nil is
	// the usual ones. MinSize, MaxSize, Kind and what else is of the network is not used:
	// its Config has it.
	Detect *DetectRecipe
}

// RateFunc returns the learning rate of an update, numbered from 0, of a Fit of total
// updates.
type RateFunc func(update, total int) float64

// ErrStop is what OnStep and OnEpoch of [FitOptions] return to end a Fit.
var ErrStop = errors.New("train: stopped by a callback")

// recipe returns the options as a recipe.
func (o FitOptions) recipe(loss Loss, opt Optimizer, prep *data.Preprocess) (*Recipe, error) {
	optimizer, lr, err := optimizerOf(opt)
	if err != nil {
		return nil, err
	}
	rec := &Recipe{Name: "fit", Epochs: o.Epochs, BatchSize: o.BatchSize, Optimizer: optimizer, Accumulate: o.Accumulate,
		Augment: o.Augment, Preprocess: Preprocess{Custom: prep}, LR: Schedule{Kind: Constant}, Detect: o.Detect}
	if loss != nil {
		rec.Loss = lossOf(loss)
	}
	if rec.BatchSize == 0 {
		rec.BatchSize = 32
	}
	if o.Schedule != nil {
		rec.LR = *o.Schedule
	}
	rec.LR.Peak = lr
	if o.EMA != 0 {
		rec.EMA = &EMARecipe{Decay: o.EMA}
	}
	if o.Patience != 0 {
		rec.EarlyStop = &EarlyStop{Patience: o.Patience}
	}
	if o.Rate != nil && rec.LR.Peak == 0 {
		rec.LR.Peak = 1 // which is not used
	}
	return rec, nil
}

// Fit trains on a dataset. Afterwards the module's parameters hold what was
// learned.
//
// Another Fit continues where the one before ended: with the optimizer's momenta
// and step count, the moving averages, and the numbering of epochs, by which
// data are shuffled. So two Fits of two epochs are one Fit of four, at a constant
// learning rate. [Trainer.Reset] discards all of that. The Result counts epochs and
// updates of all Fits.
//
// A batch size above the number of samples becomes smaller, as the log notes. Errors
// are the same as those of [Run]. If ctx ends, nothing is written, but the module
// keeps what it learned, and another Fit continues with the next epoch. After a
// *[Diverged] error it starts with a fresh optimizer.
func (t *Trainer) Fit(ctx context.Context, ds data.Dataset, opt FitOptions) (_ *Result, err error) {
	detector := isDetector(t.module)
	prep := opt.Preprocess
	if prep.Width == 0 {
		prep = t.prep
	}
	switch {
	case detector && opt.Preprocess.Width != 0:
		return nil, errors.New("train: Fit: a detector prepares pictures itself: leave out FitOptions.Preprocess")
	case detector && opt.Detect == nil:
		opt.Detect = &DetectRecipe{}
	case !detector && opt.Detect != nil:
		return nil, fmt.Errorf("train: Fit: FitOptions.Detect is for detectors of package models, not for %s", nn.Kind(t.module))
	}
	if prep.Width == 0 && detector {
		if prep, err = data.Preset("imagenet"); err != nil { // which is not used
			return nil, err
		}
	}
	if prep.Width == 0 {
		var err error
		if prep, err = measure(ctx, ds, opt.Threads); err != nil {
			return nil, err
		}
	}
	rec, err := opt.recipe(t.loss, t.opt, &prep)
	if err == nil {
		err = rec.Valid()
	}
	if err != nil {
		return nil, fmt.Errorf("train: Fit: %w", err)
	}
	s := &session{
		job: job{rec: rec, seed: opt.Seed, prep: prep, module: t.module, threads: opt.Threads,
			splits: &data.Splits{Spec: "the data", Train: ds, Val: opt.Val}},
		state:  state{Epoch: t.done.epoch, Update: t.done.update, History: slices.Clone(t.history)},
		loop:   loop{start: t.done},
		output: output{log: newLogger(opt.Log)},
	}
	s.rate, s.onStep, s.onEpoch = opt.Rate, opt.OnStep, opt.OnEpoch
	defer s.close()
	if detector {
		if err := s.useObjects(); err != nil {
			return nil, err
		}
		if n := t.module.(*models.Model).Config.Classes; n != len(s.classes()) {
			return nil, fmt.Errorf("train: Fit: the network has %d classes, and the data %d: a detector needs one more, for the background", n, len(ds.Classes()))
		}
	}
	if err := s.checkData(); err != nil {
		return nil, err
	}
	s.fitBatch()
	if err := t.build(s); err != nil {
		return nil, err
	}
	t.classes, t.multi, t.prep, t.seed, t.predict = s.classes(), ds.MultiLabel() && !detector, prep, opt.Seed, nil
	s.announce()
	r, err := s.run(ctx)
	if err := t.take(s); err != nil {
		return nil, err
	}
	if errors.As(err, new(*Diverged)) {
		t.Reset()
	}
	t.last = r
	return r, err
}

// Reset makes the next Fit start with a fresh optimizer and at epoch 1. The
// weights stay.
func (t *Trainer) Reset() {
	t.done, t.history, t.slots, t.trained = position{}, nil, nil, nil
}

// build makes the plans of a Fit that continues the one before. If it fails, the
// module is as it was.
func (t *Trainer) build(s *session) error {
	state := nn.Params(t.module)
	before := map[*nn.Param]*tensor.Tensor{}
	slots := maps.Clone(t.slots)
	for _, e := range state {
		p := e.Param
		before[p] = p.Value
		average := slots[weights.EMAPrefix+e.Name]
		if average != nil && sameValues(average, p.Value) {
			p.Value = t.trained[e.Name] // else someone has given the module other weights
		} else {
			delete(slots, weights.EMAPrefix+e.Name)
		}
	}
	if s.rec.EMA == nil {
		maps.DeleteFunc(slots, func(name string, _ *tensor.Tensor) bool { return strings.HasPrefix(name, weights.EMAPrefix) })
	}
	err := s.build(slots)
	if err != nil {
		for p, value := range before {
			p.Value = value
		}
	}
	return err
}

func sameValues(a, b *tensor.Tensor) bool {
	return a.DType() == tensor.Float32 && b.DType() == tensor.Float32 && a.Shape().Equal(b.Shape()) && slices.Equal(a.Float32s(), b.Float32s())
}

// take puts the session's values into the module, the moving averages where
// there are any, and keeps what the next Fit continues from.
func (t *Trainer) take(s *session) error {
	t.done, t.history = position{s.state.Epoch, s.state.Update}, s.state.History
	if s.state.Step > 0 {
		t.done.epoch++ // interrupted in the middle of one
	}
	t.slots, t.trained = map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}
	for _, name := range s.vars.Names() {
		if weights.IsState(name) {
			v, err := s.vars.Get(name)
			if err != nil {
				return err
			}
			t.slots[name] = v
		}
	}
	for _, e := range nn.Params(t.module) {
		v, err := s.value(e.Name)
		if err != nil {
			return err
		}
		if name := weights.EMAPrefix + e.Name; t.slots[name] != nil {
			t.trained[e.Name] = v
			if v, err = s.vars.Get(name); err != nil { // a copy: the module's may be changed
				return err
			}
		}
		e.Param.Value = v
	}
	return nil
}

// measure returns the preprocessing of a dataset: all pictures are resized to the
// size of the first one, and normalized by the mean and deviation of the data.
func measure(ctx context.Context, ds data.Dataset, threads int) (data.Preprocess, error) {
	var p data.Preprocess
	if ds.Len() == 0 {
		return p, errors.New("train: the dataset has no samples")
	}
	var m imaging.Image
	if err := ds.Decode(0, &m); err != nil {
		return p, fmt.Errorf("train: %s: %w", ds.Name(0), err)
	}
	p = data.Preprocess{Channels: m.C, Width: m.W, Height: m.H, Squash: true, Interpolation: imaging.Bilinear,
		Mean: make([]float32, m.C), Std: make([]float32, m.C)}
	for i := range p.Std {
		p.Std[i] = 1
	}
	mean, std, err := data.MeanStd(ctx, ds, p, false, threads)
	if err != nil {
		return p, err
	}
	for i := range std {
		std[i] = max(std[i], 1e-3) // pictures of one color
	}
	p.Mean, p.Std = mean, std
	return p, nil
}

// Evaluate returns the metrics on a dataset, preprocessed as in Fit. For figures by
// class, see [Trainer.Model] and [resnet.Model.Evaluate].
func (t *Trainer) Evaluate(ctx context.Context, ds data.Dataset) (Metrics, error) {
	if t.prep.Width == 0 {
		return Metrics{}, errors.New("train: Evaluate before Fit: it is not known how pictures become inputs")
	}
	e, err := newEvaluator(t.module, ds, data.LoaderConfig{BatchSize: 64, Preprocess: t.prep}, infer.Options{}, group{})
	if err != nil {
		return Metrics{}, err
	}
	return e.run(ctx, nil, nil)
}

// Predict returns the classes' probabilities [N, classes] for inputs [N, C, H, W]
// in either layout, such as Preprocess().Batch makes: by softmax, or by a
// separate sigmoid for each class under [BCE].
func (t *Trainer) Predict(x *tensor.Tensor) (*tensor.Tensor, error) {
	if isDetector(t.module) {
		return nil, errors.New("train: Predict: a detector has no probabilities of classes: Trainer.Model gives a model, whose Detect finds objects")
	}
	if t.predict == nil {
		r, err := infer.New(t.module, nil, infer.Options{Exact: true})
		if err != nil {
			return nil, err
		}
		t.predict = r
	}
	out, err := t.predict.Run(context.Background(), infer.Query{}, infer.Tensors{nn.ImageInput: x})
	if err != nil {
		return nil, err
	}
	l := lossOf(t.loss)
	multi := l.bce() || l.Kind == "" && t.multi
	z := out[infer.Output]
	p, shape := z.Float32s(), z.Shape()
	classes := shape[len(shape)-1]
	for at := 0; at < len(p); at += classes {
		for i, q := range metrics.Probabilities(p[at:at+classes], multi) {
			p[at+i] = float32(q)
		}
	}
	return z, nil
}

// Preprocess returns how pictures became inputs in Fit.
func (t *Trainer) Preprocess() data.Preprocess { return t.prep }

// Model returns what was learned as a model that can classify, embed, explain
// and be saved. It has copies of the weights: another Fit does not change it.
func (t *Trainer) Model(opt resnet.Options) (*resnet.Model, error) {
	if t.prep.Width == 0 {
		return nil, errors.New("train: Model before Fit: it is not known how pictures become inputs")
	}
	meta, err := t.meta()
	if err != nil {
		return nil, err
	}
	name := ""
	if m, ok := t.module.(*models.Model); ok {
		name = m.Config.Name
	}
	d := resnet.Description{Name: name, Classes: t.classes, MultiLabel: t.multi, Meta: meta}
	if !isDetector(t.module) { // which prepares pictures itself
		d.Preprocess = t.prep
	}
	return resnet.FromModule(t.module, d, opt)
}

// meta returns the metadata of a model file.
func (t *Trainer) meta() (weights.Meta, error) {
	m := weights.Meta{Classes: t.classes, MultiLabel: t.multi, Seed: t.seed}
	if t.last != nil && len(t.last.History) > 0 {
		m.Metrics = t.last.Last.figures()
	}
	var err error
	if t.prep.Width > 0 && !isDetector(t.module) {
		if m.Preprocess, err = json.Marshal(t.prep); err != nil {
			return m, err
		}
	}
	return m, err
}

// Save writes the model as a file, which resnet.Open and all commands open, see
// [resnet.Model.Save]. Before Fit, the file of a network that is not of package models
// holds its weights alone, because the size of its pictures is not known.
func (t *Trainer) Save(path string) error {
	meta, err := t.meta()
	if err != nil {
		return err
	}
	if _, known := t.module.(*models.Model); known || t.prep.Width > 0 {
		if err := modelfile.Describe(&meta, t.module, tensor.Shape{t.prep.Channels, t.prep.Height, t.prep.Width}); err != nil {
			return err
		}
	}
	return weights.Save(path, &weights.File{Meta: meta, Tensors: nn.Values(t.module)}, weights.SaveOptions{})
}
