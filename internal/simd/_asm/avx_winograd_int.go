package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winogradInt writes the transforms of integers, see package wino. They are of AVX2
// alone, where products of bytes are of 16 bits.
func (e *avx) winogradInt() {
	if e.wide() {
		return
	}
	for _, t := range []intTile{
		{winoTiles[0], intLanes.inputLine2, intLanes.outputLine2, 2, false},
		{winoTile4, intLanes.inputLine4, intLanes.outputLine4, 6, true},
	} {
		e.winogradIntInput(t)
		e.winogradIntOutput(t)
	}
}

// intTile is a tile with its transforms of integers: outputs are the sums times 2 to the
// power of shift, and times 9 if nine.
type intTile struct {
	winoTile
	inputLine, outputLine func(l intLanes, d []operand.Op) []operand.Op
	shift                 uint64
	nine                  bool
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

// inputLine2 is wino.intInputLine of tiles of 2x2, inputLine4 of tiles of 4x4.
func (l intLanes) inputLine2(d []operand.Op) []operand.Op {
	return []operand.Op{l.sub(d[0], d[2]), l.add(d[1], d[2]), l.sub(d[2], d[1]), l.sub(d[3], d[1])}
}

func (l intLanes) inputLine4(d []operand.Op) []operand.Op {
	a, b := l.sub(d[4], l.times4(d[2])), l.sub(d[3], l.times4(d[1]))
	p, q := l.sub(d[4], d[2]), l.sub(d[3], d[1])
	q = l.add(q, q)
	first := l.add(l.times4(l.sub(d[0], d[2])), p)
	last := l.sub(l.sub(d[5], d[3]), l.add(q, q))
	return []operand.Op{first, l.add(a, b), l.sub(a, b), l.add(p, q), l.sub(p, q), last}
}

// outputLine2 and outputLine4 are wino.intOutputLine.
func (l intLanes) outputLine2(m []operand.Op) []operand.Op {
	return []operand.Op{
		l.add(l.add(m[0], m[0]), l.add(m[1], m[2])),
		l.add(l.sub(m[1], m[2]), l.add(m[3], m[3])),
	}
}

func (l intLanes) outputLine4(m []operand.Op) []operand.Op {
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

// The bytes of a vector, and wino.intInverse.
const (
	intVector  = 32
	intInverse = 0x38e38e39
)

func (e *avx) winogradIntInput(t intTile) {
	e.begin("winogradIntInput"+t.suffix, "func(v *int16, pos int, rows **uint8, pixel, left, right, n int, zero uint16, tmp *int32)", "is wino.IntInput of "+t.doc+".")
	l := e.lanes16()
	v, pos, tmp := e.loadInt("v"), e.loadInt("pos"), e.loadInt("tmp")
	table := e.loadInt("rows")
	var rows []reg.GPVirtual
	for i := range t.inputs {
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
	place := func(row, col int) operand.Mem {
		return operand.Mem{Base: tmp, Disp: (row*t.positions + col) * intVector}
	}
	for col := range t.positions {
		outside, next := e.label("outside"), e.label("col")
		e.jumpOutside(col, outside)
		var d []operand.Op
		for _, row := range rows {
			x := e.YMM()
			e.VPMOVZXBW(operand.Mem{Base: row, Index: at, Scale: 1}, x)
			e.VPSUBW(zero, x, x)
			d = append(d, x)
		}
		for row, r := range t.inputLine(l, d) {
			e.VMOVDQU(r, place(row, col))
		}
		e.ADDQ(e.memArg("pixel"), at)
		e.JMP(operand.LabelRef(next))
		e.Label(outside)
		z := e.YMM()
		e.VPXOR(z, z, z)
		for row := range t.positions {
			e.VMOVDQU(z, place(row, col))
		}
		e.Label(next)
	}
	to := &strided{e: e, p: e.GP64(), step: pos}
	e.LEAQ(operand.Mem{Base: v, Index: j, Scale: 2}, to.p)
	for row := range t.positions {
		for _, r := range t.inputLine(l, e.intRow(t, place, row)) {
			e.VMOVDQU(r, to.mem())
		}
	}
	e.ADDQ(operand.Imm(intVector/2), j)
	e.CMPQ(j, e.memArg("n"))
	e.JLT(operand.LabelRef("channels"))
	e.end()
}

// intRow loads a row of what the first pass has left in memory.
func (e *avx) intRow(t intTile, place func(row, col int) operand.Mem, row int) (list []operand.Op) {
	for col := range t.positions {
		v := e.YMM()
		e.VMOVDQU(place(row, col), v)
		list = append(list, v)
	}
	return list
}

func (e *avx) winogradIntOutput(t intTile) {
	e.begin("winogradIntOutput"+t.suffix, "func(sums *int32, row int, m *int32, pos int, corr *int32, tiles int, tmp *int32)", "is wino.IntOutput of "+t.doc+".")
	const panel = 2 * intVector // bytes of a panel's columns
	l := e.lanes32()
	sums, row, m, pos := e.loadInt("sums"), e.loadInt("row"), e.loadInt("m"), e.loadInt("pos")
	corr, tmp := e.loadInt("corr"), e.loadInt("tmp")
	down := e.GP64() // a row of positions
	if t.positions == 4 {
		e.MOVQ(pos, down)
		e.SHLQ(operand.Imm(2), down)
	} else {
		e.LEAQ(operand.Mem{Base: pos, Index: pos, Scale: 2}, down)
		e.ADDQ(down, down)
	}
	place := func(row, col int) operand.Mem {
		return operand.Mem{Base: tmp, Disp: (row*t.positions + col) * intVector}
	}
	e.Label("tile")
	for half := range 2 {
		from := e.GP64()
		e.LEAQ(operand.Mem{Base: m, Disp: half * intVector}, from)
		for col := range t.positions {
			at := &strided{e: e, p: e.GP64(), step: down}
			e.MOVQ(from, at.p)
			var d []operand.Op
			for range t.positions {
				x := e.YMM()
				e.VMOVDQU(at.mem(), x)
				d = append(d, x)
			}
			for row, r := range t.outputLine(l, d) {
				e.VMOVDQU(r, place(row, col))
			}
			e.ADDQ(pos, from)
		}
		to := e.GP64()
		e.MOVQ(sums, to)
		for r := range t.out {
			for col, y := range t.outputLine(l, e.intRow(t, place, r)) {
				x := e.YMM()
				if t.nine {
					e.VPMULLD(e.word(intInverse), y, x)
					y = x
				}
				e.VPSRAD(operand.Imm(t.shift), y, x)
				e.VPADDD(operand.Mem{Base: corr, Disp: half * intVector}, x, x)
				e.VMOVDQU(x, operand.Mem{Base: to, Disp: col*panel + half*intVector})
			}
			e.ADDQ(row, to)
		}
	}
	e.ADDQ(operand.Imm(panel), m)
	e.ADDQ(operand.I32(t.out*panel), sums)
	e.DECQ(e.memArg("tiles"))
	e.JNE(operand.LabelRef("tile"))
	e.end()
}
