package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// depthwise writes the kernel of depthwise convolutions.
func (e *avx) depthwise() {
	e.begin("depthwise", "func(y, x, w, bias *float32, f *int, lo, hi float32)", "is vec.filters.channels.")
	lo, hi := e.loadScalar("lo"), e.loadScalar("hi")
	e.filters(e.fmaTo, func(sum operand.Op, bias operand.Mem) operand.Op {
		return e.min(hi, e.max(lo, e.add(sum, e.ld(bias))))
	})
}

// depthwiseWords writes the kernels of depthwise convolutions whose taps lie in words, and
// those that make the words: of four bytes where an instruction sums their products
// (AVX-512 with VNNI), and of two pairs.
func (e *avx) depthwiseWords() {
	for _, taps := range []int{4, 2} {
		if taps == 4 && !e.wide() {
			continue
		}
		stem := map[int]string{4: "Bytes", 2: "Pairs"}[taps]
		e.begin("depthwise"+stem, "func(y *int32, x, w *uint32, bias *int32, f *int)", "is vec.filters.sumWords.")
		dot := func(w operand.Op, x operand.Mem, sum operand.Op) {
			if taps == 4 {
				e.VPDPBUSD(w, e.ld(x), sum)
				return
			}
			t := e.v()
			e.VPMADDWD(e.ld(x), w, t)
			e.VPADDD(t, sum, sum)
		}
		e.filters(dot, func(sum operand.Op, bias operand.Mem) operand.Op {
			e.VPADDD(e.ld(bias), sum, sum)
			return sum
		})
		e.joinTaps(stem, taps)
	}
}

// joinTaps writes the kernel that makes words of the bytes of taps.
func (e *avx) joinTaps(stem string, taps int) {
	e.begin("join"+stem, "func(dst *uint32, x *uint8, c, pixels, step, tapStep int)", "is vec.joinTaps: step and tapStep are the bytes between pixels and between taps.")
	dst, x, c, pixels, step, tapStep := e.loadInt("dst"), e.loadInt("x"), e.loadInt("c"), e.loadInt("pixels"), e.loadInt("step"), e.loadInt("tapStep")
	tap3 := e.GP64()
	e.LEAQ(operand.Mem{Base: tapStep, Index: tapStep, Scale: 2}, tap3)
	loop := e.label("joined")
	e.Label(loop)
	n, at := e.GP64(), e.GP64()
	e.MOVQ(c, n)
	e.MOVQ(x, at)
	to := e.GP64()
	e.MOVQ(dst, to)
	j := e.GP64() // filterChannels moves it by the bytes of words
	e.XORQ(j, j)
	e.filterChannels(n, j, func(vectors int) {
		for v := range vectors {
			var word operand.Op
			for t := range taps {
				m := operand.Mem{Base: at, Disp: v * e.lanes}
				switch t {
				case 1, 2:
					m.Index, m.Scale = tapStep, uint8(t)
				case 3:
					m.Index, m.Scale = tap3, 1
				}
				bytes := e.v()
				if e.masked {
					e.VPMOVZXBD_Z(m, e.k, bytes)
				} else {
					e.VPMOVZXBD(m, bytes)
				}
				if t == 0 {
					word = bytes
					continue
				}
				e.VPSLLD(operand.Imm(uint64(32/taps*t)), bytes, bytes)
				word = e.or(word, bytes)
			}
			e.st(word, operand.Mem{Base: to, Index: j, Scale: 1, Disp: v * e.bytes()})
		}
		e.ADDQ(operand.I32(vectors*e.lanes), at)
	})
	e.ADDQ(step, x)
	e.LEAQ(operand.Mem{Base: dst, Index: c, Scale: 4}, dst)
	e.DECQ(pixels)
	e.JNE(operand.LabelRef(loop))
	e.end()
}

// fmaTo adds a*m to acc in place.
func (e *avx) fmaTo(a operand.Op, m operand.Mem, acc operand.Op) {
	if e.masked {
		e.fma(a, e.ld(m), acc)
		return
	}
	e.fma(a, m, acc)
}

// filters writes the loops of a depthwise convolution, whose arguments are y, x, w, bias and
// f. They keep the sums of four pixels and two vectors of channels in registers: eight
// chains hide the latency of products, which dot adds to a sum, and each weight is loaded
// once for four pixels. finish makes what is stored of a sum.
func (e *avx) filters(dot func(w operand.Op, x operand.Mem, sum operand.Op), finish func(sum operand.Op, bias operand.Mem) operand.Op) {
	y, x, w, bias, f := e.loadInt("y"), e.loadInt("x"), e.loadInt("w"), e.loadInt("bias"), e.loadInt("f")
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
					dot(factor, m, sums[p][v])
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
					sum := finish(sums[p][v], operand.Mem{Base: bias, Index: j, Scale: 1, Disp: v * e.bytes()})
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
