package main

import "github.com/mmcloughlin/avo/operand"

// sumSquares adds the squares of n floats, a multiple of 32, to the 32 lanes.
func (e *avx) sumSquares() {
	e.begin("sumSquares", "func(lane *float64, x *float32, n int)",
		"adds the squares of x[i], in float64, to lane[i%32]; n is a multiple of 32.")
	lane, x, n := e.loadInt("lane"), e.loadInt("x"), e.loadInt("n")
	var acc []operand.Op
	per := e.lanes / 2
	for i := 0; i < 32; i += per {
		a := e.v()
		e.VMOVUPD(operand.Mem{Base: lane, Disp: 8 * i}, a)
		acc = append(acc, a)
	}
	e.Label("loop")
	e.CMPQ(n, operand.I32(32))
	e.JLT(operand.LabelRef("done"))
	for i, a := range acc {
		d := e.v()
		e.VCVTPS2PD(operand.Mem{Base: x, Disp: 4 * per * i}, d)
		e.VFMADD231PD(d, d, a)
	}
	e.ADDQ(operand.I32(128), x)
	e.SUBQ(operand.I32(32), n)
	e.JMP(operand.LabelRef("loop"))
	e.Label("done")
	for i, a := range acc {
		e.VMOVUPD(a, operand.Mem{Base: lane, Disp: 8 * per * i})
	}
	e.end()
}
