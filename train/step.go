package train

import (
	"errors"
	"fmt"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// StepOptions are the choices of [NewStep]. Input, Loss and Optimizer must be
// given.
type StepOptions struct {
	Input tensor.Shape // of a batch, [N C H W]
	// Classes is the number of classes of the data, which the network's output
	// must have; 0 accepts any.
	Classes   int
	Loss      Loss
	Optimizer Optimizer
	// SoftTargets makes the targets distributions over the classes, as mixed
	// batches have them, instead of labels. A [BCE] always has soft targets.
	SoftTargets bool
	// BodyLR scales the learning rate of the backbone: of all but the last fully
	// connected layer of a classifier, or the heads of a segmentation network; 0 means
	// 1. AuxLR scales the rate of auxiliary heads likewise.
	BodyLR, AuxLR float64
	// NormBiasLR scales the learning rate of the biases of batch norms; 0 means 1.
	NormBiasLR float64
	// Teacher makes the network learn from another's logits besides the targets; nil
	// is off.
	Teacher *Teaching
	// EMA keeps a moving average of all parameters and running statistics.
	EMA bool
	// Lookahead makes the parameters and running statistics go on from the average
	// after a step whose StepInput.EMADecay is below 1. It needs EMA.
	Lookahead bool
	// Accumulate is the number of batches whose gradients are averaged for an
	// update; 0 means 1.
	Accumulate int
	// Recompute keeps only what enters and leaves each block until the backward
	// pass: less memory, more time, the same bits.
	Recompute bool
	// Vars holds the network's values by state-dict key and gets what training
	// needs besides: optimizer slots and averages that it does not have yet. nil
	// stands for copies of the parameters' values.
	Vars *engine.Vars
	// Inputs are the types, for one sample, of the numbers beside the pictures that
	// batches have (see data.WithInputs). An [OutputsLoss] gets them as targets.
	Inputs map[string]data.InputType
	// Detection is how a detector is trained, which has its own losses: Loss, Classes,
	// SoftTargets and Teacher are then not used.
	Detection *DetectionStep
	// FixedLR is the path of a module whose learning rate is StepInput.FixedLR instead of
	// LR; empty for none.
	FixedLR string
	// Compute is how the step is computed: threads, algorithms, precision.
	Compute infer.Options

	shards       int // Recipe.Shards; Input is then of one shard
	synchronized *nn.Synchronized
}

// DetectionStep are the choices of [NewStep] for a detector.
type DetectionStep struct {
	Capacity int // objects in a picture that a batch has room for
	Sampling detect.Sampling
}

// Teaching is how much a network learns from a teacher's logits, see [Distill].
type Teaching struct {
	Weight      float64 // of the teacher's part of the loss, 0 to 1
	Temperature float64 // above 0
}

// Step is one step of training as a compiled graph: forward pass, loss,
// gradients, update and moving averages in one plan. With accumulation there is
// a second plan, which adds up gradients and updates only running statistics.
// It is what [Run] and [Trainer.Fit] train with. It is not safe for concurrent
// use.
type Step struct {
	module    nn.Module
	vars      *engine.Vars
	options   infer.Options
	input     tensor.Shape
	classes   int
	soft      bool // targets are float32 [N classes]
	loss      LossRecipe
	opt       OptimizerRecipe
	heads     []models.Head
	task      task
	bodyLR    float64 // factor on the learning rate outside the heads
	auxLR     float64 // factor on the learning rate of auxiliary heads
	biasLR    float64 // factor on the learning rate of the biases of batch norms
	ema       bool
	lookahead bool
	recompute bool
	fixedLR   string
	teacher   *Teaching
	inputs    map[string]data.InputType // beside the pictures, for one sample
	// accumulate is the number of batches per update.
	accumulate int
	// shards is the number of shards of a batch; 0 is a batch as a whole.
	shards       int
	synchronized *nn.Synchronized // of the shards' batch norms
	parts        []sharedPart     // what a shard contributes
	shared       int              // its length
	buckets      []bucket         // into which it is cut

	update, adding *stepPlan
	shard          *stepPlan // nil without shards
	counters       []string  // num_batches_tracked keys
	trainable      []nn.Var
}

// StepInput is what a run of a [Step] computes on.
type StepInput struct {
	// Batch has N rows of X, and Targets where the step's are soft, else Labels.
	Batch *data.Batch
	// Objects is a detector's batch instead of Batch. The labels of its objects are the
	// network's classes, from 1.
	Objects *detection.Batch
	// Teacher is the teacher's logits [N classes] for the batch, if the step has one.
	Teacher []float32
	LR      float64
	// EMADecay is the decay of the moving averages; 1 leaves them as they are.
	EMADecay float64
	// Seed and Draw choose the random numbers of dropout and stochastic depth;
	// Draw counts the batches of the whole training.
	Seed uint64
	Draw int
	// FixedLR is the rate of StepOptions.FixedLR's module.
	FixedLR float64
	// TargetDecay is the decay of BYOL's target, see ssl.Config.MomentumAt.
	TargetDecay float64
	// Update is the number of the update from 1, which AdamW corrects its bias by.
	Update int
	// Add only adds the gradients to the sums of the batches before. It must be set
	// for all but the last of the batches of an update with accumulation.
	Add bool
}

// StepResult is what a run of a [Step] found, before its update. It holds until
// the next run.
type StepResult struct {
	Loss     float64   // mean over the batch
	GradNorm float64   // of all gradients together; 0 without clipping
	Logits   []float32 // [N classes], or [N H W classes] of pixels; nil of a detector
	// Spread and Dimensions are of a network that learns without labels, see package ssl.
	Spread, Dimensions float64
	// Parts are the losses of a detector, which add up to Loss.
	Parts []LossPart
}

// LossPart is one of the losses of a detector, called as in torchvision.
type LossPart struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// NewStep compiles the training step of a network whose output is logits
// [N classes] of pictures, or [N classes H W] of their pixels. An error about shapes names the path of the module.
func NewStep(m nn.Module, opt StepOptions) (*Step, error) {
	s, err := newStep(m, opt)
	if err != nil {
		return nil, err
	}
	if s.accumulate > 1 {
		if s.adding, err = s.build(false); err != nil {
			return nil, err
		}
	}
	if s.shards > 0 {
		if s.shard, err = s.build(false); err != nil {
			return nil, err
		}
	}
	if s.update, err = s.build(true); err != nil {
		return nil, err
	}
	return s, nil
}

// newStep returns a step without its plans.
func newStep(m nn.Module, opt StepOptions) (*Step, error) {
	unlabeled := withoutLabels(m)
	if m == nil || opt.Loss == nil && opt.Detection == nil && unlabeled == nil || opt.Optimizer == nil || len(opt.Input) != 4 {
		return nil, errors.New("train: NewStep needs a module, an input shape [N C H W], a loss and an optimizer; a detector needs StepOptions.Detection instead of a loss, an ssl.Network none")
	}
	s := &Step{module: m, vars: opt.Vars, options: opt.Compute, input: opt.Input, classes: opt.Classes,
		heads: headsOf(m), bodyLR: opt.BodyLR, auxLR: opt.AuxLR, biasLR: opt.NormBiasLR, ema: opt.EMA, lookahead: opt.EMA && opt.Lookahead, recompute: opt.Recompute, fixedLR: opt.FixedLR, teacher: opt.Teacher, inputs: opt.Inputs, accumulate: max(1, opt.Accumulate), shards: opt.shards, synchronized: opt.synchronized}
	var err error
	if s.opt, _, err = optimizerOf(opt.Optimizer); err != nil {
		return nil, err
	}
	if unlabeled != nil {
		s.task = selfSupervised{unlabeled}
	} else if d := opt.Detection; d != nil {
		if s.task, err = newObjects(m, *d); err != nil {
			return nil, err
		}
	} else {
		s.loss = lossOf(opt.Loss)
	}
	if s.loss.ClassWeights.Balanced || len(s.loss.ClassWeights.ByName) > 0 {
		return nil, errors.New("train: NewStep: ClassWeights is balanced or by name, which needs data: give the weights")
	}
	s.soft = s.task == nil && (opt.SoftTargets || s.loss.bce())
	if s.vars == nil {
		s.vars = engine.NewVars()
		for _, e := range nn.Params(m) {
			if err := s.vars.Set(e.Name, e.Param.Value); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// Classes returns the number of classes of the network's output.
func (s *Step) Classes() int { return s.classes }

// Labels returns the number of labels of a batch: N of pictures, N*H*W of pixels.
func (s *Step) Labels() int {
	if s.pixels() {
		return s.input[0] * s.input[2] * s.input[3]
	}
	return s.input[0]
}

// csvHead returns the columns of results.csv.
func (s *Step) csvHead() []string {
	switch t := s.task.(type) {
	case segmentation:
		return csvHeadPixels
	case *objects:
		if t.net.Config.Detection.Kind == models.DetectorRetinaNet {
			return csvHeadRetina
		}
		return csvHeadObjects
	case selfSupervised:
		return csvHeadViews
	}
	return csvHead
}

// Vars returns the values that the step trains: parameters and running
// statistics by state-dict key, optimizer slots and averages by the prefixes of
// package weights.
func (s *Step) Vars() *engine.Vars { return s.vars }

// Run computes a step on a batch.
func (s *Step) Run(in StepInput) (StepResult, error) {
	p, err := s.bind(in)
	if err != nil {
		return StepResult{}, err
	}
	if err := p.plan.Run(p.in, p.out); err != nil {
		return StepResult{}, err
	}
	return p.result(), nil
}

// result returns what a run has found.
func (p *stepPlan) result() StepResult {
	var r StepResult
	if p.loss != nil { // else the plan only updates
		r.Loss = float64(p.loss.Float32s()[0])
	}
	if p.logits != nil {
		r.Logits = p.logits.Float32s()
	}
	if p.spread != nil {
		r.Spread, r.Dimensions = float64(p.spread.Float32s()[0]), float64(p.dimensions.Float32s()[0])
	}
	for i, t := range p.parts {
		r.Parts = append(r.Parts, LossPart{p.partNames[i], float64(t.Float32s()[0])})
	}
	if p.norm != nil {
		r.GradNorm = float64(p.norm.Float32s()[0])
	}
	return r
}

// Bind returns the step on a batch, to be run and measured any number of times.
// It holds until the next call of Bind or Run. Its first output is the loss.
func (s *Step) Bind(in StepInput) (*infer.Call, error) {
	p, err := s.bind(in)
	if err != nil {
		return nil, err
	}
	return infer.NewCall(p.plan, p.in, p.out), nil
}

// stepPlan is a compiled step with the memory for its scalars and results.
type stepPlan struct {
	plan         *engine.Plan
	in, out      []*tensor.Tensor
	lr, t, decay *tensor.Tensor
	fixed, apart *tensor.Tensor
	rng          *tensor.Tensor
	loss, logits *tensor.Tensor
	norm         *tensor.Tensor // nil without clipping
	spread       *tensor.Tensor // nil with labels, and so is dimensions
	dimensions   *tensor.Tensor
	parts        []*tensor.Tensor
	partNames    []string
}

func (s *Step) plan(add bool) *stepPlan {
	if add {
		return s.adding
	}
	return s.update
}

// ports makes the memory of a plan's inputs and outputs.
func (s *Step) ports(plan *engine.Plan) *stepPlan {
	p := &stepPlan{plan: plan, lr: tensor.New(), t: tensor.New(), decay: tensor.New(), fixed: tensor.New(), apart: tensor.New(), rng: tensor.NewInt64(2)}
	known := map[string]*tensor.Tensor{inLR: p.lr, inStep: p.t, inDecay: p.decay, inFixedLR: p.fixed, inApart: p.apart, nn.RNGInput: p.rng}
	for _, port := range plan.Inputs() {
		p.in = append(p.in, known[port.Name])
	}
	for _, port := range plan.Outputs() {
		if contributes(port.Name) { // each run has its own memory for it
			p.out = append(p.out, nil)
			continue
		}
		t := tensor.New(port.Shape...)
		switch port.Name {
		case outLoss:
			p.loss = t
		case outLogits:
			p.logits = t
		case outNorm:
			p.norm = t
		case outSpread:
			p.spread = t
		case outDimensions:
			p.dimensions = t
		}
		if name, ok := strings.CutPrefix(port.Name, outPart); ok {
			p.parts, p.partNames = append(p.parts, t), append(p.partNames, name)
		}
		p.out = append(p.out, t)
	}
	return p
}

// bind puts the inputs of a run into the memory of its plan.
func (s *Step) bind(in StepInput) (*stepPlan, error) {
	p := s.plan(in.Add)
	if p == nil {
		return nil, errors.New("train: StepInput.Add is set, but StepOptions.Accumulate is below 2")
	}
	return s.bindTo(p, in)
}

// scalars sets the inputs of a plan that are not data.
func (p *stepPlan) scalars(in StepInput) {
	p.lr.Float32s()[0] = float32(in.LR)
	p.decay.Float32s()[0] = float32(in.EMADecay)
	p.fixed.Float32s()[0] = float32(in.FixedLR)
	p.t.Float32s()[0] = float32(in.Update)
	p.apart.Float32s()[0] = 0
	if in.EMADecay == 1 {
		p.apart.Float32s()[0] = 1
	}
	p.rng.Int64s()[0], p.rng.Int64s()[1] = int64(in.Seed), int64(in.Draw)
}

// bindTo puts the inputs of a run into the memory of a plan.
func (s *Step) bindTo(p *stepPlan, in StepInput) (*stepPlan, error) {
	p.scalars(in)
	pixels := []float32(nil)
	switch _, detector := s.task.(*objects); {
	case detector && in.Objects != nil:
		pixels = in.Objects.X
	case !detector && in.Batch != nil:
		pixels = in.Batch.X
	default:
		return nil, errors.New("train: StepInput has no batch for the network: a detector needs Objects, any other Batch")
	}
	x, err := tensor.FromNHWC(pixels, s.input[0], s.input[1], s.input[2], s.input[3])
	if err != nil {
		return nil, err
	}
	targets, err := s.task.targets(s, in)
	if err != nil {
		return nil, fmt.Errorf("train: the targets: %w", err)
	}
	var taught *tensor.Tensor
	if s.teacher != nil {
		if taught, err = tensor.FromFloat32(in.Teacher, s.input[0], s.classes); err != nil {
			return nil, fmt.Errorf("train: the teacher's logits: %w", err)
		}
	}
	for i, port := range p.plan.Inputs() {
		switch port.Name {
		case nn.ImageInput:
			p.in[i] = x
		case inTeacher:
			p.in[i] = taught
		default:
			if y := targets[port.Name]; y != nil {
				p.in[i] = y
			} else if b := in.Batch; b != nil && b.Inputs[port.Name] != nil {
				p.in[i] = b.Inputs[port.Name]
			}
		}
		if p.in[i] == nil {
			return nil, fmt.Errorf("train: the network takes the input %q, %v, which the data do not have: add it by data.WithInputs", port.Name, port.Type)
		}
	}
	return p, nil
}
