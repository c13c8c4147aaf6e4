package main

import "math"

// exp returns e^x, within 2 units in the last place; it overwrites nothing.
// e^x = 2^n * e^r with n = round(x/ln 2) and a polynomial of Cephes (expf.c,
// Moshier) for e^r.
func (e *emit) exp(x vec) vec {
	// The bounds lie beyond the range of float32 on either side; NaN passes.
	x = e.min(e.constant(89), x)
	x = e.max(e.constant(-104), x)
	n := e.op2("frintn", e.mul(x, e.constant(math.Log2E)))
	// ln 2 in two parts, the first of few bits, so that n times it is exact.
	e.fnma(n, e.constant(0.693359375), x)
	e.fnma(n, e.constant(-2.12194440e-4), x)
	p := e.poly(x, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
	p = e.fma(p, e.mul(x, x), x)
	p = e.add(p, e.constant(1))
	// 2^n in two factors, since n may be beyond the exponents of float32.
	i := e.op2("fcvtns", n)
	first := e.shift("sshr", i, 1)
	for _, h := range []vec{first, e.op3("sub", i, first)} {
		p = e.mul(p, e.shift("shl", e.op3("add", h, e.word32(127)), 23))
	}
	return p
}

// sigmoid returns 1/(1+e^-x).
func (e *emit) sigmoid(x vec) vec {
	t := e.exp(e.op2("fneg", x))
	return e.div(e.constant(1), e.add(t, e.constant(1)))
}

// tanh returns tanh(x): an odd polynomial (Cephes, tanhf.c) below 0.625, else
// 1 - 2/(e^2x+1).
func (e *emit) tanh(x vec) vec {
	a := e.op2("fabs", x)
	t := e.exp(e.add(a, a))
	big := e.sub(e.constant(1), e.div(e.constant(2), e.add(t, e.constant(1))))
	big = e.op3("orr", big, e.op3("and", x, e.word32(0x80000000)))
	z := e.mul(x, x)
	p := e.poly(z, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
	p = e.fma(e.mul(p, z), x, e.copyOf(x))
	return e.choose(e.op3("fcmgt", e.constant(0.625), a), p, big)
}

// normal returns the distribution function of the standard normal
// distribution at x and, without its constant factor, the density e^(-x*x/2).
// erfc(z) = e^(-z*z)*t*P(t) with t = 1/(1+z/2); P was fitted on Chebyshev
// nodes for z in [0, 15] and is within 1.3e-7 of the quotient.
func (e *emit) normal(x vec) (cdf, density vec) {
	a := e.op2("fabs", x)
	density = e.exp(e.mul(e.mul(a, e.constant(-0.5)), a))
	t := e.div(e.constant(1), e.fma(a, e.constant(0.5/math.Sqrt2), e.constant(1)))
	p := e.poly(t, -0.05950632318854332, 0.28668779134750366, -0.49152207374572754, 0.2829395830631256,
		-0.029922915622591972, 0.20405250787734985, 0.24276721477508545, 0.28242024779319763, 0.2820839285850525)
	lower := e.mul(e.mul(e.mul(p, t), density), e.constant(0.5))
	upper := e.sub(e.constant(1), lower)
	return e.choose(e.op2("fcmgt0", x), upper, lower), density
}

func expFunctions(e *emit) {
	for _, f := range []struct {
		name, doc string
		do        func(x vec) vec
	}{
		{"exp", "exp(x)", e.exp},
		{"sigmoid", "1/(1+exp(-x))", e.sigmoid},
		{"tanh", "tanh(x)", e.tanh},
		{"silu", "x/(1+exp(-x))", func(x vec) vec {
			t := e.exp(e.op2("fneg", x))
			return e.div(x, e.add(t, e.constant(1)))
		}},
		{"gelu", "x*(1+erf(x/sqrt(2)))/2", func(x vec) vec {
			cdf, _ := e.normal(x)
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
		s := e.sigmoid(x)
		t := e.fma(e.sub(e.constant(1), s), x, e.constant(1))
		e.st(e.mul(e.mul(e.ld(at("dy")), s), t), at("dx"))
	})
	e.flat(kernel{
		name: "geluGrad", doc: "computes dx = dy*(F(x)+x*f(x)) with the normal distribution F and its density f.",
		streams: []string{"dx", "dy", "x"}, consts: true,
	}, func(at memOf) {
		x := e.ld(at("x"))
		cdf, density := e.normal(x)
		e.fma(e.mul(x, e.constant(1/math.Sqrt(2*math.Pi))), density, cdf)
		e.st(e.mul(e.ld(at("dy")), cdf), at("dx"))
	})

	var most []vec
	next := 0
	e.flat(kernel{
		name: "rowMax", doc: "sets most to the maxima of x over the lanes, at least -Inf; NaN if one is.",
		streams: []string{"x"}, extra: "most *float32", consts: true, unroll: 4,
		setup: func() {
			most = nil
			e.block(func() {
				low := e.constant(math.Inf(-1))
				for range 4 {
					m := e.pin()
					e.do(func() { e.move(m.reg, low.reg) }, nil, m, low)
					most = append(most, m)
				}
			})
		},
		finish: func() {
			to := e.loadInt("most")
			e.block(func() { e.st(e.max(e.max(most[0], most[1]), e.max(most[2], most[3])), mem{base: to}) })
		},
	}, func(at memOf) {
		m := most[next%4]
		next++
		x := e.ld(at("x"))
		if e.single {
			// The lanes beyond the element must not count as 0.
			all := e.v()
			e.do(func() { e.dup(all.reg, x.reg, 0) }, all, x)
			e.change("fmax", m, m, all)
			return
		}
		e.change("fmax", m, m, x)
	})
	var acc vec
	e.flat(kernel{
		name: "expShift", doc: "computes y = exp(x-m) and sets sum to the sums of y over the lanes.",
		streams: []string{"y", "x"}, scalars: []string{"m"}, extra: "sum *float32", consts: true,
		setup: func() { acc = e.pinZero() },
		finish: func() {
			to := e.loadInt("sum")
			e.block(func() { e.st(acc, mem{base: to}) })
		},
	}, func(at memOf) {
		y := e.exp(e.sub(e.ld(at("x")), e.scalar["m"]))
		e.st(y, at("y"))
		if e.single {
			y = e.ld(at("y")) // which clears the other lanes
		}
		e.change("fadd", acc, acc, y)
	})
}
