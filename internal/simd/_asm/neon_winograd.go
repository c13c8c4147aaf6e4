package main

// winograd writes the transforms of package wino, for whole
// vectors of channels; Go does the rest.
func (e *neon) winograd() {
	for _, t := range winoTiles {
		e.winogradInput(t)
		e.winogradOutput(t, false)
		e.winogradOutput(t, true)
	}
}

// numbers pins a vector for each number.
func (e *neon) numbers(list ...float64) map[float64]*value {
	m := map[float64]*value{}
	e.block(func() {
		for _, f := range list {
			p, c := e.pin(), e.constant(f)
			e.do(func() { e.move(p.reg, c.reg) }, nil, p, c)
			m[f] = p
		}
	})
	return m
}

func (e *neon) winogradInput(t winoTile) {
	e.begin("winogradInput"+t.suffix, "v *float32, pos int, rows **float32, pixel, left, right, n int, tmp *float32",
		"is wino.winogradInput for "+t.doc+", on a positive multiple of 4 channels.")
	e.useConstants()
	k := e.numbers(t.inputNumbers()...)
	dst, pos, table, tmp := e.loadInt("v"), e.loadInt("pos"), e.loadInt("rows"), e.loadInt("tmp")
	var rows []x
	for i := range t.inputs {
		rows = append(rows, e.gp())
		e.op("MOVD %d(%v), %v", 8*i, table, rows[i])
	}
	pixel, left, right, n := e.loadInt("pixel"), e.loadInt("left"), e.loadInt("right"), e.loadInt("n")
	j, at, to := e.gp(), e.gp(), e.gp()
	e.op("MOVD $0, %v", j)
	loop := e.label("loop")
	e.at(loop)
	e.op("MOVD %v, %v", j, at)
	square := func(row, col int) mem { return mem{base: tmp, off: 16 * (row*t.inputs + col)} }
	e.block(func() {
		for col := range t.inputs {
			outside, next := e.label("outside"), e.label("col")
			e.plain("CMP $%d, %v", col, left)
			e.plain("BGT %s", outside)
			e.plain("CMP $%d, %v", col, right)
			e.plain("BLE %s", outside)
			var d []*value
			for row := range t.inputs {
				d = append(d, e.ld(mem{base: rows[row], index: at}))
			}
			for row, r := range inputLine(e, k, d) {
				e.st(r, square(row, col))
			}
			e.plain("ADD %v, %v", pixel, at)
			e.plain("B %s", next)
			e.place(outside)
			z := e.zeros()
			for row := range t.positions {
				e.st(z, square(row, col))
			}
			e.place(next)
		}
		e.plain("ADD %v, %v, %v", j, dst, to)
		for row := range t.positions {
			var line []*value
			for col := range t.inputs {
				line = append(line, e.ld(square(row, col)))
			}
			for _, r := range inputLine(e, k, line) {
				e.st(r, mem{base: to})
				e.plain("ADD %v, %v", pos, to)
			}
		}
	})
	e.op("ADD $16, %v", j)
	e.op("SUBS $4, %v", n)
	e.op("BNE %s", loop)
	e.end()
}

func (e *neon) winogradOutput(t winoTile, residual bool) {
	name, doc := "winogradOutput"+t.suffix, "is wino.winogradOutput for "+t.doc+", on a positive multiple of 4 channels."
	if residual {
		name, doc = name+"Add", doc[:len(doc)-1]+", and adds res."
	}
	e.begin(name, "y, res, m *float32, pos int, bias *float32, row, pixel, height, width, n int, lo, hi float32, tmp *float32", doc)
	e.useConstants()
	k := e.numbers(t.outputNumbers()...)
	y, src, pos, bias := e.loadInt("y"), e.loadInt("m"), e.loadInt("pos"), e.loadInt("bias")
	var res x
	if residual {
		res = e.loadInt("res")
	}
	lo, hi := e.loadScalar("lo"), e.loadScalar("hi")
	rowStep, pixel, height, width := e.loadInt("row"), e.loadInt("pixel"), e.loadInt("height"), e.loadInt("width")
	tmp, n := e.loadInt("tmp"), e.loadInt("n")
	from, step, p, off, at, j := e.gp(), e.gp(), e.gp(), e.gp(), e.gp(), e.gp()
	e.op("MOVD $0, %v", j)
	// A row of positions.
	switch t.positions {
	case 3:
		e.op("ADD %v<<1, %v, %v", pos, pos, step)
	case 4:
		e.op("LSL $2, %v, %v", pos, step)
	case 5:
		e.op("ADD %v<<2, %v, %v", pos, pos, step)
	case 6:
		e.op("ADD %v<<1, %v, %v", pos, pos, step)
		e.op("LSL $1, %v", step)
	}
	loop := e.label("loop")
	e.at(loop)
	square := func(row, col int) mem { return mem{base: tmp, off: 16 * (row*t.positions + col)} }
	e.block(func() {
		e.plain("ADD %v, %v, %v", j, src, from)
		for col := range t.positions {
			e.plain("MOVD %v, %v", from, p)
			var d []*value
			for range t.positions {
				d = append(d, e.ld(mem{base: p}))
				e.plain("ADD %v, %v", step, p)
			}
			for row, r := range outputLine(e, k, t, d) {
				e.st(r, square(row, col))
			}
			e.plain("ADD %v, %v", pos, from)
		}
		done := e.label("stored")
		b := e.ld(mem{base: bias})
		e.plain("MOVD %v, %v", j, off)
		for row := range t.out {
			next := e.label("next")
			e.plain("CMP $%d, %v", row, height)
			e.plain("BLE %s", done)
			e.plain("MOVD %v, %v", off, at)
			var line []*value
			for col := range t.positions {
				line = append(line, e.ld(square(row, col)))
			}
			for col, r := range outputLine(e, k, t, line) {
				if col > 0 {
					e.plain("CMP $%d, %v", col, width)
					e.plain("BLE %s", next)
				}
				r = e.add(r, b)
				if residual {
					r = e.add(r, e.ld(mem{base: res, index: at}))
				}
				e.st(e.min(hi, e.max(lo, r)), mem{base: y, index: at})
				e.plain("ADD %v, %v", pixel, at)
			}
			e.place(next)
			e.plain("ADD %v, %v", rowStep, off)
		}
		e.place(done)
	})
	e.op("ADD $16, %v", bias)
	e.op("ADD $16, %v", j)
	e.op("SUBS $4, %v", n)
	e.op("BNE %s", loop)
	e.end()
}
