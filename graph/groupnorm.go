package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// GroupNorm normalizes groups of channels of each sample (Wu and He 2018, "Group
// Normalization", section 3.1). The C channels are cut into Groups groups of
// neighbors; with mean and variance over the channels of a group and all pixels,
//
//	y = (x - mean) / sqrt(variance + Eps) * gamma + beta
//
// with one gamma and beta per channel and the biased variance, as PyTorch's
// group_norm. One group normalizes whole samples: on [M F] that is layer norm (Ba et
// al. 2016) over the last axis. C groups are instance norm (Ulyanov et al. 2016).
// [LayerNorm] and [InstanceNorm] build those. Training and inference are the same.
//
// Inputs: x [N C] or [N C H W], gamma, beta [C]. Outputs: y like x; the mean and
// 1/sqrt(variance + Eps) of each group [N Groups]. Equals ONNX GroupNormalization of
// opset 21.
type GroupNorm struct {
	Groups int
	Eps    float32
}

func (GroupNorm) Name() string { return "GroupNorm" }

func (o GroupNorm) Infer(in []Type) ([]Type, error) {
	if err := perChannel(in, 3); err != nil {
		return nil, err
	}
	x := in[0].Shape
	if o.Groups < 1 || x[1]%o.Groups != 0 {
		return nil, fmt.Errorf("%d channels do not divide into %d groups", x[1], o.Groups)
	}
	if !(o.Eps >= 0) {
		return nil, fmt.Errorf("eps is %g, must not be negative", o.Eps)
	}
	of := F32(x[0], o.Groups)
	return []Type{in[0], of, of}, nil
}

// Grad is [GroupNormGrad] for the normalized output. A loss that depends on the
// statistics stops with an [*Error].
func (o GroupNorm) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	if dout[1] != nil || dout[2] != nil {
		panic(&Error{Path: n.Path, Op: o.Name(), Err: fmt.Errorf("there is no gradient through the statistics, only through the normalized output")})
	}
	return g.Must(GroupNormGrad{o.Groups}, dout[0], n.In[0], n.In[1], n.Out[1], n.Out[2])
}

// GroupNormGrad is the gradient of [GroupNorm]. With xhat = (x-mean)*invstd and means
// over the elements of a group:
//
//	dbeta = Σ dy,  dgamma = Σ dy*xhat,
//	dx = invstd*(gamma*dy - mean(gamma*dy) - xhat*mean(gamma*dy*xhat))
//
// with sums over N, H and W. Inputs: dy, x [N C] or [N C H W], gamma [C], mean,
// invstd [N Groups]; outputs dx, dgamma, dbeta.
type GroupNormGrad struct{ Groups int }

func (GroupNormGrad) Name() string { return "GroupNormGrad" }

func (o GroupNormGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 5, 5); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	of, err := GroupNorm{Groups: o.Groups}.Infer([]Type{in[1], in[2], in[2]})
	if err != nil {
		return nil, err
	}
	if !in[0].Shape.Equal(in[1].Shape) {
		return nil, fmt.Errorf("the shape %v of the gradient differs from the input's %v", in[0].Shape, in[1].Shape)
	}
	if !in[3].Shape.Equal(of[1].Shape) || !in[4].Shape.Equal(of[1].Shape) {
		return nil, fmt.Errorf("want statistics %v, got %v and %v", of[1].Shape, in[3].Shape, in[4].Shape)
	}
	return []Type{in[1], in[2], in[2]}, nil
}

// LayerNorm normalizes x over its last axes, those of gamma's shape (Ba et al. 2016):
//
//	y = (x - mean) / sqrt(variance + eps) * gamma + beta
//
// with the biased variance, as PyTorch's layer_norm. gamma and beta have one element
// per normalized one. A mistake in shapes is a panic with an [*Error], as of [Graph.Must].
func LayerNorm(g *Graph, x, gamma, beta *Value, eps float32) *Value {
	lead := len(x.Shape) - len(gamma.Shape)
	if len(gamma.Shape) == 0 || lead < 0 || !x.Shape[max(lead, 0):].Equal(gamma.Shape) || !beta.Shape.Equal(gamma.Shape) {
		panic(&Error{Path: g.path, Op: "LayerNorm", In: []Type{x.Type, gamma.Type, beta.Type}, Err: fmt.Errorf(
			"gamma %v and beta %v must both have the shape of the last axes of %v", gamma.Shape, beta.Shape, x.Shape)})
	}
	features := gamma.Shape.Numel()
	flat := tensor.Shape{x.Shape.Numel() / features, features}
	y := g.Must(GroupNorm{Groups: 1, Eps: eps}, g.reshaped(x, flat...), g.reshaped(gamma, features), g.reshaped(beta, features))[0]
	return g.reshaped(y, x.Shape...)
}

// InstanceNorm normalizes each channel of each sample by itself (Ulyanov et al.
// 2016), as PyTorch's instance_norm without running statistics. x is [N C ...] with at
// least one more axis, gamma and beta are [C]. A mistake in shapes is a panic with an
// [*Error], as of [Graph.Must].
func InstanceNorm(g *Graph, x, gamma, beta *Value, eps float32) *Value {
	if len(x.Shape) < 3 {
		panic(&Error{Path: g.path, Op: "InstanceNorm", In: []Type{x.Type}, Err: fmt.Errorf("want an input [N C L] or [N C H W]: one value per channel has no variance")})
	}
	return GroupNormOf(g, x, gamma, beta, x.Shape[1], eps)
}

// GroupNormOf is the normalized output of [GroupNorm] for x [N C ...] of any rank
// from 2. A mistake in shapes is a panic with an [*Error], as of [Graph.Must].
func GroupNormOf(g *Graph, x, gamma, beta *Value, groups int, eps float32) *Value {
	in := x
	if rank := len(x.Shape); rank == 3 || rank > 4 {
		in = g.reshaped(x, x.Shape[0], x.Shape[1], x.Shape[2:].Numel(), 1)
	}
	return g.reshaped(g.Must(GroupNorm{Groups: groups, Eps: eps}, in, gamma, beta)[0], x.Shape...)
}

// reshaped is v in another shape, v itself if it has that shape.
func (g *Graph) reshaped(v *Value, shape ...int) *Value {
	if v.Shape.Equal(shape) {
		return v
	}
	return g.Must1(Reshape{tensor.Shape(shape).Clone()}, v)
}
