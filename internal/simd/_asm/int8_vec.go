package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// int8Vec writes the kernels between float32 and bytes, and of bytes alone, each
// over a flat array of n values, a positive multiple of 16 (of 64 for bytes alone).
func int8Vec(c *build.Context, i *isa) {
	begin := func(name, doc, signature string, params ...string) []reg.GPPhysical {
		c.Function(name + i.name)
		c.Attributes(attr.NOSPLIT)
		c.Doc(name + i.name + " " + doc)
		c.SignatureExpr(signature)
		regs := []reg.GPPhysical{reg.RDI, reg.RSI, reg.RBX, reg.RCX}[:len(params)]
		for j, p := range params {
			c.Load(c.Param(p), regs[j])
		}
		return regs
	}
	broadcast := func(name string, v reg.VecPhysical) {
		p, err := c.Param(name).Resolve()
		if err != nil {
			panic(fmt.Sprint(name, ": ", err))
		}
		c.VBROADCASTSS(p.Addr, v)
	}
	end := func(n reg.GPPhysical, step int, advance func()) {
		advance()
		c.SUBQ(operand.U8(step), n)
		c.JNE(operand.LabelRef("loop"))
		c.VZEROUPPER()
		c.RET()
	}
	nv := i.perPanel
	v := i.regs[:nv]

	r := begin("quantizeBytes", "stores x as bytes: see Int8Quant.Quantize.",
		"func(dst *uint8, x *float32, n int, scale, lo, hi float32, zero int32)", "dst", "x", "n")
	dst, x, n := r[0], r[1], r[2]
	scale, lo, hi, zero := i.regs[4], i.regs[5], i.regs[6], i.regs[7]
	broadcast("scale", scale)
	broadcast("lo", lo)
	broadcast("hi", hi)
	broadcast("zero", zero)
	c.Label("loop")
	for j, r := range v {
		c.VMOVUPS(operand.Mem{Base: x, Disp: j * i.bytes}, r)
		c.VDIVPS(scale, r, r)
		c.VMAXPS(lo, r, r) // lo for NaN
		c.VMINPS(hi, r, r)
		c.VCVTPS2DQ(r, r) // to nearest even
		c.VPADDD(zero, r, r)
	}
	if i == avx512 {
		c.VPMOVUSDB(v[0], operand.Mem{Base: dst})
	} else {
		low, high := v[0].(reg.Vec).AsX(), v[1].(reg.Vec).AsX()
		c.VPACKSSDW(v[1], v[0], v[0])
		c.VPERMQ(operand.U8(0xD8), v[0], v[0])
		c.VEXTRACTI128(operand.U8(1), v[0], high)
		c.VPACKUSWB(high, low, low)
		c.VMOVDQU(low, operand.Mem{Base: dst})
	}
	end(n, 16, func() {
		c.ADDQ(operand.U8(64), x)
		c.ADDQ(operand.U8(16), dst)
	})

	r = begin("dequantizeBytes", "stores (x - zero)*scale.",
		"func(dst *float32, x *uint8, n int, scale, zero float32)", "dst", "x", "n")
	dst, x, n = r[0], r[1], r[2]
	broadcast("scale", scale)
	broadcast("zero", zero)
	c.Label("loop")
	for j, r := range v {
		c.VPMOVZXBD(operand.Mem{Base: x, Disp: 8 * j}, r)
		c.VCVTDQ2PS(r, r)
		c.VSUBPS(zero, r, r)
		c.VMULPS(scale, r, r)
		c.VMOVUPS(r, operand.Mem{Base: dst, Disp: j * i.bytes})
	}
	end(n, 16, func() {
		c.ADDQ(operand.U8(64), dst)
		c.ADDQ(operand.U8(16), x)
	})

	r = begin("maxBytes", "stores the larger of x and y.", "func(dst, x, y *uint8, n int)", "dst", "x", "y", "n")
	dst, x, y, n := r[0], r[1], r[2], r[3]
	c.Label("loop")
	for j := range 64 / i.bytes {
		at := func(b reg.GPPhysical) operand.Mem { return operand.Mem{Base: b, Disp: j * i.bytes} }
		if i == avx512 {
			c.VMOVDQU8(at(x), v[0])
			c.VPMAXUB(at(y), v[0], v[0])
			c.VMOVDQU8(v[0], at(dst))
		} else {
			c.VMOVDQU(at(x), v[0])
			c.VPMAXUB(at(y), v[0], v[0])
			c.VMOVDQU(v[0], at(dst))
		}
	}
	end(n, 64, func() {
		for _, p := range []reg.GPPhysical{dst, x, y} {
			c.ADDQ(operand.U8(64), p)
		}
	})
}

// int8VecStubs declares them.
func int8VecStubs() string {
	s := ""
	for _, i := range []*isa{avx512, avx2} {
		s += fmt.Sprintf(`//go:noescape
func quantizeBytes%[1]s(dst *uint8, x *float32, n int, scale, lo, hi float32, zero int32)

//go:noescape
func dequantizeBytes%[1]s(dst *float32, x *uint8, n int, scale, zero float32)

//go:noescape
func maxBytes%[1]s(dst, x, y *uint8, n int)

`, i.name)
	}
	return s
}
