package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Focal is the sigmoid focal loss (Lin et al., arXiv 1708.02002, section 3), see
// graph.SigmoidFocal.
type Focal struct{ Alpha, Gamma float32 }

// FocalScratch is how many floats [Focal.Row] needs for itself.
const FocalScratch = 1024

// Row returns the loss of one row of logits x, and sets dx (if not nil) to scale times
// the derivatives. Targets are target, or those of label, of which -1 is none.
func (f Focal) Row(dx, x, target []float32, label int, scale float32, scratch []float32) float64 {
	if dx != nil {
		isa.CheckLen(len(dx), len(x), "Focal.Row dx")
	}
	sum := 0.0
	if target != nil {
		for i, t := range target[:len(x)] {
			loss, dl := f.one(x[i], t)
			sum += loss
			if dx != nil {
				dx[i] = float32(float64(scale) * dl)
			}
		}
		return sum
	}
	for at := 0; at < len(x); at += FocalScratch {
		part := x[at:min(at+FocalScratch, len(x))]
		e := scratch[:len(part)]
		for i, v := range part {
			e[i] = -max(v, -v) // NaN stays
		}
		Unary(OpExp, e, e, 0, 0)
		var d []float32
		if dx != nil {
			d = dx[at:][:len(part)]
		}
		sum += f.negatives(d, part, e, label-at, scale)
	}
	if label >= 0 {
		loss, dl := f.one(x[label], 1)
		sum += loss
		if dx != nil {
			dx[label] = float32(float64(scale) * dl)
		}
	}
	return sum
}

// negatives is Row for targets of 0, nearly all of a detector's, without element skip:
// with p = σ(x) and s = softplus(x), the loss is a*p^Gamma*s and its derivative
// a*p^Gamma*(Gamma*(1-p)*s+p). e holds exp(-|x|), of which both are made.
func (f Focal) negatives(dx, x, e []float32, skip int, scale float32) float64 {
	a := float32(1)
	if f.Alpha >= 0 {
		a = 1 - f.Alpha
	}
	sum := 0.0
	for i, t := range e {
		// ln(1+t) = 2*atanh(z); t is at most 1, so z at most 1/3.
		z := t / (2 + t)
		q := z * z
		s := 2 * z * (1 + q*(1.0/3+q*(1.0/5+q*(1.0/7+q*(1.0/9+q*(1.0/11+q*(1.0/13)))))))
		p := 1 / (1 + t)
		rest := t * p // 1-p
		if x[i] > 0 {
			s += x[i]
		} else {
			p, rest = rest, p
		}
		power := p * p
		if f.Gamma != 2 {
			power = float32(math.Pow(float64(p), float64(f.Gamma)))
		}
		if i != skip {
			sum += float64(power * s)
		}
		if dx != nil {
			dx[i] = scale * a * power * (f.Gamma*rest*s + p)
		}
	}
	return float64(a) * sum
}

// one returns the loss of one logit for any target, and its derivative.
func (f Focal) one(x32, t32 float32) (loss, d float64) {
	x, t, gamma := float64(x32), float64(t32), float64(f.Gamma)
	p := 1 / (1 + math.Exp(-x))
	q := 1 / (1 + math.Exp(x)) // 1-p
	softplus := func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
	ce := t*softplus(-x) + (1-t)*softplus(x)
	miss := q*t + p*(1-t)
	a := 1.0
	if f.Alpha >= 0 {
		a = float64(f.Alpha)*t + (1-float64(f.Alpha))*(1-t)
	}
	power := math.Pow(miss, gamma)
	loss = a * power * ce
	d = a * power * (p - t)
	if gamma != 0 && miss > 0 {
		d += a * gamma * power / miss * (1 - 2*t) * p * q * ce
	}
	return loss, d
}
