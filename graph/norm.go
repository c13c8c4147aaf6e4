package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// BatchNorm normalizes with fixed statistics, as at inference and in frozen
// layers (Ioffe and Szegedy 2015, section 3.1):
//
//	y = (x - mean) / sqrt(var + Eps) * gamma + beta     for each channel
//
// Inputs: x [N C] or [N C H W], gamma, beta, mean, var [C]; output like x. Equals ONNX
// BatchNormalization.
type BatchNorm struct{ Eps float32 }

func (BatchNorm) Name() string { return "BatchNorm" }

func (o BatchNorm) Infer(in []Type) ([]Type, error) {
	if err := perChannel(in, 5); err != nil {
		return nil, err
	}
	if !(o.Eps >= 0) {
		return nil, fmt.Errorf("eps is %g, must not be negative", o.Eps)
	}
	return []Type{in[0]}, nil
}

// Grad treats mean and var as constants: dx = dy*gamma/sqrt(var + Eps). Asking for
// the gradient with respect to the statistics stops with an [*Error].
func (o BatchNorm) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	if need[3] || need[4] {
		panic(&Error{Path: n.Path, Op: o.Name(), Err: fmt.Errorf("fixed statistics have no gradient")})
	}
	x, gamma, mean, variance, dy := n.In[0], n.In[1], n.In[3], n.In[4], dout[0]
	wide := append(tensor.Shape{1}, gamma.Shape...)
	var axes []int
	for i := range x.Shape {
		if i != 1 {
			axes = append(axes, i)
		}
		if i > 1 {
			wide = append(wide, 1)
		}
	}
	invstd := g.Must1(Unary{Fn: Rsqrt}, g.Must1(Affine{Scale: 1, Shift: o.Eps}, variance))
	d := make([]*Value, 5)
	if need[0] {
		scale := g.Must1(Binary{Fn: Mul}, gamma, invstd)
		d[0] = g.Must1(Binary{Fn: Mul}, dy, g.Must1(Reshape{wide}, scale))
	}
	if need[1] {
		centered := g.Must1(Binary{Fn: Sub}, x, g.Must1(Reshape{wide}, mean))
		sum := g.Must1(Reduce{Fn: Sum, Axes: axes}, g.Must1(Binary{Fn: Mul}, dy, centered))
		d[1] = g.Must1(Binary{Fn: Mul}, sum, invstd)
	}
	if need[2] {
		d[2] = g.Must1(Reduce{Fn: Sum, Axes: axes}, dy)
	}
	return d
}

// BatchNormTrain normalizes with the statistics of the batch and updates the
// running statistics (Ioffe and Szegedy 2015, algorithm 1). Momentum is PyTorch's:
// running = (1-Momentum)*running + Momentum*batch. The biased variance normalizes;
// the unbiased variance goes into the running variance.
//
// Inputs: x [N C] or [N C H W], gamma, beta, running mean, running variance [C].
// Outputs: y like x; batch mean [C]; 1/sqrt(batch variance + Eps) [C]; the new
// running mean and variance [C].
type BatchNormTrain struct{ Eps, Momentum float32 }

func (BatchNormTrain) Name() string { return "BatchNormTrain" }

func (o BatchNormTrain) Infer(in []Type) ([]Type, error) {
	if err := perChannel(in, 5); err != nil {
		return nil, err
	}
	if !(o.Eps >= 0) || !(o.Momentum >= 0 && o.Momentum <= 1) {
		return nil, fmt.Errorf("eps %g must not be negative, momentum %g must be in [0, 1]", o.Eps, o.Momentum)
	}
	if in[0].Shape.Numel() == in[0].Shape[1] {
		return nil, fmt.Errorf("one value per channel has no variance: train with a larger batch or image")
	}
	c := in[1]
	return []Type{in[0], c, c, c, c}, nil
}

// Grad is [BatchNormGrad] for the normalized output. A loss that depends on the
// other outputs stops with an [*Error].
func (o BatchNormTrain) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	for _, dv := range dout[1:] {
		if dv != nil {
			panic(&Error{Path: n.Path, Op: o.Name(), Err: fmt.Errorf("there is no gradient through the statistics, only through the normalized output")})
		}
	}
	d := make([]*Value, 5)
	if dout[0] != nil {
		copy(d, g.Must(BatchNormGrad{}, dout[0], n.In[0], n.In[1], n.Out[1], n.Out[2]))
	}
	return d
}

// BatchNormRecomputed computes y of a [BatchNormTrain] a second time, to the same
// bits, from the statistics of the first: [Graph.RecomputedGradients] uses it so
// that the running statistics are not updated twice.
//
// Inputs: x [N C] or [N C H W], gamma, beta, batch mean, 1/sqrt(batch variance +
// Eps) [C]. Output like x.
type BatchNormRecomputed struct{}

func (BatchNormRecomputed) Name() string { return "BatchNormRecomputed" }

func (BatchNormRecomputed) Infer(in []Type) ([]Type, error) {
	if err := perChannel(in, 5); err != nil {
		return nil, err
	}
	return in[:1], nil
}

// BatchNormGrad is the gradient of [BatchNormTrain]. With xhat = (x-mean)*invstd
// and means taken over all axes but C:
//
//	dbeta = Σ dy,  dgamma = Σ dy*xhat,  dx = gamma*invstd*(dy - mean(dy) - xhat*mean(dy*xhat))
//
// Inputs: dy, x [N C] or [N C H W], gamma, mean, invstd [C]; outputs dx, dgamma, dbeta.
type BatchNormGrad struct{}

func (BatchNormGrad) Name() string { return "BatchNormGrad" }

func (BatchNormGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 5, 5); err != nil {
		return nil, err
	}
	if err := perChannel(in[1:], 4); err != nil {
		return nil, err
	}
	if !in[0].Shape.Equal(in[1].Shape) {
		return nil, fmt.Errorf("the shape %v of the gradient differs from the input's %v", in[0].Shape, in[1].Shape)
	}
	return []Type{in[1], in[2], in[2]}, nil
}

func perChannel(in []Type, want int) error {
	if err := arity(in, want, want); err != nil {
		return err
	}
	if err := floats(in); err != nil {
		return err
	}
	x := in[0].Shape
	if len(x) != 2 && len(x) != 4 {
		return fmt.Errorf("want an input [N C] or [N C H W], got %v", x)
	}
	for i, t := range in[1:] {
		if !t.Shape.Equal(tensor.Shape{x[1]}) {
			return fmt.Errorf("input %d must be [%d], one value per channel, got %v", i+1, x[1], t.Shape)
		}
	}
	return nil
}
