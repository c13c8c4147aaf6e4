package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pool writes the max pooling kernels. The AVX2 ones do whole vectors of
// channels only; Go does the rest.
func (e *avx) pool() {
	e.maxPool(true)
	e.maxPool(false)
	e.maxPoolGrad()
}

func (e *avx) maxPool(withArg bool) {
	if withArg {
		e.begin("maxPoolArg", "func(y *float32, arg *uint16, x *float32, w *int)", "is vec.maxPoolChannels.")
	} else {
		e.begin("maxPool", "func(y *float32, x *float32, w *int)", "is vec.maxPoolChannels without arg.")
	}
	y, x, w := e.loadInt("y"), e.loadInt("x"), e.loadInt("w")
	field := func(name string) operand.Mem { return operand.Mem{Base: w, Disp: window.Offset(name)} }
	var arg reg.GPVirtual
	one, tap0, step := e.v(), e.v(), e.v()
	broadcast := func(name string, v operand.Op) { e.VPBROADCASTD(field(name), v) }
	if withArg {
		arg = e.loadInt("arg")
		e.VMOVUPS(e.word(1), one)
		broadcast("tap", tap0)
		// From the end of a row of taps to the next: tapStep - cols.
		cols := e.v()
		broadcast("tapStep", step)
		broadcast("cols", cols)
		e.VPSUBD(cols, step, step)
	}
	pixels := e.GP64()
	e.MOVQ(field("pixels"), pixels)
	rowStep, colStep := e.GP64(), e.GP64()
	e.MOVQ(field("rowStep"), rowStep)
	e.SHLQ(operand.Imm(2), rowStep)
	e.MOVQ(field("colStep"), colStep)
	e.SHLQ(operand.Imm(2), colStep)
	j, n := e.GP64(), e.GP64()

	body := func() {
		row, at, rows, cols := e.GP64(), e.GP64(), e.GP64(), e.GP64()
		rowLoop, colLoop := e.label("row"), e.label("col")
		e.LEAQ(operand.Mem{Base: x, Index: j, Scale: 4}, row)
		e.MOVQ(field("rows"), rows)
		best := e.ld(operand.Mem{Base: row})
		bestTap, tap := e.v(), e.v()
		if withArg {
			e.VMOVAPS(tap0, bestTap)
			e.VMOVAPS(tap0, tap)
		}
		e.Label(rowLoop)
		e.MOVQ(row, at)
		e.MOVQ(field("cols"), cols)
		e.Label(colLoop)
		v := e.ld(operand.Mem{Base: at})
		if e.wide() {
			k, k2 := e.K(), e.K()
			e.VCMPPS(operand.Imm(gtOQ), best, v, k)
			e.VCMPPS(operand.Imm(unordQ), v, v, k2)
			e.KORW(k, k2, k)
			e.VMOVAPS(v, k, best)
			if withArg {
				e.VMOVDQA32(tap, k, bestTap)
			}
		} else {
			m, m2 := e.v(), e.v()
			e.VCMPPS(operand.Imm(gtOQ), best, v, m)
			e.VCMPPS(operand.Imm(unordQ), v, v, m2)
			e.VORPS(m, m2, m)
			e.VBLENDVPS(m, v, best, best)
			if withArg {
				e.VBLENDVPS(m, tap, bestTap, bestTap)
			}
		}
		if withArg {
			e.VPADDD(one, tap, tap)
		}
		e.ADDQ(colStep, at)
		e.DECQ(cols)
		e.JNE(operand.LabelRef(colLoop))
		if withArg {
			e.VPADDD(step, tap, tap)
		}
		e.ADDQ(rowStep, row)
		e.DECQ(rows)
		e.JNE(operand.LabelRef(rowLoop))
		e.st(best, operand.Mem{Base: y, Index: j, Scale: 4})
		if !withArg {
			return
		}
		to := operand.Mem{Base: arg, Index: j, Scale: 2}
		switch {
		case e.wide() && e.masked:
			e.VPMOVDW(bestTap, e.k, to)
		case e.wide():
			e.VPMOVDW(bestTap, to)
		default:
			e.VPACKUSDW(bestTap, bestTap, bestTap)
			e.VPERMQ(operand.Imm(0x08), bestTap, bestTap)
			e.VMOVDQU(bestTap.AsX(), to)
		}
	}

	e.Label("pixel")
	e.XORQ(j, j)
	e.MOVQ(field("c"), n)
	e.channels(n, j, body)
	// On to the next pixel.
	t := e.GP64()
	e.MOVQ(field("pixelStep"), t)
	e.LEAQ(operand.Mem{Base: x, Index: t, Scale: 4}, x)
	e.MOVQ(field("c"), t)
	e.LEAQ(operand.Mem{Base: y, Index: t, Scale: 4}, y)
	if withArg {
		e.LEAQ(operand.Mem{Base: arg, Index: t, Scale: 2}, arg)
	}
	e.DECQ(pixels)
	e.JNE(operand.LabelRef("pixel"))
	e.end()
}

// channels runs body for the index j of each vector of n channels; on AVX-512
// once more, masked, for the rest.
func (e *avx) channels(n, j reg.GPVirtual, body func()) {
	single, tail, done := e.label("single"), e.label("tail"), e.label("done")
	e.Label(single)
	e.CMPQ(n, operand.I32(e.lanes))
	e.JLT(operand.LabelRef(tail))
	body()
	e.ADDQ(operand.I32(e.lanes), j)
	e.SUBQ(operand.I32(e.lanes), n)
	e.JMP(operand.LabelRef(single))
	e.Label(tail)
	if e.wide() {
		e.TESTQ(n, n)
		e.JEQ(operand.LabelRef(done))
		e.tailMask(n)
		e.masked = true
		body()
		e.masked = false
	}
	e.Label(done)
}

func (e *avx) maxPoolGrad() {
	e.begin("maxPoolGrad", "func(dx, dy *float32, arg *uint16, tap, pixels, c, step int)", "is vec.maxPoolGradChannels.")
	dx, dy, arg := e.loadInt("dx"), e.loadInt("dy"), e.loadInt("arg")
	tap := e.v()
	x := e.XMM()
	t := e.GP64()
	e.Load(e.Param("tap"), t)
	e.VMOVD(t.As32(), x)
	e.VPBROADCASTD(x, tap)
	pixels, c, step := e.loadInt("pixels"), e.loadInt("c"), e.loadInt("step")
	j, n := e.GP64(), e.GP64()
	e.Label("pixel")
	e.XORQ(j, j)
	e.MOVQ(c, n)
	e.channels(n, j, func() {
		to := operand.Mem{Base: dx, Index: j, Scale: 4}
		a, from := e.v(), operand.Mem{Base: arg, Index: j, Scale: 2}
		if e.wide() {
			k := e.K()
			if e.masked {
				e.VPMOVZXWD_Z(from, e.k, a)
			} else {
				e.VPMOVZXWD(from, a)
			}
			e.VPCMPEQD(tap, a, k)
			d := e.ld(to)
			e.VADDPS(e.ld(operand.Mem{Base: dy, Index: j, Scale: 4}), d, k, d)
			e.st(d, to)
			return
		}
		e.VPMOVZXWD(from, a)
		e.VPCMPEQD(tap, a, a)
		sum := e.add(e.ld(to), operand.Mem{Base: dy, Index: j, Scale: 4})
		d := e.ld(to)
		e.VBLENDVPS(a, sum, d, d)
		e.st(d, to)
	})
	e.LEAQ(operand.Mem{Base: dx, Index: step, Scale: 4}, dx)
	e.LEAQ(operand.Mem{Base: dy, Index: c, Scale: 4}, dy)
	e.LEAQ(operand.Mem{Base: arg, Index: c, Scale: 2}, arg)
	e.DECQ(pixels)
	e.JNE(operand.LabelRef("pixel"))
	e.end()
}
