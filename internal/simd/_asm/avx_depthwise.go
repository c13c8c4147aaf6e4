package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// depthwise writes the kernel of depthwise convolutions. It keeps the sums of four
// pixels and two vectors of channels in registers: eight chains hide the latency of
// FMA, and each weight is loaded once for four pixels.
func (e *avx) depthwise() {
	e.begin("depthwise", "func(y, x, w, bias *float32, f *int, lo, hi float32)", "is vec.filters.channels.")
	y, x, w, bias, f := e.loadInt("y"), e.loadInt("x"), e.loadInt("w"), e.loadInt("bias"), e.loadInt("f")
	lo, hi := e.loadScalar("lo"), e.loadScalar("hi")
	field := func(name string) operand.Mem { return operand.Mem{Base: f, Disp: filters.Offset(name)} }
	pixel, pixel3 := e.GP64(), e.GP64()
	e.MOVQ(field("pixelStep"), pixel)
	e.LEAQ(operand.Mem{Base: pixel, Index: pixel, Scale: 2}, pixel3)

	for _, count := range []int{4, 1} { // pixels at a time
		loop, done := e.label("pixels"), e.label("pixelsDone")
		e.Label(loop)
		e.CMPQ(field("pixels"), operand.Imm(uint64(count)))
		e.JLT(operand.LabelRef(done))
		j, n := e.GP64(), e.GP64() // bytes of channels done; channels left
		e.XORQ(j, j)
		e.MOVQ(field("c"), n)
		e.filterChannels(n, j, func(vectors int) {
			sums := make([][]operand.Op, count)
			for p := range sums {
				for range vectors {
					sums[p] = append(sums[p], e.zero())
				}
			}
			at, tap := e.GP64(), e.GP64()
			e.LEAQ(operand.Mem{Base: x, Index: j, Scale: 1}, at)
			e.LEAQ(operand.Mem{Base: w, Index: j, Scale: 1}, tap)
			rows, cols := e.GP64(), e.GP64()
			e.MOVQ(field("rows"), rows)
			rowLoop, colLoop := e.label("row"), e.label("col")
			e.Label(rowLoop)
			e.MOVQ(field("cols"), cols)
			e.Label(colLoop)
			for v := range vectors {
				factor := e.ld(operand.Mem{Base: tap, Disp: v * e.bytes()})
				for p := range count {
					m := operand.Mem{Base: at, Disp: v * e.bytes()}
					switch p {
					case 1, 2:
						m.Index, m.Scale = pixel, uint8(p)
					case 3:
						m.Index, m.Scale = pixel3, 1
					}
					if e.masked {
						e.fma(factor, e.ld(m), sums[p][v])
					} else {
						e.fma(factor, m, sums[p][v])
					}
				}
			}
			e.ADDQ(field("colStep"), at)
			e.ADDQ(field("outStep"), tap)
			e.DECQ(cols)
			e.JNE(operand.LabelRef(colLoop))
			e.ADDQ(field("rowSkip"), at)
			e.ADDQ(field("weightSkip"), tap)
			e.DECQ(rows)
			e.JNE(operand.LabelRef(rowLoop))
			to := at
			e.LEAQ(operand.Mem{Base: y, Index: j, Scale: 1}, to)
			for p := range count {
				if p > 0 {
					e.ADDQ(field("outStep"), to)
				}
				for v := range vectors {
					b := e.ld(operand.Mem{Base: bias, Index: j, Scale: 1, Disp: v * e.bytes()})
					sum := e.min(hi, e.max(lo, e.add(sums[p][v], b)))
					e.st(sum, operand.Mem{Base: to, Disp: v * e.bytes()})
				}
			}
		})
		// On to the next pixels.
		e.LEAQ(operand.Mem{Base: x, Index: pixel, Scale: uint8(count)}, x)
		for range count {
			e.ADDQ(field("outStep"), y)
		}
		e.SUBQ(operand.Imm(uint64(count)), field("pixels"))
		e.JMP(operand.LabelRef(loop))
		e.Label(done)
	}
	e.end()
}

// filterChannels runs body for two vectors of n channels at a time, then for one,
// then for the rest; on AVX2, Go does the rest. j, in bytes, moves along.
func (e *avx) filterChannels(n, j reg.GPVirtual, body func(vectors int)) {
	for _, vectors := range []int{2, 1} {
		loop, done := e.label("channels"), e.label("channelsDone")
		e.Label(loop)
		e.CMPQ(n, operand.I32(vectors*e.lanes))
		e.JLT(operand.LabelRef(done))
		body(vectors)
		e.ADDQ(operand.I32(vectors*e.bytes()), j)
		e.SUBQ(operand.I32(vectors*e.lanes), n)
		e.JMP(operand.LabelRef(loop))
		e.Label(done)
	}
	if !e.wide() {
		return
	}
	done := e.label("channelsEnd")
	e.TESTQ(n, n)
	e.JEQ(operand.LabelRef(done))
	e.tailMask(n)
	e.masked = true
	body(1)
	e.masked = false
	e.Label(done)
}
