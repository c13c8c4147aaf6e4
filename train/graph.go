package train

import (
	"fmt"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// The inputs and outputs of a training graph, besides nn.ImageInput and
// nn.RNGInput.
const (
	inTarget = "target"    // int64 [N] or float32 [N classes]
	inLR     = "lr"        // scalar
	inStep   = "step"      // scalar: the update's number from 1, for AdamW
	inDecay  = "ema_decay" // scalar; 1 leaves the averages as they are

	outLoss   = "loss"      // scalar
	outLogits = "logits"    // [N classes]
	outNorm   = "grad_norm" // scalar, where gradients are clipped
)

// accPrefix begins the names of the variables that gradients are added up in.
// They are zero whenever a checkpoint is written, so none is in a file.
const accPrefix = weights.OptimPrefix + "accumulated."

// program is what one training step computes: forward, loss, gradients and
// update in one graph, compiled to one plan. With accumulation there is a
// second plan, which adds the gradients up and updates nothing else.
type program struct {
	module  nn.Module
	vars    *engine.Vars
	threads int
	input   tensor.Shape // [N C H W]
	classes int
	soft    bool // targets are distributions or multi-hot rows

	opt        Optimizer
	loss       lossSpec
	ema        bool
	accumulate int
	recompute  bool
	exact      bool // Recipe.Exact
	bf16       engine.BF16
	headPath   string  // module path of the last layer, for headLR
	bodyLR     float64 // factor on the learning rate outside the head

	update, add *stepPlan
	counters    []string // num_batches_tracked keys
	trainable   []nn.Var
}

// lossSpec is the loss of a program.
type lossSpec struct {
	bce       bool
	smoothing float64
	weights   []float32 // one a class, nil for none
}

// stepPlan is a compiled step with the memory for its scalars and results.
type stepPlan struct {
	plan         *engine.Plan
	in, out      []*tensor.Tensor
	lr, t, decay *tensor.Tensor
	rng          *tensor.Tensor
	loss, logits *tensor.Tensor
	norm         *tensor.Tensor // nil without clipping
	rows         []float32      // one-hot targets, where the batch has labels only
}

// compile builds the graphs and adds the optimiser's and the averages' slots
// to p.vars, where they are not there yet.
func (p *program) compile() error {
	var err error
	if p.accumulate > 1 {
		if p.add, err = p.build(false); err != nil {
			return err
		}
	}
	p.update, err = p.build(true)
	return err
}

func (p *program) build(update bool) (*stepPlan, error) {
	t, err := nn.Trace(p.module, nn.TraceOptions{Input: graph.F32(p.input...), Layout: tensor.NHWC, Training: true})
	if err != nil {
		return nil, err
	}
	if s := t.Output.Shape; len(s) != 2 || s[1] != p.classes {
		return nil, fmt.Errorf("the network's output is %v, but the data have %d classes: it must be [%d %d]", s, p.classes, p.input[0], p.classes)
	}
	p.counters, p.trainable = t.Counters, t.Trainable()
	if len(p.trainable) == 0 {
		return nil, fmt.Errorf("every parameter is frozen: there is nothing to train")
	}
	g := t.Graph
	var buildErr error
	err = graph.Try(func() { buildErr = p.extend(g, t, update) })
	if err == nil {
		err = buildErr
	}
	if err != nil {
		return nil, fmt.Errorf("training graph: %w", err)
	}
	plan, err := engine.Compile(g, p.vars, engine.Options{Threads: p.threads, Fast: !p.exact, BF16: p.bf16})
	if err != nil {
		return nil, err
	}
	return p.bind(plan)
}

// extend adds loss, gradients and updates to a traced network.
func (p *program) extend(g *graph.Graph, t *nn.Traced, update bool) error {
	target := graph.Type{DType: tensor.Int64, Shape: tensor.Shape{p.input[0]}}
	if p.soft {
		target = graph.F32(p.input[0], p.classes)
	}
	y, err := g.Input(inTarget, target)
	if err != nil {
		return err
	}
	in := []*graph.Value{t.Output, y}
	if w := p.loss.weights; w != nil {
		c, err := tensor.FromFloat32(w, len(w))
		if err != nil {
			return err
		}
		in = append(in, g.Const(c))
	}
	var op graph.Op = graph.CrossEntropy{LabelSmoothing: float32(p.loss.smoothing)}
	if p.loss.bce {
		op = graph.BCEWithLogits{}
	}
	loss := g.Must1(op, in...)
	g.Output(outLoss, loss)
	g.Output(outLogits, t.Output)

	params := make([]*graph.Value, len(p.trainable))
	for i, v := range p.trainable {
		params[i] = v.Value
	}
	grads, err := p.gradients(g, t, loss, params)
	if err != nil {
		return err
	}
	if p.accumulate > 1 {
		if grads, err = p.accumulateInto(g, grads, update); err != nil || !update {
			return err
		}
	}
	grads = p.clip(g, grads)
	if err := p.step(g, params, grads); err != nil {
		return err
	}
	if p.ema {
		return p.average(g, t)
	}
	return nil
}

// gradients adds the gradients of the loss to the graph.
func (p *program) gradients(g *graph.Graph, t *nn.Traced, loss *graph.Value, params []*graph.Value) ([]*graph.Value, error) {
	if !p.recompute {
		return g.Gradients(loss, params)
	}
	blocks, err := t.Blocks()
	if err != nil {
		return nil, fmt.Errorf("recompute: %w", err)
	}
	return g.RecomputedGradients(loss, params, blocks)
}

// accumulateInto adds the gradients to those of the batches before. The step
// that updates takes the sum's mean and sets the sums back to zero.
func (p *program) accumulateInto(g *graph.Graph, grads []*graph.Value, update bool) ([]*graph.Value, error) {
	share := graph.Affine{Scale: 1 / float32(p.accumulate)}
	for i, v := range p.trainable {
		acc, err := p.slot(g, accPrefix+v.Name, v)
		if err != nil {
			return nil, err
		}
		sum := g.Must1(graph.Binary{Fn: graph.Add}, acc, g.Must1(share, grads[i]))
		next := sum
		if update {
			next = g.Must1(graph.BroadcastTo{Shape: v.Value.Shape}, g.Scalar(0))
		}
		if err := g.Assign(acc, next); err != nil {
			return nil, err
		}
		grads[i] = sum
		if update {
			continue
		}
		// A plan reads variables that it does not update only once, when it is
		// compiled. This makes it read the parameter at each run.
		if err := g.Assign(v.Value, v.Value); err != nil {
			return nil, err
		}
	}
	return grads, nil
}

// clip scales the gradients down so that their common norm is at most
// ClipNorm, as PyTorch's clip_grad_norm_ (Pascanu et al. 2013, section 3.2).
func (p *program) clip(g *graph.Graph, grads []*graph.Value) []*graph.Value {
	if p.opt.ClipNorm == 0 {
		return grads
	}
	norm := g.Must1(graph.GlobalNorm{}, grads...)
	g.Output(outNorm, norm)
	ratio := g.Must1(graph.Binary{Fn: graph.Div}, g.Scalar(float32(p.opt.ClipNorm)), g.Must1(graph.Affine{Scale: 1, Shift: 1e-6}, norm))
	factor := g.Must1(graph.Binary{Fn: graph.Min}, ratio, g.Scalar(1))
	clipped := make([]*graph.Value, len(grads))
	for i, d := range grads {
		clipped[i] = g.Must1(graph.Binary{Fn: graph.Mul}, d, factor)
	}
	return clipped
}

// slot returns a variable of v's shape, zero at first.
func (p *program) slot(g *graph.Graph, name string, v nn.Var) (*graph.Value, error) {
	if _, err := p.vars.Get(name); err != nil {
		if err := p.vars.Set(name, tensor.New(v.Value.Shape...)); err != nil {
			return nil, err
		}
	}
	return g.Variable(name, v.Value.Type)
}

// step adds the optimiser's update of each parameter.
func (p *program) step(g *graph.Graph, params, grads []*graph.Value) error {
	lr, err := g.Input(inLR, graph.F32())
	if err != nil {
		return err
	}
	bodyLR := lr
	if p.bodyLR != 0 && p.bodyLR != 1 {
		bodyLR = g.Must1(graph.Affine{Scale: float32(p.bodyLR)}, lr)
	}
	norms := normParams(p.module)
	for i, v := range p.trainable {
		decay := p.opt.WeightDecay
		if v.Param.NoDecay && !(norms[v.Param] && p.opt.DecayNorm) && !(!norms[v.Param] && p.opt.DecayBias) {
			decay = 0
		}
		rate := bodyLR
		if inModule(v.Name, p.headPath) {
			rate = lr
		}
		op, slots, scalars, err := p.rule(g, float32(decay), rate)
		if err != nil {
			return err
		}
		in := []*graph.Value{params[i], grads[i]}
		vars := []*graph.Value{params[i]}
		for _, s := range slots {
			slot, err := p.slot(g, weights.OptimPrefix+s+"."+v.Name, v)
			if err != nil {
				return err
			}
			in, vars = append(in, slot), append(vars, slot)
		}
		out := g.Must(op, append(in, scalars...)...)
		for j, variable := range vars {
			if err := g.Assign(variable, out[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// rule returns the update operator, the names of its slots and its scalar
// inputs.
func (p *program) rule(g *graph.Graph, decay float32, lr *graph.Value) (op graph.Op, slots []string, scalars []*graph.Value, err error) {
	o := p.opt
	switch o.Kind {
	case "sgd":
		return graph.SGD{Momentum: float32(o.Momentum), Nesterov: o.Nesterov, WeightDecay: decay},
			[]string{"momentum"}, []*graph.Value{lr}, nil
	case "lars":
		return graph.LARS{Momentum: float32(o.Momentum), WeightDecay: decay,
			Trust: float32(orDefault(o.Trust, 0.001)), Eps: float32(orDefault(o.Eps, 1e-8))}, []string{"momentum"}, []*graph.Value{lr}, nil
	case "adamw":
		t, err := g.Input(inStep, graph.F32())
		if err != nil {
			return nil, nil, nil, err
		}
		return graph.AdamW{Beta1: float32(orDefault(o.Beta1, 0.9)), Beta2: float32(orDefault(o.Beta2, 0.999)),
			Eps: float32(orDefault(o.Eps, 1e-8)), WeightDecay: decay}, []string{"m", "v"}, []*graph.Value{lr, t}, nil
	}
	return nil, nil, nil, fmt.Errorf("unknown optimiser %q", o.Kind)
}

// average adds the moving average of everything that training changes in the
// model: parameters and running statistics.
func (p *program) average(g *graph.Graph, t *nn.Traced) error {
	decay, err := g.Input(inDecay, graph.F32())
	if err != nil {
		return err
	}
	next := map[*graph.Value]*graph.Value{}
	for _, u := range g.Updates {
		next[u.Variable] = u.New
	}
	for _, v := range t.Params {
		value, changes := next[v.Value]
		if !changes {
			continue
		}
		name := weights.EMAPrefix + v.Name
		if _, err := p.vars.Get(name); err != nil {
			now, err := p.vars.Get(v.Name)
			if err != nil {
				return err
			}
			if err := p.vars.Set(name, now); err != nil {
				return err
			}
		}
		e, err := g.Variable(name, v.Value.Type)
		if err != nil {
			return err
		}
		if err := g.Assign(e, g.Must1(graph.EMA{}, e, value, decay)); err != nil {
			return err
		}
	}
	return nil
}

// normParams returns the parameters of batch norms.
func normParams(m nn.Module) map[*nn.Param]bool {
	norms := map[*nn.Param]bool{}
	for _, mod := range nn.Modules(m) {
		if b, ok := mod.(*nn.BatchNorm); ok {
			norms[b.Weight], norms[b.Bias] = true, true
		}
	}
	return norms
}

// lastLinear returns the path of the last fully connected layer, which gives
// the logits; "" if there is none or it is the whole model.
func lastLinear(m nn.Module) string {
	last := ""
	for path, mod := range nn.Modules(m) {
		if _, ok := mod.(*nn.Linear); ok {
			last = path
		}
	}
	return last
}

// inModule reports whether the parameter lies in the module at path.
func inModule(name, path string) bool { return path != "" && strings.HasPrefix(name, path+".") }

// bind finds the plan's ports.
func (p *program) bind(plan *engine.Plan) (*stepPlan, error) {
	s := &stepPlan{plan: plan, lr: tensor.New(), t: tensor.New(), decay: tensor.New(), rng: tensor.NewInt64(2)}
	known := map[string]*tensor.Tensor{inLR: s.lr, inStep: s.t, inDecay: s.decay, nn.RNGInput: s.rng}
	for _, port := range plan.Inputs() {
		s.in = append(s.in, known[port.Name])
	}
	for _, port := range plan.Outputs() {
		t := tensor.New(port.Shape...)
		switch port.Name {
		case outLoss:
			s.loss = t
		case outLogits:
			s.logits = t
		case outNorm:
			s.norm = t
		}
		s.out = append(s.out, t)
	}
	return s, nil
}

// run computes a step on a batch. draw numbers the random numbers of the step.
func (s *stepPlan) run(p *program, b *data.Batch, lr, decay float64, seed uint64, draw, update int) error {
	s.lr.Float32s()[0] = float32(lr)
	s.decay.Float32s()[0] = float32(decay)
	s.t.Float32s()[0] = float32(update)
	s.rng.Int64s()[0], s.rng.Int64s()[1] = int64(seed), int64(draw)
	x, err := tensor.FromNHWC(b.X, p.input[0], p.input[1], p.input[2], p.input[3])
	if err != nil {
		return err
	}
	var y *tensor.Tensor
	if p.soft {
		y, err = tensor.FromFloat32(s.targets(b, p.classes), p.input[0], p.classes)
	} else {
		y, err = tensor.FromInt64(b.Labels, p.input[0])
	}
	if err != nil {
		return err
	}
	for i, port := range s.plan.Inputs() {
		switch port.Name {
		case nn.ImageInput:
			s.in[i] = x
		case inTarget:
			s.in[i] = y
		}
	}
	return s.plan.Run(s.in, s.out)
}

// targets returns the batch's soft targets, or its labels as rows of 0 and 1.
func (s *stepPlan) targets(b *data.Batch, classes int) []float32 {
	if b.Targets != nil {
		return b.Targets
	}
	if s.rows == nil {
		s.rows = make([]float32, b.N*classes)
	}
	clear(s.rows)
	for n, label := range b.Labels {
		s.rows[n*classes+int(label)] = 1
	}
	return s.rows
}
