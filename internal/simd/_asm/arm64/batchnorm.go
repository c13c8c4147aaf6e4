package main

func batchNorm(e *emit) {
	type memOfRow = func(stream string, row int) mem
	e.sums(kernel{
		name: "shiftedSums", doc: "adds the sums over the rows of x-origin and of its square to sum and sq.",
		streams: []string{"x"}, channels: []string{"sum", "sq", "origin"},
	}, 8, func(rows int, at memOfRow, ch memOf) {
		origin, sum, sq := e.ld(ch("origin")), e.ld(ch("sum")), e.ld(ch("sq"))
		var d []vec
		for r := range rows {
			d = append(d, e.sub(e.ld(at("x", r)), origin))
		}
		e.st(e.add(sum, e.tree(d)), ch("sum"))
		e.st(e.sumProducts(d, d, sq), ch("sq"))
	})

	scaleShift := kernel{
		name: "scaleShift", doc: "computes y = max(floor, x*scale+shift) on rows x c.",
		streams: []string{"y", "x"}, channels: []string{"scale", "shift"}, scalars: []string{"floor"}, unroll: 4,
	}
	e.rows(scaleShift, func(at memOf) {
		v := e.fma(e.ld(at("x")), e.ld(at("scale")), e.ld(at("shift")))
		e.st(e.max(e.scalar["floor"], v), at("y"))
	})
	scaleShift.name, scaleShift.doc = "scaleShiftAdd", "computes y = max(floor, x*scale+shift+res) on rows x c."
	scaleShift.streams = []string{"y", "x", "res"}
	e.rows(scaleShift, func(at memOf) {
		v := e.fma(e.ld(at("x")), e.ld(at("scale")), e.ld(at("shift")))
		e.st(e.max(e.scalar["floor"], e.add(v, e.ld(at("res")))), at("y"))
	})
	scaleShift.name, scaleShift.doc = "scaleShiftAddScaled", "computes y = max(floor, x*scale+shift+(res*rs+rb)) on rows x c."
	scaleShift.channels = []string{"scale", "shift", "rs", "rb"}
	e.rows(scaleShift, func(at memOf) {
		v := e.fma(e.ld(at("x")), e.ld(at("scale")), e.ld(at("shift")))
		w := e.fma(e.ld(at("res")), e.ld(at("rs")), e.ld(at("rb")))
		e.st(e.max(e.scalar["floor"], e.add(v, w)), at("y"))
	})

	// again is dy, but 0 where the output computed as by scaleShift is <= 0.
	again := func(dy, x, scale, shift vec) vec { return e.unless(dy, e.fma(x, scale, e.copyOf(shift))) }

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
			name: k.name, doc: k.doc, streams: k.streams, channels: append([]string{"s", "t", "mean"}, k.channels...),
		}, 4, func(rows int, at memOfRow, ch memOf) {
			mean, s, t := e.ld(ch("mean")), e.ld(ch("s")), e.ld(ch("t"))
			var scale, shift vec
			if k.again {
				scale, shift = e.ld(ch("scale")), e.ld(ch("shift"))
			}
			var g, d []vec
			for r := range rows {
				v, x := e.ld(at("dy", r)), e.ld(at("x", r))
				if k.mask {
					v = e.unless(v, e.ld(at("y", r)))
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
		grad := func(at memOf) vec {
			g := e.ld(at("dy"))
			if mask {
				g = e.unless(g, e.ld(at("y")))
			}
			return g
		}
		store := func(v vec, at memOf) {
			if acc {
				v = e.add(v, e.ld(at("dx")))
			}
			e.st(v, at("dx"))
		}
		e.rows(kernel{
			name: "gradApply" + suffix, doc: "computes dx = a*dy + (b*(x-mean) + c) on rows x c" + doc + ".",
			streams: append(append([]string{}, streams...), "x"), channels: []string{"mean", "a", "b", "c0"}, unroll: 2,
		}, func(at memOf) {
			g := grad(at)
			d := e.sub(e.ld(at("x")), e.ld(at("mean")))
			v := e.fma(d, e.ld(at("b")), e.ld(at("c0")))
			store(e.fma(g, e.ld(at("a")), v), at)
		})
		e.rows(kernel{
			name: "scaleGrad" + suffix, doc: "computes dx = a*dy on rows x c" + doc + ".",
			streams: streams, channels: []string{"a"}, unroll: 4,
		}, func(at memOf) { store(e.mul(grad(at), e.ld(at("a"))), at) })
	}

	for _, acc := range []bool{false, true} {
		suffix, doc := "", ""
		if acc {
			suffix, doc = "Add", ", added to dx"
		}
		e.rows(kernel{
			name: "gradApplyAgain" + suffix, doc: "is gradApply of dy where not x*scale+shift <= 0" + doc + ".",
			streams: []string{"dx", "dy", "x"}, channels: []string{"mean", "a", "b", "c0", "scale", "shift"}, unroll: 2,
		}, func(at memOf) {
			x := e.ld(at("x"))
			g := again(e.ld(at("dy")), x, e.ld(at("scale")), e.ld(at("shift")))
			v := e.fma(e.sub(x, e.ld(at("mean"))), e.ld(at("b")), e.ld(at("c0")))
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
		var list []vec
		for r := range rows {
			list = append(list, e.ld(at("a", r)))
		}
		e.st(e.add(e.tree(list), e.ld(ch("out"))), ch("out"))
	})
	e.sums(kernel{
		name: "sumMulRows", doc: "adds the sum over the rows of a*b to out.", streams: []string{"a", "b"}, channels: []string{"out"},
	}, 4, func(rows int, at memOfRow, ch memOf) {
		var a, b []vec
		for r := range rows {
			a, b = append(a, e.ld(at("a", r))), append(b, e.ld(at("b", r)))
		}
		e.st(e.sumProducts(a, b, e.ld(ch("out"))), ch("out"))
	})
}

// statsStride is the bytes of a field of kernel.statsSums.
const statsStride = 64 * 4

// columnStats writes the kernels that sum the columns of rows, and their
// squares, both less a shift for each column.
func columnStats(e *emit) {
	for _, panels := range []int{1, 2} {
		name := "columnSums1"
		if panels == 2 {
			name = "columnSums2"
		}
		e.begin(name, "s *float32, x *float32, rows, pitch int", "adds rows of floats, less a shift, to sums of them and of their squares.")
		s, x, rows, pitch := e.loadInt("s"), e.loadInt("x"), e.loadInt("rows"), e.loadInt("pitch")
		var state [3][]vec
		for field := range state {
			for i := range 4 * panels {
				r := e.pin()
				e.load(whole, r.reg, s, field*statsStride+16*i)
				state[field] = append(state[field], r)
			}
		}
		loop := e.label("loop")
		e.at(loop)
		e.block(func() {
			for i := range 4 * panels {
				d := e.sub(e.ld(mem{base: x, off: 16 * i}), state[0][i])
				e.change("fadd", state[1][i], state[1][i], d)
				e.fma(d, d, state[2][i])
			}
		})
		e.op("ADD %v, %v", pitch, x)
		e.op("SUBS $1, %v", rows)
		e.op("BNE %s", loop)
		for field := 1; field < 3; field++ {
			for i, r := range state[field] {
				e.save(whole, r.reg, s, field*statsStride+16*i)
			}
		}
		e.end()
	}
}
