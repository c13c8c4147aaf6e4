package main

// batchNorm writes the kernels of vec/norm.go and the sums over rows.
func batchNorm[V, M any](e machine[V, M]) {
	type memOf = func(name string) M
	type memOfRow = func(stream string, row int) M
	e.sums(kernel{
		name: "shiftedSums", doc: "adds the sums over the rows of x-origin and of its square to sum and sq.",
		streams: []string{"x"}, channels: []string{"sum", "sq", "origin"},
	}, 8, func(rows int, at memOfRow, ch memOf) {
		origin, sum, sq := e.ld(ch("origin")), e.ld(ch("sum")), e.ld(ch("sq"))
		var d []V
		for r := range rows {
			d = append(d, e.sub(e.ld(at("x", r)), origin))
		}
		e.st(e.add(sum, tree(e, d)), ch("sum"))
		e.st(sumProducts(e, d, d, sq), ch("sq"))
	})

	scaleShift := kernel{
		name: "scaleShift", doc: "computes y = max(floor, x*scale+shift) on rows x c.",
		streams: []string{"y", "x"}, channels: []string{"scale", "shift"}, scalars: []string{"floor"}, unroll: 4,
	}
	e.rows(scaleShift, func(at memOf) {
		v := e.mulAdds([3]M{at("x"), at("scale"), at("shift")})
		e.st(e.max(e.argument("floor"), v[0]), at("y"))
	})
	scaleShift.name, scaleShift.doc = "scaleShiftAdd", "computes y = max(floor, x*scale+shift+res) on rows x c."
	scaleShift.streams = []string{"y", "x", "res"}
	e.rows(scaleShift, func(at memOf) {
		v := e.mulAdds([3]M{at("x"), at("scale"), at("shift")})
		e.st(e.max(e.argument("floor"), e.add(v[0], e.ld(at("res")))), at("y"))
	})
	scaleShift.name, scaleShift.doc = "scaleShiftAddScaled", "computes y = max(floor, x*scale+shift+(res*rs+rb)) on rows x c."
	scaleShift.channels = []string{"scale", "shift", "rs", "rb"}
	e.rows(scaleShift, func(at memOf) {
		v := e.mulAdds([3]M{at("x"), at("scale"), at("shift")}, [3]M{at("res"), at("rs"), at("rb")})
		e.st(e.max(e.argument("floor"), e.add(v[0], v[1])), at("y"))
	})

	// recomputed is dy, but 0 where the output computed as by scaleShift is <= 0.
	recomputed := func(dy, x, scale, shift V) V { return e.unless(dy, e.fma(x, scale, e.copyOf(shift))) }

	for _, k := range []struct {
		name, doc                string
		streams, channels        []string
		mask, recomputed, output bool
	}{
		{name: "gradReduce", doc: "adds the sums over the rows of dy and of dy*(x-mean) to s and t.", streams: []string{"dy", "x"}},
		{name: "gradReduceMask", doc: "is gradReduce of dy where not y <= 0.", streams: []string{"dy", "y", "x"}, mask: true},
		{name: "gradReduceMaskOut", doc: "is gradReduceMask that also writes the masked dy to dz.",
			streams: []string{"dz", "dy", "y", "x"}, mask: true, output: true},
		{name: "gradReduceRecomputed", doc: "is gradReduce of dy where not x*scale+shift <= 0.",
			streams: []string{"dy", "x"}, channels: []string{"scale", "shift"}, recomputed: true},
	} {
		e.sums(kernel{
			name: k.name, doc: k.doc, streams: k.streams, channels: append([]string{"s", "t", "mean"}, k.channels...), zero: true,
		}, 4, func(rows int, at memOfRow, ch memOf) {
			mean, s, t := e.ld(ch("mean")), e.ld(ch("s")), e.ld(ch("t"))
			var scale, shift V
			if k.recomputed {
				scale, shift = e.ld(ch("scale")), e.ld(ch("shift"))
			}
			var g, d []V
			for r := range rows {
				v, x := e.ld(at("dy", r)), e.ld(at("x", r))
				if k.mask {
					v = e.unless(v, e.ld(at("y", r)))
				}
				if k.recomputed {
					v = recomputed(v, x, scale, shift)
				}
				if k.output {
					e.st(v, at("dz", r))
				}
				g = append(g, v)
				d = append(d, e.sub(x, mean))
			}
			e.st(e.add(s, tree(e, g)), ch("s"))
			e.st(sumProducts(e, g, d, t), ch("t"))
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
		grad := func(at memOf) V {
			g := e.ld(at("dy"))
			if mask {
				g = e.unless(g, e.ld(at("y")))
			}
			return g
		}
		store := func(v V, at memOf) {
			if acc {
				v = e.add(v, e.ld(at("dx")))
			}
			e.st(v, at("dx"))
		}
		e.rows(kernel{
			name: "gradApply" + suffix, doc: "computes dx = a*dy + (b*(x-mean) + c) on rows x c" + doc + ".",
			streams: append(append([]string{}, streams...), "x"), channels: []string{"mean", "a", "b", "c0"}, zero: true, unroll: 2,
		}, func(at memOf) {
			g := grad(at)
			d := e.sub(e.ld(at("x")), e.ld(at("mean")))
			v := e.mulAddTo(func() V { return d }, at("b"), at("c0"))
			store(e.fma(g, e.ld(at("a")), v), at)
		})
		e.rows(kernel{
			name: "scaleGrad" + suffix, doc: "computes dx = a*dy on rows x c" + doc + ".",
			streams: streams, channels: []string{"a"}, zero: true, unroll: 4,
		}, func(at memOf) { store(e.mul(grad(at), e.ld(at("a"))), at) })
	}

	for _, acc := range []bool{false, true} {
		suffix, doc := "", ""
		if acc {
			suffix, doc = "Add", ", added to dx"
		}
		e.rows(kernel{
			name: "gradApplyRecomputed" + suffix, doc: "is gradApply of dy where not x*scale+shift <= 0" + doc + ".",
			streams: []string{"dx", "dy", "x"}, channels: []string{"mean", "a", "b", "c0", "scale", "shift"}, zero: true, unroll: 2,
		}, func(at memOf) {
			x := e.ld(at("x"))
			g := recomputed(e.ld(at("dy")), x, e.ld(at("scale")), e.ld(at("shift")))
			v := e.mulAddTo(func() V { return e.sub(x, e.ld(at("mean"))) }, at("b"), at("c0"))
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
		var list []V
		for r := range rows {
			list = append(list, e.ld(at("a", r)))
		}
		e.st(e.add(tree(e, list), e.ld(ch("out"))), ch("out"))
	})
	e.sums(kernel{
		name: "sumMulRows", doc: "adds the sum over the rows of a*b to out.", streams: []string{"a", "b"}, channels: []string{"out"},
	}, 4, func(rows int, at memOfRow, ch memOf) {
		var a, b []V
		for r := range rows {
			a, b = append(a, e.ld(at("a", r))), append(b, e.ld(at("b", r)))
		}
		e.st(sumProducts(e, a, b, e.ld(ch("out"))), ch("out"))
	})
}
