package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winogradWeights writes the transforms of package wino, a vector
// of columns at a time.
func (e *avx) winogradWeights() {
	for _, t := range winoTiles {
		e.winogradWeightsOf(t)
	}
	for i, rows := range weightPairs {
		e.winogradPair(i, rows)
	}
	if e.wide() {
		e.winogradTiles(4)
		e.winogradTiles(8)
	}
}

func (e *avx) winogradWeightsOf(t winoTile) {
	e.begin("winogradWeights"+t.suffix, "func(dst *float32, pos int, w *float32, tap, row, c int, mask *[16]int32, bits uint64)",
		"is wino.winogradWeights for "+t.doc+" and a vector of columns.")
	k := e.constants(t.weightNumbers()...)
	dst, pos, w, tap, row, c := e.loadInt("dst"), e.loadInt("pos"), e.loadInt("w"), e.loadInt("tap"), e.loadInt("row"), e.loadInt("c")
	if e.wide() {
		bits := e.loadInt("bits")
		e.k = e.K()
		e.KMOVW(bits.As32(), e.k)
	} else {
		mask := e.loadInt("mask")
		e.m = e.v()
		e.VMOVUPS(operand.Mem{Base: mask}, e.m)
	}
	var tmp operand.Mem
	if !e.wide() {
		tmp = e.AllocLocal(3 * t.positions * e.bytes())
	}
	loop := e.label("row")
	e.Label(loop)
	from := &strided{e: e, p: e.GP64(), step: tap}
	e.MOVQ(w, from.p)
	var g [9]operand.Op
	e.masked = true
	// By column of the filter, so that few are held where registers are few.
	if e.wide() {
		for i := range g {
			g[i] = e.ld(from.mem())
		}
	}
	columns := make([][]operand.Op, 3)
	for s := range columns {
		if !e.wide() {
			three := &strided{e: e, p: e.GP64(), step: e.GP64()}
			e.LEAQ(operand.Mem{Base: tap, Index: tap, Scale: 2}, three.step)
			e.MOVQ(w, three.p)
			for range s {
				e.ADDQ(tap, three.p)
			}
			for r := range 3 {
				g[3*r+s] = e.ld(three.mem())
			}
		}
		columns[s] = weightLine(e, func(f float64) operand.Op { return k[f] }, t, []operand.Op{g[s], g[3+s], g[6+s]})
		if !e.wide() {
			for r, v := range columns[s] {
				e.VMOVUPS(v, tmp.Offset((r*3+s)*e.bytes()))
			}
		}
	}
	e.masked = false
	to := &strided{e: e, p: e.GP64(), step: pos}
	e.MOVQ(dst, to.p)
	for r := range t.positions {
		line := make([]operand.Op, 3)
		for s := range line {
			if e.wide() {
				line[s] = columns[s][r]
				continue
			}
			line[s] = e.v()
			e.VMOVUPS(tmp.Offset((r*3+s)*e.bytes()), line[s])
		}
		for _, v := range weightLine(e, func(f float64) operand.Op { return k[f] }, t, line) {
			e.st(v, to.mem())
		}
	}
	e.ADDQ(operand.I32(64), dst)
	e.ADDQ(row, w)
	e.DECQ(c)
	e.JNE(operand.LabelRef(loop))
	e.end()
}

// weightPairs are the rows of positions of wino.winogradPair: those that need
// the same parts of the sum.
var weightPairs = [3][2]int{{0, 5}, {1, 2}, {3, 4}}

// winogradPair writes wino.winogradPair for one pair, a vector of columns.
func (e *avx) winogradPair(pair int, rows [2]int) {
	e.begin(fmt.Sprintf("winogradPair%d", pair), "func(dst *float32, pos int, w *float32, tap, c int)",
		fmt.Sprintf("is wino.winogradPair for rows %d and %d and a vector of columns.", rows[0], rows[1]))
	k := e.constants(winoFactors...)
	dst, pos, w, tap, c := e.loadInt("dst"), e.loadInt("pos"), e.loadInt("w"), e.loadInt("tap"), e.loadInt("c")
	tap3, step := e.GP64(), e.GP64()
	e.LEAQ(operand.Mem{Base: tap, Index: tap, Scale: 2}, tap3)
	e.LEAQ(operand.Mem{Base: pos, Index: pos, Scale: 2}, step)
	middle, last, to := e.GP64(), e.GP64(), e.GP64()
	e.LEAQ(operand.Mem{Base: w, Index: tap3, Scale: 1}, middle)
	e.LEAQ(operand.Mem{Base: w, Index: tap3, Scale: 2}, last)
	loop := e.label("row")
	e.Label(loop)
	var lines [2][]operand.Op
	for s := range 3 {
		at := func(base reg.GPVirtual) operand.Mem {
			m := operand.Mem{Base: base}
			if s > 0 {
				m.Index, m.Scale = tap, uint8(s)
			}
			return m
		}
		var u0, u1 operand.Op
		if pair == 0 {
			u0, u1 = e.mul(e.ld(at(w)), k[winoF0]), e.ld(at(last))
		} else {
			f := winoWeights[pair-1]
			g0, g1, g2 := k[f[0]], k[f[1]], k[f[2]]
			h := e.fma(e.ld(at(last)), g2, e.mul(e.ld(at(w)), g0))
			g := e.ld(at(middle))
			u0 = e.fma(g, g1, e.copyOf(h))
			u1 = e.fnma(g, g1, h)
		}
		lines[0], lines[1] = append(lines[0], u0), append(lines[1], u1)
	}
	e.MOVQ(dst, to)
	for _, line := range lines {
		for i, v := range weightLine(e, func(f float64) operand.Op { return k[f] }, winoTile4, line) {
			m := operand.Mem{Base: to}
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
		e.ADDQ(operand.I32(64), p)
	}
	e.DECQ(c)
	e.JNE(operand.LabelRef(loop))
	e.end()
}
