package main

import (
	op "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type memOf = func(name string) op.Mem
type memOfRow = func(stream string, row int) op.Mem

// tree adds the vectors in pairs.
func (e *emit) tree(v []reg.VecVirtual) reg.VecVirtual {
	if len(v) == 1 {
		return v[0]
	}
	return e.add(e.tree(v[:len(v)/2]), e.tree(v[len(v)/2:]))
}

// sumProducts adds the products a[i]*b[i] to acc, over two chains.
func (e *emit) sumProducts(a, b []reg.VecVirtual, acc reg.VecVirtual) reg.VecVirtual {
	e.fma(a[0], b[0], acc)
	if len(a) == 1 {
		return acc
	}
	odd := e.mul(a[1], b[1])
	for i := 2; i < len(a); i++ {
		if i&1 == 0 {
			e.fma(a[i], b[i], acc)
		} else {
			e.fma(a[i], b[i], odd)
		}
	}
	return e.add(acc, odd)
}

func batchNorm(e *emit) {
	e.sums(kernel{
		name: "shiftedSums", doc: "adds the sums over the rows of x-origin and of its square to sum and sq.",
		streams: []string{"x"}, channels: []string{"sum", "sq", "origin"},
	}, 8, func(rows int, at memOfRow, ch memOf) {
		origin, sum, sq := e.ld(ch("origin")), e.ld(ch("sum")), e.ld(ch("sq"))
		var d []reg.VecVirtual
		for r := range rows {
			x := e.ld(at("x", r))
			d = append(d, e.sub(x, origin))
		}
		e.st(e.add(sum, e.tree(d)), ch("sum"))
		e.st(e.sumProducts(d, d, sq), ch("sq"))
	})

	scaleShift := kernel{
		name: "scaleShift", doc: "computes y = max(floor, x*scale+shift) on rows x c.",
		streams: []string{"y", "x"}, channels: []string{"scale", "shift"}, scalars: []string{"floor"}, unroll: 4,
	}
	e.rows(scaleShift, func(at memOf) {
		v := e.ld(at("shift"))
		e.fma(e.ld(at("x")), e.ld(at("scale")), v)
		e.st(e.max(e.scalar["floor"], v), at("y"))
	})
	scaleShift.name, scaleShift.doc = "scaleShiftAdd", "computes y = max(floor, x*scale+shift+res) on rows x c."
	scaleShift.streams = []string{"y", "x", "res"}
	e.rows(scaleShift, func(at memOf) {
		v := e.ld(at("shift"))
		e.fma(e.ld(at("x")), e.ld(at("scale")), v)
		v = e.add(v, e.ld(at("res")))
		e.st(e.max(e.scalar["floor"], v), at("y"))
	})
	scaleShift.name, scaleShift.doc = "scaleShiftAddScaled", "computes y = max(floor, x*scale+shift+(res*rs+rb)) on rows x c."
	scaleShift.channels = []string{"scale", "shift", "rs", "rb"}
	e.rows(scaleShift, func(at memOf) {
		v, w := e.ld(at("shift")), e.ld(at("rb"))
		e.fma(e.ld(at("x")), e.ld(at("scale")), v)
		e.fma(e.ld(at("res")), e.ld(at("rs")), w)
		e.st(e.max(e.scalar["floor"], e.add(v, w)), at("y"))
	})

	var zero reg.VecVirtual
	setZero := func() { zero = e.zero() }
	// again is dy, but 0 where the output computed as by scaleShift is <= 0.
	again := func(dy, x, scale, shift reg.VecVirtual) reg.VecVirtual {
		y := e.v()
		e.VMOVAPS(shift, y)
		return e.keep(dy, nleUQ, e.fma(x, scale, y), zero)
	}
	// masked is dy, but 0 where y <= 0.
	masked := func(dy reg.VecVirtual, y op.Mem) reg.VecVirtual { return e.keep(dy, nleUQ, e.ld(y), zero) }

	for _, k := range []struct {
		name, doc           string
		streams, channels   []string
		mask, again, output bool
	}{
		{name: "gradReduce", doc: "adds the sums over the rows of dy and of dy*(x-mean) to s and t.", streams: []string{"dy", "x"}},
		{name: "gradReduceMask", doc: "is gradReduce of dy where not y <= 0.", streams: []string{"dy", "y", "x"}, mask: true},
		{name: "gradReduceMaskOut", doc: "is gradReduceMask that also writes the masked dy to dz.",
			streams: []string{"dz", "dy", "y", "x"}, mask: true, output: true},
		{name: "gradReduceAgain", doc: "is gradReduce of dy where not x*scale+shift <= 0.",
			streams: []string{"dy", "x"}, channels: []string{"scale", "shift"}, again: true},
	} {
		e.sums(kernel{
			name: k.name, doc: k.doc, streams: k.streams, channels: append([]string{"s", "t", "mean"}, k.channels...), setup: setZero,
		}, 4, func(rows int, at memOfRow, ch memOf) {
			mean, s, t := e.ld(ch("mean")), e.ld(ch("s")), e.ld(ch("t"))
			var scale, shift reg.VecVirtual
			if k.again {
				scale, shift = e.ld(ch("scale")), e.ld(ch("shift"))
			}
			var g, d []reg.VecVirtual
			for r := range rows {
				v, x := e.ld(at("dy", r)), e.ld(at("x", r))
				if k.mask {
					v = masked(v, at("y", r))
				}
				if k.again {
					v = again(v, x, scale, shift)
				}
				if k.output {
					e.st(v, at("dz", r))
				}
				g = append(g, v)
				d = append(d, e.sub(x, mean))
			}
			e.st(e.add(s, e.tree(g)), ch("s"))
			e.st(e.sumProducts(g, d, t), ch("t"))
		})
	}

	for variant := range 4 {
		mask, acc := variant&1 != 0, variant&2 != 0
		suffix, doc, streams := "", "", []string{"dx", "dy"}
		if mask {
			suffix, doc, streams = "Mask", ", dy taken as 0 where y <= 0", append(streams, "y")
		}
		if acc {
			suffix, doc = suffix+"Add", doc+", added to dx"
		}
		e.rows(kernel{
			name: "gradApply" + suffix, doc: "computes dx = a*dy + (b*(x-mean) + c) on rows x c" + doc + ".",
			streams: append(append([]string{}, streams...), "x"), channels: []string{"mean", "a", "b", "c0"}, setup: setZero, unroll: 2,
		}, func(at memOf) {
			g := e.ld(at("dy"))
			if mask {
				g = masked(g, at("y"))
			}
			d := e.sub(e.ld(at("x")), e.ld(at("mean")))
			v := e.ld(at("c0"))
			e.fma(d, e.ld(at("b")), v)
			e.fma(g, e.ld(at("a")), v)
			if acc {
				v = e.add(v, e.ld(at("dx")))
			}
			e.st(v, at("dx"))
		})
		e.rows(kernel{
			name: "scaleGrad" + suffix, doc: "computes dx = a*dy on rows x c" + doc + ".",
			streams: streams, channels: []string{"a"}, setup: setZero, unroll: 4,
		}, func(at memOf) {
			g := e.ld(at("dy"))
			if mask {
				g = masked(g, at("y"))
			}
			v := e.mul(g, e.ld(at("a")))
			if acc {
				v = e.add(v, e.ld(at("dx")))
			}
			e.st(v, at("dx"))
		})
	}

	for _, acc := range []bool{false, true} {
		suffix, doc := "", ""
		if acc {
			suffix, doc = "Add", ", added to dx"
		}
		e.rows(kernel{
			name: "gradApplyAgain" + suffix, doc: "is gradApply of dy where not x*scale+shift <= 0" + doc + ".",
			streams: []string{"dx", "dy", "x"}, channels: []string{"mean", "a", "b", "c0", "scale", "shift"}, setup: setZero, unroll: 2,
		}, func(at memOf) {
			x := e.ld(at("x"))
			g := again(e.ld(at("dy")), x, e.ld(at("scale")), e.ld(at("shift")))
			v := e.ld(at("c0"))
			e.fma(e.sub(x, e.ld(at("mean"))), e.ld(at("b")), v)
			e.fma(g, e.ld(at("a")), v)
			if acc {
				v = e.add(v, e.ld(at("dx")))
			}
			e.st(v, at("dx"))
		})
	}

	e.sums(kernel{
		name: "sumRows", doc: "adds the sum over the rows of a to out.", streams: []string{"a"}, channels: []string{"out"},
	}, 8, func(rows int, at memOfRow, ch memOf) {
		var v []reg.VecVirtual
		for r := range rows {
			v = append(v, e.ld(at("a", r)))
		}
		e.st(e.add(e.tree(v), e.ld(ch("out"))), ch("out"))
	})
	e.sums(kernel{
		name: "sumMulRows", doc: "adds the sum over the rows of a*b to out.", streams: []string{"a", "b"}, channels: []string{"out"},
	}, 4, func(rows int, at memOfRow, ch memOf) {
		var a, b []reg.VecVirtual
		for r := range rows {
			a, b = append(a, e.ld(at("a", r))), append(b, e.ld(at("b", r)))
		}
		e.st(e.sumProducts(a, b, e.ld(ch("out"))), ch("out"))
	})
}
