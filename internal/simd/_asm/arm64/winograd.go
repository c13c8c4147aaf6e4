package main

import "fmt"

// The points winogradA and winogradB of kernel/winograd_transform.go.
const winoA, winoB = 0.625, 1.5

// winograd writes the transforms of kernel/winograd_transform.go, for whole
// vectors of channels; Go does the rest.
func winograd(e *emit) {
	for _, m := range []int{2, 4} {
		winogradInput(e, m)
		winogradOutput(e, m, false)
		winogradOutput(e, m, true)
	}
}

// numbers pins a vector for each number.
func (e *emit) numbers(list ...float64) map[float64]vec {
	m := map[float64]vec{}
	e.block(func() {
		for _, f := range list {
			p, c := e.pin(), e.constant(f)
			e.do(func() { e.move(p.reg, c.reg) }, nil, p, c)
			m[f] = p
		}
	})
	return m
}

// inputLine is kernel.inputLine of a line d, which it overwrites.
func (e *emit) inputLine(k map[float64]vec, d []vec) []vec {
	if len(d) == 4 {
		return []vec{e.sub(d[0], d[2]), e.add(d[1], d[2]), e.sub(d[2], d[1]), e.sub(d[3], d[1])}
	}
	const a, b = winoA, winoB
	r0 := e.fnma(d[2], k[a*a+b*b], e.fma(d[0], k[a*a*b*b], e.copyOf(d[4])))
	pa, pb := e.fnma(d[2], k[b*b], e.copyOf(d[4])), e.fnma(d[2], k[a*a], d[4])
	r5 := e.fnma(d[3], k[a*a+b*b], e.fma(d[1], k[a*a*b*b], d[5]))
	qa, qb := e.fnma(d[1], k[b*b], e.copyOf(d[3])), e.fnma(d[1], k[a*a], d[3])
	r1, r2 := e.fma(qa, k[a], e.copyOf(pa)), e.fnma(qa, k[a], pa)
	r3, r4 := e.fma(qb, k[b], e.copyOf(pb)), e.fnma(qb, k[b], pb)
	return []vec{r0, r1, r2, r3, r4, r5}
}

// outputLine is kernel.outputLine.
func (e *emit) outputLine(k map[float64]vec, m []vec) []vec {
	if len(m) == 4 {
		return []vec{e.add(m[0], e.add(m[1], m[2])), e.add(m[3], e.sub(m[1], m[2]))}
	}
	const a, b = winoA, winoB
	s1, d1, s2, d2 := e.add(m[1], m[2]), e.sub(m[1], m[2]), e.add(m[3], m[4]), e.sub(m[3], m[4])
	o0 := e.add(m[0], e.add(s1, s2))
	o3 := e.fma(d2, k[b*b*b], e.fma(d1, k[a*a*a], m[5]))
	o1 := e.fma(d2, k[b], e.mul(d1, k[a]))
	o2 := e.fma(s2, k[b*b], e.mul(s1, k[a*a]))
	return []vec{o0, o1, o2, o3}
}

func winogradInput(e *emit, m int) {
	t := m + 2
	e.begin(fmt.Sprintf("winogradInput%d", m), "v *float32, pos int, rows **float32, pixel, left, right, n int, tmp *float32",
		fmt.Sprintf("is kernel.winogradInput for tiles of %dx%d outputs, on a positive multiple of 4 channels.", m, m))
	e.useConstants()
	var k map[float64]vec
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
			var d []vec
			for row := range t {
				d = append(d, e.ld(mem{base: rows[row], index: at}))
			}
			for row, r := range e.inputLine(k, d) {
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
			var line []vec
			for col := range t {
				line = append(line, e.ld(square(row, col)))
			}
			for _, r := range e.inputLine(k, line) {
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

func winogradOutput(e *emit, m int, residual bool) {
	t := m + 2
	name, doc := fmt.Sprintf("winogradOutput%d", m),
		fmt.Sprintf("is kernel.winogradOutput for tiles of %dx%d outputs, on a positive multiple of 4 channels.", m, m)
	if residual {
		name, doc = name+"Add", doc[:len(doc)-1]+", and adds res."
	}
	e.begin(name, "y, res, m *float32, pos int, bias *float32, row, pixel, height, width, n int, lo, hi float32, tmp *float32", doc)
	e.useConstants()
	var k map[float64]vec
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
			var d []vec
			for range t {
				d = append(d, e.ld(mem{base: p}))
				e.plain("ADD %v, %v", step, p)
			}
			for row, r := range e.outputLine(k, d) {
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
			var line []vec
			for col := range t {
				line = append(line, e.ld(square(row, col)))
			}
			for col, r := range e.outputLine(k, line) {
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
