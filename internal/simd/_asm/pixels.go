package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pixelFraction is pixels.PixelFraction.
const pixelFraction = 22

// pixelKernels writes the kernels that resample pictures of bytes.
func pixelKernels(c *build.Context) {
	mixRows(c)
	mixPixels3(c)
}

// pixelHalf puts what rounds into every lane of y.
func pixelHalf(c *build.Context, y reg.VecVirtual, tmp reg.Register) {
	c.MOVL(operand.U32(1<<(pixelFraction-1)), tmp)
	x := y.AsX()
	c.VMOVD(tmp, x)
	c.VPBROADCASTD(x, y.AsY())
}

func mixRows(c *build.Context) {
	c.Function("mixRowsAVX2")
	c.Attributes(attr.NOSPLIT)
	c.Doc("mixRowsAVX2 writes the weighted sums of rows of n bytes, a multiple of 16, that begin stride apart.")
	c.SignatureExpr("func(out *uint8, in *uint8, n int, stride int, w *int32, taps int)")
	out, in, n, stride, w, taps := c.GP64(), c.GP64(), c.GP64(), c.GP64(), c.GP64(), c.GP64()
	c.Load(c.Param("out"), out)
	c.Load(c.Param("in"), in)
	c.Load(c.Param("n"), n)
	c.Load(c.Param("stride"), stride)
	c.Load(c.Param("w"), w)
	c.Load(c.Param("taps"), taps)
	half := c.YMM()
	pixelHalf(c, half, c.GP32())
	p, wp, t := c.GP64(), c.GP64(), c.GP64()
	s0, s1, a, b, k := c.YMM(), c.YMM(), c.YMM(), c.YMM(), c.YMM()
	c.Label("columns")
	c.MOVQ(in, p)
	c.MOVQ(w, wp)
	c.MOVQ(taps, t)
	c.VMOVDQA(half, s0)
	c.VMOVDQA(half, s1)
	c.Label("rows")
	c.VPBROADCASTD(operand.Mem{Base: wp}, k)
	c.VPMOVZXBD(operand.Mem{Base: p}, a)
	c.VPMOVZXBD(operand.Mem{Base: p, Disp: 8}, b)
	c.VPMULLD(k, a, a)
	c.VPMULLD(k, b, b)
	c.VPADDD(a, s0, s0)
	c.VPADDD(b, s1, s1)
	c.ADDQ(stride, p)
	c.ADDQ(operand.Imm(4), wp)
	c.DECQ(t)
	c.JNE(operand.LabelRef("rows"))
	c.VPSRAD(operand.Imm(pixelFraction), s0, s0)
	c.VPSRAD(operand.Imm(pixelFraction), s1, s1)
	c.VPACKSSDW(s1, s0, s0)
	c.VPERMQ(operand.Imm(0xd8), s0, s0) // back into the order of the columns
	c.VEXTRACTI128(operand.Imm(1), s0, a.AsX())
	c.VPACKUSWB(a.AsX(), s0.AsX(), s0.AsX())
	c.VMOVDQU(s0.AsX(), operand.Mem{Base: out})
	c.ADDQ(operand.Imm(16), in)
	c.ADDQ(operand.Imm(16), out)
	c.SUBQ(operand.Imm(16), n)
	c.JNE(operand.LabelRef("columns"))
	c.VZEROUPPER()
	c.RET()
}

func mixPixels3(c *build.Context) {
	c.Function("mixPixels3AVX2")
	c.Attributes(attr.NOSPLIT)
	c.Doc("mixPixels3AVX2 writes n pixels, weighted sums of pixels of src; it reads and writes a byte behind the last.")
	c.SignatureExpr("func(dst *uint8, src *uint8, n int, start *int, count *int, w *int32, stride int)")
	dst, src, n, start, count, w, stride := c.GP64(), c.GP64(), c.GP64(), c.GP64(), c.GP64(), c.GP64(), c.GP64()
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("src"), src)
	c.Load(c.Param("n"), n)
	c.Load(c.Param("start"), start)
	c.Load(c.Param("count"), count)
	c.Load(c.Param("w"), w)
	c.Load(c.Param("stride"), stride)
	half := c.YMM()
	pixelHalf(c, half, c.GP32())
	p, wp, t := c.GP64(), c.GP64(), c.GP64()
	s, a, k := c.XMM(), c.XMM(), c.XMM()
	c.Label("pixels")
	c.MOVQ(operand.Mem{Base: start}, p)
	c.LEAQ(operand.Mem{Base: p, Index: p, Scale: 2}, p)
	c.ADDQ(src, p)
	c.MOVQ(operand.Mem{Base: count}, t)
	c.MOVQ(w, wp)
	c.VMOVDQA(half.AsX(), s)
	c.Label("taps")
	c.VPMOVZXBD(operand.Mem{Base: p}, a)
	c.VPBROADCASTD(operand.Mem{Base: wp}, k)
	c.VPMULLD(k, a, a)
	c.VPADDD(a, s, s)
	c.ADDQ(operand.Imm(3), p)
	c.ADDQ(operand.Imm(4), wp)
	c.DECQ(t)
	c.JNE(operand.LabelRef("taps"))
	c.VPSRAD(operand.Imm(pixelFraction), s, s)
	c.VPACKSSDW(s, s, s)
	c.VPACKUSWB(s, s, s)
	c.VMOVD(s, operand.Mem{Base: dst})
	c.ADDQ(operand.Imm(3), dst)
	c.ADDQ(operand.Imm(8), start)
	c.ADDQ(operand.Imm(8), count)
	c.ADDQ(stride, w)
	c.DECQ(n)
	c.JNE(operand.LabelRef("pixels"))
	c.VZEROUPPER()
	c.RET()
}
