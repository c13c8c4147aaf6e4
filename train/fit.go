package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// Loss is what [Compile] minimises: a [CrossEntropy] or a [BCE].
type Loss interface{ loss() LossRecipe }

// CrossEntropy is for pictures of one class each; see graph.CrossEntropy.
type CrossEntropy struct {
	LabelSmoothing float64
	Weights        []float64 // one a class; nil for all 1
}

func (l CrossEntropy) loss() LossRecipe {
	return LossRecipe{Kind: "cross-entropy", LabelSmoothing: l.LabelSmoothing, ClassWeights: ClassWeights{Weights: l.Weights}}
}

// BCE is the binary cross entropy, a question a class, for pictures with any
// number of labels; see graph.BCEWithLogits.
type BCE struct {
	Weights []float64 // of the positives, one a class; nil for all 1
}

func (l BCE) loss() LossRecipe {
	return LossRecipe{Kind: "bce", ClassWeights: ClassWeights{Weights: l.Weights}}
}

// Rule is how [Compile]'s network learns: [SGD], [AdamW] or [LARS]. LR is the
// learning rate, with a [Schedule] its peak. Weight decay leaves out biases and
// normalisation.
type Rule interface{ rule() (Optimizer, float64) }

// SGD is stochastic gradient descent; see graph.SGD.
type SGD struct {
	LR, Momentum, WeightDecay float64
	Nesterov                  bool
	ClipNorm                  float64 // limit of the gradients' norm; 0 is off
}

func (r SGD) rule() (Optimizer, float64) {
	return Optimizer{Kind: "sgd", Momentum: r.Momentum, Nesterov: r.Nesterov, WeightDecay: r.WeightDecay, ClipNorm: r.ClipNorm}, r.LR
}

// AdamW is Adam with decoupled weight decay; see graph.AdamW. Zero betas and
// Eps are PyTorch's defaults 0.9, 0.999 and 1e-8.
type AdamW struct {
	LR, WeightDecay, Beta1, Beta2, Eps float64
	ClipNorm                           float64
}

func (r AdamW) rule() (Optimizer, float64) {
	return Optimizer{Kind: "adamw", WeightDecay: r.WeightDecay, Beta1: r.Beta1, Beta2: r.Beta2, Eps: r.Eps, ClipNorm: r.ClipNorm}, r.LR
}

// LARS is for very large batches; see graph.LARS. A zero Trust is 0.001.
type LARS struct {
	LR, Momentum, WeightDecay, Trust float64
}

func (r LARS) rule() (Optimizer, float64) {
	return Optimizer{Kind: "lars", Momentum: r.Momentum, WeightDecay: r.WeightDecay, Trust: r.Trust}, r.LR
}

// Compiled is a network with a loss and an optimiser, ready for [Compiled.Fit].
// It is not safe for concurrent use.
type Compiled struct {
	module nn.Module
	loss   Loss
	rule   Rule

	classes []string
	multi   bool
	prep    data.Preprocess // zero before Fit
	seed    uint64
	last    *Result
	plans   map[string]*engine.Plan // of Predict, by shape
}

// Compile prepares a network for training: any module whose output is logits
// [N, classes]. If it has no weights yet, it is initialised with seed 0; call
// nn.Init or nn.Load before for others.
func Compile(m nn.Module, loss Loss, rule Rule) (*Compiled, error) {
	if m == nil || loss == nil || rule == nil {
		return nil, errors.New("train: Compile needs a module, a loss and an optimiser")
	}
	if err := nn.Check(m); err != nil {
		return nil, err
	}
	for _, e := range nn.StateDict(m) {
		if e.Param.Value == nil {
			if err := nn.Init(m, 0); err != nil {
				return nil, err
			}
			break
		}
	}
	return &Compiled{module: m, loss: loss, rule: rule}, nil
}

// FitOptions are the choices of [Compiled.Fit]. Only Epochs must be given.
type FitOptions struct {
	Epochs    int
	BatchSize int          // 0 is 32
	Val       data.Dataset // evaluated after each epoch; may be nil
	// Preprocess is how pictures become inputs. The zero value takes the size
	// of the first picture and the mean and deviation of the training data.
	Preprocess data.Preprocess
	Augment    data.Augment
	// Schedule is of the learning rate; nil is constant. Its Peak is the
	// optimiser's LR.
	Schedule *Schedule
	EMA      float64 // decay of the moving averages that are evaluated and kept; 0 is off
	Patience int     // evaluations without a better one before it stops; 0 never stops
	Seed     uint64
	Threads  int
	Log      Log
}

// Fit trains on a dataset. Afterwards the module's parameters hold what was
// learnt. Each Fit begins with a fresh optimiser. Errors are those of [Run]
// (where ctx ends, nothing is written, but the module keeps what it learnt).
func (c *Compiled) Fit(ctx context.Context, ds data.Dataset, opt FitOptions) (*Result, error) {
	o, lr := c.rule.rule()
	rec := &Recipe{Name: "fit", Epochs: opt.Epochs, BatchSize: opt.BatchSize, Optimizer: o, Loss: c.loss.loss(), Augment: opt.Augment}
	if rec.BatchSize == 0 {
		rec.BatchSize = 32
	}
	rec.LR = Schedule{Kind: Constant}
	if opt.Schedule != nil {
		rec.LR = *opt.Schedule
	}
	rec.LR.Peak = lr
	if opt.EMA != 0 {
		rec.EMA = &EMARecipe{Decay: opt.EMA}
	}
	if opt.Patience != 0 {
		rec.EarlyStop = &EarlyStop{Patience: opt.Patience}
	}
	prep := opt.Preprocess
	if prep.Width == 0 {
		var err error
		if prep, err = measure(ctx, ds, opt.Threads); err != nil {
			return nil, err
		}
	}
	rec.Preprocess = Preprocess{Custom: &prep}
	if err := rec.Valid(); err != nil {
		return nil, fmt.Errorf("train: Fit: %w", err)
	}
	s := &session{
		rec: rec, seed: opt.Seed, prep: prep, module: c.module, log: newLogger(opt.Log), threads: opt.Threads,
		splits: &data.Splits{Spec: "the data", Train: ds, Val: opt.Val},
	}
	defer s.close()
	if err := s.checkData(); err != nil {
		return nil, err
	}
	if err := s.build(nil); err != nil {
		return nil, err
	}
	c.classes, c.multi, c.prep, c.seed, c.plans = ds.Classes(), ds.MultiLabel(), prep, opt.Seed, nil
	s.announce()
	r, err := s.run(ctx)
	if err := c.take(s); err != nil {
		return nil, err
	}
	c.last = r
	return r, err
}

// measure returns the preprocessing of a dataset whose pictures are all of the
// first one's size, or are brought to it.
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
		std[i] = max(std[i], 1e-3) // pictures of one colour
	}
	p.Mean, p.Std = mean, std
	return p, nil
}

// take puts the session's values into the module, the moving averages where
// there are any.
func (c *Compiled) take(s *session) error {
	for _, e := range nn.StateDict(c.module) {
		t, err := s.vars.Get(weights.EMAPrefix + e.Name)
		if err != nil {
			t, err = s.vars.Get(e.Name)
		}
		if err != nil {
			return err
		}
		if before, ok := s.counted[e.Name]; ok {
			t.Int64s()[0] = before + int64(s.state.Update)
		}
		e.Param.Value = t
	}
	return nil
}

func (c *Compiled) vars() (*engine.Vars, error) {
	v := engine.NewVars()
	for _, e := range nn.StateDict(c.module) {
		if err := v.Set(e.Name, e.Param.Value); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// Evaluate returns the metrics on a dataset, whose pictures are prepared as in
// Fit.
func (c *Compiled) Evaluate(ctx context.Context, ds data.Dataset) (Metrics, error) {
	if c.prep.Width == 0 {
		return Metrics{}, errors.New("train: Evaluate before Fit: it is not known how pictures become inputs")
	}
	v, err := c.vars()
	if err != nil {
		return Metrics{}, err
	}
	e, err := newEvaluator(c.module, ds, data.LoaderConfig{BatchSize: 64, Preprocess: c.prep}, 0)
	if err != nil {
		return Metrics{}, err
	}
	return e.run(ctx, v, nil)
}

// Predict returns the classes' probabilities [N, classes] for inputs
// [N, C, H, W], such as Preprocess().Batch makes: by softmax, or each by its
// own sigmoid under [BCE].
func (c *Compiled) Predict(x *tensor.Tensor) (*tensor.Tensor, error) {
	key := x.Shape().String()
	plan := c.plans[key]
	if plan == nil {
		v, err := c.vars()
		if err != nil {
			return nil, err
		}
		t, err := nn.Trace(c.module, nn.TraceOptions{Input: graph.F32(x.Shape()...)})
		if err != nil {
			return nil, err
		}
		t.Graph.Output(outLogits, t.Output)
		if plan, err = engine.Compile(t.Graph, v, engine.Options{}); err != nil {
			return nil, err
		}
		if c.plans == nil {
			c.plans = map[string]*engine.Plan{}
		}
		c.plans[key] = plan
	}
	out := tensor.New(plan.Outputs()[0].Shape...)
	if err := plan.Run([]*tensor.Tensor{x}, []*tensor.Tensor{out}); err != nil {
		return nil, err
	}
	p, shape := out.Float32s(), out.Shape()
	if _, ok := c.loss.(BCE); ok {
		for i, z := range p {
			p[i] = float32(1 / (1 + math.Exp(-float64(z))))
		}
		return out, nil
	}
	classes := shape[len(shape)-1]
	for at := 0; at < len(p); at += classes {
		for i, q := range metrics.Softmax(p[at:at+classes], 1) {
			p[at+i] = float32(q)
		}
	}
	return out, nil
}

// Preprocess returns how pictures became inputs in Fit.
func (c *Compiled) Preprocess() data.Preprocess { return c.prep }

// Save writes the model as a file. Networks of package models can be opened
// from it alone; for others it holds the weights by state-dict key, for
// nn.Load.
func (c *Compiled) Save(path string) error {
	f := &weights.File{Tensors: nn.State(c.module)}
	f.Classes, f.MultiLabel, f.Seed = c.classes, c.multi, c.seed
	if c.last != nil && len(c.last.History) > 0 {
		f.Metrics = c.last.Last.figures()
	}
	var err error
	if c.prep.Width > 0 {
		if f.Preprocess, err = json.Marshal(c.prep); err != nil {
			return err
		}
	}
	if m, ok := c.module.(*models.Model); ok {
		if f.Architecture, err = json.Marshal(m.Config); err != nil {
			return err
		}
	}
	return weights.Save(path, f, weights.SaveOptions{})
}
