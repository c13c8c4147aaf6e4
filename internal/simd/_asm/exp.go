package main

import "math"

// exp returns e^x, within 2 units in the last place; it overwrites nothing.
// e^x = 2^n * e^r with n = round(x/ln 2) and a polynomial of Cephes (expf.c,
// Moshier) for e^r.
func exp[V, M any](e machine[V, M], x V) V {
	// The bounds lie beyond the range of float32 on either side; NaN passes.
	x = e.min(e.constant(89), x)
	x = e.max(e.constant(-104), x)
	n := e.round(e.mul(x, e.float(math.Log2E)))
	// ln 2 in two parts, the first of few bits, so that n times it is exact.
	e.fnma(n, e.float(0.693359375), x)
	e.fnma(n, e.float(-2.12194440e-4), x)
	p := poly(e, x, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
	p = e.horner(p, e.mul(x, x), x)
	p = e.add(p, e.float(1))
	return e.scaleBy2(p, n)
}

// sigmoid returns 1/(1+e^-x).
func sigmoid[V, M any](e machine[V, M], x V) V {
	t := exp(e, e.neg(x))
	return e.div(e.constant(1), e.add(t, e.float(1)))
}

// tanh returns tanh(x): an odd polynomial (Cephes, tanhf.c) below 0.625, else
// 1 - 2/(e^2x+1).
func tanh[V, M any](e machine[V, M], x V) V {
	a := e.abs(x)
	t := exp(e, e.add(a, a))
	big := e.sub(e.constant(1), e.div(e.constant(2), e.add(t, e.float(1))))
	big = e.withSign(big, x)
	z := e.mul(x, x)
	p := poly(e, z, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
	p = e.horner(e.mul(p, z), x, e.addend(x))
	return e.choose(e.less(a, e.float(0.625)), p, big)
}

// normal returns the distribution function of the standard normal
// distribution at x and, without its constant factor, the density e^(-x*x/2).
// erfc(z) = e^(-z*z)*t*P(t) with t = 1/(1+z/2); P was fitted on Chebyshev
// nodes for z in [0, 15] and is within 1.3e-7 of the quotient.
func normal[V, M any](e machine[V, M], x V) (cdf, density V) {
	a := e.abs(x)
	density = exp(e, e.mul(e.mul(a, e.float(-0.5)), a))
	t := e.div(e.constant(1), e.horner(a, e.constant(0.5/math.Sqrt2), e.float(1)))
	p := poly(e, t, -0.05950632318854332, 0.28668779134750366, -0.49152207374572754, 0.2829395830631256,
		-0.029922915622591972, 0.20405250787734985, 0.24276721477508545, 0.28242024779319763, 0.2820839285850525)
	lower := e.mul(e.mul(e.mul(p, t), density), e.float(0.5))
	upper := e.sub(e.constant(1), lower)
	return e.choose(e.positive(x), upper, lower), density
}

// expFunctions writes the kernels of vec/unary.go and vec/softmax.go that need
// an exponential function.
func expFunctions[V, M any](e machine[V, M]) {
	type memOf = func(name string) M
	for _, f := range []struct {
		name, doc string
		do        func(x V) V
	}{
		{"exp", "exp(x)", func(x V) V { return exp(e, x) }},
		{"sigmoid", "1/(1+exp(-x))", func(x V) V { return sigmoid(e, x) }},
		{"tanh", "tanh(x)", func(x V) V { return tanh(e, x) }},
		{"silu", "x/(1+exp(-x))", func(x V) V {
			t := exp(e, e.neg(x))
			return e.div(x, e.add(t, e.float(1)))
		}},
		{"gelu", "x*(1+erf(x/sqrt(2)))/2", func(x V) V {
			cdf, _ := normal(e, x)
			return e.mul(x, cdf)
		}},
	} {
		e.flat(kernel{name: f.name, doc: "computes y = " + f.doc + ".", streams: []string{"y", "x"}, consts: true, unroll: 2},
			func(at memOf) { e.st(f.do(e.ld(at("x"))), at("y")) })
	}
	e.flat(kernel{
		name: "siluGrad", doc: "computes dx = dy*s*(1+x*(1-s)), s = sigmoid(x).", streams: []string{"dx", "dy", "x"}, consts: true,
	}, func(at memOf) {
		x := e.ld(at("x"))
		s := sigmoid(e, x)
		t := e.horner(e.sub(e.constant(1), s), x, e.float(1))
		e.st(e.mul(e.mul(e.ld(at("dy")), s), t), at("dx"))
	})
	e.flat(kernel{
		name: "geluGrad", doc: "computes dx = dy*(F(x)+x*f(x)) with the normal distribution F and its density f.",
		streams: []string{"dx", "dy", "x"}, consts: true,
	}, func(at memOf) {
		x := e.ld(at("x"))
		cdf, density := normal(e, x)
		e.fma(e.mul(x, e.float(1/math.Sqrt(2*math.Pi))), density, cdf)
		e.st(e.mul(e.ld(at("dy")), cdf), at("dx"))
	})

	var acc []V
	next := 0
	e.flat(kernel{
		name: "rowMax", doc: "sets most to the maxima of x over the lanes, at least -Inf.",
		streams: []string{"x"}, extra: "most *float32", consts: true, unroll: 4,
		setup:  func() { acc = e.accumulators(4, math.Inf(-1)) },
		finish: func() { e.result("most", func() V { return e.max(e.max(acc[0], acc[1]), e.max(acc[2], acc[3])) }) },
	}, func(at memOf) {
		e.maxLanes(acc[next%4], at("x"))
		next++
	})
	e.flat(kernel{
		name: "expShift", doc: "computes y = exp(x-m) and sets sum to the sums of y over the lanes.",
		streams: []string{"y", "x"}, scalars: []string{"m"}, extra: "sum *float32", consts: true, unroll: 1,
		setup:  func() { acc = e.accumulators(1, 0) },
		finish: func() { e.result("sum", func() V { return acc[0] }) },
	}, func(at memOf) {
		y := exp(e, e.sub(e.ld(at("x")), e.argument("m")))
		e.st(y, at("y"))
		e.addLanes(acc[0], y, at("y"))
	})
}
