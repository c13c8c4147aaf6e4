package main

import (
	op "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winogradGrad writes the transforms of kernel/winograd_grad_transform.go: the
// AVX-512 ones for any number of channels, the AVX2 ones for whole vectors.
func winogradGrad(e *emit) {
	winogradOutputGrad(e)
	winogradWeightGrad(e)
}

// outputGradLine is one pass of kernel.outputGradLine.
func (e *emit) outputGradLine(k map[float64]op.Op, d []vec) []vec {
	const a, b = winoA, winoB
	ea, eb := e.fma(d[2], k[a*a], e.copyOf(d[0])), e.fma(d[2], k[b*b], e.copyOf(d[0]))
	oa, ob := e.fma(d[3], k[a*a*a], e.mul(d[1], k[a])), e.fma(d[3], k[b*b*b], e.mul(d[1], k[b]))
	return []vec{d[0], e.add(ea, oa), e.sub(ea, oa), e.add(eb, ob), e.sub(eb, ob), d[3]}
}

func winogradOutputGrad(e *emit) {
	e.begin("winogradOutputGrad", "func(v *float32, pos int, rows **float32, pixel, width, n int, tmp *float32)",
		"is kernel.winogradOutputGrad.")
	const a, b = winoA, winoB
	k := e.constants(a, b, a*a, b*b, a*a*a, b*b*b)
	v, pos := e.loadInt("v"), e.loadInt("pos")
	table := e.loadInt("rows")
	var rows []reg.GPVirtual
	for i := range 4 {
		rows = append(rows, e.GP64())
		e.MOVQ(op.Mem{Base: table, Disp: 8 * i}, rows[i])
	}
	pixel, tmp := e.loadInt("pixel"), e.loadInt("tmp")
	n, j := e.loadInt("n"), e.GP64()
	e.XORQ(j, j)
	e.channels(n, j, func() {
		sq := &square{e: e, tmp: tmp, cols: 4, regs: map[int]vec{}}
		at := e.GP64()
		e.MOVQ(j, at)
		e.SHLQ(op.Imm(2), at)
		for col := range 4 {
			outside, next := e.label("outside"), e.label("col")
			e.CMPQ(e.argument("width"), op.Imm(uint64(col)))
			e.JLE(op.LabelRef(outside))
			var d []vec
			for row := range 4 {
				d = append(d, e.ld(op.Mem{Base: rows[row], Index: at, Scale: 1}))
			}
			for row, r := range e.outputGradLine(k, d) {
				sq.set(row, col, r)
			}
			e.ADDQ(pixel, at)
			e.JMP(op.LabelRef(next))
			e.Label(outside)
			z := e.zero()
			for row := range 6 {
				sq.set(row, col, z)
			}
			e.Label(next)
		}
		to := &strided{e: e, p: e.GP64(), step: pos}
		e.LEAQ(op.Mem{Base: v, Index: j, Scale: 4}, to.p)
		for row := range 6 {
			for _, r := range e.outputGradLine(k, sq.row(row)) {
				e.st(r, to.mem())
			}
		}
	})
	e.end()
}

// The factors of kernel.weightLine.
const (
	winoF0 = 1 / (winoA * winoA * winoB * winoB)
	winoFA = 1 / (2 * winoA * winoA * (winoA*winoA - winoB*winoB))
	winoFB = 1 / (2 * winoB * winoB * (winoB*winoB - winoA*winoA))
)

// weightGradLine is one pass of kernel.weightGradLine.
func (e *emit) weightGradLine(k map[float64]op.Op, u []vec) []vec {
	const a, b = winoA, winoB
	sa, da, sb, db := e.add(u[1], u[2]), e.sub(u[1], u[2]), e.add(u[3], u[4]), e.sub(u[3], u[4])
	g0 := e.fma(sb, k[winoFB], e.fma(sa, k[winoFA], e.mul(u[0], k[winoF0])))
	g1 := e.fma(db, k[b*winoFB], e.mul(da, k[a*winoFA]))
	g2 := e.fma(sb, k[b*b*winoFB], e.fma(sa, k[a*a*winoFA], u[5]))
	return []vec{g0, g1, g2}
}

func winogradWeightGrad(e *emit) {
	e.begin("winogradWeightGrad", "func(dw *float32, tap int, u *float32, pos, n int, tmp *float32)",
		"is kernel.winogradWeightGrad.")
	const a, b = winoA, winoB
	k := e.constants(winoF0, winoFA, winoFB, a*winoFA, b*winoFB, a*a*winoFA, b*b*winoFB)
	dw, tap, u, pos, tmp := e.loadInt("dw"), e.loadInt("tap"), e.loadInt("u"), e.loadInt("pos"), e.loadInt("tmp")
	n, j := e.loadInt("n"), e.GP64()
	e.XORQ(j, j)
	e.channels(n, j, func() {
		sq := &square{e: e, tmp: tmp, cols: 6, regs: map[int]vec{}}
		from, step := e.GP64(), e.GP64() // a row of positions
		e.LEAQ(op.Mem{Base: u, Index: j, Scale: 4}, from)
		e.LEAQ(op.Mem{Base: pos, Index: pos, Scale: 2}, step)
		e.ADDQ(step, step)
		for col := range 6 {
			at := &strided{e: e, p: e.GP64(), step: step}
			e.MOVQ(from, at.p)
			var d []vec
			for range 6 {
				d = append(d, e.ld(at.mem()))
			}
			for row, r := range e.weightGradLine(k, d) {
				sq.set(row, col, r)
			}
			e.ADDQ(pos, from)
		}
		to := &strided{e: e, p: e.GP64(), step: tap}
		e.LEAQ(op.Mem{Base: dw, Index: j, Scale: 4}, to.p)
		for row := range 3 {
			for _, r := range e.weightGradLine(k, sq.row(row)) {
				e.st(r, to.mem())
			}
		}
	})
	e.end()
}
