package main

// columnStats writes the kernels that sum the columns of rows, and their
// squares, both less a shift for each column.
func (e *neon) columnStats() {
	for _, panels := range []int{1, 2} {
		name := "columnSums1"
		if panels == 2 {
			name = "columnSums2"
		}
		e.begin(name, "s *float32, x *float32, rows, pitch int", "adds rows of floats, less a shift, to sums of them and of their squares.")
		s, x, rows, pitch := e.loadInt("s"), e.loadInt("x"), e.loadInt("rows"), e.loadInt("pitch")
		state := map[string][]*value{}
		for _, field := range []string{"shift", "sum", "sq"} {
			for i := range 4 * panels {
				r := e.pin()
				e.load(whole, r.reg, s, columnSums.Offset(field)+16*i)
				state[field] = append(state[field], r)
			}
		}
		loop := e.label("loop")
		e.at(loop)
		e.block(func() {
			for i := range 4 * panels {
				d := e.sub(e.ld(mem{base: x, off: 16 * i}), state["shift"][i])
				e.change("fadd", state["sum"][i], state["sum"][i], d)
				e.fma(d, d, state["sq"][i])
			}
		})
		e.op("ADD %v, %v", pitch, x)
		e.op("SUBS $1, %v", rows)
		e.op("BNE %s", loop)
		for _, field := range []string{"sum", "sq"} {
			for i, r := range state[field] {
				e.save(whole, r.reg, s, columnSums.Offset(field)+16*i)
			}
		}
		e.end()
	}
}
