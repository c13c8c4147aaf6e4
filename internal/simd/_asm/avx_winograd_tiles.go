package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tilesDepth is wino.TilesDepth.
const tilesDepth = 48

// winogradTiles writes wino.winogradTiles for 4 and for 8 tiles, for AVX-512
// only. The sums of a row of 6 positions of 4 tiles, or of half a row of 8 tiles,
// stay in registers, and the weights are transformed in those that are left.
func (e *avx) winogradTiles(tiles int) {
	const edge = 6
	e.begin(fmt.Sprintf("winogradTiles%d", tiles), "func(c, v, w *float32, tap, k int, ahead uintptr, more int)",
		fmt.Sprintf("is wino.winogradTiles for %d tiles.", tiles))
	fa, fb := winoWeights[0], winoWeights[1]
	c, v, w, tap, ahead := e.loadInt("c"), e.loadInt("v"), e.loadInt("w"), e.loadInt("tap"), e.loadInt("ahead")
	tap3 := e.GP64()
	e.LEAQ(operand.Mem{Base: tap, Index: tap, Scale: 2}, tap3)
	// All 32 registers are in use.
	z := [32]reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	acc, factors, x, plus, minus := z[:24], z[24:27], z[27:30], z[30], z[31]
	setFactors := func(list ...float64) {
		for i, x := range list {
			e.VBROADCASTSS(e.float(x), factors[i])
		}
	}
	held := len(acc) / tiles // positions
	for pass := range edge * edge / held {
		r, first := pass*held/edge, pass*held%edge
		at := func(i int) operand.Mem { return operand.Mem{Base: c, Disp: (pass*len(acc) + i) * 64} }
		begin, loaded := e.label("first"), e.label("loaded")
		e.CMPQ(e.memArg("more"), operand.Imm(0))
		e.JEQ(operand.LabelRef(begin))
		for i, a := range acc {
			e.VMOVUPS(at(i), a)
		}
		e.JMP(operand.LabelRef(loaded))
		e.Label(begin)
		for _, a := range acc {
			e.VPXORD(a, a, a)
		}
		e.Label(loaded)
		switch pass * held {
		case 0:
			setFactors(winoF0)
		case 1 * edge:
			setFactors(fa[:]...)
		case 3 * edge:
			setFactors(fb[:]...)
		}
		// Rows 0, 1 and 2 of the taps.
		var taps [3]reg.GPVirtual
		for i := range taps {
			taps[i] = e.GP64()
		}
		e.MOVQ(w, taps[0])
		e.LEAQ(operand.Mem{Base: w, Index: tap3, Scale: 1}, taps[1])
		e.LEAQ(operand.Mem{Base: w, Index: tap3, Scale: 2}, taps[2])
		g := func(i, s int) operand.Mem {
			m := operand.Mem{Base: taps[i]}
			if s > 0 {
				m.Index, m.Scale = tap, uint8(s)
			}
			return m
		}
		vp, n := e.GP64(), e.GP64()
		e.MOVQ(v, vp)
		e.Load(e.Param("k"), n)

		loop := e.label("loop")
		e.Label(loop)
		// The nine taps of the next weights, spread over the passes.
		fetch := 1
		if tiles == 4 && pass < 3 {
			fetch = 2
		} else if pass >= 9 {
			fetch = 0
		}
		if fetch > 0 {
			e.PREFETCHT1(operand.Mem{Base: ahead})
		}
		if fetch > 1 {
			e.PREFETCHT1(operand.Mem{Base: ahead, Index: tap, Scale: 1})
		}
		for s := range x {
			switch r {
			case 0:
				e.VMULPS(g(0, s), factors[0], x[s])
			case 5:
				e.VMOVUPS(g(2, s), x[s])
			default:
				e.VMULPS(g(0, s), factors[0], x[s])
				e.VFMADD231PS(g(2, s), factors[2], x[s])
				if r%2 == 1 {
					e.VFMADD231PS(g(1, s), factors[1], x[s])
				} else {
					e.VFNMADD231PS(g(1, s), factors[1], x[s])
				}
			}
		}
		use := func(pos int, u reg.VecPhysical) {
			for tile := range tiles {
				e.VFMADD231PS_BCST(operand.Mem{Base: vp, Disp: ((r*edge+pos)*tiles + tile) * tilesDepth * 4}, u, acc[(pos-first)*tiles+tile])
			}
		}
		in := func(pos int) bool { return first <= pos && pos < first+held }
		if in(5) {
			use(5, x[2])
		}
		if in(0) {
			e.VMULPS_BCST(e.float(winoF0), x[0], plus)
			use(0, plus)
		}
		for i, p := range winoWeights {
			if !in(1 + 2*i) {
				continue
			}
			e.VMULPS_BCST(e.float(p[0]), x[0], minus)
			e.VFMADD231PS_BCST(e.float(p[2]), x[2], minus)
			e.VMOVAPS(minus, plus)
			e.VFMADD231PS_BCST(e.float(p[1]), x[1], plus)
			use(1+2*i, plus)
			e.VFNMADD231PS_BCST(e.float(p[1]), x[1], minus)
			use(2+2*i, minus)
		}
		for _, p := range append(taps[:], ahead) {
			e.ADDQ(operand.I32(64), p)
		}
		e.ADDQ(operand.I32(4), vp)
		e.DECQ(n)
		e.JNE(operand.LabelRef(loop))
		for i, a := range acc {
			e.VMOVUPS(a, at(i))
		}
		// Back to the start of the weights ahead, and on by the taps done.
		e.Load(e.Param("k"), n)
		e.SHLQ(operand.Imm(6), n)
		e.SUBQ(n, ahead)
		for range fetch {
			e.ADDQ(tap, ahead)
		}
	}
	e.end()
}
