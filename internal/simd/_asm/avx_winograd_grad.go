package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winogradGrad writes the transforms of package wino: the
// AVX-512 ones for any number of channels, the AVX2 ones for whole vectors.
func (e *avx) winogradGrad() {
	e.winogradOutputGrad()
	e.winogradWeightGrad()
}

func (e *avx) winogradOutputGrad() {
	e.begin("winogradOutputGrad", "func(v *float32, pos int, rows **float32, pixel, width, n int, tmp *float32)",
		"is wino.winogradOutputGrad.")
	const a, b = winoA, winoB
	k := e.constants(a, b, a*a, b*b, a*a*a, b*b*b)
	v, pos := e.loadInt("v"), e.loadInt("pos")
	table := e.loadInt("rows")
	var rows []reg.GPVirtual
	for i := range 4 {
		rows = append(rows, e.GP64())
		e.MOVQ(operand.Mem{Base: table, Disp: 8 * i}, rows[i])
	}
	pixel, tmp := e.loadInt("pixel"), e.loadInt("tmp")
	n, j := e.loadInt("n"), e.GP64()
	e.XORQ(j, j)
	e.channels(n, j, func() {
		sq := &held{e: e, tmp: tmp, cols: 4, regs: map[int]operand.Op{}}
		at := e.GP64()
		e.MOVQ(j, at)
		e.SHLQ(operand.Imm(2), at)
		for col := range 4 {
			outside, next := e.label("outside"), e.label("col")
			e.CMPQ(e.memArg("width"), operand.Imm(uint64(col)))
			e.JLE(operand.LabelRef(outside))
			var d []operand.Op
			for row := range 4 {
				d = append(d, e.ld(operand.Mem{Base: rows[row], Index: at, Scale: 1}))
			}
			for row, r := range outputGradLine(e, k, d) {
				sq.set(row, col, r)
			}
			e.ADDQ(pixel, at)
			e.JMP(operand.LabelRef(next))
			e.Label(outside)
			z := e.zero()
			for row := range 6 {
				sq.set(row, col, z)
			}
			e.Label(next)
		}
		to := &strided{e: e, p: e.GP64(), step: pos}
		e.LEAQ(operand.Mem{Base: v, Index: j, Scale: 4}, to.p)
		for row := range 6 {
			for _, r := range outputGradLine(e, k, sq.row(row)) {
				e.st(r, to.mem())
			}
		}
	})
	e.end()
}

func (e *avx) winogradWeightGrad() {
	e.begin("winogradWeightGrad", "func(dw *float32, tap int, u *float32, pos, n int, tmp *float32)",
		"is wino.winogradWeightGrad.")
	const a, b = winoA, winoB
	k := e.constants(winoF0, winoFA, winoFB, a*winoFA, b*winoFB, a*a*winoFA, b*b*winoFB)
	dw, tap, u, pos, tmp := e.loadInt("dw"), e.loadInt("tap"), e.loadInt("u"), e.loadInt("pos"), e.loadInt("tmp")
	n, j := e.loadInt("n"), e.GP64()
	e.XORQ(j, j)
	e.channels(n, j, func() {
		sq := &held{e: e, tmp: tmp, cols: 6, regs: map[int]operand.Op{}}
		from, step := e.GP64(), e.GP64() // a row of positions
		e.LEAQ(operand.Mem{Base: u, Index: j, Scale: 4}, from)
		e.LEAQ(operand.Mem{Base: pos, Index: pos, Scale: 2}, step)
		e.ADDQ(step, step)
		for col := range 6 {
			at := &strided{e: e, p: e.GP64(), step: step}
			e.MOVQ(from, at.p)
			var d []operand.Op
			for range 6 {
				d = append(d, e.ld(at.mem()))
			}
			for row, r := range weightGradLine(e, k, d) {
				sq.set(row, col, r)
			}
			e.ADDQ(pos, from)
		}
		to := &strided{e: e, p: e.GP64(), step: tap}
		e.LEAQ(operand.Mem{Base: dw, Index: j, Scale: 4}, to.p)
		for row := range 3 {
			for _, r := range weightGradLine(e, k, sq.row(row)) {
				e.st(r, to.mem())
			}
		}
	})
	e.end()
}
