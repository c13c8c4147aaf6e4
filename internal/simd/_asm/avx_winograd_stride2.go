package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Edges of vec.WinogradStride2's tiles of outputs and of inputs.
const stride2M, stride2T = 2, 5

// winogradStride2 writes the transforms of package wino:
// the AVX-512 ones for any number of channels, the AVX2 ones for whole vectors.
func (e *avx) winogradStride2() {
	e.stride2Input()
	e.stride2Output(false)
	e.stride2Output(true)
}

func (e *avx) stride2Input() {
	const t = stride2T
	e.begin("winogradStride2Input", "func(v *float32, pos int, rows **float32, pixel, left, right, n int, tmp *float32)",
		"is wino.winogradStride2Input.")
	v, pos, rows, tmp := e.loadInt("v"), e.loadInt("pos"), e.loadInt("rows"), e.loadInt("tmp")
	n, j := e.loadInt("n"), e.GP64()
	square := func(row, col int) operand.Mem { return operand.Mem{Base: tmp, Disp: (row*t + col) * e.bytes()} }
	e.XORQ(j, j)
	e.channels(n, j, func() {
		at, row := e.GP64(), e.GP64()
		e.MOVQ(j, at)
		e.SHLQ(operand.Imm(2), at)
		for col := range t {
			outside, next := e.label("outside"), e.label("col")
			e.jumpOutside(col, outside)
			load := func(i int) operand.Op {
				e.MOVQ(operand.Mem{Base: rows, Disp: 8 * i}, row)
				return e.ld(operand.Mem{Base: row, Index: at, Scale: 1})
			}
			// As vec.stride2InputLine.
			d0, d2, d4 := load(0), load(2), load(4)
			for i, r := range []operand.Op{e.sub(d0, d2), d2, e.sub(d2, d4), load(1), load(3)} {
				e.VMOVUPS(r, square(i, col))
			}
			e.ADDQ(e.memArg("pixel"), at)
			e.JMP(operand.LabelRef(next))
			e.Label(outside)
			z := e.zero()
			for i := range t {
				e.VMOVUPS(z, square(i, col))
			}
			e.Label(next)
		}
		to := &strided{e: e, p: e.GP64(), step: pos}
		e.LEAQ(operand.Mem{Base: v, Index: j, Scale: 4}, to.p)
		for i := range t {
			load := func(col int) operand.Op {
				d := e.v()
				e.VMOVUPS(square(i, col), d)
				return d
			}
			d0, d2, d4 := load(0), load(2), load(4)
			for _, r := range []operand.Op{e.sub(d0, d2), d2, e.sub(d2, d4), load(1), load(3)} {
				e.st(r, to.mem())
			}
		}
	})
	e.end()
}

func (e *avx) stride2Output(residual bool) {
	const m, t = stride2M, stride2T
	name, doc := "winogradStride2Output", "is wino.winogradStride2Output."
	if residual {
		name, doc = name+"Add", doc[:len(doc)-1]+" that adds res."
	}
	e.begin(name, "func(y, res, m *float32, pos int, bias *float32, row, pixel, height, width, n int, lo, hi float32, tmp *float32)", doc)
	y, src, pos, bias := e.loadInt("y"), e.loadInt("m"), e.loadInt("pos"), e.loadInt("bias")
	var res reg.GPVirtual
	if residual {
		res = e.loadInt("res")
	}
	lo, hi := e.loadScalar("lo"), e.loadScalar("hi")
	rowStep, pixel := e.loadInt("row"), e.loadInt("pixel")
	tmp := e.loadInt("tmp")
	n, j := e.loadInt("n"), e.GP64()
	square := func(row, col int) operand.Mem { return operand.Mem{Base: tmp, Disp: (row*t + col) * e.bytes()} }
	e.XORQ(j, j)
	e.channels(n, j, func() {
		// Down the columns, which are t positions apart.
		from, step := e.GP64(), e.GP64()
		e.LEAQ(operand.Mem{Base: src, Index: j, Scale: 4}, from)
		e.LEAQ(operand.Mem{Base: pos, Index: pos, Scale: uint8(t - 1)}, step)
		for col := range t {
			at := &strided{e: e, p: e.GP64(), step: step}
			e.MOVQ(from, at.p)
			// As vec.stride2OutputLine.
			p0, p1, p2 := e.ld(at.mem()), e.ld(at.mem()), e.ld(at.mem())
			e.VMOVUPS(e.add(e.add(p0, p1), e.ld(at.mem())), square(0, col))
			e.VMOVUPS(e.add(e.sub(p1, p2), e.ld(at.mem())), square(1, col))
			e.ADDQ(pos, from)
		}
		b := e.ld(operand.Mem{Base: bias, Index: j, Scale: 4})
		off, at := e.GP64(), e.GP64()
		done := e.label("stored")
		e.MOVQ(j, off)
		e.SHLQ(operand.Imm(2), off)
		for i := range m {
			e.CMPQ(e.memArg("height"), operand.Imm(uint64(i)))
			e.JLE(operand.LabelRef(done))
			next := e.label("next")
			e.MOVQ(off, at)
			var p [3]operand.Op
			for col := range p {
				p[col] = e.v()
				e.VMOVUPS(square(i, col), p[col])
			}
			for col, r := range []operand.Op{e.add(p[0], p[1]), e.sub(p[1], p[2])} {
				if col > 0 {
					e.CMPQ(e.memArg("width"), operand.Imm(uint64(col)))
					e.JLE(operand.LabelRef(next))
				}
				r = e.add(e.add(r, square(i, 3+col)), b)
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
