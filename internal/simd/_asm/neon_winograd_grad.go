package main

import "fmt"

// winogradTrain writes the transforms of weights and of gradients
// of package wino.
func (e *neon) winogradTrain() {
	for _, t := range winoTiles {
		e.winogradWeights(t)
	}
	for pair := range 3 {
		e.winogradPair(pair)
	}
	e.winogradOutputGrad()
	e.winogradWeightGrad()
}

func (e *neon) winogradWeights(t winoTile) {
	e.begin("winogradWholeWeights"+t.suffix, "dst *float32, pos int, w *float32, tap, row, c int",
		"is wino.winogradWeights for "+t.doc+" and 4 columns.")
	e.useConstants()
	dst, pos, w, tap, row, c := e.loadInt("dst"), e.loadInt("pos"), e.loadInt("w"), e.loadInt("tap"), e.loadInt("row"), e.loadInt("c")
	down, p := e.gp(), e.gp() // down: three taps
	e.op("ADD %v<<1, %v, %v", tap, tap, down)
	loop := e.label("row")
	e.at(loop)
	e.block(func() {
		columns := make([][]*value, 3)
		for s := range columns {
			if s == 0 {
				e.plain("MOVD %v, %v", w, p)
			} else {
				e.plain("ADD %v, %v, %v", tap, w, p)
				if s == 2 {
					e.plain("ADD %v, %v", tap, p)
				}
			}
			var g []*value
			for r := range 3 {
				if r > 0 {
					e.plain("ADD %v, %v", down, p)
				}
				g = append(g, e.ld(mem{base: p}))
			}
			columns[s] = weightLine(e, e.constant, t, g)
		}
		e.plain("MOVD %v, %v", dst, p)
		for r := range t.positions {
			for _, u := range weightLine(e, e.constant, t, []*value{columns[0][r], columns[1][r], columns[2][r]}) {
				e.st(u, mem{base: p})
				e.plain("ADD %v, %v", pos, p)
			}
		}
	})
	e.op("ADD $64, %v", dst)
	e.op("ADD %v, %v", row, w)
	e.op("SUBS $1, %v", c)
	e.op("BNE %s", loop)
	e.end()
}

func (e *neon) winogradOutputGrad() {
	e.begin("winogradOutputGrad", "v *float32, pos int, rows **float32, pixel, width, n int, tmp *float32",
		"is wino.winogradOutputGrad, on a positive multiple of 4 channels.")
	e.useConstants()
	const a, b = winoA, winoB
	k := e.numbers(a, b, a*a, b*b, a*a*a, b*b*b)
	dst, pos, table, tmp := e.loadInt("v"), e.loadInt("pos"), e.loadInt("rows"), e.loadInt("tmp")
	var rows []x
	for i := range 4 {
		rows = append(rows, e.gp())
		e.op("MOVD %d(%v), %v", 8*i, table, rows[i])
	}
	pixel, width, n := e.loadInt("pixel"), e.loadInt("width"), e.loadInt("n")
	j, at, to := e.gp(), e.gp(), e.gp()
	e.op("MOVD $0, %v", j)
	square := func(row, col int) mem { return mem{base: tmp, off: 16 * (row*4 + col)} }
	loop := e.label("loop")
	e.at(loop)
	e.op("MOVD %v, %v", j, at)
	e.block(func() {
		for col := range 4 {
			outside, next := e.label("outside"), e.label("col")
			e.plain("CMP $%d, %v", col, width)
			e.plain("BLE %s", outside)
			var d []*value
			for row := range 4 {
				d = append(d, e.ld(mem{base: rows[row], index: at}))
			}
			for row, r := range outputGradLine(e, k, d) {
				e.st(r, square(row, col))
			}
			e.plain("ADD %v, %v", pixel, at)
			e.plain("B %s", next)
			e.place(outside)
			z := e.zeros()
			for row := range 6 {
				e.st(z, square(row, col))
			}
			e.place(next)
		}
		e.plain("ADD %v, %v, %v", j, dst, to)
		for row := range 6 {
			var line []*value
			for col := range 4 {
				line = append(line, e.ld(square(row, col)))
			}
			for _, r := range outputGradLine(e, k, line) {
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

func (e *neon) winogradWeightGrad() {
	e.begin("winogradWeightGrad", "dw *float32, tap int, u *float32, pos, n int, tmp *float32",
		"is wino.winogradWeightGrad, on a positive multiple of 4 columns.")
	e.useConstants()
	const a, b = winoA, winoB
	k := e.numbers(winoF0, winoFA, winoFB, a*winoFA, b*winoFB, a*a*winoFA, b*b*winoFB)
	dw, tap, u, pos, tmp, n := e.loadInt("dw"), e.loadInt("tap"), e.loadInt("u"), e.loadInt("pos"), e.loadInt("tmp"), e.loadInt("n")
	from, step, p := e.gp(), e.gp(), e.gp()
	e.op("ADD %v<<1, %v, %v", pos, pos, step)
	e.op("LSL $1, %v", step) // a row of positions
	square := func(row, col int) mem { return mem{base: tmp, off: 16 * (row*6 + col)} }
	loop := e.label("loop")
	e.at(loop)
	e.op("MOVD %v, %v", u, from)
	e.block(func() {
		for col := range 6 {
			e.plain("MOVD %v, %v", from, p)
			var d []*value
			for range 6 {
				d = append(d, e.ld(mem{base: p}))
				e.plain("ADD %v, %v", step, p)
			}
			for row, r := range weightGradLine(e, k, d) {
				e.st(r, square(row, col))
			}
			e.plain("ADD %v, %v", pos, from)
		}
		e.plain("MOVD %v, %v", dw, p)
		for row := range 3 {
			var line []*value
			for col := range 6 {
				line = append(line, e.ld(square(row, col)))
			}
			for _, r := range weightGradLine(e, k, line) {
				e.st(r, mem{base: p})
				e.plain("ADD %v, %v", tap, p)
			}
		}
	})
	e.op("ADD $16, %v", u)
	e.op("ADD $16, %v", dw)
	e.op("SUBS $4, %v", n)
	e.op("BNE %s", loop)
	e.end()
}

// winogradPair writes wino.winogradPair for one pair of rows of positions, of
// 4 columns: rows 0 and 5, 1 and 2, or 3 and 4.
func (e *neon) winogradPair(pair int) {
	e.begin(fmt.Sprintf("winogradPair%d", pair), "dst *float32, pos int, w *float32, tap, c int",
		fmt.Sprintf("is wino.winogradPair for pair %d and 4 columns.", pair))
	e.useConstants()
	dst, pos, w, tap, c := e.loadInt("dst"), e.loadInt("pos"), e.loadInt("w"), e.loadInt("tap"), e.loadInt("c")
	down, p, column := e.gp(), e.gp(), e.gp() // down: three taps
	e.op("ADD %v<<1, %v, %v", tap, tap, down)
	loop := e.label("row")
	e.at(loop)
	e.block(func() {
		var lines [2][]*value
		e.plain("MOVD %v, %v", w, column)
		for s := range 3 {
			if s > 0 {
				e.plain("ADD %v, %v", tap, column)
			}
			e.plain("MOVD %v, %v", column, p)
			var g []*value
			for r := range 3 {
				if r > 0 {
					e.plain("ADD %v, %v", down, p)
				}
				g = append(g, e.ld(mem{base: p}))
			}
			var u0, u1 *value
			switch pair {
			case 0:
				u0, u1 = e.mul(g[0], e.constant(winoF0)), g[2]
			case 1:
				u0, u1 = weightPoint(e, e.constant, winoWeights[0], g)
			case 2:
				u0, u1 = weightPoint(e, e.constant, winoWeights[1], g)
			}
			lines[0], lines[1] = append(lines[0], u0), append(lines[1], u1)
		}
		e.plain("MOVD %v, %v", dst, p)
		for _, line := range lines {
			for _, u := range weightLine(e, e.constant, winoTile4, line) {
				e.st(u, mem{base: p})
				e.plain("ADD %v, %v", pos, p)
			}
		}
	})
	e.op("ADD $64, %v", dst)
	e.op("ADD $64, %v", w)
	e.op("SUBS $1, %v", c)
	e.op("BNE %s", loop)
	e.end()
}
