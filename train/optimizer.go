package train

import (
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// Optimizer is how a network learns: [SGD], [Adam], [AdamW], [LAMB], [LARS],
// [RMSprop], an [OptimizerRecipe] as recipes have it, or an [Updater] of your own.
type Optimizer interface {
	// Rate returns the learning rate, with a [Schedule] its peak; 0 if it has none of
	// its own.
	Rate() float64
}

// Updater is an [Optimizer] of your own: it writes the update of a parameter into the
// graph of a step. Weight decay, if it has any, and clipping of gradients are its own
// matter.
type Updater interface {
	Optimizer
	Update(g *graph.Graph, u *Update) (*graph.Value, error)
}

// Update is what an [Updater] makes the new value of a parameter from.
type Update struct {
	Name        string       // of the parameter, its state-dict key
	Param, Grad *graph.Value // of one shape
	LR          *graph.Value // scalar: the learning rate of this update
	Count       *graph.Value // scalar: the number of the update, from 1
	// NoDecay is set for biases and the parameters of normalization, to which weight
	// decay is usually not applied.
	NoDecay bool

	slot func(name string) (*graph.Value, error)
	g    *graph.Graph
}

// Slot returns a variable of the parameter's shape that keeps its value from one
// update to the next, such as a momentum. It is zero at first, and saved with the
// state of the training.
func (u *Update) Slot(name string) (*graph.Value, error) { return u.slot(name) }

// Keep makes a slot's value after this update.
func (u *Update) Keep(slot, value *graph.Value) error { return u.g.Assign(slot, value) }

// optimizerOf returns an optimizer as recipes have it, and its learning rate.
func optimizerOf(o Optimizer) (OptimizerRecipe, float64, error) {
	if r, ok := o.(interface {
		recipe() (o OptimizerRecipe, lr float64)
	}); ok {
		recipe, lr := r.recipe()
		return recipe, lr, nil
	}
	own, ok := o.(Updater)
	if !ok {
		return OptimizerRecipe{}, 0, fmt.Errorf("train: the optimizer %T has no method Update: it must be an Updater", o)
	}
	return OptimizerRecipe{Kind: "own", own: own}, own.Rate(), nil
}

// Rate returns LR.
func (o SGD) Rate() float64 { return o.LR }

// Rate returns LR.
func (o Adam) Rate() float64 { return o.LR }

// Rate returns LR.
func (o AdamW) Rate() float64 { return o.LR }

// Rate returns LR.
func (o LAMB) Rate() float64 { return o.LR }

// Rate returns LR.
func (o LARS) Rate() float64 { return o.LR }

// Rate returns LR.
func (o RMSprop) Rate() float64 { return o.LR }

// Rate returns 0: the rate is in the recipe's schedule.
func (o OptimizerRecipe) Rate() float64 { return 0 }

// updateByOwn adds the update of a parameter by an Updater.
func (s *Step) updateByOwn(g *graph.Graph, v nn.Var, param, grad, rate *graph.Value) error {
	count, err := g.Input(inStep, graph.F32())
	if err != nil {
		return err
	}
	u := &Update{Name: v.Name, Param: param, Grad: grad, LR: rate, Count: count, NoDecay: v.Param.NoDecay, g: g}
	u.slot = func(name string) (*graph.Value, error) {
		if name == "" || strings.ContainsAny(name, ".") {
			return nil, fmt.Errorf("train: %T: %q is not a name for a slot: give a word without dots", s.opt.own, name)
		}
		return s.slot(g, weights.OptimPrefix+name+"."+v.Name, v)
	}
	next, err := s.opt.own.Update(g, u)
	if err != nil {
		return fmt.Errorf("%T: %s: %w", s.opt.own, v.Name, err)
	}
	if next == nil || !next.Shape.Equal(param.Shape) {
		return fmt.Errorf("%T: %s: the update must return a new value of shape %v", s.opt.own, v.Name, param.Shape)
	}
	return g.Assign(param, next)
}

// SGD is stochastic gradient descent; see graph.SGD. LR is the learning rate,
// with a [Schedule] its peak. Weight decay leaves out biases and normalization.
type SGD struct {
	LR, Momentum, WeightDecay float64
	Nesterov                  bool
	ClipNorm                  float64 // limit of the gradients' norm; 0 is off
}

func (o SGD) recipe() (OptimizerRecipe, float64) {
	return OptimizerRecipe{Kind: "sgd", Momentum: o.Momentum, Nesterov: o.Nesterov, WeightDecay: o.WeightDecay, ClipNorm: o.ClipNorm}, o.LR
}

// AdamW is Adam with decoupled weight decay; see graph.AdamW. LR is the learning
// rate, with a [Schedule] its peak. Weight decay leaves out biases and
// normalization. Zero betas and Eps are PyTorch's defaults 0.9, 0.999 and 1e-8.
type AdamW struct {
	LR, WeightDecay, Beta1, Beta2, Eps float64
	ClipNorm                           float64 // limit of the gradients' norm; 0 is off
}

func (o AdamW) recipe() (OptimizerRecipe, float64) {
	return OptimizerRecipe{Kind: "adamw", WeightDecay: o.WeightDecay, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, ClipNorm: o.ClipNorm}, o.LR
}

// Adam has its weight decay in the gradient; see graph.Adam. LR is the learning
// rate, with a [Schedule] its peak. Weight decay leaves out biases and
// normalization. Zero betas and Eps are PyTorch's defaults 0.9, 0.999 and 1e-8.
type Adam struct {
	LR, WeightDecay, Beta1, Beta2, Eps float64
	ClipNorm                           float64 // limit of the gradients' norm; 0 is off
}

func (o Adam) recipe() (OptimizerRecipe, float64) {
	return OptimizerRecipe{Kind: "adam", WeightDecay: o.WeightDecay, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, ClipNorm: o.ClipNorm}, o.LR
}

// LAMB is for very large batches; see graph.LAMB. LR is the learning rate, with a
// [Schedule] its peak. Weight decay leaves out biases and normalization, which, as
// everything that has none, are updated as by [AdamW]; timm's Lamb does the same.
// Zero betas are 0.9 and 0.999, a zero Eps is 1e-6.
type LAMB struct {
	LR, WeightDecay, Beta1, Beta2, Eps float64
	ClipNorm                           float64 // limit of the gradients' norm; 0 is off
}

func (o LAMB) recipe() (OptimizerRecipe, float64) {
	return OptimizerRecipe{Kind: "lamb", WeightDecay: o.WeightDecay, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, ClipNorm: o.ClipNorm}, o.LR
}

// RMSprop is described by graph.RMSprop. LR is the learning rate, with a
// [Schedule] its peak. Weight decay leaves out biases and normalization. A zero
// Alpha and Eps are PyTorch's defaults 0.99 and 1e-8.
type RMSprop struct {
	LR, Alpha, Momentum, WeightDecay, Eps float64
	ClipNorm                              float64 // limit of the gradients' norm; 0 is off
}

func (o RMSprop) recipe() (OptimizerRecipe, float64) {
	return OptimizerRecipe{Kind: "rmsprop", Alpha: o.Alpha, Momentum: o.Momentum, WeightDecay: o.WeightDecay, Eps: o.Eps, ClipNorm: o.ClipNorm}, o.LR
}

// LARS is for very large batches; see graph.LARS. LR is the learning rate, with
// a [Schedule] its peak. Weight decay leaves out biases and normalization. A
// zero Trust is 0.001.
type LARS struct {
	LR, Momentum, WeightDecay, Trust float64
}

func (o LARS) recipe() (OptimizerRecipe, float64) {
	return OptimizerRecipe{Kind: "lars", Momentum: o.Momentum, WeightDecay: o.WeightDecay, Trust: o.Trust}, o.LR
}

func (o OptimizerRecipe) recipe() (OptimizerRecipe, float64) { return o, 0 }

// rateOfSGD is the usual ratio of an optimizer's learning rate to that of SGD with
// momentum.
var rateOfSGD = map[string]float64{"sgd": 1, "adam": 0.02, "adamw": 0.02, "rmsprop": 0.01, "lamb": 0.1, "lars": 20}

// SetOptimizer changes the recipe's optimizer to the one of that name with its usual
// settings, and, unless keepRate is set, lr.peak in the usual ratio to that of the
// optimizer before. Decoupled weight decay (AdamW, LAMB), which is multiplied by the
// learning rate, becomes 0.05; otherwise it stays.
func (r *Recipe) SetOptimizer(kind string, keepRate bool) error {
	if !slices.Contains(optimizerKinds, kind) {
		return unknownName("optimizer.name", "optimizer", kind, optimizerKinds)
	}
	was := r.Optimizer
	if kind == was.Kind {
		return nil
	}
	now := OptimizerRecipe{Kind: kind, WeightDecay: was.WeightDecay, DecayNorm: was.DecayNorm, DecayBias: was.DecayBias, ClipNorm: was.ClipNorm}
	switch kind {
	case "sgd":
		now.Momentum, now.Nesterov = 0.9, true
	case "lars":
		now.Momentum = 0.9
	case "adamw", "lamb":
		now.WeightDecay = 0.05
	}
	if coupled := kind != "adamw" && kind != "lamb"; coupled && (was.Kind == "adamw" || was.Kind == "lamb") {
		now.WeightDecay = 1e-4
	}
	r.Optimizer = now
	if !keepRate {
		r.LR.Peak *= rateOfSGD[kind] / rateOfSGD[was.Kind]
	}
	return nil
}

// update returns the update operator for a parameter with that weight decay, the
// names of the parameter's slots, and whether the operator takes the number of the
// update.
func (o OptimizerRecipe) update(decay float32) (op graph.Op, slots []string, counts bool, err error) {
	or := func(x, d float64) float32 { return float32(orDefault(x, d)) }
	moments := []string{"m", "v"}
	if o.Kind == "lamb" && decay == 0 {
		return graph.AdamW{Beta1: or(o.Beta1, 0.9), Beta2: or(o.Beta2, 0.999), Eps: or(o.Eps, 1e-6)}, moments, true, nil
	}
	switch o.Kind {
	case "sgd":
		return graph.SGD{Momentum: float32(o.Momentum), Nesterov: o.Nesterov, WeightDecay: decay}, []string{"momentum"}, false, nil
	case "lars":
		return graph.LARS{Momentum: float32(o.Momentum), WeightDecay: decay, Trust: or(o.Trust, 0.001), Eps: or(o.Eps, 1e-8)},
			[]string{"momentum"}, false, nil
	case "rmsprop":
		return graph.RMSprop{Alpha: or(o.Alpha, 0.99), Eps: or(o.Eps, 1e-8), Momentum: float32(o.Momentum), WeightDecay: decay},
			[]string{"v", "momentum"}, false, nil
	case "adam":
		return graph.Adam{Beta1: or(o.Beta1, 0.9), Beta2: or(o.Beta2, 0.999), Eps: or(o.Eps, 1e-8), WeightDecay: decay}, moments, true, nil
	case "adamw":
		return graph.AdamW{Beta1: or(o.Beta1, 0.9), Beta2: or(o.Beta2, 0.999), Eps: or(o.Eps, 1e-8), WeightDecay: decay}, moments, true, nil
	case "lamb":
		return graph.LAMB{Beta1: or(o.Beta1, 0.9), Beta2: or(o.Beta2, 0.999), Eps: or(o.Eps, 1e-6), WeightDecay: decay}, moments, true, nil
	}
	return nil, nil, false, fmt.Errorf("unknown optimizer %q", o.Kind)
}

// OptimizerNames returns the names of the optimizers that recipes have.
func OptimizerNames() []string { return slices.Clone(optimizerKinds) }
