package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Focal is the sigmoid focal loss (Lin et al., arXiv 1708.02002, section 3), see
// graph.SigmoidFocal.
type Focal struct{ Alpha, Gamma float32 }

// focalChunk is how many logits are brought through sigmoid and softplus at once: two
// such arrays stay in the first cache.
const focalChunk = 1024

// Row returns the loss of one row of logits x, and sets dx (if not nil) to scale times
// the derivatives. Targets are target, or those of label, of which -1 is none.
func (f Focal) Row(dx, x, target []float32, label int, scale float32) float64 {
	if dx != nil {
		isa.CheckLen(len(dx), len(x), "Focal.Row dx")
	}
	sum := 0.0
	var room [2*focalChunk + 16]float32
	buf := aligned(room[:])
	for at := 0; at < len(x); at += focalChunk {
		part := x[at:min(at+focalChunk, len(x))]
		p, s := buf[:len(part)], buf[focalChunk:focalChunk+len(part)]
		Unary(OpSigmoid, p, part, 0, 0)
		Unary(OpSoftplus, s, part, 0, 0)
		var d []float32
		if dx != nil {
			d = dx[at:][:len(part)]
		}
		if target == nil {
			sum += f.negatives(d, p, s, scale)
			if i := label - at; i >= 0 && i < len(part) {
				// The class's own target is not 0: replace what was counted.
				sum -= f.negatives(nil, p[i:i+1], s[i:i+1], scale)
				loss, dl := f.one(part[i], 1)
				sum += loss
				if d != nil {
					d[i] = float32(float64(scale) * dl)
				}
			}
			continue
		}
		for i, t := range target[at:][:len(part)] {
			loss, dl := f.one(part[i], t)
			sum += loss
			if d != nil {
				d[i] = float32(float64(scale) * dl)
			}
		}
	}
	return sum
}

// negatives is Row for targets of 0, nearly all of a detector's: with p = σ(x) and s =
// softplus(x), the loss is a*p^Gamma*s and its derivative a*p^Gamma*(Gamma*(1-p)*s+p).
func (f Focal) negatives(dx, p, s []float32, scale float32) float64 {
	a := float32(1)
	if f.Alpha >= 0 {
		a = 1 - f.Alpha
	}
	sum := 0.0
	for i, v := range p {
		power := v * v
		if f.Gamma != 2 {
			power = float32(math.Pow(float64(v), float64(f.Gamma)))
		}
		sum += float64(power * s[i])
		if dx != nil {
			dx[i] = scale * a * power * (f.Gamma*(1-v)*s[i] + v)
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
