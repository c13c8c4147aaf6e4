package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Comparisons of VCMPPS.
const (
	eqOQ   = 0x00
	ltOQ   = 0x11
	leOQ   = 0x12
	unordQ = 0x03
	nleUQ  = 0x16 // not (a <= b): a > b or NaN
	gtOQ   = 0x1e
)

// avx writes one file of functions of AVX-512 or AVX2 vectors. While it writes
// the tail of a loop, masked is set and loads and stores touch the first lanes
// only.
type avx struct {
	*build.Context
	name   string // of the instruction set, the end of each function's name
	lanes  int    // float32 of a vector
	masked bool
	k      reg.OpmaskVirtual // the tail on AVX-512
	m      reg.VecVirtual    // the tail on AVX2
	consts map[uint64]bool
	labels int
	// of the current function
	ptr     map[string]reg.GPVirtual
	scalars map[string]operand.Op
	zeroReg operand.Op // zeros, if the kernel asked for them
}

func newAVX(i *isa) *avx {
	c := build.NewContext()
	c.ConstraintExpr("!purego")
	return &avx{Context: c, name: i.name, lanes: i.bytes / 4, consts: map[uint64]bool{}}
}

func (e *avx) wide() bool { return e.lanes == 16 }
func (e *avx) bytes() int { return 4 * e.lanes }

func (e *avx) v() reg.VecVirtual {
	if e.wide() {
		return e.ZMM()
	}
	return e.YMM()
}

func (e *avx) label(stem string) string {
	e.labels++
	return fmt.Sprintf("%s%d", stem, e.labels)
}

func (e *avx) begin(name, signature, doc string) {
	e.Function(name + e.name)
	e.Pragma("noescape")
	e.Attributes(attr.NOSPLIT)
	e.Doc(name + e.name + " " + doc)
	e.SignatureExpr(signature)
	e.ptr, e.scalars, e.zeroReg = map[string]reg.GPVirtual{}, map[string]operand.Op{}, nil
}

func (e *avx) end() {
	e.VZEROUPPER()
	e.RET()
}

// loadInt reads an integer or pointer argument.
func (e *avx) loadInt(name string) reg.GPVirtual {
	r := e.GP64()
	e.Load(e.Param(name), r)
	e.ptr[name] = r
	return r
}

// memArg is the memory operand of an argument.
func (e *avx) memArg(name string) operand.Mem {
	c, err := e.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return c.Addr
}

// loadScalar reads a float32 argument into all lanes. The instruction must not
// be one of SSE: after one that wrote a whole vector, that costs a hundred cycles.
func (e *avx) loadScalar(name string) reg.VecVirtual {
	v := e.v()
	e.VBROADCASTSS(e.memArg(name), v)
	e.scalars[name] = v
	return v
}

func (e *avx) zero() operand.Op {
	v := e.v()
	if e.wide() {
		e.VPXORD(v, v, v)
	} else {
		e.VXORPS(v, v, v)
	}
	return v
}

// word is a memory operand that holds a 32-bit constant in every lane.
func (e *avx) word(bits uint32) operand.Op {
	name := fmt.Sprintf("vec%08x", bits)
	if !e.consts[uint64(bits)] {
		e.consts[uint64(bits)] = true
		e.StaticGlobal(name)
		e.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := 0; i < e.lanes; i++ {
			e.AddDatum(4*i, operand.U32(bits))
		}
	}
	return operand.NewDataAddr(operand.NewStaticSymbol(name), 0)
}

func (e *avx) float(f float64) operand.Op { return e.word(math.Float32bits(float32(f))) }

// constant is a register that holds a constant in every lane.
func (e *avx) constant(f float64) operand.Op {
	v := e.v()
	e.VMOVUPS(e.float(f), v)
	return v
}

func (e *avx) ld(m operand.Mem) operand.Op {
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

func (e *avx) st(v operand.Op, m operand.Mem) {
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

func (e *avx) add(a, b operand.Op) operand.Op { d := e.v(); e.VADDPS(b, a, d); return d }
func (e *avx) sub(a, b operand.Op) operand.Op { d := e.v(); e.VSUBPS(b, a, d); return d }
func (e *avx) mul(a, b operand.Op) operand.Op { d := e.v(); e.VMULPS(b, a, d); return d }
func (e *avx) div(a, b operand.Op) operand.Op { d := e.v(); e.VDIVPS(b, a, d); return d }
func (e *avx) sqrt(a operand.Op) operand.Op   { d := e.v(); e.VSQRTPS(a, d); return d }

// max returns b if either is NaN, else the larger.
func (e *avx) max(a, b operand.Op) operand.Op { d := e.v(); e.VMAXPS(b, a, d); return d }

// min returns b if either is NaN, else the smaller.
func (e *avx) min(a, b operand.Op) operand.Op { d := e.v(); e.VMINPS(b, a, d); return d }

// NaN in b comes through max and min, that in a is put back.

func (e *avx) maxNaN(a, b operand.Op) operand.Op {
	return e.choose(comparison{unordQ, a, a}, a, e.max(a, b))
}

func (e *avx) minNaN(a, b operand.Op) operand.Op {
	return e.choose(comparison{unordQ, a, a}, a, e.min(a, b))
}

// fma adds a*b to acc in place and returns it.
func (e *avx) fma(a, b, acc operand.Op) operand.Op { e.VFMADD231PS(b, a, acc); return acc }

// fnma subtracts a*b from acc in place and returns it.
func (e *avx) fnma(a, b, acc operand.Op) operand.Op { e.VFNMADD231PS(b, a, acc); return acc }

// mulSub makes p*k - c of p, in place.
func (e *avx) mulSub(p, k, c operand.Op) operand.Op { e.VFMSUB213PS(c, k, p); return p }

// horner makes p*x + c of p, in place.
func (e *avx) horner(p, x, c operand.Op) operand.Op { e.VFMADD213PS(c, x, p); return p }

func (e *avx) addend(a operand.Op) operand.Op { return a }
func (e *avx) copyOf(a operand.Op) operand.Op { d := e.v(); e.VMOVAPS(a, d); return d }

func (e *avx) mulAdds(list ...[3]operand.Mem) (sums []operand.Op) {
	for _, m := range list {
		sums = append(sums, e.ld(m[2]))
	}
	for i, m := range list {
		e.fma(e.ld(m[0]), e.ld(m[1]), sums[i])
	}
	return sums
}

func (e *avx) mulAddTo(a func() operand.Op, b, c operand.Mem) operand.Op {
	sum := e.ld(c)
	return e.fma(a(), e.ld(b), sum)
}

func (e *avx) addTo(acc, x operand.Op) { e.VADDPS(x, acc, acc) }

func (e *avx) addLanes(acc, x operand.Op, _ operand.Mem) {
	switch {
	case !e.masked:
		e.VADDPS(x, acc, acc)
	case e.wide():
		e.VADDPS(x, acc, e.k, acc)
	default:
		e.VADDPS(e.and(x, e.m), acc, acc)
	}
}

func (e *avx) maxLanes(acc operand.Op, m operand.Mem) {
	switch {
	case !e.masked:
		e.VMAXPS(e.ld(m), acc, acc)
	case e.wide(): // lanes beyond the end must not count as 0
		e.VMAXPS(e.ld(m), acc, e.k, acc)
	default:
		low := e.constant(math.Inf(-1))
		v := e.v()
		e.VBLENDVPS(e.m, e.ld(m), low, v)
		e.VMAXPS(v, acc, acc)
	}
}

func (e *avx) round(a operand.Op) operand.Op {
	d := e.v()
	if e.wide() {
		e.VRNDSCALEPS(operand.Imm(0), a, d)
	} else {
		e.VROUNDPS(operand.Imm(0), a, d)
	}
	return d
}

func (e *avx) scaleBy2(p, n operand.Op) operand.Op {
	if e.wide() {
		d := e.v()
		e.VSCALEFPS(n, p, d)
		return d
	}
	// 2^n in two factors, since n may be beyond the exponents of float32.
	i, half := e.v(), e.v()
	e.VCVTPS2DQ(n, i)
	e.VPSRAD(operand.Imm(1), i, half)
	e.VPSUBD(half, i, i)
	bias := e.word(127)
	for _, h := range []operand.Op{half, i} {
		e.VPADDD(bias, h, h)
		e.VPSLLD(operand.Imm(23), h, h)
		p = e.mul(p, h)
	}
	return p
}

func (e *avx) bits(and func(ops ...operand.Op), and2 func(a, b, c operand.Op), a, b operand.Op) operand.Op {
	d := e.v()
	if e.wide() {
		and(b, a, d)
	} else {
		and2(b, a, d)
	}
	return d
}

func (e *avx) and(a, b operand.Op) operand.Op { return e.bits(e.VPANDD, e.VPAND, a, b) }
func (e *avx) or(a, b operand.Op) operand.Op  { return e.bits(e.VPORD, e.VPOR, a, b) }
func (e *avx) xor(a, b operand.Op) operand.Op { return e.bits(e.VPXORD, e.VPXOR, a, b) }

func (e *avx) neg(a operand.Op) operand.Op { return e.xor(a, e.word(0x80000000)) }
func (e *avx) abs(a operand.Op) operand.Op { return e.and(a, e.word(0x7fffffff)) }
func (e *avx) withSign(a, x operand.Op) operand.Op {
	return e.or(a, e.and(x, e.word(0x80000000)))
}

// comparison is a <pred> b, which emits nothing before it is used. b may be nil
// for zeros.
type comparison struct {
	pred uint8
	a, b operand.Op
}

func (e *avx) negative(x operand.Op) any { return comparison{ltOQ, x, e.zeroReg} }
func (e *avx) positive(x operand.Op) any { return comparison{gtOQ, x, e.zeroReg} }
func (e *avx) less(a, b operand.Op) any  { return comparison{ltOQ, a, b} }

// unless returns v, but 0 where y <= 0.
func (e *avx) unless(v, y operand.Op) operand.Op {
	d := e.v()
	if e.wide() {
		k := e.K()
		e.VCMPPS(operand.Imm(nleUQ), e.zeroReg, y, k)
		e.VMOVAPS_Z(v, k, d)
		return d
	}
	e.VCMPPS(operand.Imm(nleUQ), e.zeroReg, y, d)
	e.VANDPS(d, v, d)
	return d
}

func (e *avx) choose(where any, yes, no operand.Op) operand.Op {
	c := where.(comparison)
	if c.b == nil {
		c.b = e.zero()
	}
	d := e.v()
	if e.wide() {
		k := e.K()
		e.VCMPPS(operand.Imm(uint64(c.pred)), c.b, c.a, k)
		e.VBLENDMPS(yes, no, k, d)
		return d
	}
	e.VCMPPS(operand.Imm(uint64(c.pred)), c.b, c.a, d)
	e.VBLENDVPS(d, yes, no, d)
	return d
}

// What a kernel sets up before its loop and leaves after it.

func (e *avx) argument(name string) operand.Op { return e.scalars[name] }
func (e *avx) zeros() operand.Op               { return e.zeroReg }

func (e *avx) coefs(name string, n int) (list []operand.Op) {
	base := e.loadInt(name)
	for i := range n {
		v := e.v()
		e.VBROADCASTSS(operand.Mem{Base: base, Disp: 4 * i}, v)
		list = append(list, v)
	}
	return list
}

func (e *avx) accumulators(n int, start float64) (list []operand.Op) {
	for range n {
		if start == 0 {
			list = append(list, e.zero())
		} else {
			list = append(list, e.constant(start))
		}
	}
	return list
}

func (e *avx) result(name string, v func() operand.Op) {
	value := v()
	e.VMOVUPS(value, operand.Mem{Base: e.loadInt(name)})
}

// tailMask sets the mask to the first rem lanes, 0 < rem < lanes.
func (e *avx) tailMask(rem reg.Register) {
	t := e.GP64()
	if !e.consts[1<<40] {
		e.consts[1<<40] = true
		e.StaticGlobal("vectail")
		e.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := 0; e.wide() && i < e.lanes; i++ {
			e.AddDatum(2*i, operand.U16(1<<i-1))
		}
		for i := 0; !e.wide() && i < 2*e.lanes; i++ {
			mask := uint32(math.MaxUint32)
			if i >= e.lanes {
				mask = 0
			}
			e.AddDatum(4*i, operand.U32(mask))
		}
	}
	table := operand.NewDataAddr(operand.NewStaticSymbol("vectail"), 0)
	e.LEAQ(table, t)
	if e.wide() {
		e.k = e.K()
		e.KMOVW(operand.Mem{Base: t, Index: rem, Scale: 2}, e.k)
		return
	}
	neg := e.GP64()
	e.MOVQ(rem, neg)
	e.NEGQ(neg)
	e.m = e.v()
	e.VMOVUPS(operand.Mem{Base: t, Index: neg, Scale: 4, Disp: 4 * e.lanes}, e.m)
}
