package main

import "github.com/mmcloughlin/avo/operand"

func (e *avx) move() {
	e.normalizeU8()
	if !e.wide() {
		e.transpose8() // serves AVX-512 as well: memory is the limit
	}
}

// normalizeU8 does one row. The AVX2 kernel needs a multiple of 8.
func (e *avx) normalizeU8() {
	e.begin("normalizeU8", "func(dst *float32, src *byte, scale, shift *float32, n int)",
		"computes dst = src*scale + shift.")
	dst, src, scale, shift, n := e.loadInt("dst"), e.loadInt("src"), e.loadInt("scale"), e.loadInt("shift"), e.loadInt("n")
	j := e.GP64()
	e.XORQ(j, j)
	e.channels(n, j, func() {
		v, from := e.v(), operand.Mem{Base: src, Index: j, Scale: 1}
		if e.masked {
			e.VPMOVZXBD_Z(from, e.k, v)
		} else {
			e.VPMOVZXBD(from, v)
		}
		e.VCVTDQ2PS(v, v)
		b := e.ld(operand.Mem{Base: shift, Index: j, Scale: 4})
		e.fma(v, e.ld(operand.Mem{Base: scale, Index: j, Scale: 4}), b)
		e.st(b, operand.Mem{Base: dst, Index: j, Scale: 4})
	})
	e.end()
}

// transpose8 does 8 rows of the source and a multiple of 8 columns.
func (e *avx) transpose8() {
	e.begin("transpose", "func(dst *float32, dstStride int, src *float32, srcStride int, cols int)",
		"computes dst[j*dstStride+i] = src[i*srcStride+j] for i < 8, j < cols; cols is a positive multiple of 8.")
	dst, ds, src, ss, cols := e.loadInt("dst"), e.loadInt("dstStride"), e.loadInt("src"), e.loadInt("srcStride"), e.loadInt("cols")
	ss3, ds3 := e.GP64(), e.GP64()
	e.SHLQ(operand.Imm(2), ss)
	e.SHLQ(operand.Imm(2), ds)
	e.LEAQ(operand.Mem{Base: ss, Index: ss, Scale: 2}, ss3)
	e.LEAQ(operand.Mem{Base: ds, Index: ds, Scale: 2}, ds3)
	src4, dst4 := e.GP64(), e.GP64()
	e.LEAQ(operand.Mem{Base: src, Index: ss, Scale: 4}, src4)
	e.Label("loop")
	e.LEAQ(operand.Mem{Base: dst, Index: ds, Scale: 4}, dst4)
	in := []operand.Mem{{Base: src}, {Base: src, Index: ss, Scale: 1}, {Base: src, Index: ss, Scale: 2}, {Base: src, Index: ss3, Scale: 1},
		{Base: src4}, {Base: src4, Index: ss, Scale: 1}, {Base: src4, Index: ss, Scale: 2}, {Base: src4, Index: ss3, Scale: 1}}
	out := []operand.Mem{{Base: dst}, {Base: dst, Index: ds, Scale: 1}, {Base: dst, Index: ds, Scale: 2}, {Base: dst, Index: ds3, Scale: 1},
		{Base: dst4}, {Base: dst4, Index: ds, Scale: 1}, {Base: dst4, Index: ds, Scale: 2}, {Base: dst4, Index: ds3, Scale: 1}}
	// Halves of rows i and i+4 side by side, then 4x4 blocks as usual.
	var r [8]operand.Op
	for i := range 4 {
		for h := range 2 {
			v := e.v()
			lo := in[i]
			lo.Disp = 16 * h
			hi := in[i+4]
			hi.Disp = 16 * h
			e.VMOVUPS(lo, v.AsX())
			e.VINSERTF128(operand.Imm(1), hi, v, v)
			r[4*h+i] = v
		}
	}
	for h := range 2 {
		a, b, c, d := e.v(), e.v(), e.v(), e.v()
		e.VUNPCKLPS(r[4*h+1], r[4*h], a)
		e.VUNPCKHPS(r[4*h+1], r[4*h], b)
		e.VUNPCKLPS(r[4*h+3], r[4*h+2], c)
		e.VUNPCKHPS(r[4*h+3], r[4*h+2], d)
		for i, s := range []struct {
			lo, hi operand.Op
			high   bool
		}{{a, c, false}, {a, c, true}, {b, d, false}, {b, d, true}} {
			v := e.v()
			if s.high {
				e.VUNPCKHPD(s.hi, s.lo, v)
			} else {
				e.VUNPCKLPD(s.hi, s.lo, v)
			}
			e.VMOVUPS(v, out[4*h+i])
		}
	}
	e.ADDQ(operand.I32(32), src)
	e.ADDQ(operand.I32(32), src4)
	e.LEAQ(operand.Mem{Base: dst, Index: ds, Scale: 8}, dst)
	e.SUBQ(operand.I32(8), cols)
	e.JNE(operand.LabelRef("loop"))
	e.end()
}
