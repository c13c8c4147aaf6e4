package stablehlo

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// grouped is x with the elements of each group in the last axis: [N groups elements].
func (w *writer) grouped(x value, groups int) value {
	return w.reshape(x, tensor.Shape{x.shape[0], groups, x.shape.Numel() / (x.shape[0] * groups)})
}

// perGroup is the mean over the elements of each group: [N groups].
func (w *writer) perGroup(x value, groups int) value {
	g := w.grouped(x, groups)
	return w.scaled(w.reduce("add", g, 2), 1/float32(g.shape[2]))
}

// ofGroups stretches [N groups] over the elements of shape.
func (w *writer) ofGroups(a value, shape tensor.Shape) value {
	wide := tensor.Shape{a.shape[0], a.shape[1], shape.Numel() / a.shape.Numel()}
	return w.reshape(w.broadcast(a, wide, 0, 1), shape)
}

func (w *writer) groupNorm(o graph.GroupNorm, x, gamma, beta value) []value {
	mean := w.perGroup(x, o.Groups)
	centered := w.sub(x, w.ofGroups(mean, x.shape))
	invstd := w.same("rsqrt", w.affine(w.perGroup(w.mul(centered, centered), o.Groups), 1, o.Eps))
	y := w.mul(w.mul(centered, w.ofGroups(invstd, x.shape)), w.channels(gamma, x.shape))
	return []value{w.add(y, w.channels(beta, x.shape)), mean, invstd}
}

func (w *writer) groupNormGrad(o graph.GroupNormGrad, dy, x, gamma, mean, invstd value) []value {
	axes := others(x.shape, 1)
	scale := w.ofGroups(invstd, x.shape)
	xhat := w.mul(w.sub(x, w.ofGroups(mean, x.shape)), scale)
	weighted := w.mul(dy, w.channels(gamma, x.shape))
	rest := w.sub(weighted, w.ofGroups(w.perGroup(weighted, o.Groups), x.shape))
	rest = w.sub(rest, w.mul(xhat, w.ofGroups(w.perGroup(w.mul(weighted, xhat), o.Groups), x.shape)))
	return []value{w.mul(rest, scale), w.reduce("add", w.mul(dy, xhat), axes...), w.reduce("add", dy, axes...)}
}
