package main

import "fmt"

// winograd writes the transforms of package wino, for whole
// vectors of channels; Go does the rest.
func (e *neon) winograd() {
	for _, m := range []int{2, 4} {
		e.winogradInput(m)
		e.winogradOutput(m, false)
		e.winogradOutput(m, true)
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

func (e *neon) winogradInput(m int) {
	t := m + 2
	e.begin(fmt.Sprintf("winogradInput%d", m), "v *float32, pos int, rows **float32, pixel, left, right, n int, tmp *float32",
		fmt.Sprintf("is wino.winogradInput for tiles of %dx%d outputs, on a positive multiple of 4 channels.", m, m))
	e.useConstants()
	var k map[float64]*value
	if m == 4 {
		const a, b = winoA, winoB
		k = e.numbers(a, b, a*a, b*b, a*a+b*b, a*a*b*b)
	}
	dst, pos, table, tmp := e.loadInt("v"), e.loadInt("pos"), e.loadInt("rows"), e.loadInt("tmp")
	var rows []x
	for i := range t {
		rows = append(rows, e.gp())
		e.op("MOVD %d(%v), %v", 8*i, table, rows[i])
	}
	pixel, left, right, n := e.loadInt("pixel"), e.loadInt("left"), e.loadInt("right"), e.loadInt("n")
	j, at, to := e.gp(), e.gp(), e.gp()
	e.op("MOVD $0, %v", j)
	loop := e.label("loop")
	e.at(loop)
	e.op("MOVD %v, %v", j, at)
	square := func(row, col int) mem { return mem{base: tmp, off: 16 * (row*t + col)} }
	e.block(func() {
		for col := range t {
			outside, next := e.label("outside"), e.label("col")
			e.plain("CMP $%d, %v", col, left)
			e.plain("BGT %s", outside)
			e.plain("CMP $%d, %v", col, right)
			e.plain("BLE %s", outside)
			var d []*value
			for row := range t {
				d = append(d, e.ld(mem{base: rows[row], index: at}))
			}
			for row, r := range inputLine(e, k, d) {
				e.st(r, square(row, col))
			}
			e.plain("ADD %v, %v", pixel, at)
			e.plain("B %s", next)
			e.place(outside)
			z := e.zeros()
			for row := range t {
				e.st(z, square(row, col))
			}
			e.place(next)
		}
		e.plain("ADD %v, %v, %v", j, dst, to)
		for row := range t {
			var line []*value
			for col := range t {
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

func (e *neon) winogradOutput(m int, residual bool) {
	t := m + 2
	name, doc := fmt.Sprintf("winogradOutput%d", m),
		fmt.Sprintf("is wino.winogradOutput for tiles of %dx%d outputs, on a positive multiple of 4 channels.", m, m)
	if residual {
		name, doc = name+"Add", doc[:len(doc)-1]+", and adds res."
	}
	e.begin(name, "y, res, m *float32, pos int, bias *float32, row, pixel, height, width, n int, lo, hi float32, tmp *float32", doc)
	e.useConstants()
	var k map[float64]*value
	if m == 4 {
		const a, b = winoA, winoB
		k = e.numbers(a, b, a*a, b*b, a*a*a, b*b*b)
	}
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
	if t == 6 {
		e.op("ADD %v<<1, %v, %v", pos, pos, step)
		e.op("LSL $1, %v", step)
	} else {
		e.op("LSL $2, %v, %v", pos, step)
	}
	loop := e.label("loop")
	e.at(loop)
	square := func(row, col int) mem { return mem{base: tmp, off: 16 * (row*t + col)} }
	e.block(func() {
		e.plain("ADD %v, %v, %v", j, src, from)
		for col := range t {
			e.plain("MOVD %v, %v", from, p)
			var d []*value
			for range t {
				d = append(d, e.ld(mem{base: p}))
				e.plain("ADD %v, %v", step, p)
			}
			for row, r := range outputLine(e, k, d) {
				e.st(r, square(row, col))
			}
			e.plain("ADD %v, %v", pos, from)
		}
		done := e.label("stored")
		b := e.ld(mem{base: bias})
		e.plain("MOVD %v, %v", j, off)
		for row := range m {
			next := e.label("next")
			e.plain("CMP $%d, %v", row, height)
			e.plain("BLE %s", done)
			e.plain("MOVD %v, %v", off, at)
			var line []*value
			for col := range t {
				line = append(line, e.ld(square(row, col)))
			}
			for col, r := range outputLine(e, k, line) {
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
