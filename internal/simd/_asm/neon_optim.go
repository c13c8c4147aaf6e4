package main

// sumSquares adds the squares of n floats, a multiple of 32, to the 32 lanes.
func (e *neon) sumSquares() {
	e.begin("sumSquares", "lane *float64, x *float32, n int",
		"adds the squares of x[i], in float64, to lane[i%32]; n is a multiple of 32.")
	lane, x, n := e.loadInt("lane"), e.loadInt("x"), e.loadInt("n")
	var acc []*value
	for i := range 16 {
		a := e.pin()
		e.load(whole, a.reg, lane, 16*i)
		acc = append(acc, a)
	}
	e.at("squares")
	e.op("SUBS $32, %v", n)
	e.op("BLT squared")
	e.block(func() {
		for i := range 8 {
			v := e.ld(mem{base: x, off: 16 * i})
			lo, hi := e.op2("fcvtl", v), e.op2("fcvtl2", v)
			e.change("fmlad", acc[2*i], lo, lo)
			e.change("fmlad", acc[2*i+1], hi, hi)
		}
	})
	e.op("ADD $128, %v", x)
	e.op("B squares")
	e.at("squared")
	for i, a := range acc {
		e.save(whole, a.reg, lane, 16*i)
	}
	e.end()
}
