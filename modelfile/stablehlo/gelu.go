package stablehlo

// erfcPolynomial is P of erfc(a) = exp(-a²) t P(t), t = 1/(1+0.4a), for a >= 0: within
// 1.3e-7 of erfc(a), relative to it. erfc.py has made it. StableHLO itself has no erf.
var erfcPolynomial = [...]float32{0.225675862, 0.225669598, 0.207842699, 0.168541976, 0.141431443, -0.00560755971, 0.169085465, -0.18290149, 0.0502621317}

// normal returns the normal distribution's Φ(x), with small relative errors below 0,
// too, and exp(-x²/2).
func (w *writer) normal(x value) (cdf, bell value) {
	a := w.same("abs", x)
	t := w.div(w.like(x, 1), w.affine(a, 0.4*0.70710678, 1))
	p := w.like(x, erfcPolynomial[len(erfcPolynomial)-1])
	for i := len(erfcPolynomial) - 2; i >= 0; i-- {
		p = w.add(w.mul(p, t), w.like(x, erfcPolynomial[i]))
	}
	bell = w.exp(w.scaled(w.mul(x, x), -0.5))
	tail := w.scaled(w.mul(bell, w.mul(t, p)), 0.5) // Φ(-|x|)
	return w.choose(w.compare("LT", x, w.like(x, 0)), tail, w.affine(tail, -1, 1)), bell
}

func (w *writer) gelu(x value) value {
	cdf, _ := w.normal(x)
	return w.mul(x, cdf)
}

func (w *writer) geluGrad(x, dy value) value {
	cdf, bell := w.normal(x)
	return w.mul(dy, w.add(cdf, w.scaled(w.mul(x, bell), 0.3989422804))) // 1/√(2π)
}
