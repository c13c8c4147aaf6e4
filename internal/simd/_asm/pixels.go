package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pixelFraction is pixels.PixelFraction, and mixLow is pixels.mixLow.
const (
	pixelFraction = 22
	mixLow        = 11
)

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

// mixPixels3 sums the products of 16-bit halves of the weights, in pairs of pixels:
// (high << mixLow) + low is the weight.
func mixPixels3(c *build.Context) {
	c.Function("mixPixels3AVX2")
	c.Attributes(attr.NOSPLIT)
	c.Doc("mixPixels3AVX2 writes n pixels, a multiple of 4, and 4 bytes behind them; of src it reads 16 bytes from the offset of each pixel on, and 12 more for each quad of weights but the first.")
	c.SignatureExpr("func(dst *uint8, src *uint8, n int, offset *int32, w *int16, quads int)")
	dst, src, n, offset, w, quads := c.GP64(), c.GP64(), c.GP64(), c.GP64(), c.GP64(), c.GP64()
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("src"), src)
	c.Load(c.Param("n"), n)
	c.Load(c.Param("offset"), offset)
	c.Load(c.Param("w"), w)
	c.Load(c.Param("quads"), quads)
	half, shuffle, compact := c.YMM(), c.YMM(), c.XMM()
	pixelHalf(c, half, c.GP32())
	// The channels of pixels 0 and 1 by turns, and of 2 and 3, as words.
	c.VMOVDQU(constant32(c, "pairs", func(i int) byte {
		channel, second := i%16/4, i%4/2
		if i%2 == 1 || channel == 3 {
			return 0x80
		}
		return byte(6*(i/16) + 3*second + channel)
	}), shuffle)
	c.VMOVDQU(constant32(c, "compact", func(i int) byte {
		if i >= 12 {
			return 0x80
		}
		return byte(i/3*4 + i%3)
	}), compact)
	p, q := c.GP64(), c.GP64()
	y := func() reg.VecVirtual { return c.YMM() }
	c.Label("pixels")
	var sums [4]reg.VecVirtual
	for i := range sums {
		high, low, v := y(), y(), y()
		c.MOVLQSX(operand.Mem{Base: offset, Disp: 4 * i}, p)
		c.ADDQ(src, p)
		quad := func(high, low reg.VecVirtual) {
			c.VBROADCASTI128(operand.Mem{Base: p}, v)
			c.VPSHUFB(shuffle, v, v)
			c.VPMADDWD(operand.Mem{Base: w}, v, high)
			c.VPMADDWD(operand.Mem{Base: w, Disp: 32}, v, low)
			c.ADDQ(operand.Imm(64), w)
		}
		quad(high, low)
		c.MOVQ(quads, q)
		c.DECQ(q)
		end, loop := fmt.Sprintf("end%d", i), fmt.Sprintf("quad%d", i)
		c.JE(operand.LabelRef(end))
		c.Label(loop)
		c.ADDQ(operand.Imm(12), p)
		moreHigh, moreLow := y(), y()
		quad(moreHigh, moreLow)
		c.VPADDD(moreHigh, high, high)
		c.VPADDD(moreLow, low, low)
		c.DECQ(q)
		c.JNE(operand.LabelRef(loop))
		c.Label(end)
		c.VPSLLD(operand.Imm(mixLow), high, high)
		c.VPADDD(high, low, low)
		sums[i] = low
	}
	for i := range 2 {
		a, b, t := sums[2*i], sums[2*i+1], y()
		c.VPERM2I128(operand.Imm(0x20), b, a, t)
		c.VPERM2I128(operand.Imm(0x31), b, a, a)
		c.VPADDD(t, a, a)
		c.VPADDD(half, a, a)
		c.VPSRAD(operand.Imm(pixelFraction), a, a)
	}
	// Pixels 0 and 2 in the lower half, 1 and 3 in the upper one.
	c.VPACKSSDW(sums[2], sums[0], sums[0])
	c.VPACKUSWB(sums[0], sums[0], sums[0])
	c.VEXTRACTI128(operand.Imm(1), sums[0], sums[1].AsX())
	c.VPUNPCKLDQ(sums[1].AsX(), sums[0].AsX(), sums[0].AsX())
	c.VPSHUFB(compact, sums[0].AsX(), sums[0].AsX())
	c.VMOVDQU(sums[0].AsX(), operand.Mem{Base: dst})
	c.ADDQ(operand.Imm(12), dst)
	c.ADDQ(operand.Imm(16), offset)
	c.SUBQ(operand.Imm(4), n)
	c.JNE(operand.LabelRef("pixels"))
	c.VZEROUPPER()
	c.RET()
}
