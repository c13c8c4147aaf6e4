package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winogradInt writes the transforms of integers, see package wino. They are of AVX2
// alone, where products of bytes are of 16 bits.
func (e *avx) winogradInt() {
	if !e.wide() {
		e.winogradIntInput()
		e.winogradIntOutput()
	}
}

// intLanes is the arithmetic of vectors of integers.
type intLanes struct {
	e           *avx
	plus, minus func(ops ...operand.Op) // of b, a: a+b, a-b
	shift       func(ops ...operand.Op)
}

func (e *avx) lanes16() intLanes { return intLanes{e, e.VPADDW, e.VPSUBW, e.VPSLLW} }
func (e *avx) lanes32() intLanes { return intLanes{e, e.VPADDD, e.VPSUBD, e.VPSLLD} }

func (l intLanes) add(a, b operand.Op) operand.Op { d := l.e.YMM(); l.plus(b, a, d); return d }
func (l intLanes) sub(a, b operand.Op) operand.Op { d := l.e.YMM(); l.minus(b, a, d); return d }
func (l intLanes) times4(a operand.Op) operand.Op {
	d := l.e.YMM()
	l.shift(operand.Imm(2), a, d)
	return d
}

// inputLine is wino.intInputLine.
func (l intLanes) inputLine(d []operand.Op) []operand.Op {
	a, b := l.sub(d[4], l.times4(d[2])), l.sub(d[3], l.times4(d[1]))
	p, q := l.sub(d[4], d[2]), l.sub(d[3], d[1])
	q = l.add(q, q)
	first := l.add(l.times4(l.sub(d[0], d[2])), p)
	last := l.sub(l.sub(d[5], d[3]), l.add(q, q))
	return []operand.Op{first, l.add(a, b), l.sub(a, b), l.add(p, q), l.sub(p, q), last}
}

// outputLine is wino.intOutputLine.
func (l intLanes) outputLine(m []operand.Op) []operand.Op {
	s, d, u, v := l.add(m[1], m[2]), l.sub(m[1], m[2]), l.add(m[3], m[4]), l.sub(m[3], m[4])
	v = l.add(v, v)
	first, last := l.add(l.add(m[0], l.add(m[0], m[0])), s), l.add(m[5], l.add(m[5], m[5]))
	return []operand.Op{
		l.add(l.add(first, first), l.add(u, l.add(s, s))),
		l.add(l.times4(d), v),
		l.times4(l.add(s, u)),
		l.times4(l.add(l.add(d, v), l.add(last, last))),
	}
}

// The bytes of a vector, the edge of a tile, and wino.intInverse and wino.intShift.
const (
	intVector, intEdge   = 32, 6
	intInverse, intShift = 0x38e38e39, 6
)

func (e *avx) winogradIntInput() {
	e.begin("winogradIntInput", "func(v *int16, pos int, rows **uint8, pixel, left, right, n int, zero uint16, tmp *int32)", "is wino.IntInput.")
	l := e.lanes16()
	v, pos, tmp := e.loadInt("v"), e.loadInt("pos"), e.loadInt("tmp")
	table := e.loadInt("rows")
	var rows []reg.GPVirtual
	for i := range intEdge {
		rows = append(rows, e.GP64())
		e.MOVQ(operand.Mem{Base: table, Disp: 8 * i}, rows[i])
	}
	zero := e.YMM()
	e.VPBROADCASTW(e.memArg("zero"), zero)
	j := e.GP64()
	e.XORQ(j, j)
	e.Label("channels")
	at := e.GP64()
	e.MOVQ(j, at)
	place := func(row, col int) operand.Mem { return operand.Mem{Base: tmp, Disp: (row*intEdge + col) * intVector} }
	for col := range intEdge {
		outside, next := e.label("outside"), e.label("col")
		e.CMPQ(e.memArg("left"), operand.Imm(uint64(col)))
		e.JGT(operand.LabelRef(outside))
		e.CMPQ(e.memArg("right"), operand.Imm(uint64(col)))
		e.JLE(operand.LabelRef(outside))
		var d []operand.Op
		for _, row := range rows {
			x := e.YMM()
			e.VPMOVZXBW(operand.Mem{Base: row, Index: at, Scale: 1}, x)
			e.VPSUBW(zero, x, x)
			d = append(d, x)
		}
		for row, r := range l.inputLine(d) {
			e.VMOVDQU(r, place(row, col))
		}
		e.ADDQ(e.memArg("pixel"), at)
		e.JMP(operand.LabelRef(next))
		e.Label(outside)
		z := e.YMM()
		e.VPXOR(z, z, z)
		for row := range intEdge {
			e.VMOVDQU(z, place(row, col))
		}
		e.Label(next)
	}
	to := &strided{e: e, p: e.GP64(), step: pos}
	e.LEAQ(operand.Mem{Base: v, Index: j, Scale: 2}, to.p)
	for row := range intEdge {
		for _, r := range l.inputLine(e.intRow(place, row)) {
			e.VMOVDQU(r, to.mem())
		}
	}
	e.ADDQ(operand.Imm(intVector/2), j)
	e.CMPQ(j, e.memArg("n"))
	e.JLT(operand.LabelRef("channels"))
	e.end()
}

// intRow loads a row of what the first pass has left in memory.
func (e *avx) intRow(place func(row, col int) operand.Mem, row int) (list []operand.Op) {
	for col := range intEdge {
		v := e.YMM()
		e.VMOVDQU(place(row, col), v)
		list = append(list, v)
	}
	return list
}

func (e *avx) winogradIntOutput() {
	e.begin("winogradIntOutput", "func(sums *int32, row int, m *int32, pos int, corr *int32, tiles int, tmp *int32)", "is wino.IntOutput.")
	const outputs, panel = 4, 2 * intVector // of an edge, bytes of a panel's columns
	l := e.lanes32()
	sums, row, m, pos := e.loadInt("sums"), e.loadInt("row"), e.loadInt("m"), e.loadInt("pos")
	corr, tmp := e.loadInt("corr"), e.loadInt("tmp")
	down := e.GP64() // a row of positions
	e.LEAQ(operand.Mem{Base: pos, Index: pos, Scale: 2}, down)
	e.ADDQ(down, down)
	inverse := e.word(intInverse)
	place := func(row, col int) operand.Mem { return operand.Mem{Base: tmp, Disp: (row*intEdge + col) * intVector} }
	e.Label("tile")
	for half := range 2 {
		from := e.GP64()
		e.LEAQ(operand.Mem{Base: m, Disp: half * intVector}, from)
		for col := range intEdge {
			at := &strided{e: e, p: e.GP64(), step: down}
			e.MOVQ(from, at.p)
			var d []operand.Op
			for range intEdge {
				x := e.YMM()
				e.VMOVDQU(at.mem(), x)
				d = append(d, x)
			}
			for row, r := range l.outputLine(d) {
				e.VMOVDQU(r, place(row, col))
			}
			e.ADDQ(pos, from)
		}
		to := e.GP64()
		e.MOVQ(sums, to)
		for r := range outputs {
			for col, y := range l.outputLine(e.intRow(place, r)) {
				x := e.YMM()
				e.VPMULLD(inverse, y, x)
				e.VPSRAD(operand.Imm(intShift), x, x)
				e.VPADDD(operand.Mem{Base: corr, Disp: half * intVector}, x, x)
				e.VMOVDQU(x, operand.Mem{Base: to, Disp: col*panel + half*intVector})
			}
			e.ADDQ(row, to)
		}
	}
	e.ADDQ(operand.Imm(panel), m)
	e.ADDQ(operand.I32(outputs*panel), sums)
	e.DECQ(e.memArg("tiles"))
	e.JNE(operand.LabelRef("tile"))
	e.end()
}
