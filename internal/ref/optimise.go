package ref

import (
	"math"

	"github.com/resnet-go/resnet/graph"
)

func sgd(o graph.SGD, in []array) []array {
	p, grad, v, lr := in[0], in[1], in[2], in[3].f[0]
	m := float64(o.Momentum)
	newP, newV := zeros(p.shape...), zeros(p.shape...)
	if m == 0 {
		copy(newV.f, v.f)
	}
	for i := range p.f {
		d := grad.f[i] + float64(o.WeightDecay)*p.f[i]
		if m == 0 {
			newP.f[i] = p.f[i] - lr*d
			continue
		}
		newV.f[i] = m*v.f[i] + d
		if o.Nesterov {
			newP.f[i] = p.f[i] - lr*(d+m*newV.f[i])
		} else {
			newP.f[i] = p.f[i] - lr*newV.f[i]
		}
	}
	return []array{newP, newV}
}

func adamW(o graph.AdamW, in []array) []array {
	p, grad, m, v, lr, t := in[0], in[1], in[2], in[3], in[4].f[0], in[5].f[0]
	b1, b2 := float64(o.Beta1), float64(o.Beta2)
	newP, newM, newV := zeros(p.shape...), zeros(p.shape...), zeros(p.shape...)
	for i := range p.f {
		g := grad.f[i]
		newM.f[i] = b1*m.f[i] + (1-b1)*g
		newV.f[i] = b2*v.f[i] + (1-b2)*g*g
		mean := newM.f[i] / (1 - math.Pow(b1, t))
		square := newV.f[i] / (1 - math.Pow(b2, t))
		newP.f[i] = p.f[i]*(1-lr*float64(o.WeightDecay)) - lr*mean/(math.Sqrt(square)+float64(o.Eps))
	}
	return []array{newP, newM, newV}
}

func adam(o graph.Adam, in []array) []array {
	decayed := append([]array{}, in...)
	decayed[1] = zeros(in[1].shape...)
	for i := range decayed[1].f {
		decayed[1].f[i] = in[1].f[i] + float64(o.WeightDecay)*in[0].f[i]
	}
	return adamW(graph.AdamW{Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps}, decayed)
}

func lamb(o graph.LAMB, in []array) []array {
	// From p = 0 at the rate -1, Adam's step is the direction without weight decay.
	at := append([]array{}, in...)
	at[0], at[4] = zeros(in[0].shape...), scalar(-1)
	out := adamW(graph.AdamW{Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps}, at)
	p, u, lr := in[0], out[0], in[4].f[0]
	for i := range u.f {
		u.f[i] += float64(o.WeightDecay) * p.f[i]
	}
	r := 1.0
	if pn, un := norm(p), norm(u); pn != 0 && un != 0 {
		r = pn / un
	}
	out[0] = zeros(p.shape...)
	for i := range p.f {
		out[0].f[i] = p.f[i] - lr*r*u.f[i]
	}
	return out
}

func rmsProp(o graph.RMSprop, in []array) []array {
	p, grad, v, b, lr := in[0], in[1], in[2], in[3], in[4].f[0]
	alpha, m := float64(o.Alpha), float64(o.Momentum)
	newP, newV, newB := zeros(p.shape...), zeros(p.shape...), zeros(p.shape...)
	copy(newB.f, b.f)
	for i := range p.f {
		d := grad.f[i] + float64(o.WeightDecay)*p.f[i]
		newV.f[i] = alpha*v.f[i] + (1-alpha)*d*d
		u := d / (math.Sqrt(newV.f[i]) + float64(o.Eps))
		if m != 0 {
			newB.f[i] = m*b.f[i] + u
			u = newB.f[i]
		}
		newP.f[i] = p.f[i] - lr*u
	}
	return []array{newP, newV, newB}
}

func lars(o graph.LARS, in []array) []array {
	p, grad, v, lr := in[0], in[1], in[2], in[3].f[0]
	decay := float64(o.WeightDecay)
	r := 1.0
	if pn, gn := norm(p), norm(grad); pn != 0 && gn != 0 {
		r = float64(o.Trust) * pn / (gn + decay*pn + float64(o.Eps))
	}
	newP, newV := zeros(p.shape...), zeros(p.shape...)
	for i := range p.f {
		newV.f[i] = float64(o.Momentum)*v.f[i] + lr*r*(grad.f[i]+decay*p.f[i])
		newP.f[i] = p.f[i] - newV.f[i]
	}
	return []array{newP, newV}
}

func ema(in []array) array {
	e, p, decay := in[0], in[1], in[2].f[0]
	y := zeros(e.shape...)
	for i := range y.f {
		y.f[i] = decay*e.f[i] + (1-decay)*p.f[i]
	}
	return y
}

func globalNorm(in []array) array { return scalar(norm(in...)) }

// norm is the Euclidean norm of all elements together.
func norm(in ...array) float64 {
	sum := 0.0
	for _, a := range in {
		for _, x := range a.f {
			sum += x * x
		}
	}
	return math.Sqrt(sum)
}
