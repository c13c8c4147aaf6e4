package main

func (e *neon) moves() {
	e.normalizeU8()
	e.transpose4()
	e.dropout()
}

// normalizeU8 does a multiple of 8 elements.
func (e *neon) normalizeU8() {
	e.begin("normalizeU8", "dst *float32, src *byte, scale, shift *float32, n int",
		"computes dst = src*scale + shift; n is a positive multiple of 8.")
	dst, src, scale, shift, n := e.loadInt("dst"), e.loadInt("src"), e.loadInt("scale"), e.loadInt("shift"), e.loadInt("n")
	loop := e.label("loop")
	e.at(loop)
	e.block(func() {
		bytes := e.v()
		e.do(func() { e.load(half, bytes.reg, src, 0) }, bytes)
		words := e.op2("uxtlb", bytes)
		for i, widen := range []string{"uxtl", "uxtl2"} {
			f := e.op2("ucvtf", e.op2(widen, words))
			b := e.ld(mem{base: shift, off: 16 * i})
			e.st(e.fma(f, e.ld(mem{base: scale, off: 16 * i}), b), mem{base: dst, off: 16 * i})
		}
	})
	e.op("ADD $8, %v", src)
	for _, p := range []x{dst, scale, shift} {
		e.op("ADD $32, %v", p)
	}
	e.op("SUBS $8, %v", n)
	e.op("BNE %s", loop)
	e.end()
}

// zip4 transposes a square of 4x4.
func (e *neon) zip4(r [4]*value) [4]*value {
	a, b := e.op3("zip1", r[0], r[1]), e.op3("zip2", r[0], r[1])
	c, d := e.op3("zip1", r[2], r[3]), e.op3("zip2", r[2], r[3])
	return [4]*value{e.op3("zip1d", a, c), e.op3("zip2d", a, c), e.op3("zip1d", b, d), e.op3("zip2d", b, d)}
}

// transpose4 does 4 rows of the source and a multiple of 4 columns.
func (e *neon) transpose4() {
	e.begin("transpose", "dst *float32, dstStride int, src *float32, srcStride int, cols int",
		"computes dst[j*dstStride+i] = src[i*srcStride+j] for i < 4, j < cols; cols is a positive multiple of 4.")
	dst, ds, src, ss, cols := e.loadInt("dst"), e.loadInt("dstStride"), e.loadInt("src"), e.loadInt("srcStride"), e.loadInt("cols")
	rows := [4]x{src, e.gp(), e.gp(), e.gp()}
	e.op("LSL $2, %v", ss)
	e.op("LSL $2, %v", ds)
	for i := 1; i < 4; i++ {
		e.op("ADD %v, %v, %v", ss, rows[i-1], rows[i])
	}
	loop := e.label("loop")
	e.at(loop)
	e.block(func() {
		var r [4]*value
		for i := range r {
			r[i] = e.ld(mem{base: rows[i]})
		}
		for _, c := range e.zip4(r) {
			e.st(c, mem{base: dst})
			e.plain("ADD %v, %v", ds, dst)
		}
	})
	for _, r := range rows {
		e.op("ADD $16, %v", r)
	}
	e.op("SUBS $4, %v", cols)
	e.op("BNE %s", loop)
	e.end()
}

// dropout writes Philox4x32-10 on four blocks at a time, a lane each.
func (e *neon) dropout() {
	e.begin("dropout", "y, x *float32, n int, limit uint32, scale float32, ctr, keys *uint32",
		"is vec.dropoutGeneric on whole blocks; n is a multiple of 16, keys are the keys of the 10 rounds.")
	y, from, n := e.loadInt("y"), e.loadInt("x"), e.loadInt("n")
	limit, scale := e.loadWord("limit"), e.loadScalar("scale")
	ctr, keys, t := e.loadInt("ctr"), e.loadInt("keys"), e.gp()
	e.useConstants()
	var start [4]*value
	for i := range start {
		start[i] = e.field(ctr, i)
	}
	// The numbers of the blocks: 0 to 3 beyond the first.
	for lane := range 4 {
		e.op("MOVD $%d, %v", lane, t)
		e.insert(0, t, lane)
	}
	e.three("add", start[0].reg, start[0].reg, 0)
	mul0, mul1 := e.pin(), e.pin()
	e.block(func() {
		for _, m := range []struct {
			to   *value
			bits uint32
		}{{mul0, 0xD2511F53}, {mul1, 0xCD9E8D57}} {
			w := e.word32(m.bits)
			e.do(func() { e.move(m.to.reg, w.reg) }, nil, m.to, w)
		}
	})
	loop, done := e.label("loop"), e.label("done")
	e.at(loop)
	e.op("SUBS $16, %v", n)
	e.op("BLT %s", done)
	e.block(func() {
		c := start
		for round := range 10 {
			product := func(w, m *value) (lo, hi *value) {
				a, b := e.v(), e.v()
				e.do(func() { e.multiplyLong(a.reg, w.reg, m.reg, false) }, a, w, m)
				e.do(func() { e.multiplyLong(b.reg, w.reg, m.reg, true) }, b, w, m)
				return e.op3("uzp1", a, b), e.op3("uzp2", a, b)
			}
			key := func(i int) *value {
				k := e.v()
				e.do(func() {
					e.op("ADD $%d, %v, %v", 4*(2*round+i), keys, t)
					e.broadcast(k.reg, t)
				}, k)
				return k
			}
			lo0, hi0 := product(c[0], mul0)
			lo1, hi1 := product(c[2], mul1)
			c = [4]*value{
				e.op3("eor", e.op3("eor", hi1, c[1]), key(0)), lo1,
				e.op3("eor", e.op3("eor", hi0, c[3]), key(1)), lo0,
			}
		}
		// The words of a block side by side.
		for i, r := range e.zip4(c) {
			v := e.mul(e.ld(mem{base: from, off: 16 * i}), scale)
			e.st(e.op3("and", v, e.op3("cmhs", r, limit)), mem{base: y, off: 16 * i})
		}
		e.change("add", start[0], start[0], e.word32(4))
	})
	e.op("ADD $64, %v", from)
	e.op("ADD $64, %v", y)
	e.op("B %s", loop)
	e.at(done)
	e.end()
}

// peakChains is how many sums run at once, enough for any core's pipelines.
const peakChains = 24

func (e *neon) peak() {
	e.begin("fmaPeak", "n int", "runs n times 24 multiplications and additions of vectors.")
	n := e.loadInt("n")
	for i := range 26 {
		e.zero(v(i))
	}
	loop := e.label("loop")
	e.at(loop)
	for i := range peakChains {
		e.three("fmla", v(i), 24, 25)
	}
	e.op("SUBS $1, %v", n)
	e.op("BNE %s", loop)
	e.end()
}
