package train

import (
	"fmt"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// The inputs and outputs of a training graph, besides nn.ImageInput and
// nn.RNGInput.
const (
	inTarget  = "target"    // int64 [N] or float32 [N classes]; int64 [N H W] of pixels
	inTeacher = "teacher"   // float32 [N classes]: the teacher's logits
	inLR      = "lr"        // scalar
	inStep    = "step"      // scalar: the update's number from 1, for Adam and its kin
	inFixedLR = "fixed_lr"  // scalar: the rate of parameters that no schedule applies to
	inDecay   = "ema_decay" // scalar; 1 leaves the averages as they are
	inApart   = "ema_apart" // scalar, of lookahead: 0 makes weights go on from the averages, 1 leaves them

	outLoss   = "loss"      // scalar
	outLogits = "logits"    // [N classes], or [N*H*W classes] of pixels
	outNorm   = "grad_norm" // scalar, where gradients are clipped
	// Scalars of a network that learns without labels, see package ssl.
	outSpread     = "spread"
	outDimensions = "dimensions"

	outPart = "part." // scalar, a loss of a detector, whose name follows
)

// accPrefix begins the names of the variables that gradients are added up in.
// They are zero whenever a checkpoint is written, so none is in a file.
const accPrefix = weights.OptimPrefix + "accumulated."

// build builds and compiles the graph of a step, and adds the optimizer's and the
// averages' slots to s.vars, where they are not there yet.
func (s *Step) build(update bool) (*stepPlan, error) {
	plan, err := infer.Compile(s.traced(), s.vars, s.images(), s.query(update), s.options)
	if err != nil {
		return nil, err
	}
	return s.ports(plan), nil
}

// traced returns the module whose graph a step is built on.
func (s *Step) traced() nn.Module {
	if s.task != nil { // else it depends on the output, see extend
		return s.task.module(s)
	}
	return s.module
}

func (s *Step) images() infer.Input { return infer.Input{Shape: s.input, Layout: tensor.NHWC} }

func (s *Step) query(update bool) infer.Query {
	return infer.Query{Training: true, Synchronized: s.synchronized, Build: func(t *nn.Traced) error { return s.extend(t, update) }}
}

// extend adds loss, gradients and updates to a traced network.
func (s *Step) extend(t *nn.Traced, update bool) error {
	switch task := s.task.(type) {
	case *objects:
		s.classes = task.net.Config.Classes
	case selfSupervised:
		s.classes = 0
	default:
		shape := t.Output.Shape
		var err error
		if s.task, err = taskOf(shape); err != nil {
			return err
		}
		if s.classes > 0 && shape[1] != s.classes {
			return fmt.Errorf("the network's output is %v, but the data have %d classes: it must be [%d %d]", shape, s.classes, s.input[0], s.classes)
		}
		s.classes = shape[1]
	}
	s.counters, s.trainable = t.Counters, t.Trainable()
	if len(s.trainable) == 0 {
		return fmt.Errorf("every parameter is frozen: there is nothing to train")
	}
	var failed error
	if err := graph.Try(func() { failed = s.add(t, update) }); err != nil {
		failed = err
	}
	if failed != nil {
		return fmt.Errorf("training graph: %w", failed)
	}
	return nil
}

// add is extend for an output that fits the data.
func (s *Step) add(t *nn.Traced, update bool) error {
	g := t.Graph
	if s.shards > 0 && update {
		return s.updateByMeans(t)
	}
	loss, logits, err := s.task.loss(s, t)
	if err != nil {
		return err
	}
	g.Output(outLoss, loss)
	if logits != nil {
		g.Output(outLogits, logits)
	}

	params := make([]*graph.Value, len(s.trainable))
	for i, v := range s.trainable {
		params[i] = v.Value
	}
	grads, err := s.gradients(g, t, loss, params)
	if err != nil {
		return err
	}
	if s.shards > 0 {
		return s.giveGradients(g, grads)
	}
	if s.accumulate > 1 {
		if grads, err = s.accumulateInto(g, grads, update); err != nil || !update {
			return err
		}
	}
	grads = s.clip(g, grads)
	if err := s.learn(g, params, grads); err != nil {
		return err
	}
	if s.ema {
		return s.average(g, t)
	}
	return nil
}

// gradients adds the gradients of the loss to the graph.
func (s *Step) gradients(g *graph.Graph, t *nn.Traced, loss *graph.Value, params []*graph.Value) ([]*graph.Value, error) {
	if !s.recompute {
		return g.Gradients(loss, params)
	}
	blocks, err := t.Blocks()
	if err != nil {
		return nil, fmt.Errorf("recompute: %w", err)
	}
	return g.RecomputedGradients(loss, params, blocks)
}

// accumulateInto adds the gradients to the sums of the batches before. The step
// that updates takes the sum's mean and sets the sums back to zero.
func (s *Step) accumulateInto(g *graph.Graph, grads []*graph.Value, update bool) ([]*graph.Value, error) {
	share := graph.Affine{Scale: 1 / float32(s.accumulate)}
	for i, v := range s.trainable {
		acc, err := s.slot(g, accPrefix+v.Name, v)
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
func (s *Step) clip(g *graph.Graph, grads []*graph.Value) []*graph.Value {
	if s.opt.ClipNorm == 0 {
		return grads
	}
	norm := g.Must1(graph.GlobalNorm{}, grads...)
	g.Output(outNorm, norm)
	ratio := g.Must1(graph.Binary{Fn: graph.Div}, g.Scalar(float32(s.opt.ClipNorm)), g.Must1(graph.Affine{Scale: 1, Shift: 1e-6}, norm))
	factor := g.Must1(graph.Binary{Fn: graph.Min}, ratio, g.Scalar(1))
	clipped := make([]*graph.Value, len(grads))
	for i, d := range grads {
		clipped[i] = g.Must1(graph.Binary{Fn: graph.Mul}, d, factor)
	}
	return clipped
}

// slot returns a variable of v's shape, zero at first.
func (s *Step) slot(g *graph.Graph, name string, v nn.Var) (*graph.Value, error) {
	if _, err := s.vars.Get(name); err != nil {
		if err := s.vars.Set(name, tensor.New(v.Value.Shape...)); err != nil {
			return nil, err
		}
	}
	return g.Variable(name, v.Value.Type)
}

// learn adds the optimizer's update of each parameter.
func (s *Step) learn(g *graph.Graph, params, grads []*graph.Value) error {
	lr, err := g.Input(inLR, graph.F32())
	if err != nil {
		return err
	}
	bodyLR := lr
	if s.bodyLR != 0 && s.bodyLR != 1 {
		bodyLR = g.Must1(graph.Affine{Scale: float32(s.bodyLR)}, lr)
	}
	auxLR := lr
	if s.auxLR != 0 && s.auxLR != 1 {
		auxLR = g.Must1(graph.Affine{Scale: float32(s.auxLR)}, lr)
	}
	norms := normParams(s.module)
	biases := newScaledRates(g, normBiases(s.module), s.biasLR)
	for i, v := range s.trainable {
		decay := s.opt.WeightDecay
		if v.Param.NoDecay && !(norms[v.Param] && s.opt.DecayNorm) && !(!norms[v.Param] && s.opt.DecayBias) {
			decay = 0
		}
		rate := bodyLR
		for _, h := range s.heads {
			if inModule(v.Name, h.Path) {
				rate = lr
				if h.Aux {
					rate = auxLR
				}
			}
		}
		if s.fixedLR != "" && inModule(v.Name, s.fixedLR) {
			if rate, err = g.Input(inFixedLR, graph.F32()); err != nil {
				return err
			}
		}
		rate = biases.of(v.Param, rate)
		if s.opt.own != nil {
			if err := s.updateByOwn(g, v, params[i], grads[i], rate); err != nil {
				return err
			}
			continue
		}
		rule := s.opt
		if rule.WeightsOnly && v.Param.NoDecay {
			rule.Kind = "sgd"
		}
		op, slots, counts, err := rule.update(float32(decay))
		if err != nil {
			return err
		}
		scalars := []*graph.Value{rate}
		if counts {
			t, err := g.Input(inStep, graph.F32())
			if err != nil {
				return err
			}
			scalars = append(scalars, t)
		}
		in := []*graph.Value{params[i], grads[i]}
		vars := []*graph.Value{params[i]}
		for _, name := range slots {
			slot, err := s.slot(g, weights.OptimPrefix+name+"."+v.Name, v)
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

// average adds the moving average of everything that training changes in the
// model: parameters and running statistics.
func (s *Step) average(g *graph.Graph, t *nn.Traced) error {
	decay, err := g.Input(inDecay, graph.F32())
	if err != nil {
		return err
	}
	next, number := map[*graph.Value]*graph.Value{}, map[*graph.Value]int{}
	for i, u := range g.Updates {
		next[u.Variable], number[u.Variable] = u.New, i
	}
	var apart *graph.Value
	if s.lookahead {
		if apart, err = g.Input(inApart, graph.F32()); err != nil {
			return err
		}
	}
	for _, v := range t.Params {
		value, changes := next[v.Value]
		if !changes {
			continue
		}
		name := weights.EMAPrefix + v.Name
		if _, err := s.vars.Get(name); err != nil {
			now, err := s.vars.Get(v.Name)
			if err != nil {
				return err
			}
			if err := s.vars.Set(name, now); err != nil {
				return err
			}
		}
		e, err := g.Variable(name, v.Value.Type)
		if err != nil {
			return err
		}
		slow := g.Must1(graph.EMA{}, e, value, decay)
		if err := g.Assign(e, slow); err != nil {
			return err
		}
		if s.lookahead { // apart*value + (1-apart)*slow: one of them, exactly
			g.Updates[number[v.Value]].New = g.Must1(graph.EMA{}, value, slow, apart)
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

// normBiases returns the biases of batch norms.
func normBiases(m nn.Module) map[*nn.Param]bool {
	biases := map[*nn.Param]bool{}
	for _, mod := range nn.Modules(m) {
		if b, ok := mod.(*nn.BatchNorm); ok {
			biases[b.Bias] = true
		}
	}
	return biases
}

// scaledRates are the learning rates of some parameters: a factor times what they would
// be.
type scaledRates struct {
	g      *graph.Graph
	params map[*nn.Param]bool
	factor float64
	made   map[*graph.Value]*graph.Value
}

func newScaledRates(g *graph.Graph, params map[*nn.Param]bool, factor float64) *scaledRates {
	return &scaledRates{g, params, factor, map[*graph.Value]*graph.Value{}}
}

// of returns the rate of a parameter.
func (r *scaledRates) of(p *nn.Param, rate *graph.Value) *graph.Value {
	if r.factor == 0 || r.factor == 1 || !r.params[p] {
		return rate
	}
	if r.made[rate] == nil {
		r.made[rate] = r.g.Must1(graph.Affine{Scale: float32(r.factor)}, rate)
	}
	return r.made[rate]
}

// inModule reports whether the parameter lies in the module at path.
func inModule(name, path string) bool { return path != "" && strings.HasPrefix(name, path+".") }
