package main

import (
	op "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type vec = reg.VecVirtual

func elementwise(e *emit) {
	var zero vec
	setZero := func() { zero = e.zero() }
	for _, f := range []struct {
		name, doc string
		do        func(a, b vec) vec
	}{
		{"Add", "a + b", func(a, b vec) vec { return e.add(a, b) }},
		{"Sub", "a - b", func(a, b vec) vec { return e.sub(a, b) }},
		{"Mul", "a * b", func(a, b vec) vec { return e.mul(a, b) }},
		{"Div", "a / b", func(a, b vec) vec { return e.div(a, b) }},
		// NaN in b comes through, that in a is put back.
		{"Max", "max(a, b), NaN if either is", func(a, b vec) vec { return e.choose(unordQ, a, a, a, e.max(a, b)) }},
		{"Min", "min(a, b), NaN if either is", func(a, b vec) vec { return e.choose(unordQ, a, a, a, e.min(a, b)) }},
		{"AddReLU", "max(0, a + b)", func(a, b vec) vec { return e.max(zero, e.add(a, b)) }},
	} {
		e.flat(kernel{
			name: "binary" + f.name, doc: "computes y = " + f.doc + ".", streams: []string{"y", "a", "b"}, setup: setZero, unroll: 4,
		}, func(at memOf) { e.st(f.do(e.ld(at("a")), e.ld(at("b"))), at("y")) })
		e.flat(kernel{
			name: "scalar" + f.name, doc: "computes y = " + f.doc + " of one b.", streams: []string{"y", "a"},
			scalars: []string{"b"}, setup: setZero, unroll: 4,
		}, func(at memOf) { e.st(f.do(e.ld(at("a")), e.scalar["b"]), at("y")) })
	}
	e.flat(kernel{
		name: "axpy", doc: "computes y += a*x.", streams: []string{"y", "x"}, scalars: []string{"a"}, unroll: 4,
	}, func(at memOf) { e.st(e.fma(e.ld(at("x")), e.scalar["a"], e.ld(at("y"))), at("y")) })

	// The larger of the bound and x, x if it is NaN.
	e.flat(kernel{
		name: "clamp", doc: "computes y = min(max(x, a), b).", streams: []string{"y", "x"}, scalars: []string{"a", "b"}, unroll: 4,
	}, func(at memOf) {
		e.st(e.min(e.scalar["b"], e.max(e.scalar["a"], e.ld(at("x")))), at("y"))
	})
	e.flat(kernel{
		name: "leakyReLU", doc: "computes y = x, but a*x where x < 0.", streams: []string{"y", "x"}, scalars: []string{"a"},
		setup: setZero, unroll: 4,
	}, func(at memOf) {
		x := e.ld(at("x"))
		e.st(e.choose(ltOQ, x, zero, e.mul(x, e.scalar["a"]), x), at("y"))
	})

	// Sums over a whole array, lane by lane.
	var acc []vec
	next := 0
	lanes := func(name, doc string, streams []string, add func(at memOf, acc vec)) {
		e.flat(kernel{
			name: name, doc: doc, streams: streams, extra: "sum *float32", unroll: 4,
			setup: func() {
				acc = nil
				for range 4 {
					acc = append(acc, e.zero())
				}
			},
			finish: func() { e.VMOVUPS(e.tree(acc), op.Mem{Base: e.loadInt("sum")}) },
		}, func(at memOf) {
			add(at, acc[next%4])
			next++
		})
	}
	lanes("laneSum", "sets sum to the sums of x over the lanes.", []string{"x"}, func(at memOf, acc vec) {
		e.VADDPS(e.ld(at("x")), acc, acc)
	})
	lanes("laneDot", "sets sum to the sums of a*b over the lanes.", []string{"a", "b"}, func(at memOf, acc vec) {
		e.fma(e.ld(at("a")), e.ld(at("b")), acc)
	})

	grad := func(name, doc string, in []string, scalars []string, do func(at memOf) vec) {
		for _, acc := range []bool{false, true} {
			n, d := name, doc
			if acc {
				n, d = n+"Add", d+", added to dx"
			}
			e.flat(kernel{
				name: n, doc: "computes dx = " + d + ".", streams: append([]string{"dx", "dy"}, in...), scalars: scalars,
				setup: setZero, unroll: 4,
			}, func(at memOf) {
				v := do(at)
				if acc {
					v = e.add(v, e.ld(at("dx")))
				}
				e.st(v, at("dx"))
			})
		}
	}
	grad("reluGrad", "dy, but 0 where y <= 0", []string{"y"}, nil, func(at memOf) vec {
		return e.keep(e.ld(at("dy")), nleUQ, e.ld(at("y")), zero)
	})
	grad("leakyReLUGrad", "dy, but a*dy where not x > 0", []string{"x"}, []string{"a"}, func(at memOf) vec {
		g := e.ld(at("dy"))
		return e.choose(gtOQ, e.ld(at("x")), zero, g, e.mul(g, e.scalar["a"]))
	})
	one := func() vec { return e.constant(1) }
	grad("sigmoidGrad", "dy*(1-y)*y", []string{"y"}, nil, func(at memOf) vec {
		y := e.ld(at("y"))
		return e.mul(e.mul(e.ld(at("dy")), e.sub(one(), y)), y)
	})
	grad("tanhGrad", "dy*(1-y*y)", []string{"y"}, nil, func(at memOf) vec {
		y := e.ld(at("y"))
		return e.mul(e.ld(at("dy")), e.fnma(y, y, one()))
	})
}

func optim(e *emit) {
	var k []vec
	coefs := func(n int) func() {
		return func() {
			base := e.loadInt("coefs")
			k = nil
			for i := range n {
				k = append(k, e.field(base, i))
			}
		}
	}
	// The order of kernel.sgdCoefs.
	const gradScale, decay, momentum, fresh, lr, direct, ahead = 0, 1, 2, 3, 4, 5, 6
	e.flat(kernel{
		name: "sgdMomentum", doc: "is kernel.sgdGeneric with a momentum buffer.", streams: []string{"p", "v", "grad"},
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
		name: "sgdPlain", doc: "is kernel.sgdGeneric without a momentum buffer.", streams: []string{"p", "grad"},
		extra: "coefs *float32", setup: coefs(7), unroll: 2,
	}, func(at memOf) {
		p, d := e.ld(at("p")), e.mul(e.ld(at("grad")), k[gradScale])
		e.fma(p, k[decay], d)
		e.st(e.fnma(d, k[lr], p), at("p"))
	})
	// The order of kernel.adamCoefs.
	const beta1, fresh1, beta2, fresh2, stay, rate, root, eps = 2, 3, 4, 5, 6, 7, 8, 9
	e.flat(kernel{
		name: "adam", doc: "is kernel.adamGeneric.", streams: []string{"p", "m", "v", "grad"},
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
		s := e.v()
		e.VSQRTPS(b, s)
		q := e.v()
		e.VMOVAPS(k[eps], q)
		e.fma(s, k[root], q)
		step := e.div(e.mul(a, k[rate]), q)
		e.VFMSUB213PS(step, k[stay], p) // p*keep - step
		e.st(p, at("p"))
	})
	e.flat(kernel{
		name: "ema", doc: "computes avg = decay*avg + fresh*p.", streams: []string{"avg", "p"}, scalars: []string{"decay", "fresh"}, unroll: 4,
	}, func(at memOf) {
		v := e.mul(e.ld(at("p")), e.scalar["fresh"])
		e.st(e.fma(e.ld(at("avg")), e.scalar["decay"], v), at("avg"))
	})

	sumSquares(e)
}

// sumSquares adds the squares of n floats, a multiple of 32, to the 32 lanes.
func sumSquares(e *emit) {
	e.begin("sumSquares", "func(lane *float64, x *float32, n int)",
		"adds the squares of x[i], in float64, to lane[i%32]; n is a multiple of 32.")
	lane, x, n := e.loadInt("lane"), e.loadInt("x"), e.loadInt("n")
	var acc []vec
	per := e.lanes / 2
	for i := 0; i < 32; i += per {
		a := e.v()
		e.VMOVUPD(op.Mem{Base: lane, Disp: 8 * i}, a)
		acc = append(acc, a)
	}
	e.Label("loop")
	e.CMPQ(n, op.I32(32))
	e.JLT(op.LabelRef("done"))
	for i, a := range acc {
		d := e.v()
		e.VCVTPS2PD(op.Mem{Base: x, Disp: 4 * per * i}, d)
		e.VFMADD231PD(d, d, a)
	}
	e.ADDQ(op.I32(128), x)
	e.SUBQ(op.I32(32), n)
	e.JMP(op.LabelRef("loop"))
	e.Label("done")
	for i, a := range acc {
		e.VMOVUPD(a, op.Mem{Base: lane, Disp: 8 * per * i})
	}
	e.end()
}
