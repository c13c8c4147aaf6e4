package stablehlo

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// norms writes batch norms and losses.
func (w *writer) norms(n *graph.Node, in []value) []value {
	switch o := n.Op.(type) {
	case graph.BatchNorm:
		invstd := w.same("rsqrt", w.affine(in[4], 1, o.Eps))
		return []value{w.normalized(in[0], in[1], in[2], in[3], invstd)}
	case graph.BatchNormTrain:
		return w.batchNormTrain(o, in)
	case graph.BatchNormRecomputed:
		return []value{w.normalized(in[0], in[1], in[2], in[3], in[4])}
	case graph.BatchNormGrad:
		return w.batchNormGrad(in)
	case graph.GroupNorm:
		return w.groupNorm(o, in[0], in[1], in[2])
	case graph.GroupNormGrad:
		return w.groupNormGrad(o, in[0], in[1], in[2], in[3], in[4])
	case graph.CrossEntropy:
		return []value{w.crossEntropy(o, in)}
	case graph.CrossEntropyGrad:
		return []value{w.crossEntropyGrad(o.Of, in[0], in[1:])}
	case graph.BCEWithLogits:
		x, t := in[0], in[1]
		positive, negative := w.positive(w.mul(t, w.softplus(w.same("negate", x))), in), w.mul(w.affine(t, -1, 1), w.softplus(x))
		sum := w.reduce("add", w.add(positive, negative), 0, 1)
		return []value{w.scaled(sum, 1/float32(x.shape.Numel()))}
	case graph.BCEWithLogitsGrad:
		x, t := in[1], in[2]
		positive, negative := w.positive(w.mul(t, w.sigmoid(w.same("negate", x))), in[1:]), w.mul(w.affine(t, -1, 1), w.sigmoid(x))
		return []value{w.mul(w.sub(negative, positive), w.broadcast(w.scaled(in[0], 1/float32(x.shape.Numel())), x.shape))}
	}
	return nil
}

// normalized is (x - mean) * invstd * gamma + beta for each channel.
func (w *writer) normalized(x, gamma, beta, mean, invstd value) value {
	centered := w.sub(x, w.channels(mean, x.shape))
	scaled := w.mul(centered, w.channels(w.mul(invstd, gamma), x.shape))
	return w.add(scaled, w.channels(beta, x.shape))
}

func (w *writer) batchNormTrain(o graph.BatchNormTrain, in []value) []value {
	x, axes := in[0], others(in[0].shape, 1)
	count := float32(x.shape.Numel() / x.shape[1])
	mean := w.scaled(w.reduce("add", x, axes...), 1/count)
	centered := w.sub(x, w.channels(mean, x.shape))
	variance := w.scaled(w.reduce("add", w.mul(centered, centered), axes...), 1/count)
	invstd := w.same("rsqrt", w.affine(variance, 1, o.Eps))
	y := w.normalized(x, in[1], in[2], mean, invstd)
	newMean := w.add(w.scaled(in[3], 1-o.Momentum), w.scaled(mean, o.Momentum))
	newVariance := w.add(w.scaled(in[4], 1-o.Momentum), w.scaled(variance, o.Momentum*count/(count-1)))
	return []value{y, mean, invstd, newMean, newVariance}
}

func (w *writer) batchNormGrad(in []value) []value {
	dy, x, gamma, mean, invstd := in[0], in[1], in[2], in[3], in[4]
	axes := others(x.shape, 1)
	count := float32(x.shape.Numel() / x.shape[1])
	xhat := w.mul(w.sub(x, w.channels(mean, x.shape)), w.channels(invstd, x.shape))
	dbeta := w.reduce("add", dy, axes...)
	dgamma := w.reduce("add", w.mul(dy, xhat), axes...)
	rest := w.sub(dy, w.channels(w.scaled(dbeta, 1/count), x.shape))
	rest = w.sub(rest, w.mul(xhat, w.channels(w.scaled(dgamma, 1/count), x.shape)))
	return []value{w.mul(rest, w.channels(w.mul(gamma, invstd), x.shape)), dgamma, dbeta}
}

// positive multiplies by the weights of positives, the third input, if there is one.
func (w *writer) positive(x value, in []value) value {
	if len(in) < 3 {
		return x
	}
	return w.mul(x, w.channels(in[2], x.shape))
}

// weightedTargets turns targets of both kinds into one: the loss is the sum of
// -log p * targets, divided by total.
func (w *writer) weightedTargets(o graph.CrossEntropy, in []value) (targets, total value) {
	logits, target := in[0], in[1]
	shape, rows := logits.shape, others(logits.shape, 1)
	classes := shape[1]
	all := others(shape, -1)
	smooth := func(t value) value { return w.affine(t, 1-o.LabelSmoothing, o.LabelSmoothing/float32(classes)) }
	weights := w.like(logits, 1)
	if len(in) == 3 {
		weights = w.channels(in[2], shape)
	}
	if target.element == "f32" {
		return w.mul(weights, smooth(target)), w.scalar(float32(shape.Numel() / classes))
	}
	index := w.emit("i64", shape, nil, "stablehlo.iota dim = 1")
	hot := w.convert(w.compare("EQ", w.broadcast(target, shape, rows...), index), "f32")
	counts := w.broadcast(w.reduce("add", hot, 1), shape, rows...) // 0 for rows that are ignored
	total = w.reduce("add", w.mul(hot, weights), all...)
	none := w.like(total, 0)
	total = w.choose(w.compare("EQ", total, none), w.like(total, 1), total) // where no row counts, the loss is 0
	return w.mul(w.mul(weights, smooth(hot)), counts), total
}

func (w *writer) crossEntropy(o graph.CrossEntropy, in []value) value {
	targets, total := w.weightedTargets(o, in)
	zero := w.like(targets, 0)
	products := w.mul(targets, w.logSoftmax(in[0], 1))
	products = w.choose(w.compare("NE", targets, zero), products, zero) // 0 * -Inf is 0 here
	sum := w.reduce("add", products, others(in[0].shape, -1)...)
	return w.same("negate", w.div(sum, total))
}

func (w *writer) crossEntropyGrad(o graph.CrossEntropy, dloss value, in []value) value {
	targets, total := w.weightedTargets(o, in)
	shape := in[0].shape
	sums := w.broadcast(w.reduce("add", targets, 1), shape, others(shape, 1)...)
	dx := w.sub(w.mul(w.exp(w.logSoftmax(in[0], 1)), sums), targets)
	scaled := w.mul(dx, w.broadcast(w.div(dloss, total), shape))
	zero := w.like(dx, 0)
	return w.choose(w.compare("NE", dx, zero), scaled, zero) // even if total is 0
}

// updates writes the rules of optimizers.
func (w *writer) updates(n *graph.Node, in []value) []value {
	everywhere := func(scalar value, shape tensor.Shape) value { return w.broadcast(scalar, shape) }
	switch o := n.Op.(type) {
	case graph.SGD:
		p, v := in[0], in[2]
		d := w.decayed(in[1], p, o.WeightDecay)
		lr := everywhere(in[3], p.shape)
		if o.Momentum == 0 {
			return []value{w.sub(p, w.mul(lr, d)), v}
		}
		v = w.add(w.scaled(v, o.Momentum), d)
		step := v
		if o.Nesterov {
			step = w.add(d, w.scaled(v, o.Momentum))
		}
		return []value{w.sub(p, w.mul(lr, step)), v}
	case graph.AdamW:
		p, lr := in[0], everywhere(in[4], in[0].shape)
		u, m, v := w.adam(o.Beta1, o.Beta2, o.Eps, in[1], in[2], in[3], in[5])
		if o.WeightDecay != 0 {
			p = w.mul(p, w.affine(lr, -o.WeightDecay, 1))
		}
		return []value{w.sub(p, w.mul(lr, u)), m, v}
	case graph.Adam:
		p, lr := in[0], everywhere(in[4], in[0].shape)
		u, m, v := w.adam(o.Beta1, o.Beta2, o.Eps, w.decayed(in[1], p, o.WeightDecay), in[2], in[3], in[5])
		return []value{w.sub(p, w.mul(lr, u)), m, v}
	case graph.LAMB:
		p, lr := in[0], everywhere(in[4], in[0].shape)
		u, m, v := w.adam(o.Beta1, o.Beta2, o.Eps, in[1], in[2], in[3], in[5])
		u = w.decayed(u, p, o.WeightDecay)
		ratio := w.ratio(w.norm(p), w.norm(u), w.norm(u))
		return []value{w.sub(p, w.mul(lr, w.mul(everywhere(ratio, p.shape), u))), m, v}
	case graph.RMSprop:
		p, lr := in[0], everywhere(in[4], in[0].shape)
		d := w.decayed(in[1], p, o.WeightDecay)
		v := w.add(w.scaled(in[2], o.Alpha), w.scaled(w.mul(d, d), 1-o.Alpha))
		u, b := w.div(d, w.affine(w.same("sqrt", v), 1, o.Eps)), in[3]
		if o.Momentum != 0 {
			b = w.add(w.scaled(b, o.Momentum), u)
			u = b
		}
		return []value{w.sub(p, w.mul(lr, u)), v, b}
	case graph.LARS:
		p, grad, lr := in[0], in[1], everywhere(in[3], in[0].shape)
		pn, gn := w.norm(p), w.norm(grad)
		ratio := w.ratio(w.scaled(pn, o.Trust), w.affine(w.add(gn, w.scaled(pn, o.WeightDecay)), 1, o.Eps), gn)
		step := w.mul(w.mul(lr, everywhere(ratio, p.shape)), w.decayed(grad, p, o.WeightDecay))
		v := w.add(w.scaled(in[2], o.Momentum), step)
		return []value{w.sub(p, v), v}
	case graph.EMA:
		decay := everywhere(in[2], in[0].shape)
		return []value{w.add(w.mul(decay, in[0]), w.mul(w.affine(decay, -1, 1), in[1]))}
	case graph.GlobalNorm:
		return []value{w.norm(in...)}
	}
	return nil
}

// decayed is the gradient with weight decay.
func (w *writer) decayed(grad, p value, decay float32) value {
	if decay == 0 {
		return grad
	}
	return w.add(grad, w.scaled(p, decay))
}

// adam returns the step of Adam, and its new slots. t is the number of the step.
func (w *writer) adam(beta1, beta2, eps float32, d, m, v, t value) (u, newM, newV value) {
	m = w.add(w.scaled(m, beta1), w.scaled(d, 1-beta1))
	v = w.add(w.scaled(v, beta2), w.scaled(w.mul(d, d), 1-beta2))
	unbiased := func(x value, beta float32) value {
		power := w.same("power", w.scalar(beta), t)
		return w.div(x, w.broadcast(w.affine(power, -1, 1), x.shape))
	}
	return w.div(unbiased(m, beta1), w.affine(w.same("sqrt", unbiased(v, beta2)), 1, eps)), m, v
}

// norm is the Euclidean norm of all elements together.
func (w *writer) norm(in ...value) value {
	sum := w.scalar(0)
	for _, v := range in {
		sum = w.add(sum, w.reduce("add", w.mul(v, v), others(v.shape, -1)...))
	}
	return w.same("sqrt", sum)
}

// ratio is a/b, or 1 where a or other is 0.
func (w *writer) ratio(a, b, other value) value {
	zero, one := w.scalar(0), w.scalar(1)
	r := w.choose(w.compare("NE", a, zero), w.div(a, b), one)
	return w.choose(w.compare("NE", other, zero), r, one)
}
