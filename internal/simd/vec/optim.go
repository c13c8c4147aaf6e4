package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// SGD holds the hyperparameters of stochastic gradient descent, torch's form.
// GradScale and Trust of 0 mean 1.
type SGD struct {
	LR, Momentum, Dampening, WeightDecay float32

	Nesterov  bool
	First     bool    // the first step: the momentum buffer starts as the gradient
	GradScale float32 // factor of the gradient: clipping, 1/loss scale
	Trust     float32 // the layer's rate of LARS, of gradient and decay together
}

// Step updates a piece of a parameter in one pass:
//
//	d = Trust*(GradScale*g + WeightDecay*p)
//	v = Momentum*v + (1-Dampening)*d      (First: v = d)
//	p = p - LR*v                          (Nesterov: LR*(d + Momentum*v))
//
// v may be nil if Momentum is 0; then p = p - LR*d. Each element depends on
// itself only, so any cutting gives the same bits.
func (o *SGD) Step(p, v, g []float32) {
	isa.CheckLen(len(g), len(p), "SGD.Step g")
	k := sgdCoefs{
		gradScale: orOne(o.GradScale) * orOne(o.Trust), decay: o.WeightDecay * orOne(o.Trust),
		momentum: o.Momentum, fresh: 1 - o.Dampening, lr: o.LR,
	}
	if o.First {
		k.momentum, k.fresh = 0, 1
	}
	k.direct, k.ahead = 0, 1
	if o.Nesterov {
		k.direct, k.ahead = 1, o.Momentum
	}
	if o.Momentum == 0 {
		sgd(p, nil, g, &k)
		return
	}
	isa.CheckLen(len(v), len(p), "SGD.Step v")
	if o.First {
		clear(v) // whatever was there, even NaN, must not count
	}
	sgd(p, v, g, &k)
}

// sgdCoefs are the factors of one step: d = gradScale*g + decay*p,
// v = momentum*v + fresh*d, p -= lr*(direct*d + ahead*v). The assembly reads
// them as seven float32 in this order.
type sgdCoefs struct {
	gradScale, decay, momentum, fresh, lr, direct, ahead float32
}

func orOne(v float32) float32 {
	if v == 0 {
		return 1
	}
	return v
}

// sgd computes, with g = g*gradScale + decay*p,
//
//	v = v*momentum + g*fresh
//	p -= lr*(g*direct + v*ahead)
//
// and, if v is nil, p -= lr*g.
func sgd(p, v, g []float32, k *sgdCoefs) {
	n := len(p)
	if n == 0 {
		return
	}
	g = g[:n]
	switch {
	case isa.Lanes() == 0:
		sgdGeneric(p, v, g, k)
	case v == nil:
		sgdPlainAsm(&p[0], &g[0], n, &k.gradScale)
	default:
		sgdMomentumAsm(&p[0], &v[:n][0], &g[0], n, &k.gradScale)
	}
}

func sgdGeneric(p, v, g []float32, k *sgdCoefs) {
	if v == nil {
		for i := range p {
			p[i] -= k.lr * (float32(k.gradScale*g[i]) + float32(k.decay*p[i]))
		}
		return
	}
	for i := range p {
		d := float32(k.gradScale*g[i]) + float32(k.decay*p[i])
		m := float32(k.momentum*v[i]) + float32(k.fresh*d)
		v[i] = m
		p[i] -= k.lr * (float32(k.direct*d) + float32(k.ahead*m))
	}
}

// Adam holds the hyperparameters of Adam (Kingma and Ba, arXiv 1412.6980) and,
// if Decoupled, of AdamW (Loshchilov and Hutter, arXiv 1711.05101).
type Adam struct {
	LR, Beta1, Beta2, Eps, WeightDecay float32

	Decoupled bool    // AdamW: decay the parameter, not the gradient
	Step      int     // the number of this step, from 1
	GradScale float32 // factor of the gradient; 0 means 1
}

// Update updates a piece of a parameter in one pass:
//
//	d = GradScale*g (+ WeightDecay*p, if not Decoupled)
//	m = Beta1*m + (1-Beta1)*d
//	v = Beta2*v + (1-Beta2)*d*d
//	p = p*(1 - LR*WeightDecay, if Decoupled) - LR*(m/(1-Beta1^Step))/(sqrt(v/(1-Beta2^Step))+Eps)
func (o *Adam) Update(p, m, v, g []float32) {
	isa.CheckLen(len(g), len(p), "Adam.Update g")
	isa.CheckLen(len(m), len(p), "Adam.Update m")
	isa.CheckLen(len(v), len(p), "Adam.Update v")
	k := o.coefs()
	adam(p, m, v, g, &k)
}

// adamCoefs are the factors of one step: d = gradScale*g + decay*p,
// m = beta1*m + fresh1*d, v = beta2*v + fresh2*d*d,
// p = keep*p - rate*m/(root*sqrt(v)+eps). The assembly reads them as ten
// float32 in this order.
type adamCoefs struct {
	gradScale, decay, beta1, fresh1, beta2, fresh2, keep, rate, root, eps float32
}

func (o *Adam) coefs() adamCoefs {
	b1, b2, t := float64(o.Beta1), float64(o.Beta2), float64(o.Step)
	k := adamCoefs{
		gradScale: orOne(o.GradScale),
		beta1:     o.Beta1, fresh1: float32(1 - b1),
		beta2: o.Beta2, fresh2: float32(1 - b2),
		keep: 1, rate: float32(float64(o.LR) / (1 - math.Pow(b1, t))),
		root: float32(1 / math.Sqrt(1-math.Pow(b2, t))), eps: o.Eps,
	}
	if o.Decoupled {
		k.keep = float32(1 - float64(o.LR)*float64(o.WeightDecay))
	} else {
		k.decay = o.WeightDecay
	}
	return k
}

// adam computes, with g = g*gradScale + decay*p,
//
//	m = m*beta1 + g*fresh1
//	v = v*beta2 + g*g*fresh2
//	p = p*keep - m*rate/(sqrt(v)*root + eps)
func adam(p, m, v, g []float32, k *adamCoefs) {
	n := len(p)
	if n == 0 {
		return
	}
	m, v, g = m[:n], v[:n], g[:n]
	if isa.Lanes() == 0 {
		adamGeneric(p, m, v, g, k)
		return
	}
	adamAsm(&p[0], &m[0], &v[0], &g[0], n, &k.gradScale)
}

func adamGeneric(p, m, v, g []float32, k *adamCoefs) {
	for i := range p {
		d := float32(k.gradScale*g[i]) + float32(k.decay*p[i])
		a := float32(k.beta1*m[i]) + float32(k.fresh1*d)
		b := float32(k.beta2*v[i]) + float32(float32(k.fresh2*d)*d)
		m[i], v[i] = a, b
		root := float32(math.Sqrt(float64(b)))
		p[i] = float32(k.keep*p[i]) - float32(k.rate*a)/(float32(root*k.root)+k.eps)
	}
}

// LAMBDirection updates the moments m and v as [Adam.Update] does and sets u to
// the direction of LAMB (You et al., arXiv 1904.00962, algorithm 2):
//
//	u = (m/(1-Beta1^Step))/(sqrt(v/(1-Beta2^Step))+Eps) + WeightDecay*p
//
// The step is p -= LR*(|p|/|u|)*u, by [SumSquares] and [Axpy].
func (o *Adam) LAMBDirection(u, p, m, v, g []float32) {
	isa.CheckLen(len(u), len(p), "Adam.LAMBDirection u")
	isa.CheckLen(len(g), len(p), "Adam.LAMBDirection g")
	isa.CheckLen(len(m), len(p), "Adam.LAMBDirection m")
	isa.CheckLen(len(v), len(p), "Adam.LAMBDirection v")
	plain := *o
	plain.LR, plain.Decoupled, plain.WeightDecay = 1, false, 0
	k := plain.coefs()
	k.keep, k.rate = o.WeightDecay, -k.rate
	// With p copied to u the step of Adam computes just this.
	copy(u, p)
	adam(u, m, v, g, &k)
}

// LARSTrust returns the layer's rate eta*|p|/(|g|+weightDecay*|p|+eps) of LARS
// (You, Gitman and Ginsburg, arXiv 1708.03888, equation 6) from the sums of
// squares of the parameter and its gradient, and 1 if either is 0. It is the
// Trust of [SGD].
func LARSTrust(paramSq, gradSq float64, eta, weightDecay, eps float32) float32 {
	if paramSq == 0 || gradSq == 0 {
		return 1
	}
	p, g := math.Sqrt(paramSq), math.Sqrt(gradSq)
	return float32(float64(eta) * p / (g + float64(weightDecay)*p + float64(eps)))
}

// LAMBTrust returns the layer's rate |p|/|u| of LAMB from the sums of squares of
// the parameter and its direction (see [Adam.LAMBDirection]), and 1 if either is 0.
func LAMBTrust(paramSq, directionSq float64) float32 {
	if paramSq == 0 || directionSq == 0 {
		return 1
	}
	return float32(math.Sqrt(paramSq) / math.Sqrt(directionSq))
}

// RMSprop holds the hyperparameters of RMSprop (Tieleman and Hinton 2012), torch's
// form without centering.
type RMSprop struct{ LR, Alpha, Eps, Momentum, WeightDecay float32 }

// Step updates a piece of a parameter in one pass:
//
//	d = g + WeightDecay*p;  v = Alpha*v + (1-Alpha)*d*d;  u = d/(sqrt(v)+Eps)
//	b = Momentum*b + u;  p = p - LR*b      (Momentum 0: p = p - LR*u, b stays)
//
// It is plain Go: next to the convolutions of a step its time does not count.
func (o *RMSprop) Step(p, v, b, g []float32) {
	isa.CheckLen(len(g), len(p), "RMSprop.Step g")
	isa.CheckLen(len(v), len(p), "RMSprop.Step v")
	isa.CheckLen(len(b), len(p), "RMSprop.Step b")
	v, b, g = v[:len(p)], b[:len(p)], g[:len(p)]
	fresh := float32(1 - float64(o.Alpha))
	for i := range p {
		d := g[i] + float32(o.WeightDecay*p[i])
		s := float32(o.Alpha*v[i]) + float32(float32(fresh*d)*d)
		v[i] = s
		u := d / (float32(math.Sqrt(float64(s))) + o.Eps)
		if o.Momentum != 0 {
			u = float32(o.Momentum*b[i]) + u
			b[i] = u
		}
		p[i] -= float32(o.LR * u)
	}
}

// EMA moves an exponential average toward p: avg = decay*avg + (1-decay)*p.
func EMA(avg, p []float32, decay float32) {
	isa.CheckLen(len(p), len(avg), "EMA p")
	ema(avg, p, decay, float32(1-float64(decay)))
}

// ema computes avg = decay*avg + fresh*p.
func ema(avg, p []float32, decay, fresh float32) {
	n := len(avg)
	if n == 0 {
		return
	}
	p = p[:n]
	if isa.Lanes() == 0 {
		emaGeneric(avg, p, decay, fresh)
		return
	}
	emaAsm(&avg[0], &p[0], n, decay, fresh)
}

func emaGeneric(avg, p []float32, decay, fresh float32) {
	p = p[:len(avg)]
	for i, v := range avg {
		avg[i] = float32(decay*v) + float32(fresh*p[i])
	}
}

// sumLanes is the number of partial sums of [SumSquares].
const sumLanes = 32

// SumSquares returns the sum of x[i]^2 in float64: lane i%32 adds its elements
// in order, then the upper half of the lanes is added to the lower until one is
// left. Squares of float32 are exact in float64, so the bits are the same on
// every instruction set. Longer arrays are cut into pieces, whose sums
// [SumFloat64] joins.
func SumSquares(x []float32) float64 {
	var lane [sumLanes]float64
	sumSquares(&lane, x)
	for n := sumLanes / 2; n > 0; n /= 2 {
		for i := 0; i < n; i++ {
			lane[i] += lane[i+n]
		}
	}
	return lane[0]
}

// sumSquares computes lane[i%sumLanes] += x[i]^2.
func sumSquares(lane *[sumLanes]float64, x []float32) {
	if n := len(x) / sumLanes * sumLanes; n > 0 && isa.Lanes() > 0 {
		sumSquaresAsm(&lane[0], &x[0], n)
		x = x[n:]
	}
	sumSquaresGeneric(lane, x)
}

func sumSquaresGeneric(lane *[sumLanes]float64, x []float32) {
	for ; len(x) >= sumLanes; x = x[sumLanes:] {
		for i, v := range x[:sumLanes] {
			lane[i] += float64(v) * float64(v)
		}
	}
	for i, v := range x {
		lane[i] += float64(v) * float64(v)
	}
}

// SumFloat64 returns the sum of the parts in their order.
func SumFloat64(parts []float64) float64 {
	s := 0.0
	for _, v := range parts {
		s += v
	}
	return s
}
