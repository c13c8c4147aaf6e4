package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// span runs body over n elements (which it counts down): unroll vectors at a
// time, then one, then a masked rest. index, in bytes, moves along; body adds
// disp to it.
func (e *avx) span(n, index reg.GPVirtual, unroll int, body func(disp int)) {
	single, tail, done := e.label("single"), e.label("tail"), e.label("done")
	if unroll > 1 {
		loop := e.label("loop")
		e.Label(loop)
		e.CMPQ(n, operand.I32(e.lanes*unroll))
		e.JLT(operand.LabelRef(single))
		for u := range unroll {
			body(u * e.bytes())
		}
		e.ADDQ(operand.I32(unroll*e.bytes()), index)
		e.SUBQ(operand.I32(e.lanes*unroll), n)
		e.JMP(operand.LabelRef(loop))
	}
	e.Label(single)
	e.CMPQ(n, operand.I32(e.lanes))
	e.JLT(operand.LabelRef(tail))
	body(0)
	e.ADDQ(operand.I32(e.bytes()), index)
	e.SUBQ(operand.I32(e.lanes), n)
	e.JMP(operand.LabelRef(single))
	e.Label(tail)
	e.TESTQ(n, n)
	e.JEQ(operand.LabelRef(done))
	e.tailMask(n)
	e.masked = true
	body(0)
	e.masked = false
	e.LEAQ(operand.Mem{Base: index, Index: n, Scale: 4}, index)
	e.Label(done)
}

func (e *avx) prologue(k *kernel, counts string) {
	e.begin(k.name, "func("+k.signature(counts)+")", k.doc)
	for _, n := range k.streams {
		e.loadInt(n)
	}
	for _, n := range k.channels {
		e.loadInt(n)
	}
	for _, n := range k.scalars {
		e.loadScalar(n)
	}
	if k.zero {
		e.zeroReg = e.zero()
	}
	if k.setup != nil {
		k.setup()
	}
}

// flat writes a kernel over n elements. body gets the memory operand of each
// stream.
func (e *avx) flat(k kernel, body func(at func(stream string) operand.Mem)) {
	e.prologue(&k, "n int")
	n, i := e.loadInt("n"), e.GP64()
	e.XORQ(i, i)
	e.span(n, i, max(k.unroll, 1), func(disp int) {
		body(func(s string) operand.Mem { return operand.Mem{Base: e.ptr[s], Index: i, Scale: 1, Disp: disp} })
	})
	if k.finish != nil {
		k.finish()
	}
	e.end()
}

// rows writes a kernel over rows x c elements with per-channel operands.
func (e *avx) rows(k kernel, body func(at func(name string) operand.Mem)) {
	e.prologue(&k, "rows, c int")
	rows := e.loadInt("rows")
	j, n := e.GP64(), e.GP64()
	loop, done := e.label("row"), e.label("end")
	e.Label(loop)
	e.DECQ(rows)
	e.JLT(operand.LabelRef(done))
	e.XORQ(j, j)
	e.Load(e.Param("c"), n)
	e.span(n, j, max(k.unroll, 1), func(disp int) {
		body(func(s string) operand.Mem {
			return operand.Mem{Base: e.ptr[s], Index: j, Scale: 1, Disp: disp}
		})
	})
	for _, s := range k.streams {
		e.ADDQ(j, e.ptr[s])
	}
	e.JMP(operand.LabelRef(loop))
	e.Label(done)
	e.end()
}

// sums writes a kernel that reduces rows x c elements to per-channel values,
// block rows at a time. body gets the operands of each row of the block and of
// the channels.
func (e *avx) sums(k kernel, block int, body func(rows int, at func(stream string, row int) operand.Mem, ch func(name string) operand.Mem)) {
	e.prologue(&k, "rows, c int")
	rows := e.loadInt("rows")
	j, n := e.GP64(), e.GP64()
	// Multiples of the row length in bytes: 1 and the odd ones.
	step := map[int]reg.GPVirtual{1: e.GP64()}
	e.Load(e.Param("c"), step[1])
	e.SHLQ(operand.Imm(2), step[1])
	for r := 3; r < block; r += 2 {
		step[r] = e.GP64()
		e.LEAQ(operand.Mem{Base: step[1], Index: step[1], Scale: 2}, step[r])
		if r > 3 {
			e.LEAQ(operand.Mem{Base: step[r-2], Index: step[1], Scale: 2}, step[r])
		}
	}
	pass := func(count int) {
		loop, done := e.label("rows"), e.label("few")
		e.Label(loop)
		e.CMPQ(rows, operand.I32(count))
		e.JLT(operand.LabelRef(done))
		e.XORQ(j, j)
		e.Load(e.Param("c"), n)
		// The stream pointers move along the row, for row r is at a multiple
		// of the step from them.
		e.spanPointers(n, j, k.streams, func() {
			body(count, func(s string, r int) operand.Mem {
				m := operand.Mem{Base: e.ptr[s]}
				switch {
				case r == 0:
				case r&1 == 1:
					m.Index, m.Scale = step[r], 1
				case r == 2:
					m.Index, m.Scale = step[1], 2
				case r == 4:
					m.Index, m.Scale = step[1], 4
				case r == 6:
					m.Index, m.Scale = step[3], 2
				}
				return m
			}, func(name string) operand.Mem { return operand.Mem{Base: e.ptr[name], Index: j, Scale: 1} })
		})
		if count > 1 {
			for _, s := range k.streams {
				if count > 3 {
					e.ADDQ(step[count-1], e.ptr[s])
				} else {
					e.ADDQ(step[1], e.ptr[s])
				}
			}
		}
		e.SUBQ(operand.I32(count), rows)
		e.JMP(operand.LabelRef(loop))
		e.Label(done)
	}
	pass(block)
	pass(1)
	e.end()
}

// spanPointers is span for streams whose pointers move themselves.
func (e *avx) spanPointers(n, index reg.GPVirtual, streams []string, body func()) {
	single, tail, done := e.label("single"), e.label("tail"), e.label("done")
	e.Label(single)
	e.CMPQ(n, operand.I32(e.lanes))
	e.JLT(operand.LabelRef(tail))
	body()
	e.ADDQ(operand.I32(e.bytes()), index)
	for _, s := range streams {
		e.ADDQ(operand.I32(e.bytes()), e.ptr[s])
	}
	e.SUBQ(operand.I32(e.lanes), n)
	e.JMP(operand.LabelRef(single))
	e.Label(tail)
	e.TESTQ(n, n)
	e.JEQ(operand.LabelRef(done))
	e.tailMask(n)
	e.masked = true
	body()
	e.masked = false
	for _, s := range streams {
		e.LEAQ(operand.Mem{Base: e.ptr[s], Index: n, Scale: 4}, e.ptr[s])
	}
	e.Label(done)
}
