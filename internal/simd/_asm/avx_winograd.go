package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograd writes the transforms of package wino: the AVX-512
// ones for any number of channels, the AVX2 ones for whole vectors.
func (e *avx) winograd() {
	for _, t := range winoTiles {
		e.winogradInput(t)
		e.winogradOutput(t, false)
		e.winogradOutput(t, true)
	}
}

// constants makes an operand for each number: a register where there are
// enough of them.
func (e *avx) constants(list ...float64) map[float64]operand.Op {
	m := map[float64]operand.Op{}
	for _, f := range list {
		if e.wide() {
			m[f] = e.constant(f)
		} else {
			m[f] = e.float(f)
		}
	}
	return m
}

// held is what the first pass leaves for the second: some rows in
// registers, the others in memory.
type held struct {
	e    *avx
	tmp  reg.GPVirtual
	keep int
	cols int
	regs map[int]operand.Op
}

func (s *held) set(row, col int, v operand.Op) {
	if row < s.keep {
		s.regs[row*s.cols+col] = v
		return
	}
	s.e.VMOVUPS(v, operand.Mem{Base: s.tmp, Disp: (row*s.cols + col) * s.e.bytes()})
}

func (s *held) row(row int) (list []operand.Op) {
	for col := range s.cols {
		if row < s.keep {
			list = append(list, s.regs[row*s.cols+col])
			continue
		}
		v := s.e.v()
		s.e.VMOVUPS(operand.Mem{Base: s.tmp, Disp: (row*s.cols + col) * s.e.bytes()}, v)
		list = append(list, v)
	}
	return list
}

// strided returns operands at p, p+step, … and moves p as it goes, at most two
// steps an operand.
type strided struct {
	e       *avx
	p, step reg.GPVirtual
	n       int
}

func (s *strided) next() operand.Mem {
	m := operand.Mem{Base: s.p}
	switch s.n {
	case 1:
		m.Index, m.Scale = s.step, 1
	case 2:
		m.Index, m.Scale = s.step, 2
	}
	s.n++
	return m
}

// flush moves p over the operands that next has given.
func (s *strided) flush() {
	for ; s.n > 0; s.n-- {
		s.e.ADDQ(s.step, s.p)
	}
}

func (s *strided) mem() operand.Mem {
	if s.n == 3 {
		s.flush()
	}
	return s.next()
}

// jumpOutside jumps where a column of a tile is not in the picture, before the argument
// left or from right on.
func (e *avx) jumpOutside(col int, outside string) {
	e.CMPQ(e.memArg("left"), operand.Imm(uint64(col)))
	e.JGT(operand.LabelRef(outside))
	e.CMPQ(e.memArg("right"), operand.Imm(uint64(col)))
	e.JLE(operand.LabelRef(outside))
}

func (e *avx) winogradInput(t winoTile) {
	e.begin("winogradInput"+t.suffix, "func(v *float32, pos int, rows **float32, pixel, left, right, n int, tmp *float32)",
		"is wino.winogradInput for "+t.doc+".")
	k := e.constants(t.inputNumbers()...)
	v, pos := e.loadInt("v"), e.loadInt("pos")
	table := e.loadInt("rows")
	var rows []reg.GPVirtual
	for i := range t.inputs {
		rows = append(rows, e.GP64())
		e.MOVQ(operand.Mem{Base: table, Disp: 8 * i}, rows[i])
	}
	tmp := e.loadInt("tmp")
	n, j := e.loadInt("n"), e.GP64()
	e.XORQ(j, j)
	e.channels(n, j, func() {
		sq := &held{e: e, tmp: tmp, cols: t.inputs, regs: map[int]operand.Op{}}
		at := e.GP64()
		e.MOVQ(j, at)
		e.SHLQ(operand.Imm(2), at)
		for col := range t.inputs {
			outside, next := e.label("outside"), e.label("col")
			e.jumpOutside(col, outside)
			var d []operand.Op
			for row := range t.inputs {
				d = append(d, e.ld(operand.Mem{Base: rows[row], Index: at, Scale: 1}))
			}
			for row, r := range inputLine(e, k, d) {
				sq.set(row, col, r)
			}
			e.ADDQ(e.memArg("pixel"), at)
			e.JMP(operand.LabelRef(next))
			e.Label(outside)
			z := e.zero()
			for row := range t.positions {
				sq.set(row, col, z)
			}
			e.Label(next)
		}
		to := &strided{e: e, p: e.GP64(), step: pos}
		e.LEAQ(operand.Mem{Base: v, Index: j, Scale: 4}, to.p)
		for row := range t.positions {
			for _, r := range inputLine(e, k, sq.row(row)) {
				e.st(r, to.mem())
			}
		}
	})
	e.end()
}

func (e *avx) winogradOutput(t winoTile, residual bool) {
	name, doc := "winogradOutput"+t.suffix, "is wino.winogradOutput for "+t.doc+"."
	if residual {
		name, doc = name+"Add", doc[:len(doc)-1]+" that adds res."
	}
	e.begin(name, "func(y, res, m *float32, pos int, bias *float32, row, pixel, height, width, n int, lo, hi float32, tmp *float32)", doc)
	k := e.constants(t.outputNumbers()...)
	y, src, pos, bias := e.loadInt("y"), e.loadInt("m"), e.loadInt("pos"), e.loadInt("bias")
	var res reg.GPVirtual
	if residual {
		res = e.loadInt("res")
	}
	lo, hi := e.loadScalar("lo"), e.loadScalar("hi")
	rowStep, pixel := e.loadInt("row"), e.loadInt("pixel")
	tmp := e.loadInt("tmp")
	n, j := e.loadInt("n"), e.GP64()
	e.XORQ(j, j)
	e.channels(n, j, func() {
		sq := &held{e: e, tmp: tmp, cols: t.positions, regs: map[int]operand.Op{}}
		// Down the columns, which are t positions apart.
		from := e.GP64()
		e.LEAQ(operand.Mem{Base: src, Index: j, Scale: 4}, from)
		step := e.GP64() // a row of positions
		e.LEAQ(operand.Mem{Base: pos, Index: pos, Scale: 2}, step)
		switch t.positions {
		case 4:
			e.ADDQ(pos, step)
		case 5:
			e.LEAQ(operand.Mem{Base: pos, Index: pos, Scale: 4}, step)
		case 6:
			e.ADDQ(step, step)
		}
		for col := range t.positions {
			at := &strided{e: e, p: e.GP64(), step: step}
			e.MOVQ(from, at.p)
			var d []operand.Op
			for range t.positions {
				d = append(d, e.ld(at.mem()))
			}
			for row, r := range outputLine(e, k, t, d) {
				sq.set(row, col, r)
			}
			e.ADDQ(pos, from)
		}
		b := e.ld(operand.Mem{Base: bias, Index: j, Scale: 4})
		off, at := e.GP64(), e.GP64()
		done := e.label("stored")
		e.MOVQ(j, off)
		e.SHLQ(operand.Imm(2), off)
		for row := range t.out {
			e.CMPQ(e.memArg("height"), operand.Imm(uint64(row)))
			e.JLE(operand.LabelRef(done))
			next := e.label("next")
			e.MOVQ(off, at)
			for col, r := range outputLine(e, k, t, sq.row(row)) {
				if col > 0 {
					e.CMPQ(e.memArg("width"), operand.Imm(uint64(col)))
					e.JLE(operand.LabelRef(next))
				}
				r = e.add(r, b)
				if residual {
					r = e.add(r, e.ld(operand.Mem{Base: res, Index: at, Scale: 1}))
				}
				e.st(e.min(hi, e.max(lo, r)), operand.Mem{Base: y, Index: at, Scale: 1})
				e.ADDQ(pixel, at)
			}
			e.Label(next)
			e.ADDQ(rowStep, off)
		}
		e.Label(done)
	})
	e.end()
}
