package main

// elementwise writes the kernels of vec/binary.go and vec/unary.go that need no
// exponential function.
func elementwise[V, M any](e machine[V, M]) {
	type memOf = func(name string) M
	for _, f := range []struct {
		name, doc string
		do        func(a, b V) V
	}{
		{"Add", "a + b", e.add},
		{"Sub", "a - b", e.sub},
		{"Mul", "a * b", e.mul},
		{"Div", "a / b", e.div},
		{"Max", "max(a, b), NaN if either is", e.maxNaN},
		{"Min", "min(a, b), NaN if either is", e.minNaN},
		{"AddReLU", "max(0, a + b)", func(a, b V) V { return e.max(e.zeros(), e.add(a, b)) }},
	} {
		e.flat(kernel{
			name: "binary" + f.name, doc: "computes y = " + f.doc + ".", streams: []string{"y", "a", "b"}, zero: true, unroll: 4,
		}, func(at memOf) { e.st(f.do(e.ld(at("a")), e.ld(at("b"))), at("y")) })
		e.flat(kernel{
			name: "scalar" + f.name, doc: "computes y = " + f.doc + " of one b.", streams: []string{"y", "a"},
			scalars: []string{"b"}, zero: true, unroll: 4,
		}, func(at memOf) { e.st(f.do(e.ld(at("a")), e.argument("b")), at("y")) })
	}
	e.flat(kernel{
		name: "axpy", doc: "computes y += a*x.", streams: []string{"y", "x"}, scalars: []string{"a"}, unroll: 4,
	}, func(at memOf) { e.st(e.fma(e.ld(at("x")), e.argument("a"), e.ld(at("y"))), at("y")) })

	// NaN in x comes through: max and min return their last operand then, or NaN.
	e.flat(kernel{
		name: "clamp", doc: "computes y = min(max(x, a), b), NaN of NaN.", streams: []string{"y", "x"}, scalars: []string{"a", "b"}, unroll: 4,
	}, func(at memOf) {
		e.st(e.min(e.argument("b"), e.max(e.argument("a"), e.ld(at("x")))), at("y"))
	})
	e.flat(kernel{
		name: "leakyReLU", doc: "computes y = x, but a*x where x < 0.", streams: []string{"y", "x"}, scalars: []string{"a"},
		zero: true, unroll: 4,
	}, func(at memOf) {
		x := e.ld(at("x"))
		e.st(e.choose(e.negative(x), e.mul(x, e.argument("a")), x), at("y"))
	})

	for _, f := range []struct {
		name, doc string
		do        func(x V) V
	}{
		{"square", "x * x", func(x V) V { return e.mul(x, x) }},
		{"sqrt", "the square root of x", e.sqrt},
		{"neg", "-x", e.neg},
		{"abs", "|x|", e.abs},
		{"reciprocal", "1 / x", func(x V) V { return e.div(e.constant(1), x) }},
		{"hardSwish", "x*min(max(x + 3, 0), 6)/6", func(x V) V {
			c := e.min(e.constant(6), e.max(e.zeros(), e.add(x, e.float(3))))
			return e.div(e.mul(x, c), e.float(6))
		}},
	} {
		e.flat(kernel{
			name: f.name, doc: "computes y = " + f.doc + ".", streams: []string{"y", "x"}, consts: true, zero: true, unroll: 2,
		}, func(at memOf) { e.st(f.do(e.ld(at("x"))), at("y")) })
	}
	e.flat(kernel{
		name: "hardSigmoid", doc: "computes y = min(max(a*x + b, 0), 1).", streams: []string{"y", "x"}, scalars: []string{"a", "b"},
		consts: true, zero: true, unroll: 2,
	}, func(at memOf) {
		v := e.add(e.mul(e.ld(at("x")), e.argument("a")), e.argument("b"))
		e.st(e.min(e.constant(1), e.max(e.zeros(), v)), at("y"))
	})

	// Sums over a whole array, lane by lane.
	var acc []V
	next := 0
	lanes := func(name, doc string, streams []string, add func(at memOf, acc V)) {
		e.flat(kernel{
			name: name, doc: doc, streams: streams, extra: "sum *float32", unroll: 4,
			setup:  func() { acc, next = e.accumulators(4, 0), 0 },
			finish: func() { e.result("sum", func() V { return tree(e, acc) }) },
		}, func(at memOf) {
			add(at, acc[next%4])
			next++
		})
	}
	lanes("laneSum", "sets sum to the sums of x over the lanes.", []string{"x"}, func(at memOf, acc V) {
		e.addTo(acc, e.ld(at("x")))
	})
	lanes("laneDot", "sets sum to the sums of a*b over the lanes.", []string{"a", "b"}, func(at memOf, acc V) {
		e.fma(e.ld(at("a")), e.ld(at("b")), acc)
	})

	grad := func(name, doc string, in []string, scalars []string, do func(at memOf) V) {
		for _, acc := range []bool{false, true} {
			n, d := name, doc
			if acc {
				n, d = n+"Add", d+", added to dx"
			}
			e.flat(kernel{
				name: n, doc: "computes dx = " + d + ".", streams: append([]string{"dx", "dy"}, in...), scalars: scalars,
				consts: true, zero: true, unroll: 4,
			}, func(at memOf) {
				v := do(at)
				if acc {
					v = e.add(v, e.ld(at("dx")))
				}
				e.st(v, at("dx"))
			})
		}
	}
	grad("reluGrad", "dy, but 0 where y <= 0", []string{"y"}, nil, func(at memOf) V {
		return e.unless(e.ld(at("dy")), e.ld(at("y")))
	})
	grad("leakyReLUGrad", "dy, but a*dy where not x > 0", []string{"x"}, []string{"a"}, func(at memOf) V {
		g := e.ld(at("dy"))
		return e.choose(e.positive(e.ld(at("x"))), g, e.mul(g, e.argument("a")))
	})
	grad("sigmoidGrad", "dy*(1-y)*y", []string{"y"}, nil, func(at memOf) V {
		y := e.ld(at("y"))
		return e.mul(e.mul(e.ld(at("dy")), e.sub(e.constant(1), y)), y)
	})
	grad("tanhGrad", "dy*(1-y*y)", []string{"y"}, nil, func(at memOf) V {
		y := e.ld(at("y"))
		return e.mul(e.ld(at("dy")), e.fnma(y, y, e.constant(1)))
	})
}

// optim writes the kernels of vec/optim.go over arrays of parameters.
func optim[V, M any](e machine[V, M]) {
	type memOf = func(name string) M
	var k []V
	coefs := func(n int) func() {
		return func() { k = e.coefs("coefs", n) }
	}
	// The order of vec.sgdCoefs.
	const gradScale, decay, momentum, fresh, lr, direct, ahead = 0, 1, 2, 3, 4, 5, 6
	e.flat(kernel{
		name: "sgdMomentum", doc: "is sgdGeneric with a momentum buffer.", streams: []string{"p", "v", "grad"},
		extra: "coefs *float32", setup: coefs(7), unroll: 2,
	}, func(at memOf) {
		p, d := e.ld(at("p")), e.mul(e.ld(at("grad")), k[gradScale])
		e.fma(p, k[decay], d)
		m := e.mul(d, k[fresh])
		e.fma(e.ld(at("v")), k[momentum], m)
		e.st(m, at("v"))
		u := e.mul(d, k[direct])
		e.fma(m, k[ahead], u)
		e.st(e.fnma(u, k[lr], p), at("p"))
	})
	e.flat(kernel{
		name: "sgdPlain", doc: "is sgdGeneric without a momentum buffer.", streams: []string{"p", "grad"},
		extra: "coefs *float32", setup: coefs(7), unroll: 2,
	}, func(at memOf) {
		p, d := e.ld(at("p")), e.mul(e.ld(at("grad")), k[gradScale])
		e.fma(p, k[decay], d)
		e.st(e.fnma(d, k[lr], p), at("p"))
	})
	// The order of vec.adamCoefs.
	const beta1, fresh1, beta2, fresh2, stay, rate, root, eps = 2, 3, 4, 5, 6, 7, 8, 9
	e.flat(kernel{
		name: "adam", doc: "is adamGeneric.", streams: []string{"p", "m", "v", "grad"},
		extra: "coefs *float32", setup: coefs(10), unroll: 1,
	}, func(at memOf) {
		p, d := e.ld(at("p")), e.mul(e.ld(at("grad")), k[gradScale])
		e.fma(p, k[decay], d)
		a := e.mul(d, k[fresh1])
		e.fma(e.ld(at("m")), k[beta1], a)
		b := e.mul(e.mul(d, k[fresh2]), d)
		e.fma(e.ld(at("v")), k[beta2], b)
		e.st(a, at("m"))
		e.st(b, at("v"))
		s := e.sqrt(b)
		q := e.fma(s, k[root], e.copyOf(k[eps]))
		step := e.div(e.mul(a, k[rate]), q)
		e.st(e.mulSub(p, k[stay], step), at("p"))
	})
	e.flat(kernel{
		name: "ema", doc: "computes avg = decay*avg + fresh*p.", streams: []string{"avg", "p"}, scalars: []string{"decay", "fresh"}, unroll: 4,
	}, func(at memOf) {
		v := e.mul(e.ld(at("p")), e.argument("fresh"))
		e.st(e.fma(e.ld(at("avg")), e.argument("decay"), v), at("avg"))
	})
}
