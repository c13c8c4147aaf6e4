package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// The update rules of optimizers. Each takes the variable's value, its gradient
// and the optimizer's slots, and returns the new values, which the caller passes
// to [Graph.Assign]. lr is an input, not an attribute, so that a schedule needs no
// new plan.

// SGD is stochastic gradient descent with momentum, in PyTorch's form:
//
//	d = grad + WeightDecay*p;  v = Momentum*v + d;  p = p - lr*v
//	with Nesterov:             p = p - lr*(d + Momentum*v)
//
// With Momentum 0, p = p - lr*d and v does not change.
//
// Inputs: p, grad, v of one shape, lr; outputs: new p, new v.
type SGD struct {
	Momentum, WeightDecay float32
	Nesterov              bool
}

func (SGD) Name() string { return "SGD" }

func (SGD) Infer(in []Type) ([]Type, error) { return updateTypes(in, 1, 1) }

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019,
// algorithm 2), in PyTorch's form, t counting from 1:
//
//	p = p*(1 - lr*WeightDecay);  m = Beta1*m + (1-Beta1)*grad;  v = Beta2*v + (1-Beta2)*grad²
//	p = p - lr * m/(1-Beta1^t) / (√(v/(1-Beta2^t)) + Eps)
//
// Inputs: p, grad, m, v of one shape, lr, t (float32 scalar); outputs: new p,
// m, v.
type AdamW struct{ Beta1, Beta2, Eps, WeightDecay float32 }

func (AdamW) Name() string { return "AdamW" }

func (AdamW) Infer(in []Type) ([]Type, error) { return updateTypes(in, 2, 2) }

// Adam is Adam (Kingma and Ba 2015, algorithm 1) with the weight decay in the
// gradient, in PyTorch's form, t counting from 1:
//
//	d = grad + WeightDecay*p;  m = Beta1*m + (1-Beta1)*d;  v = Beta2*v + (1-Beta2)*d²
//	p = p - lr * m/(1-Beta1^t) / (√(v/(1-Beta2^t)) + Eps)
//
// Inputs: p, grad, m, v of one shape, lr, t (float32 scalar); outputs: new p,
// m, v.
type Adam struct{ Beta1, Beta2, Eps, WeightDecay float32 }

func (Adam) Name() string { return "Adam" }

func (Adam) Infer(in []Type) ([]Type, error) { return updateTypes(in, 2, 2) }

// LAMB is Adam with a trust ratio for each layer (You et al. 2020, algorithm 2),
// t counting from 1:
//
//	m = Beta1*m + (1-Beta1)*grad;  v = Beta2*v + (1-Beta2)*grad²
//	u = m/(1-Beta1^t) / (√(v/(1-Beta2^t)) + Eps) + WeightDecay*p
//	r = ‖p‖/‖u‖, or 1 where ‖p‖ or ‖u‖ is 0;  p = p - lr*r*u
//
// Inputs: p, grad, m, v of one shape, lr, t (float32 scalar); outputs: new p,
// m, v.
type LAMB struct{ Beta1, Beta2, Eps, WeightDecay float32 }

func (LAMB) Name() string { return "LAMB" }

func (LAMB) Infer(in []Type) ([]Type, error) { return updateTypes(in, 2, 2) }

// RMSprop divides the gradient by the root of its running mean square (Tieleman
// and Hinton 2012, lecture 6.5), in PyTorch's form:
//
//	d = grad + WeightDecay*p;  v = Alpha*v + (1-Alpha)*d²;  u = d/(√v + Eps)
//	b = Momentum*b + u;  p = p - lr*b
//
// With Momentum 0, p = p - lr*u and b does not change.
//
// Inputs: p, grad, v, b of one shape, lr; outputs: new p, v, b.
type RMSprop struct{ Alpha, Eps, Momentum, WeightDecay float32 }

func (RMSprop) Name() string { return "RMSprop" }

func (RMSprop) Infer(in []Type) ([]Type, error) { return updateTypes(in, 2, 1) }

// LARS scales each layer's rate by its trust ratio (You, Gitman and Ginsburg
// 2017, algorithm 1):
//
//	r = Trust*‖p‖ / (‖grad‖ + WeightDecay*‖p‖ + Eps), or 1 where ‖p‖ or ‖grad‖ is 0
//	v = Momentum*v + lr*r*(grad + WeightDecay*p);  p = p - v
//
// Inputs: p, grad, v of one shape, lr; outputs: new p, new v.
type LARS struct{ Momentum, WeightDecay, Trust, Eps float32 }

func (LARS) Name() string { return "LARS" }

func (LARS) Infer(in []Type) ([]Type, error) { return updateTypes(in, 1, 1) }

// EMA is the exponential moving average: e = decay*e + (1-decay)*p. Inputs:
// e, p of one shape, decay (scalar); output: new e.
type EMA struct{}

func (EMA) Name() string { return "EMA" }

func (EMA) Infer(in []Type) ([]Type, error) { return updateTypes(in, 0, 1) }

// GlobalNorm is the Euclidean norm of all its inputs together, used to clip
// gradients. Output: a scalar.
type GlobalNorm struct{}

func (GlobalNorm) Name() string { return "GlobalNorm" }

func (GlobalNorm) Infer(in []Type) ([]Type, error) {
	if len(in) == 0 {
		return nil, fmt.Errorf("there are no inputs")
	}
	if err := arity(in, 1, len(in)); err != nil {
		return nil, err
	}
	return []Type{F32()}, floats(in)
}

// updateTypes checks p, grad, the slots and then the scalars, and returns the
// types of the new p and slots.
func updateTypes(in []Type, slots, scalars int) ([]Type, error) {
	tensors := 2 + slots
	if err := arity(in, tensors+scalars, tensors+scalars); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	for i, t := range in {
		want := in[0].Shape
		if i >= tensors {
			want = tensor.Shape{}
		}
		if !t.Shape.Equal(want) {
			return nil, fmt.Errorf("input %d must have shape %v, has %v", i, want, t.Shape)
		}
	}
	out := []Type{in[0]}
	for i := 0; i < slots; i++ {
		out = append(out, in[0])
	}
	return out, nil
}
