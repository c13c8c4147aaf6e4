package main

func (e *neon) prologue(k *kernel, counts string) {
	e.begin(k.name, k.signature(counts), k.doc)
	for _, n := range append(append([]string{}, k.streams...), k.channels...) {
		e.loadInt(n)
	}
	for _, n := range k.scalars {
		e.loadScalar(n)
	}
	if k.consts {
		e.useConstants()
	}
	if k.setup != nil {
		k.setup()
	}
}

// span runs body over n elements, which it counts down: unroll vectors at a
// time, then one, then the rest one by one. The pointers move along; body adds
// disp to them.
func (e *neon) span(n x, pointers []x, unroll int, body func(disp int)) {
	move := func(bytes int) {
		for _, p := range pointers {
			e.op("ADD $%d, %v", bytes, p)
		}
	}
	one, tail, rest, done := e.label("vector"), e.label("tail"), e.label("rest"), e.label("done")
	if unroll > 1 {
		loop := e.label("loop")
		e.op("SUBS $%d, %v", 4*unroll, n)
		e.op("BLT %s", tail)
		e.at(loop)
		for u := range unroll {
			e.block(func() { body(16 * u) })
		}
		move(16 * unroll)
		e.op("SUBS $%d, %v", 4*unroll, n)
		e.op("BGE %s", loop)
		e.at(tail)
		e.op("ADD $%d, %v", 4*unroll, n)
	}
	e.op("SUBS $4, %v", n)
	e.op("BLT %s", rest)
	e.at(one)
	e.block(func() { body(0) })
	move(16)
	e.op("SUBS $4, %v", n)
	e.op("BGE %s", one)
	e.at(rest)
	e.op("ADDS $4, %v", n)
	e.op("BEQ %s", done)
	last := e.label("single")
	e.at(last)
	e.single = true
	e.block(func() { body(0) })
	e.single = false
	move(4)
	e.op("SUBS $1, %v", n)
	e.op("BNE %s", last)
	e.at(done)
}

func (e *neon) pointers(names []string) (list []x) {
	for _, n := range names {
		list = append(list, e.ptr[n])
	}
	return list
}

// flat writes a kernel over n elements. body gets the address of each stream.
func (e *neon) flat(k kernel, body func(at func(name string) mem)) {
	e.prologue(&k, "n int")
	n := e.loadInt("n")
	e.span(n, e.pointers(k.streams), max(k.unroll, 1), func(disp int) {
		body(func(s string) mem { return mem{base: e.ptr[s], off: disp} })
	})
	if k.finish != nil {
		k.finish()
	}
	e.end()
}

// rows writes a kernel over rows x c elements with per-channel operands.
func (e *neon) rows(k kernel, body func(at func(name string) mem)) {
	e.prologue(&k, "rows, c int")
	rows, c, n := e.loadInt("rows"), e.loadInt("c"), e.gp()
	loop, done := e.label("row"), e.label("end")
	e.at(loop)
	e.op("SUBS $1, %v", rows)
	e.op("BLT %s", done)
	e.op("MOVD %v, %v", c, n)
	e.span(n, append(e.pointers(k.streams), e.pointers(k.channels)...), max(k.unroll, 1), func(disp int) {
		body(func(s string) mem { return mem{base: e.ptr[s], off: disp} })
	})
	for _, p := range e.pointers(k.channels) {
		e.op("SUB %v<<2, %v", c, p)
	}
	e.op("B %s", loop)
	e.at(done)
	e.end()
}

// sums writes a kernel that reduces rows x c elements to per-channel values,
// block rows at a time. body gets the addresses of each row of the block and of
// the channels.
func (e *neon) sums(k kernel, block int, body func(rows int, at func(stream string, row int) mem, ch func(name string) mem)) {
	e.prologue(&k, "rows, c int")
	rows, c, n := e.loadInt("rows"), e.loadInt("c"), e.gp()
	step := make([]x, block) // to row r of a block
	for r := 1; r < block; r++ {
		step[r] = e.gp()
		if r == 1 {
			e.op("LSL $2, %v, %v", c, step[r])
		} else {
			e.op("ADD %v, %v, %v", step[1], step[r-1], step[r])
		}
	}
	pass := func(count int) {
		loop, done := e.label("rows"), e.label("few")
		e.at(loop)
		e.op("CMP $%d, %v", count, rows)
		e.op("BLT %s", done)
		e.op("MOVD %v, %v", c, n)
		e.span(n, append(e.pointers(k.streams), e.pointers(k.channels)...), 1, func(int) {
			body(count, func(s string, r int) mem {
				m := mem{base: e.ptr[s]}
				if r > 0 {
					m.index = step[r]
				}
				return m
			}, func(name string) mem { return mem{base: e.ptr[name]} })
		})
		for _, p := range e.pointers(k.channels) {
			e.op("SUB %v, %v", step[1], p)
		}
		if count > 1 {
			for _, p := range e.pointers(k.streams) {
				e.op("ADD %v, %v", step[count-1], p)
			}
		}
		e.op("SUB $%d, %v", count, rows)
		e.op("B %s", loop)
		e.at(done)
	}
	pass(block)
	pass(1)
	e.end()
}
