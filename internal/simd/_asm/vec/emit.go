package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	op "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set: its vectors hold that many float32.
type isa struct {
	name  string
	lanes int
}

var (
	avx512 = isa{"AVX512", 16}
	avx2   = isa{"AVX2", 8}
)

func (i isa) wide() bool { return i.lanes == 16 }
func (i isa) bytes() int { return 4 * i.lanes }

// Comparisons of VCMPPS.
const (
	eqOQ   = 0x00
	ltOQ   = 0x11
	leOQ   = 0x12
	unordQ = 0x03
	nleUQ  = 0x16 // not (a <= b): a > b or NaN
	gtOQ   = 0x1e
)

// emit writes one file. While it writes the tail of a loop, masked is set and
// loads and stores touch the first lanes only.
type emit struct {
	*build.Context
	isa
	masked bool
	k      reg.OpmaskVirtual // the tail on AVX-512
	m      reg.VecVirtual    // the tail on AVX2
	consts map[uint64]bool
	labels int
	// of the current function
	ptr    map[string]reg.GPVirtual
	scalar map[string]reg.VecVirtual
}

func (e *emit) v() reg.VecVirtual {
	if e.wide() {
		return e.ZMM()
	}
	return e.YMM()
}

func (e *emit) label(stem string) string {
	e.labels++
	return fmt.Sprintf("%s%d", stem, e.labels)
}

func (e *emit) begin(name, signature, doc string) {
	e.Function(name + e.name)
	e.Pragma("noescape")
	e.Attributes(attr.NOSPLIT)
	e.Doc(name + e.name + " " + doc)
	e.SignatureExpr(signature)
	e.ptr, e.scalar = map[string]reg.GPVirtual{}, map[string]reg.VecVirtual{}
}

func (e *emit) end() {
	e.VZEROUPPER()
	e.RET()
}

// loadInt reads an integer or pointer argument.
func (e *emit) loadInt(name string) reg.GPVirtual {
	r := e.GP64()
	e.Load(e.Param(name), r)
	e.ptr[name] = r
	return r
}

// argument is the memory operand of an argument.
func (e *emit) argument(name string) op.Mem {
	c, err := e.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return c.Addr
}

// loadScalar reads a float32 argument into all lanes. The instruction must not
// be one of SSE: after one that wrote a whole vector, that costs a hundred cycles.
func (e *emit) loadScalar(name string) reg.VecVirtual {
	v := e.v()
	e.VBROADCASTSS(e.argument(name), v)
	e.scalar[name] = v
	return v
}

// field reads float32 number i at the pointer into all lanes.
func (e *emit) field(base reg.GPVirtual, i int) reg.VecVirtual {
	v := e.v()
	e.VBROADCASTSS(op.Mem{Base: base, Disp: 4 * i}, v)
	return v
}

func (e *emit) zero() reg.VecVirtual {
	v := e.v()
	if e.wide() {
		e.VPXORD(v, v, v)
	} else {
		e.VXORPS(v, v, v)
	}
	return v
}

// word is a memory operand that holds a 32-bit constant in every lane.
func (e *emit) word(bits uint32) op.Mem {
	name := fmt.Sprintf("vec%08x", bits)
	if !e.consts[uint64(bits)] {
		e.consts[uint64(bits)] = true
		e.StaticGlobal(name)
		e.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := 0; i < e.lanes; i++ {
			e.AddDatum(4*i, op.U32(bits))
		}
	}
	return op.NewDataAddr(op.NewStaticSymbol(name), 0)
}

func (e *emit) float(f float64) op.Mem { return e.word(math.Float32bits(float32(f))) }

// constant is a register that holds a constant in every lane.
func (e *emit) constant(f float64) reg.VecVirtual {
	v := e.v()
	e.VMOVUPS(e.float(f), v)
	return v
}

func (e *emit) ld(m op.Mem) reg.VecVirtual {
	v := e.v()
	switch {
	case !e.masked:
		e.VMOVUPS(m, v)
	case e.wide():
		e.VMOVUPS_Z(m, e.k, v)
	default:
		e.VMASKMOVPS(m, e.m, v)
	}
	return v
}

func (e *emit) st(v reg.VecVirtual, m op.Mem) {
	switch {
	case !e.masked:
		e.VMOVUPS(v, m)
	case e.wide():
		e.VMOVUPS(v, e.k, m)
	default:
		e.VMASKMOVPS(v, e.m, m)
	}
}

// The arithmetic of one instruction each; the last operand may be memory.

func (e *emit) add(a reg.VecVirtual, b op.Op) reg.VecVirtual { d := e.v(); e.VADDPS(b, a, d); return d }
func (e *emit) sub(a reg.VecVirtual, b op.Op) reg.VecVirtual { d := e.v(); e.VSUBPS(b, a, d); return d }
func (e *emit) mul(a reg.VecVirtual, b op.Op) reg.VecVirtual { d := e.v(); e.VMULPS(b, a, d); return d }
func (e *emit) div(a reg.VecVirtual, b op.Op) reg.VecVirtual { d := e.v(); e.VDIVPS(b, a, d); return d }

// max returns b if either is NaN, else the larger.
func (e *emit) max(a reg.VecVirtual, b op.Op) reg.VecVirtual { d := e.v(); e.VMAXPS(b, a, d); return d }

// min returns b if either is NaN, else the smaller.
func (e *emit) min(a reg.VecVirtual, b op.Op) reg.VecVirtual { d := e.v(); e.VMINPS(b, a, d); return d }

// fma adds a*b to acc in place and returns it.
func (e *emit) fma(a reg.VecVirtual, b op.Op, acc reg.VecVirtual) reg.VecVirtual {
	e.VFMADD231PS(b, a, acc)
	return acc
}

// fnma subtracts a*b from acc in place and returns it.
func (e *emit) fnma(a reg.VecVirtual, b op.Op, acc reg.VecVirtual) reg.VecVirtual {
	e.VFNMADD231PS(b, a, acc)
	return acc
}

// horner makes p*x + c of p, in place.
func (e *emit) horner(p, x reg.VecVirtual, c op.Op) reg.VecVirtual {
	e.VFMADD213PS(c, x, p)
	return p
}

// poly evaluates a polynomial of x, the highest coefficient first.
func (e *emit) poly(x reg.VecVirtual, coefs ...float64) reg.VecVirtual {
	p := e.constant(coefs[0])
	for _, c := range coefs[1:] {
		e.horner(p, x, e.float(c))
	}
	return p
}

func (e *emit) bits(and func(ops ...op.Op), and2 func(a, b, c op.Op), a reg.VecVirtual, b op.Op) reg.VecVirtual {
	d := e.v()
	if e.wide() {
		and(b, a, d)
	} else {
		and2(b, a, d)
	}
	return d
}

func (e *emit) and(a reg.VecVirtual, b op.Op) reg.VecVirtual { return e.bits(e.VPANDD, e.VPAND, a, b) }
func (e *emit) or(a reg.VecVirtual, b op.Op) reg.VecVirtual  { return e.bits(e.VPORD, e.VPOR, a, b) }
func (e *emit) xor(a reg.VecVirtual, b op.Op) reg.VecVirtual { return e.bits(e.VPXORD, e.VPXOR, a, b) }

// keep returns v where the comparison a <pred> b holds, 0 elsewhere.
func (e *emit) keep(v reg.VecVirtual, pred uint8, a reg.VecVirtual, b op.Op) reg.VecVirtual {
	d := e.v()
	if e.wide() {
		k := e.K()
		e.VCMPPS(op.Imm(uint64(pred)), b, a, k)
		e.VMOVAPS_Z(v, k, d)
		return d
	}
	e.VCMPPS(op.Imm(uint64(pred)), b, a, d)
	e.VANDPS(d, v, d)
	return d
}

// choose returns yes where the comparison a <pred> b holds, else no.
func (e *emit) choose(pred uint8, a reg.VecVirtual, b op.Op, yes, no reg.VecVirtual) reg.VecVirtual {
	d := e.v()
	if e.wide() {
		k := e.K()
		e.VCMPPS(op.Imm(uint64(pred)), b, a, k)
		e.VBLENDMPS(yes, no, k, d)
		return d
	}
	e.VCMPPS(op.Imm(uint64(pred)), b, a, d)
	e.VBLENDVPS(d, yes, no, d)
	return d
}

// tailMask sets the mask to the first rem lanes, 0 < rem < lanes.
func (e *emit) tailMask(rem reg.Register) {
	t := e.GP64()
	if !e.consts[1<<40] {
		e.consts[1<<40] = true
		e.StaticGlobal("vectail")
		e.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := 0; e.wide() && i < e.lanes; i++ {
			e.AddDatum(2*i, op.U16(1<<i-1))
		}
		for i := 0; !e.wide() && i < 2*e.lanes; i++ {
			mask := uint32(math.MaxUint32)
			if i >= e.lanes {
				mask = 0
			}
			e.AddDatum(4*i, op.U32(mask))
		}
	}
	table := op.NewDataAddr(op.NewStaticSymbol("vectail"), 0)
	e.LEAQ(table, t)
	if e.wide() {
		e.k = e.K()
		e.KMOVW(op.Mem{Base: t, Index: rem, Scale: 2}, e.k)
		return
	}
	neg := e.GP64()
	e.MOVQ(rem, neg)
	e.NEGQ(neg)
	e.m = e.v()
	e.VMOVUPS(op.Mem{Base: t, Index: neg, Scale: 4, Disp: 4 * e.lanes}, e.m)
}

// span runs body over n elements (which it counts down): unroll vectors at a
// time, then one, then a masked rest. index, in bytes, moves along; body adds
// disp to it.
func (e *emit) span(n, index reg.GPVirtual, unroll int, body func(disp int)) {
	single, tail, done := e.label("single"), e.label("tail"), e.label("done")
	if unroll > 1 {
		loop := e.label("loop")
		e.Label(loop)
		e.CMPQ(n, op.I32(e.lanes*unroll))
		e.JLT(op.LabelRef(single))
		for u := range unroll {
			body(u * e.bytes())
		}
		e.ADDQ(op.I32(unroll*e.bytes()), index)
		e.SUBQ(op.I32(e.lanes*unroll), n)
		e.JMP(op.LabelRef(loop))
	}
	e.Label(single)
	e.CMPQ(n, op.I32(e.lanes))
	e.JLT(op.LabelRef(tail))
	body(0)
	e.ADDQ(op.I32(e.bytes()), index)
	e.SUBQ(op.I32(e.lanes), n)
	e.JMP(op.LabelRef(single))
	e.Label(tail)
	e.TESTQ(n, n)
	e.JEQ(op.LabelRef(done))
	e.tailMask(n)
	e.masked = true
	body(0)
	e.masked = false
	e.LEAQ(op.Mem{Base: index, Index: n, Scale: 4}, index)
	e.Label(done)
}

// kernel describes what flat, rows and sums loop over.
type kernel struct {
	name, doc string
	streams   []string // arrays that the kernel runs through
	channels  []string // per-channel arrays, of rows and sums
	scalars   []string // float32 arguments
	extra     string   // more arguments, for setup and finish
	setup     func()
	finish    func()
	unroll    int
}

func (k *kernel) signature(counts string) string {
	s := "func("
	for _, n := range append(append([]string{}, k.streams...), k.channels...) {
		s += n + " *float32, "
	}
	s += counts
	for _, n := range k.scalars {
		s += ", " + n + " float32"
	}
	if k.extra != "" {
		s += ", " + k.extra
	}
	return s + ")"
}

func (e *emit) prologue(k *kernel, counts string) {
	e.begin(k.name, k.signature(counts), k.doc)
	for _, n := range k.streams {
		e.loadInt(n)
	}
	for _, n := range k.channels {
		e.loadInt(n)
	}
	for _, n := range k.scalars {
		e.loadScalar(n)
	}
	if k.setup != nil {
		k.setup()
	}
}

// flat writes a kernel over n elements. body gets the memory operand of each
// stream.
func (e *emit) flat(k kernel, body func(at func(stream string) op.Mem)) {
	e.prologue(&k, "n int")
	n, i := e.loadInt("n"), e.GP64()
	e.XORQ(i, i)
	e.span(n, i, max(k.unroll, 1), func(disp int) {
		body(func(s string) op.Mem { return op.Mem{Base: e.ptr[s], Index: i, Scale: 1, Disp: disp} })
	})
	if k.finish != nil {
		k.finish()
	}
	e.end()
}

// rows writes a kernel over rows x c elements with per-channel operands.
func (e *emit) rows(k kernel, body func(at func(name string) op.Mem)) {
	e.prologue(&k, "rows, c int")
	rows := e.loadInt("rows")
	j, n := e.GP64(), e.GP64()
	loop, done := e.label("row"), e.label("end")
	e.Label(loop)
	e.DECQ(rows)
	e.JLT(op.LabelRef(done))
	e.XORQ(j, j)
	e.Load(e.Param("c"), n)
	e.span(n, j, max(k.unroll, 1), func(disp int) {
		body(func(s string) op.Mem {
			return op.Mem{Base: e.ptr[s], Index: j, Scale: 1, Disp: disp}
		})
	})
	for _, s := range k.streams {
		e.ADDQ(j, e.ptr[s])
	}
	e.JMP(op.LabelRef(loop))
	e.Label(done)
	e.end()
}

// sums writes a kernel that reduces rows x c elements to per-channel values,
// block rows at a time. body gets the operands of each row of the block and of
// the channels.
func (e *emit) sums(k kernel, block int, body func(rows int, at func(stream string, row int) op.Mem, ch func(name string) op.Mem)) {
	e.prologue(&k, "rows, c int")
	rows := e.loadInt("rows")
	j, n := e.GP64(), e.GP64()
	// Multiples of the row length in bytes: 1 and the odd ones.
	step := map[int]reg.GPVirtual{1: e.GP64()}
	e.Load(e.Param("c"), step[1])
	e.SHLQ(op.Imm(2), step[1])
	for r := 3; r < block; r += 2 {
		step[r] = e.GP64()
		e.LEAQ(op.Mem{Base: step[1], Index: step[1], Scale: 2}, step[r])
		if r > 3 {
			e.LEAQ(op.Mem{Base: step[r-2], Index: step[1], Scale: 2}, step[r])
		}
	}
	pass := func(count int) {
		loop, done := e.label("rows"), e.label("few")
		e.Label(loop)
		e.CMPQ(rows, op.I32(count))
		e.JLT(op.LabelRef(done))
		e.XORQ(j, j)
		e.Load(e.Param("c"), n)
		// The stream pointers move along the row, for row r is at a multiple
		// of the step from them.
		e.spanPointers(n, j, k.streams, func() {
			body(count, func(s string, r int) op.Mem {
				m := op.Mem{Base: e.ptr[s]}
				switch {
				case r == 0:
				case r&1 == 1:
					m.Index, m.Scale = step[r], 1
				case r == 2:
					m.Index, m.Scale = step[1], 2
				case r == 4:
					m.Index, m.Scale = step[1], 4
				case r == 6:
					m.Index, m.Scale = step[3], 2
				}
				return m
			}, func(name string) op.Mem { return op.Mem{Base: e.ptr[name], Index: j, Scale: 1} })
		})
		if count > 1 {
			for _, s := range k.streams {
				if count > 3 {
					e.ADDQ(step[count-1], e.ptr[s])
				} else {
					e.ADDQ(step[1], e.ptr[s])
				}
			}
		}
		e.SUBQ(op.I32(count), rows)
		e.JMP(op.LabelRef(loop))
		e.Label(done)
	}
	pass(block)
	pass(1)
	e.end()
}

// spanPointers is span for streams whose pointers move themselves.
func (e *emit) spanPointers(n, index reg.GPVirtual, streams []string, body func()) {
	single, tail, done := e.label("single"), e.label("tail"), e.label("done")
	e.Label(single)
	e.CMPQ(n, op.I32(e.lanes))
	e.JLT(op.LabelRef(tail))
	body()
	e.ADDQ(op.I32(e.bytes()), index)
	for _, s := range streams {
		e.ADDQ(op.I32(e.bytes()), e.ptr[s])
	}
	e.SUBQ(op.I32(e.lanes), n)
	e.JMP(op.LabelRef(single))
	e.Label(tail)
	e.TESTQ(n, n)
	e.JEQ(op.LabelRef(done))
	e.tailMask(n)
	e.masked = true
	body()
	e.masked = false
	for _, s := range streams {
		e.LEAQ(op.Mem{Base: e.ptr[s], Index: n, Scale: 4}, e.ptr[s])
	}
	e.Label(done)
}
