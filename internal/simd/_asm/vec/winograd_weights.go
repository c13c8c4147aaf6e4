package main

import (
	"fmt"

	op "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winogradWeights writes the transforms of kernel/winograd_weights.go, a vector
// of columns at a time.
func winogradWeights(e *emit) {
	for _, m := range []int{2, 4} {
		winogradWeightsOf(e, m)
	}
	for i, rows := range weightPairs {
		winogradPair(e, i, rows)
	}
	if e.wide() {
		winogradTiles(e, 4)
		winogradTiles(e, 8)
	}
}

// weightLine is kernel.weightLine: the same operations in the same order, so
// that its results are the same bits.
func (e *emit) weightLine(k map[float64]op.Op, t int, g []vec) []vec {
	if t == 4 {
		h := e.mul(e.add(g[0], g[2]), k[0.5])
		u1 := e.fma(g[1], k[0.5], e.copyOf(h))
		return []vec{g[0], u1, e.fnma(g[1], k[0.5], h), g[2]}
	}
	f := weightFactors
	pa := e.fma(g[2], k[f.a2], e.mul(g[0], k[f.a0]))
	u1 := e.fma(g[1], k[f.a1], e.copyOf(pa))
	u2 := e.fnma(g[1], k[f.a1], pa)
	pb := e.fma(g[2], k[f.b2], e.mul(g[0], k[f.b0]))
	u3 := e.fma(g[1], k[f.b1], e.copyOf(pb))
	u4 := e.fnma(g[1], k[f.b1], pb)
	return []vec{e.mul(g[0], k[f.zero]), u1, u2, u3, u4, g[2]}
}

// weightFactors are those of kernel/winograd_weights.go.
var weightFactors = func() (f struct{ zero, a0, a1, a2, b0, b1, b2 float64 }) {
	const a, b = winoA, winoB
	f.zero = 1 / (a * a * b * b)
	f.a0, f.a1, f.a2 = 1/(2*a*a*(a*a-b*b)), 1/(2*a*(a*a-b*b)), 1/(2*(a*a-b*b))
	f.b0, f.b1, f.b2 = 1/(2*b*b*(b*b-a*a)), 1/(2*b*(b*b-a*a)), 1/(2*(b*b-a*a))
	return f
}()

func winogradWeightsOf(e *emit, m int) {
	t := m + 2
	e.begin(fmt.Sprintf("winogradWeights%d", m), "func(dst *float32, pos int, w *float32, tap, row, c int, mask *[16]int32, bits uint64)",
		fmt.Sprintf("is kernel.winogradWeights for tiles of %dx%d outputs and a vector of columns.", m, m))
	k := e.constants(0.5)
	if m == 4 {
		f := weightFactors
		k = e.constants(f.zero, f.a0, f.a1, f.a2, f.b0, f.b1, f.b2)
	}
	dst, pos, w, tap, row, c := e.loadInt("dst"), e.loadInt("pos"), e.loadInt("w"), e.loadInt("tap"), e.loadInt("row"), e.loadInt("c")
	if e.wide() {
		bits := e.loadInt("bits")
		e.k = e.K()
		e.KMOVW(bits.As32(), e.k)
	} else {
		mask := e.loadInt("mask")
		e.m = e.v()
		e.VMOVUPS(op.Mem{Base: mask}, e.m)
	}
	var tmp op.Mem
	if !e.wide() {
		tmp = e.AllocLocal(3 * t * e.bytes())
	}
	loop := e.label("row")
	e.Label(loop)
	from := &strided{e: e, p: e.GP64(), step: tap}
	e.MOVQ(w, from.p)
	var g [9]vec
	e.masked = true
	// By column of the filter, so that few are held where registers are few.
	if e.wide() {
		for i := range g {
			g[i] = e.ld(from.mem())
		}
	}
	columns := make([][]vec, 3)
	for s := range columns {
		if !e.wide() {
			three := &strided{e: e, p: e.GP64(), step: e.GP64()}
			e.LEAQ(op.Mem{Base: tap, Index: tap, Scale: 2}, three.step)
			e.MOVQ(w, three.p)
			for range s {
				e.ADDQ(tap, three.p)
			}
			for r := range 3 {
				g[3*r+s] = e.ld(three.mem())
			}
		}
		columns[s] = e.weightLine(k, t, []vec{g[s], g[3+s], g[6+s]})
		if !e.wide() {
			for r, v := range columns[s] {
				e.VMOVUPS(v, tmp.Offset((r*3+s)*e.bytes()))
			}
		}
	}
	e.masked = false
	to := &strided{e: e, p: e.GP64(), step: pos}
	e.MOVQ(dst, to.p)
	for r := range t {
		line := make([]vec, 3)
		for s := range line {
			if e.wide() {
				line[s] = columns[s][r]
				continue
			}
			line[s] = e.v()
			e.VMOVUPS(tmp.Offset((r*3+s)*e.bytes()), line[s])
		}
		for _, v := range e.weightLine(k, t, line) {
			e.st(v, to.mem())
		}
	}
	e.ADDQ(op.I32(64), dst)
	e.ADDQ(row, w)
	e.DECQ(c)
	e.JNE(op.LabelRef(loop))
	e.end()
}

// weightPairs are the rows of positions of kernel.winogradPair: those that need
// the same parts of the sum.
var weightPairs = [3][2]int{{0, 5}, {1, 2}, {3, 4}}

// winogradPair writes kernel.winogradPair for one pair, a vector of columns.
func winogradPair(e *emit, pair int, rows [2]int) {
	e.begin(fmt.Sprintf("winogradPair%d", pair), "func(dst *float32, pos int, w *float32, tap, c int)",
		fmt.Sprintf("is kernel.winogradPair for rows %d and %d and a vector of columns.", rows[0], rows[1]))
	f := weightFactors
	k := e.constants(f.zero, f.a0, f.a1, f.a2, f.b0, f.b1, f.b2)
	dst, pos, w, tap, c := e.loadInt("dst"), e.loadInt("pos"), e.loadInt("w"), e.loadInt("tap"), e.loadInt("c")
	tap3, step := e.GP64(), e.GP64()
	e.LEAQ(op.Mem{Base: tap, Index: tap, Scale: 2}, tap3)
	e.LEAQ(op.Mem{Base: pos, Index: pos, Scale: 2}, step)
	middle, last, to := e.GP64(), e.GP64(), e.GP64()
	e.LEAQ(op.Mem{Base: w, Index: tap3, Scale: 1}, middle)
	e.LEAQ(op.Mem{Base: w, Index: tap3, Scale: 2}, last)
	loop := e.label("row")
	e.Label(loop)
	var lines [2][]vec
	for s := range 3 {
		at := func(base reg.GPVirtual) op.Mem {
			m := op.Mem{Base: base}
			if s > 0 {
				m.Index, m.Scale = tap, uint8(s)
			}
			return m
		}
		var u0, u1 vec
		if pair == 0 {
			u0, u1 = e.mul(e.ld(at(w)), k[f.zero]), e.ld(at(last))
		} else {
			g0, g1, g2 := k[f.a0], k[f.a1], k[f.a2]
			if pair == 2 {
				g0, g1, g2 = k[f.b0], k[f.b1], k[f.b2]
			}
			h := e.fma(e.ld(at(last)), g2, e.mul(e.ld(at(w)), g0))
			g := e.ld(at(middle))
			u0 = e.fma(g, g1, e.copyOf(h))
			u1 = e.fnma(g, g1, h)
		}
		lines[0], lines[1] = append(lines[0], u0), append(lines[1], u1)
	}
	e.MOVQ(dst, to)
	for _, line := range lines {
		for i, v := range e.weightLine(k, 6, line) {
			m := op.Mem{Base: to}
			if i%3 > 0 {
				m.Index, m.Scale = pos, uint8(i%3)
			}
			e.st(v, m)
			if i%3 == 2 {
				e.ADDQ(step, to)
			}
		}
	}
	for _, p := range []reg.GPVirtual{dst, w, middle, last} {
		e.ADDQ(op.I32(64), p)
	}
	e.DECQ(c)
	e.JNE(op.LabelRef(loop))
	e.end()
}
