package jpeg

import (
	"encoding/binary"

	"github.com/resnet-go/resnet/internal/simd/pixels"
)

const blockSize = 64

// block is the coefficients of 8x8 samples in natural order, as the file has them, or
// the steps of their quantization. All are 16 bits, in which products wrap around, as
// in libjpeg-turbo: what damaged data look like depends on it.
type block [blockSize]int16

// store transforms a block, stores its samples and clears it. flat tells that the block
// has no coefficient but the first.
func (c *component) store(b *block, flat bool, bx, by int) {
	dst := c.pix[c.side*(by*c.stride+bx):]
	switch {
	case c.side == 8 && flat:
		w := 0x0101010101010101 * uint64(clip((int32(b[0]*c.quant[0]<<passBits)+1<<4)>>5))
		b[0] = 0
		for y := range 8 {
			binary.LittleEndian.PutUint64(dst[y*c.stride:], w)
		}
		return
	case c.side == 8:
		if pixels.IDCT8(dst, c.stride, (*[blockSize]int16)(b), (*[blockSize]int16)(&c.quant)) {
			return
		}
		idct8(b, &c.quant, dst, c.stride)
	case c.side == 4:
		idct4(b, &c.quant, dst, c.stride)
	case c.side == 2:
		idct2(b, &c.quant, dst, c.stride)
	default:
		dst[0] = idct1(b[0], c.quant[0])
	}
	*b = block{}
}

// clip shifts a sample's level and limits it to 8 bits.
func clip(v int32) uint8 {
	v += 128
	if uint32(v) > 255 {
		return uint8(^v >> 31) // 0 or 255
	}
	return uint8(v)
}

// The constants of the transforms, in 13 bits.
const (
	fix0211 = 1730  // 0.211164243
	fix0298 = 2446  // 0.298631336
	fix0390 = 3196  // 0.390180644
	fix0509 = 4176  // 0.509795579
	fix0541 = 4433  // 0.541196100
	fix0601 = 4926  // 0.601344887
	fix0720 = 5906  // 0.720959822
	fix0765 = 6270  // 0.765366865
	fix0850 = 6967  // 0.850430095
	fix0899 = 7373  // 0.899976223
	fix1061 = 8697  // 1.061594337
	fix1175 = 9633  // 1.175875602
	fix1272 = 10426 // 1.272758580
	fix1451 = 11893 // 1.451774981
	fix1501 = 12299 // 1.501321110
	fix1847 = 15137 // 1.847759065
	fix1961 = 16069 // 1.961570560
	fix2053 = 16819 // 2.053119869
	fix2172 = 17799 // 2.172734803
	fix2562 = 20995 // 2.562915447
	fix3072 = 25172 // 3.072711026
	fix3624 = 29692 // 3.624509785

	constBits = 13
	passBits  = 2
)

// descale is v / 2^bits, rounded.
func descale(v int32, bits uint) int32 { return (v + 1<<(bits-1)) >> bits }

// saturated limits what is kept between columns and rows to 16 bits.
func saturated(v int32) int16 { return int16(max(-1<<15, min(v, 1<<15-1))) }

// onlyFirstRow reports whether all coefficients are zero but those of the first row.
// Those are then doubled twice in 16 bits between the passes, not saturated.
func (b *block) onlyFirstRow() bool {
	or := int16(0)
	for _, v := range b[8:] {
		or |= v
	}
	return or == 0
}

// idct8 is the inverse transform of Loeffler, Ligtenberg and Moschytz (ICASSP
// 1989), columns before rows, in the steps of jidctint.c.
func idct8(b, q *block, dst []uint8, stride int) {
	var ws block
	first := b.onlyFirstRow()
	for x := range 8 {
		if v := b[x] * q[x]; first || b[8+x]|b[16+x]|b[24+x]|b[32+x]|b[40+x]|b[48+x]|b[56+x] == 0 {
			v4 := v << passBits
			if !first {
				v4 = saturated(int32(v) << passBits)
			}
			for y := range 8 {
				ws[8*y+x] = v4
			}
			continue
		}
		y0, y1, y2, y3, y4, y5, y6, y7 := eight(b[x]*q[x], b[8+x]*q[8+x], b[16+x]*q[16+x], b[24+x]*q[24+x],
			b[32+x]*q[32+x], b[40+x]*q[40+x], b[48+x]*q[48+x], b[56+x]*q[56+x], constBits-passBits)
		ws[x], ws[8+x], ws[16+x], ws[24+x] = saturated(y0), saturated(y1), saturated(y2), saturated(y3)
		ws[32+x], ws[40+x], ws[48+x], ws[56+x] = saturated(y4), saturated(y5), saturated(y6), saturated(y7)
	}
	for y := range 8 {
		w := ws[8*y : 8*y+8 : 8*y+8]
		o := dst[y*stride : y*stride+8 : y*stride+8]
		x0, x1, x2, x3, x4, x5, x6, x7 := eight(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], constBits+passBits+3)
		o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7] = clip(x0), clip(x1), clip(x2), clip(x3), clip(x4), clip(x5), clip(x6), clip(x7)
	}
}

// eight is one dimension of idct8. Sums of two coefficients are of 16 bits.
func eight(v0, v1, v2, v3, v4, v5, v6, v7 int16, bits uint) (y0, y1, y2, y3, y4, y5, y6, y7 int32) {
	e0, e1 := int32(v0+v4)<<constBits, int32(v0-v4)<<constBits
	s, t := int32(v3+v7), int32(v1+v5)
	x1, x2, x3, x5, x6, x7 := int32(v1), int32(v2), int32(v3), int32(v5), int32(v6), int32(v7)
	e3 := x2*(fix0541+fix0765) + x6*fix0541
	e2 := x2*fix0541 + x6*(fix0541-fix1847)
	z3, z4 := s*(fix1175-fix1961)+t*fix1175, s*fix1175+t*(fix1175-fix0390)
	o0 := x7*(fix0298-fix0899) - x1*fix0899 + z3
	o1 := x5*(fix2053-fix2562) - x3*fix2562 + z4
	o2 := x3*(fix3072-fix2562) - x5*fix2562 + z3
	o3 := x1*(fix1501-fix0899) - x7*fix0899 + z4

	half := int32(1) << (bits - 1)
	t0, t3, t1, t2 := e0+e3+half, e0-e3+half, e1+e2+half, e1-e2+half
	return (t0 + o3) >> bits, (t1 + o2) >> bits, (t2 + o1) >> bits, (t3 + o0) >> bits,
		(t3 - o0) >> bits, (t2 - o1) >> bits, (t1 - o2) >> bits, (t0 - o3) >> bits
}

// idct4 gives the block in 4x4 pixels, in the steps of jidctred.c: columns, then
// rows, of all but the coefficients of number 4, which do not matter.
func idct4(b, q *block, dst []uint8, stride int) {
	var ws [4][8]int16
	rows := int16(0)
	for x, v := range b[8:] {
		if x/8 != 3 {
			rows |= v
		}
	}
	for x := range 8 {
		if rows == 0 {
			v := b[x] * q[x] << passBits
			ws[0][x], ws[1][x], ws[2][x], ws[3][x] = v, v, v, v
			continue
		}
		y0, y1, y2, y3 := four(b[x]*q[x], b[8+x]*q[8+x], b[16+x]*q[16+x], b[24+x]*q[24+x],
			b[40+x]*q[40+x], b[48+x]*q[48+x], b[56+x]*q[56+x], constBits-passBits+1)
		ws[0][x], ws[1][x], ws[2][x], ws[3][x] = saturated(y0), saturated(y1), saturated(y2), saturated(y3)
	}
	for y := range ws {
		w, o := &ws[y], dst[y*stride:y*stride+4:y*stride+4]
		p0, p1, p2, p3 := four(w[0], w[1], w[2], w[3], w[5], w[6], w[7], constBits+passBits+3+1)
		o[0], o[1], o[2], o[3] = clip(p0), clip(p1), clip(p2), clip(p3)
	}
}

// four is one dimension of idct4.
func four(v0, v1, v2, v3, v5, v6, v7 int16, bits uint) (y0, y1, y2, y3 int32) {
	x1, x2, x3, x5, x6, x7 := int32(v1), int32(v2), int32(v3), int32(v5), int32(v6), int32(v7)
	even := int32(v0) << (constBits + 1)
	even2 := x2*fix1847 - x6*fix0765
	e0, e1 := even+even2, even-even2
	o1 := -x7*fix0211 + x5*fix1451 - x3*fix2172 + x1*fix1061
	o0 := -x7*fix0509 - x5*fix0601 + x3*fix0899 + x1*fix2562
	return descale(e0+o0, bits), descale(e1+o1, bits), descale(e1-o1, bits), descale(e0-o0, bits)
}

// idct2 gives the block in 2x2 pixels, of the first and the odd coefficients. Of
// what is kept between the passes, the first column is not saturated.
func idct2(b, q *block, dst []uint8, stride int) {
	var ws [2][8]int32
	for _, x := range [5]int{0, 1, 3, 5, 7} {
		y0, y1 := two(int32(b[x]*q[x]), b[8+x]*q[8+x], b[24+x]*q[24+x], b[40+x]*q[40+x], b[56+x]*q[56+x], constBits-passBits+2)
		ws[0][x], ws[1][x] = y0, y1
	}
	for y := range ws {
		w := &ws[y]
		p0, p1 := two(w[0], saturated(w[1]), saturated(w[3]), saturated(w[5]), saturated(w[7]), constBits+passBits+3+2)
		dst[y*stride], dst[y*stride+1] = clip(p0), clip(p1)
	}
}

// two is one dimension of idct2.
func two(v0 int32, v1, v3, v5, v7 int16, bits uint) (y0, y1 int32) {
	even := v0 << (constBits + 2)
	odd := -int32(v7)*fix0720 + int32(v5)*fix0850 - int32(v3)*fix1272 + int32(v1)*fix3624
	return descale(even+odd, bits), descale(even-odd, bits)
}

// idct1 gives the mean of the block. libjpeg limits it by a table of 10 bits, so
// that those far out of range wrap around.
func idct1(v, q int16) uint8 {
	const bits = 10
	return clip(descale(int32(v)*int32(q), 3) << (32 - bits) >> (32 - bits))
}
