package main

import (
	"fmt"

	op "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winoPoints are a and b of kernel.winogradA and kernel.winogradB.
const winoA, winoB = 0.625, 1.5

// winograd writes the transforms of kernel/winograd_transform.go: the AVX-512
// ones for any number of channels, the AVX2 ones for whole vectors.
func winograd(e *emit) {
	for _, m := range []int{2, 4} {
		winogradInput(e, m)
		winogradOutput(e, m, false)
		winogradOutput(e, m, true)
	}
}

// constants makes an operand for each number: a register where there are
// enough of them.
func (e *emit) constants(list ...float64) map[float64]op.Op {
	m := map[float64]op.Op{}
	for _, f := range list {
		if e.wide() {
			m[f] = e.constant(f)
		} else {
			m[f] = e.float(f)
		}
	}
	return m
}

func (e *emit) copyOf(a vec) vec { d := e.v(); e.VMOVAPS(a, d); return d }

// inputLine is one pass of kernel.inputLine4 or inputLine2 over d, which it
// overwrites.
func (e *emit) inputLine(k map[float64]op.Op, d []vec) []vec {
	if len(d) == 4 {
		return []vec{e.sub(d[0], d[2]), e.add(d[1], d[2]), e.sub(d[2], d[1]), e.sub(d[3], d[1])}
	}
	const a, b = winoA, winoB
	r0 := e.fnma(d[2], k[a*a+b*b], e.fma(d[0], k[a*a*b*b], e.copyOf(d[4])))
	pa, pb := e.fnma(d[2], k[b*b], e.copyOf(d[4])), e.fnma(d[2], k[a*a], d[4])
	r5 := e.fnma(d[3], k[a*a+b*b], e.fma(d[1], k[a*a*b*b], d[5]))
	qa, qb := e.fnma(d[1], k[b*b], e.copyOf(d[3])), e.fnma(d[1], k[a*a], d[3])
	r1, r2 := e.fma(qa, k[a], e.copyOf(pa)), e.fnma(qa, k[a], pa)
	r3, r4 := e.fma(qb, k[b], e.copyOf(pb)), e.fnma(qb, k[b], pb)
	return []vec{r0, r1, r2, r3, r4, r5}
}

// outputLine is one pass of kernel.outputLine4 or outputLine2.
func (e *emit) outputLine(k map[float64]op.Op, m []vec) []vec {
	if len(m) == 4 {
		return []vec{e.add(m[0], e.add(m[1], m[2])), e.add(m[3], e.sub(m[1], m[2]))}
	}
	const a, b = winoA, winoB
	s1, d1, s2, d2 := e.add(m[1], m[2]), e.sub(m[1], m[2]), e.add(m[3], m[4]), e.sub(m[3], m[4])
	o0 := e.add(m[0], e.add(s1, s2))
	o3 := e.fma(d2, k[b*b*b], e.fma(d1, k[a*a*a], m[5]))
	o1 := e.fma(d2, k[b], e.mul(d1, k[a]))
	o2 := e.fma(s2, k[b*b], e.mul(s1, k[a*a]))
	return []vec{o0, o1, o2, o3}
}

// square holds what the first pass leaves for the second: some rows in
// registers, the others in memory.
type square struct {
	e    *emit
	tmp  reg.GPVirtual
	keep int
	cols int
	regs map[int]vec
}

func (s *square) set(row, col int, v vec) {
	if row < s.keep {
		s.regs[row*s.cols+col] = v
		return
	}
	s.e.VMOVUPS(v, op.Mem{Base: s.tmp, Disp: (row*s.cols + col) * s.e.bytes()})
}

func (s *square) row(row int) (list []vec) {
	for col := range s.cols {
		if row < s.keep {
			list = append(list, s.regs[row*s.cols+col])
			continue
		}
		v := s.e.v()
		s.e.VMOVUPS(op.Mem{Base: s.tmp, Disp: (row*s.cols + col) * s.e.bytes()}, v)
		list = append(list, v)
	}
	return list
}

// strided returns operands at p, p+step, … and moves p as it goes, at most two
// steps an operand.
type strided struct {
	e       *emit
	p, step reg.GPVirtual
	n       int
}

func (s *strided) next() op.Mem {
	m := op.Mem{Base: s.p}
	switch s.n {
	case 1:
		m.Index, m.Scale = s.step, 1
	case 2:
		m.Index, m.Scale = s.step, 2
	}
	s.n++
	return m
}

// flush moves p over the operands that next has given.
func (s *strided) flush() {
	for ; s.n > 0; s.n-- {
		s.e.ADDQ(s.step, s.p)
	}
}

func (s *strided) mem() op.Mem {
	if s.n == 3 {
		s.flush()
	}
	return s.next()
}

func winogradInput(e *emit, m int) {
	t := m + 2
	e.begin(fmt.Sprintf("winogradInput%d", m), "func(v *float32, pos int, rows **float32, pixel, left, right, n int, tmp *float32)",
		fmt.Sprintf("is kernel.winogradInput for tiles of %dx%d outputs.", m, m))
	var k map[float64]op.Op
	if m == 4 {
		const a, b = winoA, winoB
		k = e.constants(a, b, a*a, b*b, a*a+b*b, a*a*b*b)
	}
	v, pos := e.loadInt("v"), e.loadInt("pos")
	table := e.loadInt("rows")
	var rows []reg.GPVirtual
	for i := range t {
		rows = append(rows, e.GP64())
		e.MOVQ(op.Mem{Base: table, Disp: 8 * i}, rows[i])
	}
	tmp := e.loadInt("tmp")
	n, j := e.loadInt("n"), e.GP64()
	e.XORQ(j, j)
	e.channels(n, j, func() {
		sq := &square{e: e, tmp: tmp, cols: t, regs: map[int]vec{}}
		at := e.GP64()
		e.MOVQ(j, at)
		e.SHLQ(op.Imm(2), at)
		for col := range t {
			outside, next := e.label("outside"), e.label("col")
			e.CMPQ(e.argument("left"), op.Imm(uint64(col)))
			e.JGT(op.LabelRef(outside))
			e.CMPQ(e.argument("right"), op.Imm(uint64(col)))
			e.JLE(op.LabelRef(outside))
			var d []vec
			for row := range t {
				d = append(d, e.ld(op.Mem{Base: rows[row], Index: at, Scale: 1}))
			}
			for row, r := range e.inputLine(k, d) {
				sq.set(row, col, r)
			}
			e.ADDQ(e.argument("pixel"), at)
			e.JMP(op.LabelRef(next))
			e.Label(outside)
			z := e.zero()
			for row := range t {
				sq.set(row, col, z)
			}
			e.Label(next)
		}
		to := &strided{e: e, p: e.GP64(), step: pos}
		e.LEAQ(op.Mem{Base: v, Index: j, Scale: 4}, to.p)
		for row := range t {
			for _, r := range e.inputLine(k, sq.row(row)) {
				e.st(r, to.mem())
			}
		}
	})
	e.end()
}

func winogradOutput(e *emit, m int, residual bool) {
	t := m + 2
	name, doc := fmt.Sprintf("winogradOutput%d", m), fmt.Sprintf("is kernel.winogradOutput for tiles of %dx%d outputs.", m, m)
	if residual {
		name, doc = name+"Add", doc[:len(doc)-1]+" that adds res."
	}
	e.begin(name, "func(y, res, m *float32, pos int, bias *float32, row, pixel, height, width, n int, lo, hi float32, tmp *float32)", doc)
	var k map[float64]op.Op
	if m == 4 {
		const a, b = winoA, winoB
		k = e.constants(a, b, a*a, b*b, a*a*a, b*b*b)
	}
	y, src, pos, bias := e.loadInt("y"), e.loadInt("m"), e.loadInt("pos"), e.loadInt("bias")
	var res reg.GPVirtual
	if residual {
		res = e.loadInt("res")
	}
	lo, hi := e.loadScalar("lo"), e.loadScalar("hi")
	rowStep, pixel := e.loadInt("row"), e.loadInt("pixel")
	tmp := e.loadInt("tmp")
	n, j := e.loadInt("n"), e.GP64()
	e.XORQ(j, j)
	e.channels(n, j, func() {
		sq := &square{e: e, tmp: tmp, cols: t, regs: map[int]vec{}}
		// Down the columns, which are t positions apart.
		from := e.GP64()
		e.LEAQ(op.Mem{Base: src, Index: j, Scale: 4}, from)
		step := e.GP64() // a row of positions
		e.LEAQ(op.Mem{Base: pos, Index: pos, Scale: 2}, step)
		if t == 6 {
			e.ADDQ(step, step)
		} else {
			e.ADDQ(pos, step)
		}
		for col := range t {
			at := &strided{e: e, p: e.GP64(), step: step}
			e.MOVQ(from, at.p)
			var d []vec
			for range t {
				d = append(d, e.ld(at.mem()))
			}
			for row, r := range e.outputLine(k, d) {
				sq.set(row, col, r)
			}
			e.ADDQ(pos, from)
		}
		b := e.ld(op.Mem{Base: bias, Index: j, Scale: 4})
		off, at := e.GP64(), e.GP64()
		done := e.label("stored")
		e.MOVQ(j, off)
		e.SHLQ(op.Imm(2), off)
		for row := range m {
			e.CMPQ(e.argument("height"), op.Imm(uint64(row)))
			e.JLE(op.LabelRef(done))
			next := e.label("next")
			e.MOVQ(off, at)
			for col, r := range e.outputLine(k, sq.row(row)) {
				if col > 0 {
					e.CMPQ(e.argument("width"), op.Imm(uint64(col)))
					e.JLE(op.LabelRef(next))
				}
				r = e.add(r, b)
				if residual {
					r = e.add(r, e.ld(op.Mem{Base: res, Index: at, Scale: 1}))
				}
				e.st(e.min(hi, e.max(lo, r)), op.Mem{Base: y, Index: at, Scale: 1})
				e.ADDQ(pixel, at)
			}
			e.Label(next)
			e.ADDQ(rowStep, off)
		}
		e.Label(done)
	})
	e.end()
}
