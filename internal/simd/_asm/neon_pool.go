package main

// pool writes the max pooling kernels. They do whole vectors of channels only;
// Go does the rest.
func (e *neon) pool() {
	e.maxPool(true)
	e.maxPool(false)
	e.maxPoolGrad()
}

func (e *neon) maxPool(withArg bool) {
	if withArg {
		e.begin("maxPoolArg", "y *float32, arg *uint16, x *float32, w *int", "is vec.maxPoolChannels.")
	} else {
		e.begin("maxPool", "y *float32, x *float32, w *int", "is vec.maxPoolChannels without arg.")
	}
	y, src, w := e.loadInt("y"), e.loadInt("x"), e.loadInt("w")
	field := func(name string, r x) { e.op("MOVD %d(%v), %v", window.Offset(name), w, r) }
	var arg x
	var one, tap0, step, bestTap, tap *value
	t := e.gp()
	if withArg {
		arg = e.loadInt("arg")
		one, tap0, step, bestTap, tap = e.pin(), e.pin(), e.pin(), e.pin(), e.pin()
		e.op("MOVD $1, %v", t)
		e.dupGeneral(one.reg, t)
		field("tap", t)
		e.dupGeneral(tap0.reg, t)
		// From the end of a row of taps to the next: tapStep - cols.
		u := e.gp()
		field("tapStep", t)
		field("cols", u)
		e.op("SUB %v, %v", u, t)
		e.dupGeneral(step.reg, t)
	}
	best := e.pin()
	pixels, rowStep, colStep, pixelStep, c := e.gp(), e.gp(), e.gp(), e.gp(), e.gp()
	field("pixels", pixels)
	field("rowStep", rowStep)
	field("colStep", colStep)
	field("pixelStep", pixelStep)
	for _, r := range []x{rowStep, colStep, pixelStep} {
		e.op("LSL $2, %v", r)
	}
	field("c", c)
	from, n, row, at, rows, cols := e.gp(), e.gp(), e.gp(), e.gp(), e.gp(), e.gp()
	pixel, channel, rowLoop, colLoop, done := e.label("pixel"), e.label("channel"), e.label("row"), e.label("col"), e.label("pixelDone")

	e.at(pixel)
	e.op("MOVD %v, %v", src, from)
	e.op("MOVD %v, %v", c, n)
	e.op("SUBS $4, %v", n)
	e.op("BLT %s", done)
	e.at(channel)
	e.op("MOVD %v, %v", from, row)
	field("rows", rows)
	e.load(whole, best.reg, row, 0)
	if withArg {
		e.move(bestTap.reg, tap0.reg)
		e.move(tap.reg, tap0.reg)
	}
	e.at(rowLoop)
	e.op("MOVD %v, %v", row, at)
	field("cols", cols)
	e.at(colLoop)
	e.block(func() {
		v := e.ld(mem{base: at})
		// Larger, or NaN: not equal to itself.
		same := e.op3("fcmeq", v, v)
		more := e.op3("fcmgt", v, best)
		mask := e.op3("orn", more, same)
		e.change("bit", best, v, mask)
		if withArg {
			e.change("bit", bestTap, tap, mask)
			e.change("add", tap, tap, one)
		}
	})
	e.op("ADD %v, %v", colStep, at)
	e.op("SUBS $1, %v", cols)
	e.op("BNE %s", colLoop)
	if withArg {
		e.three("add", tap.reg, tap.reg, step.reg)
	}
	e.op("ADD %v, %v", rowStep, row)
	e.op("SUBS $1, %v", rows)
	e.op("BNE %s", rowLoop)
	e.saveNext(whole, best.reg, y, 16)
	if withArg {
		e.two("xtn", bestTap.reg, bestTap.reg)
		e.saveNext(half, bestTap.reg, arg, 8)
	}
	e.op("ADD $16, %v", from)
	e.op("SUBS $4, %v", n)
	e.op("BGE %s", channel)
	e.at(done)
	// On to the next pixel, past the channels that are left to Go.
	e.op("ADD $4, %v", n)
	e.op("ADD %v<<2, %v", n, y)
	if withArg {
		e.op("ADD %v<<1, %v", n, arg)
	}
	e.op("ADD %v, %v", pixelStep, src)
	e.op("SUBS $1, %v", pixels)
	e.op("BNE %s", pixel)
	e.end()
}

func (e *neon) maxPoolGrad() {
	e.begin("maxPoolGrad", "dx, dy *float32, arg *uint16, tap, pixels, c, step int", "is vec.maxPoolGradChannels.")
	dx, dy, arg, pixels, c, step := e.loadInt("dx"), e.loadInt("dy"), e.loadInt("arg"), e.loadInt("pixels"), e.loadInt("c"), e.loadInt("step")
	tap := e.loadWord("tap")
	n, to := e.gp(), e.gp()
	pixel, channel, done := e.label("pixel"), e.label("channel"), e.label("pixelDone")
	e.at(pixel)
	e.op("MOVD %v, %v", dx, to)
	e.op("MOVD %v, %v", c, n)
	e.op("SUBS $4, %v", n)
	e.op("BLT %s", done)
	e.at(channel)
	e.block(func() {
		taps := e.v()
		e.do(func() { e.load(half, taps.reg, arg, 0) }, taps)
		mask := e.op3("cmeq", e.op2("uxtl", taps), tap)
		d := e.ld(mem{base: to})
		sum := e.add(d, e.ld(mem{base: dy}))
		e.st(e.choose(mask, sum, d), mem{base: to})
	})
	e.op("ADD $8, %v", arg)
	e.op("ADD $16, %v", to)
	e.op("ADD $16, %v", dy)
	e.op("SUBS $4, %v", n)
	e.op("BGE %s", channel)
	e.at(done)
	e.op("ADD $4, %v", n)
	e.op("ADD %v<<2, %v", n, dy)
	e.op("ADD %v<<1, %v", n, arg)
	e.op("ADD %v<<2, %v", step, dx)
	e.op("SUBS $1, %v", pixels)
	e.op("BNE %s", pixel)
	e.end()
}
