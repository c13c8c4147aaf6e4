package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
)

// dropout writes Philox4x32-10 on as many blocks as there are 64-bit lanes, a
// block's word in the low half of its lane. The high halves may hold anything:
// the multiplication reads the low ones only.
func (e *avx) dropout() {
	blocks := e.lanes / 2
	e.begin("dropout", "func(y, x *float32, n int, limit uint32, scale float32, ctr, keys *uint32)",
		"is vec.dropoutGeneric on whole blocks; n is a multiple of 32, keys are the keys of the 10 rounds.")
	y, x, n := e.loadInt("y"), e.loadInt("x"), e.loadInt("n")
	limit := e.v()
	t, lx := e.GP32(), e.XMM()
	e.Load(e.Param("limit"), t)
	e.VMOVD(t, lx)
	e.VPBROADCASTD(lx, limit)
	scale := e.loadScalar("scale")
	ctr, keys := e.loadInt("ctr"), e.loadInt("keys")
	var start [4]operand.Op
	for i := range start {
		start[i] = e.v()
		e.VPBROADCASTD(operand.Mem{Base: ctr, Disp: 4 * i}, start[i])
	}
	// Numbers of the blocks: unpacking low halves must give the first blocks,
	// high halves the others.
	e.StaticGlobal("vecblocks")
	e.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range blocks {
		e.AddDatum(8*i, operand.U64(uint64(i/2+i%2*blocks/2)))
	}
	e.VPADDD(operand.NewDataAddr(operand.NewStaticSymbol("vecblocks"), 0), start[0], start[0])
	mul0, mul1, count := e.word(0xD2511F53), e.word(0xCD9E8D57), e.word(uint32(blocks))

	e.Label("loop")
	e.CMPQ(n, operand.I32(4*blocks))
	e.JLT(operand.LabelRef("done"))
	c := [4]operand.Op{}
	for i := range c {
		c[i] = e.v()
		e.VMOVAPS(start[i], c[i])
	}
	for round := range 10 {
		p0, p1 := e.v(), e.v()
		e.VPMULUDQ(mul0, c[0], p0)
		e.VPMULUDQ(mul1, c[2], p1)
		next := [4]operand.Op{e.v(), p1, e.v(), p0}
		e.VPSRLQ(operand.Imm(32), p1, next[0])
		e.VPSRLQ(operand.Imm(32), p0, next[2])
		for i, w := range []int{0, 2} {
			key := operand.Mem{Base: keys, Disp: 4 * (2*round + i)}
			if e.wide() {
				e.VPTERNLOGD_BCST(operand.Imm(0x96), key, c[w+1], next[w]) // exclusive or of all three
				continue
			}
			k := e.v()
			e.VPBROADCASTD(key, k)
			e.VPXOR(c[w+1], next[w], next[w])
			e.VPXOR(k, next[w], next[w])
		}
		c = next
	}
	e.VPADDD(count, start[0], start[0])
	// The words of a block side by side.
	low := e.v()
	e.VMOVUPS(e.wordPair(0xffffffff), low)
	var pair [2]operand.Op
	for i := range pair {
		pair[i] = e.v()
		e.VPSLLQ(operand.Imm(32), c[2*i+1], pair[i])
		pair[i] = e.or(pair[i], e.and(c[2*i], low))
	}
	first, second := e.v(), e.v()
	e.VPUNPCKLQDQ(pair[1], pair[0], first)
	e.VPUNPCKHQDQ(pair[1], pair[0], second)
	for i, r := range []operand.Op{first, second} {
		v := e.mul(e.ld(operand.Mem{Base: x, Disp: i * e.bytes()}), scale)
		if e.wide() {
			k := e.K()
			e.VPCMPUD(operand.Imm(5), limit, r, k) // not below
			e.VMOVAPS_Z(v, k, v)
		} else {
			m := e.v()
			e.VPMAXUD(limit, r, m)
			e.VPCMPEQD(r, m, m)
			v = e.and(v, m)
		}
		e.st(v, operand.Mem{Base: y, Disp: i * e.bytes()})
	}
	e.ADDQ(operand.I32(2*e.bytes()), x)
	e.ADDQ(operand.I32(2*e.bytes()), y)
	e.SUBQ(operand.I32(4*blocks), n)
	e.JMP(operand.LabelRef("loop"))
	e.Label("done")
	e.end()
}

// wordPair holds a 64-bit constant in every 64-bit lane.
func (e *avx) wordPair(v uint64) operand.Mem {
	e.StaticGlobal("veclow")
	e.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range e.lanes / 2 {
		e.AddDatum(8*i, operand.U64(v))
	}
	return operand.NewDataAddr(operand.NewStaticSymbol("veclow"), 0)
}
