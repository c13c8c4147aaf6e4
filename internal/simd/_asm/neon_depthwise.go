package main

// depthwise writes the kernel of depthwise convolutions: the sums of four pixels and
// a vector of channels are in registers. It does whole vectors of channels only; Go
// does the rest.
func (e *neon) depthwise() {
	e.begin("depthwise", "y, x, w, bias *float32, f *int, lo, hi float32", "is vec.filters.channels.")
	y, src, w, bias, f := e.loadInt("y"), e.loadInt("x"), e.loadInt("w"), e.loadInt("bias"), e.loadInt("f")
	lo, hi := e.loadScalar("lo"), e.loadScalar("hi")
	field := func(name string, r x) { e.op("MOVD %d(%v), %v", filters.Offset(name), f, r) }
	pixel, rowSkip, colStep, weightSkip, c, pixels := e.gp(), e.gp(), e.gp(), e.gp(), e.gp(), e.gp()
	field("pixelStep", pixel)
	field("rowSkip", rowSkip)
	field("colStep", colStep)
	field("weightSkip", weightSkip)
	field("c", c)
	field("pixels", pixels)
	from, weights, biases, to, n := e.gp(), e.gp(), e.gp(), e.gp(), e.gp()
	at, tap, rows, cols := e.gp(), e.gp(), e.gp(), e.gp()
	next := to // while sums are made
	sums := []*value{e.pin(), e.pin(), e.pin(), e.pin()}
	for _, count := range []int{4, 1} { // pixels at a time
		loop, channel, channelsDone, done := e.label("pixels"), e.label("channel"), e.label("channelsDone"), e.label("pixelsDone")
		rowLoop, colLoop := e.label("row"), e.label("col")
		e.at(loop)
		e.op("CMP $%d, %v", count, pixels)
		e.op("BLT %s", done)
		e.op("MOVD %v, %v", src, from)
		e.op("MOVD %v, %v", w, weights)
		e.op("MOVD %v, %v", bias, biases)
		e.op("MOVD %v, %v", c, n)
		e.op("SUBS $4, %v", n)
		e.op("BLT %s", channelsDone)
		e.at(channel)
		for _, s := range sums[:count] {
			e.zero(s.reg)
		}
		e.op("MOVD %v, %v", from, at)
		e.op("MOVD %v, %v", weights, tap)
		field("rows", rows)
		e.at(rowLoop)
		field("cols", cols)
		e.at(colLoop)
		e.block(func() {
			factor := e.ld(mem{base: tap})
			for p, s := range sums[:count] {
				if p > 0 {
					base := at
					if p > 1 {
						base = next
					}
					e.plain("ADD %v, %v, %v", pixel, base, next)
					e.fma(e.ld(mem{base: next}), factor, s)
					continue
				}
				e.fma(e.ld(mem{base: at}), factor, s)
			}
		})
		e.op("ADD %v, %v", colStep, at)
		e.op("ADD %v<<2, %v", c, tap)
		e.op("SUBS $1, %v", cols)
		e.op("BNE %s", colLoop)
		e.op("ADD %v, %v", rowSkip, at)
		e.op("ADD %v, %v", weightSkip, tap)
		e.op("SUBS $1, %v", rows)
		e.op("BNE %s", rowLoop)
		// The output has the same channels: from there on, a pixel is c floats.
		e.op("SUB %v, %v, %v", w, weights, to)
		e.op("ADD %v, %v", y, to)
		e.block(func() {
			b := e.ld(mem{base: biases})
			for p, s := range sums[:count] {
				if p > 0 {
					e.plain("ADD %v<<2, %v", c, to)
				}
				e.st(e.min(e.max(e.add(s, b), lo), hi), mem{base: to})
			}
		})
		for _, r := range []x{from, weights, biases} {
			e.op("ADD $16, %v", r)
		}
		e.op("SUBS $4, %v", n)
		e.op("BGE %s", channel)
		e.at(channelsDone)
		for range count {
			e.op("ADD %v, %v", pixel, src)
			e.op("ADD %v<<2, %v", c, y)
		}
		e.op("SUB $%d, %v", count, pixels)
		e.op("JMP %s", loop)
		e.at(done)
	}
	e.end()
}
