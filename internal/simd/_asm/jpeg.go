package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// jpegKernels writes the kernels that make pixels of a JPEG's coefficients.
func jpegKernels(c *build.Context) {
	idct8(c)
	ycbcrToRGB(c)
	upsample2x1(c)
	upsample2x2(c)
	upsample1x2(c)
}

// words is a memory operand of 32 bytes: the words in turn.
func words(c *build.Context, w ...int) operand.Mem {
	name := "words"
	for _, v := range w {
		name += fmt.Sprintf("_%04x", uint16(v))
	}
	return constant32(c, name, func(i int) byte {
		v := uint16(w[i/2%len(w)])
		return byte(v >> (8 * (i % 2)))
	})
}

// dwords is a memory operand of 32 bytes with a double word in each lane.
func dwords(c *build.Context, v int) operand.Mem {
	return constant32(c, fmt.Sprintf("dwords_%08x", uint32(v)), func(i int) byte { return byte(uint32(v) >> (8 * (i % 4))) })
}

// constant32 is a memory operand of 32 bytes, which functions of a file share.
func constant32(c *build.Context, name string, at func(i int) byte) operand.Mem {
	made := constants[c]
	if made == nil {
		made = map[string]bool{}
		constants[c] = made
	}
	if !made[name] {
		made[name] = true
		c.StaticGlobal(name)
		c.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := 0; i < 32; i += 8 {
			v := uint64(0)
			for k := range 8 {
				v |= uint64(at(i+k)) << (8 * k)
			}
			c.AddDatum(i, operand.U64(v))
		}
	}
	return operand.NewDataAddr(operand.NewStaticSymbol(name), 0)
}

var constants = map[*build.Context]map[string]bool{}

// The constants of libjpeg's inverse transform, in 13 bits.
const (
	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172
)

// xmms returns n vectors of 128 bits.
func xmms(c *build.Context, n int) (list []reg.VecVirtual) {
	for range n {
		list = append(list, c.XMM())
	}
	return list
}

// idct8 writes the transform of a block. A vector of 8 words is a row of the block in
// the first pass, which goes over columns, and a column in the second.
func idct8(c *build.Context) {
	c.Function("idct8AVX2")
	c.Attributes(attr.NOSPLIT)
	c.Doc("idct8AVX2 writes the 8x8 samples of a block, whose coefficients it clears.")
	c.SignatureExpr("func(dst *uint8, stride int, b *int16, q *int16)")
	dst, stride, b, q := c.GP64(), c.GP64(), c.GP64(), c.GP64()
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("stride"), stride)
	c.Load(c.Param("b"), b)
	c.Load(c.Param("q"), q)
	row := func(p reg.Register, i int) operand.Mem { return operand.Mem{Base: p, Disp: 16 * i} }

	v := xmms(c, 8)
	or := c.XMM()
	c.VMOVDQU(row(b, 1), or)
	for i := 2; i < 8; i++ {
		c.VPOR(row(b, i), or, or)
	}
	c.VMOVDQU(row(b, 0), v[0])
	c.VPMULLW(row(q, 0), v[0], v[0])
	packed := [4]reg.VecVirtual{c.YMM(), c.YMM(), c.YMM(), c.YMM()}
	c.VPTEST(or, or)
	c.JNE(operand.LabelRef("columns"))
	// All columns have but their first coefficient, which is doubled twice.
	c.VPSLLW(operand.Imm(2), v[0], v[0])
	c.VPERMQ(operand.Imm(0x50), v[0].AsY(), packed[0])
	for _, p := range packed[1:] {
		c.VMOVDQA(packed[0], p)
	}
	c.JMP(operand.LabelRef("rows"))

	c.Label("columns")
	for i := 1; i < 8; i++ {
		c.VMOVDQU(row(b, i), v[i])
		c.VPMULLW(row(q, i), v[i], v[i])
	}
	idctPass(c, v, 11, packed)
	c.Label("rows")
	zero := c.YMM()
	c.VPXOR(zero, zero, zero)
	for i := range 4 {
		c.VMOVDQU(zero, operand.Mem{Base: b, Disp: 32 * i})
	}
	cols := idctTranspose(c, packed)
	w := xmms(c, 4)
	for i := range w {
		c.VEXTRACTI128(operand.Imm(1), cols[i], w[i])
	}
	second := [4]reg.VecVirtual{c.YMM(), c.YMM(), c.YMM(), c.YMM()}
	idctPass(c, []reg.VecVirtual{cols[0].AsX().(reg.VecVirtual), cols[1].AsX().(reg.VecVirtual), cols[2].AsX().(reg.VecVirtual), cols[3].AsX().(reg.VecVirtual), w[0], w[1], w[2], w[3]}, 18, second)
	rows := idctTranspose(c, second)

	// Rows 0 and 1, 4 and 5; 2 and 3, 6 and 7.
	level := constant32(c, "level", func(int) byte { return 0x80 })
	upper := dst
	for i := range 2 {
		y := c.YMM()
		c.VPACKSSWB(rows[2*i+1], rows[2*i], y)
		c.VPXOR(level, y, y)
		x := c.XMM()
		c.VEXTRACTI128(operand.Imm(1), y, x)
		if i == 1 {
			c.LEAQ(operand.Mem{Base: dst, Index: stride, Scale: 2}, upper)
		}
		next := c.GP64()
		c.LEAQ(operand.Mem{Base: upper, Index: stride, Scale: 4}, next)
		for _, s := range []struct {
			p reg.Register
			x reg.Register
		}{{upper, y.AsX()}, {next, x}} {
			c.VMOVQ(s.x, operand.Mem{Base: s.p})
			c.VPEXTRQ(operand.Imm(1), s.x, operand.Mem{Base: s.p, Index: stride, Scale: 1})
		}
	}
	c.VZEROUPPER()
	c.RET()
}

// idctPass writes one dimension of the transform of the vectors v, as function eight of
// package jpeg computes it, shifted by bits. It packs results 0 and 2, 1 and 3, 4 and 6, 5
// and 7 to words, each four of one and four of the other in both halves.
func idctPass(c *build.Context, v []reg.VecVirtual, bits int, packed [4]reg.VecVirtual) {
	// pairs is the words of two vectors by turns.
	pairs := func(a, b reg.VecVirtual) reg.VecVirtual {
		y, hi := c.YMM(), c.XMM()
		c.VPUNPCKHWD(b, a, hi)
		c.VPUNPCKLWD(b, a, y.AsX())
		c.VINSERTI128(operand.Imm(1), hi, y, y)
		return y
	}
	// products is ka*a + kb*b of pairs.
	products := func(p reg.VecVirtual, ka, kb int) reg.VecVirtual {
		y := c.YMM()
		c.VPMADDWD(words(c, ka, kb), p, y)
		return y
	}
	sum, diff := c.XMM(), c.XMM()
	c.VPADDW(v[4], v[0], sum)
	c.VPSUBW(v[4], v[0], diff)
	e0, e1 := c.YMM(), c.YMM()
	half := dwords(c, 1<<(bits-1))
	for _, e := range []struct{ from, to reg.VecVirtual }{{sum, e0}, {diff, e1}} {
		c.VPMOVSXWD(e.from, e.to)
		c.VPSLLD(operand.Imm(13), e.to, e.to)
		c.VPADDD(half, e.to, e.to)
	}
	p := pairs(v[2], v[6])
	e3 := products(p, fix0541+fix0765, fix0541)
	e2 := products(p, fix0541, fix0541-fix1847)
	t := [4]reg.VecVirtual{c.YMM(), c.YMM(), c.YMM(), c.YMM()}
	c.VPADDD(e3, e0, t[0])
	c.VPSUBD(e3, e0, t[3])
	c.VPADDD(e2, e1, t[1])
	c.VPSUBD(e2, e1, t[2])

	s, u := c.XMM(), c.XMM()
	c.VPADDW(v[7], v[3], s)
	c.VPADDW(v[5], v[1], u)
	p = pairs(s, u)
	z3 := products(p, fix1175-fix1961, fix1175)
	z4 := products(p, fix1175, fix1175-fix0390)
	p = pairs(v[7], v[1])
	o0 := products(p, fix0298-fix0899, -fix0899)
	o3 := products(p, -fix0899, fix1501-fix0899)
	p = pairs(v[5], v[3])
	o1 := products(p, fix2053-fix2562, -fix2562)
	o2 := products(p, -fix2562, fix3072-fix2562)
	c.VPADDD(z3, o0, o0)
	c.VPADDD(z4, o1, o1)
	c.VPADDD(z3, o2, o2)
	c.VPADDD(z4, o3, o3)

	// Results i and 7-i are t[i] plus and minus the odd part.
	odd := [4]reg.VecVirtual{o3, o2, o1, o0}
	result := func(i int) reg.VecVirtual {
		y := c.YMM()
		if i < 4 {
			c.VPADDD(odd[i], t[i], y)
		} else {
			c.VPSUBD(odd[7-i], t[7-i], y)
		}
		c.VPSRAD(operand.Imm(uint64(bits)), y, y)
		return y
	}
	for i, first := range [4]int{0, 1, 4, 5} {
		a := result(first)
		c.VPACKSSDW(result(first+2), a, packed[i])
	}
}

// idctTranspose returns vectors 0 and 4, 1 and 5, 2 and 6, 3 and 7 of the transposed
// block, of what idctPass packs.
func idctTranspose(c *build.Context, p [4]reg.VecVirtual) (out [4]reg.VecVirtual) {
	y := func() reg.VecVirtual { return c.YMM() }
	e01, e23, e45, e67 := y(), y(), y(), y()
	c.VPUNPCKLWD(p[1], p[0], e01)
	c.VPUNPCKHWD(p[1], p[0], e23)
	c.VPUNPCKLWD(p[3], p[2], e45)
	c.VPUNPCKHWD(p[3], p[2], e67)
	f0, f1, g0, g1 := y(), y(), y(), y()
	c.VPUNPCKLDQ(e23, e01, f0)
	c.VPUNPCKHDQ(e23, e01, f1)
	c.VPUNPCKLDQ(e67, e45, g0)
	c.VPUNPCKHDQ(e67, e45, g1)
	for i := range out {
		out[i] = y()
	}
	c.VPUNPCKLQDQ(g0, f0, out[0])
	c.VPUNPCKHQDQ(g0, f0, out[1])
	c.VPUNPCKLQDQ(g1, f1, out[2])
	c.VPUNPCKHQDQ(g1, f1, out[3])
	return out
}

// rowKernel begins a kernel over n values of rows of bytes, 16 at a time; body gets the
// pointers. advance is by how many bytes each pointer moves on.
func rowKernel(c *build.Context, name, doc string, rows []string, advance []uint64, setup func(), body func(p []reg.GPVirtual)) {
	c.Function(name + "AVX2")
	c.Attributes(attr.NOSPLIT)
	c.Doc(name + "AVX2 " + doc)
	sig := "func("
	for _, r := range rows {
		sig += r + " *uint8, "
	}
	c.SignatureExpr(sig + "n int)")
	var p []reg.GPVirtual
	for _, r := range rows {
		g := c.GP64()
		c.Load(c.Param(r), g)
		p = append(p, g)
	}
	n := c.GP64()
	c.Load(c.Param("n"), n)
	setup()
	c.Label("loop")
	body(p)
	for i, g := range p {
		c.ADDQ(operand.Imm(advance[i]), g)
	}
	c.SUBQ(operand.Imm(16), n)
	c.JNE(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}

// ycbcrToRGB writes the conversion of jdcolor.c. Its products of 16 fractional bits are
// here products of the doubled chroma, of which the upper word is halved and rounded:
// 1.402 = 1 + 26345/65536, 1.772 = 2 - 14942/65536, and green has
// -0.34414 = -22554/65536 and -0.71414 = 18734/65536 - 1.
func ycbcrToRGB(c *build.Context) {
	bytes16 := func(name string, of func(out, byte int) int) (list []operand.Mem) {
		for k := range 3 {
			list = append(list, constant32(c, fmt.Sprintf("%s%d", name, k), func(i int) byte { return byte(of(k, i%16)) }))
		}
		return list
	}
	// Byte i of 48 is channel i%3 of pixel i/3.
	shuffles := [3][]operand.Mem{}
	for ch := range 3 {
		shuffles[ch] = bytes16(fmt.Sprintf("channel%d_", ch), func(out, byte int) int {
			at := 16*out + byte
			if at%3 != ch {
				return 0x80
			}
			return at / 3
		})
	}
	var one, center reg.VecVirtual
	rowKernel(c, "ycbcrToRGB", "converts n pixels, a multiple of 16.", []string{"out", "y", "cb", "cr"}, []uint64{48, 16, 16, 16}, func() {
		one, center = c.YMM(), c.YMM()
		c.VMOVDQU(words(c, 1), one)
		c.VMOVDQU(words(c, 128), center)
	}, func(p []reg.GPVirtual) {
		y, cb, cr := c.YMM(), c.YMM(), c.YMM()
		for i, v := range []reg.VecVirtual{y, cb, cr} {
			c.VPMOVZXBW(operand.Mem{Base: p[1+i]}, v)
		}
		c.VPSUBW(center, cb, cb)
		c.VPSUBW(center, cr, cr)
		// rounded is k*v/65536.
		rounded := func(v reg.VecVirtual, k int) reg.VecVirtual {
			d := c.YMM()
			c.VPADDW(v, v, d)
			c.VPMULHW(words(c, k), d, d)
			c.VPADDW(one, d, d)
			c.VPSRAW(operand.Imm(1), d, d)
			return d
		}
		r, b := rounded(cr, 26345), rounded(cb, -14942)
		c.VPADDW(cr, r, r)
		c.VPADDW(y, r, r)
		c.VPADDW(cb, b, b)
		c.VPADDW(cb, b, b)
		c.VPADDW(y, b, b)
		lo, hi := c.YMM(), c.YMM()
		c.VPUNPCKLWD(cr, cb, lo)
		c.VPUNPCKHWD(cr, cb, hi)
		for _, v := range []reg.VecVirtual{lo, hi} {
			c.VPMADDWD(words(c, -22554, 18734), v, v)
			c.VPADDD(dwords(c, 1<<15), v, v)
			c.VPSRAD(operand.Imm(16), v, v)
		}
		g := c.YMM()
		c.VPACKSSDW(hi, lo, g)
		c.VPSUBW(cr, g, g)
		c.VPADDW(y, g, g)
		// To bytes: of all, 8 pixels are in each half, so that red and green share a
		// vector, and blue has one.
		c.VPACKUSWB(g, r, r)
		c.VPACKUSWB(b, b, b)
		c.VPERMQ(operand.Imm(0xd8), r, r) // the red ones, then the green ones
		c.VPERMQ(operand.Imm(0xd8), b, b)
		green := c.XMM()
		c.VEXTRACTI128(operand.Imm(1), r, green)
		for k := range 3 {
			o, t := c.XMM(), c.XMM()
			c.VPSHUFB(shuffles[0][k], r.AsX(), o)
			c.VPSHUFB(shuffles[1][k], green, t)
			c.VPOR(t, o, o)
			c.VPSHUFB(shuffles[2][k], b.AsX(), t)
			c.VPOR(t, o, o)
			c.VMOVDQU(o, operand.Mem{Base: p[0], Disp: 16 * k})
		}
	})
}

// interleaved stores the bytes of the words of a and b by turns.
func interleaved(c *build.Context, a, b reg.VecVirtual, out reg.Register) {
	c.VPSLLW(operand.Imm(8), b, b)
	c.VPOR(a, b, b)
	c.VMOVDQU(b, operand.Mem{Base: out})
}

// upsample2x1 writes the triangle filter of h2v1_fancy_upsample.
func upsample2x1(c *build.Context) {
	rowKernel(c, "upsample2x1", "writes two values for each of n, a multiple of 16; it reads one before and one behind.", []string{"out", "in"}, []uint64{32, 16}, func() {}, func(p []reg.GPVirtual) {
		v, l, r, v3 := c.YMM(), c.YMM(), c.YMM(), c.YMM()
		c.VPMOVZXBW(operand.Mem{Base: p[1]}, v)
		c.VPMOVZXBW(operand.Mem{Base: p[1], Disp: -1}, l)
		c.VPMOVZXBW(operand.Mem{Base: p[1], Disp: 1}, r)
		c.VPADDW(v, v, v3)
		c.VPADDW(v, v3, v3)
		for i, side := range []reg.VecVirtual{l, r} {
			c.VPADDW(v3, side, side)
			c.VPADDW(words(c, 1+i), side, side)
			c.VPSRLW(operand.Imm(2), side, side)
		}
		interleaved(c, l, r, p[0])
	})
}

// upsample2x2 writes the triangle filter of h2v2_fancy_upsample.
func upsample2x2(c *build.Context) {
	rowKernel(c, "upsample2x2", "writes two values for each of n, a multiple of 16; it reads one before and one behind.", []string{"out", "near", "far"}, []uint64{32, 16, 16}, func() {}, func(p []reg.GPVirtual) {
		sum := func(disp int) reg.VecVirtual {
			v, v3, far := c.YMM(), c.YMM(), c.YMM()
			c.VPMOVZXBW(operand.Mem{Base: p[1], Disp: disp}, v)
			c.VPMOVZXBW(operand.Mem{Base: p[2], Disp: disp}, far)
			c.VPADDW(v, v, v3)
			c.VPADDW(v, v3, v3)
			c.VPADDW(far, v3, v3)
			return v3
		}
		last, this, next := sum(-1), sum(0), sum(1)
		this3 := c.YMM()
		c.VPADDW(this, this, this3)
		c.VPADDW(this, this3, this3)
		for i, side := range []reg.VecVirtual{last, next} {
			c.VPADDW(this3, side, side)
			c.VPADDW(words(c, 8-i), side, side)
			c.VPSRLW(operand.Imm(4), side, side)
		}
		interleaved(c, last, next, p[0])
	})
}

// upsample1x2 writes the triangle filter of h1v2_fancy_upsample.
func upsample1x2(c *build.Context) {
	for bias := 1; bias <= 2; bias++ {
		name := [3]string{1: "upsample1x2Upper", 2: "upsample1x2Lower"}[bias]
		rowKernel(c, name, "writes n values, a multiple of 16, of the two rows.", []string{"out", "near", "far"}, []uint64{16, 16, 16}, func() {}, func(p []reg.GPVirtual) {
			v, v3, far := c.YMM(), c.YMM(), c.YMM()
			c.VPMOVZXBW(operand.Mem{Base: p[1]}, v)
			c.VPMOVZXBW(operand.Mem{Base: p[2]}, far)
			c.VPADDW(v, v, v3)
			c.VPADDW(v, v3, v3)
			c.VPADDW(far, v3, v3)
			c.VPADDW(words(c, bias), v3, v3)
			c.VPSRLW(operand.Imm(2), v3, v3)
			c.VEXTRACTI128(operand.Imm(1), v3, far.AsX())
			c.VPACKUSWB(far.AsX(), v3.AsX(), v3.AsX())
			c.VMOVDQU(v3.AsX(), operand.Mem{Base: p[0]})
		})
	}
}
