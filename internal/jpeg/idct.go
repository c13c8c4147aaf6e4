package jpeg

import "encoding/binary"

// block is 8x8 coefficients in natural order.
type block [blockSize]int32

const blockSize = 64

// store transforms a block and stores its pixels. Only rows whose bit in rows is
// set may have coefficients other than zero; wideRow is set too if one but the
// first is out of range.
func (c *component) store(b *block, rows uint, bx, by int) {
	dst := c.pix[c.side*(by*c.stride+bx):]
	switch c.side {
	case 8:
		if rows&wideRow != 0 || outOfRange(b[0]) {
			idct8Wide(b, rows, dst, c.stride)
			return
		}
		idct8(b, rows, dst, c.stride)
	case 4:
		idct4(b, dst, c.stride)
	case 2:
		idct2(b, dst, c.stride)
	default:
		dst[0] = clip(descale(b[0], 3))
	}
}

// clip shifts a sample's level and limits it to 8 bits.
func clip(v int32) uint8 {
	v += 128
	if uint32(v) > 255 {
		return uint8(^v >> 31) // 0 or 255
	}
	return uint8(v)
}

// fix rounds a number with 60 fractional bits to the given number of bits.
func fix(x uint64, bits int) int32 { return int32((x + 1<<(59-bits)) >> (60 - bits)) }

// Cosines and sines of k*pi/16, and such over the root of 2, in 60 bits.
const (
	cos1          = 1130768441178740757
	sin1          = 224923827593068887
	cos3          = 958619196450722178
	sin3          = 640528868967736374
	sqrt2inv      = 815238614083298888
	sqrt2inv_cos6 = 311978311033955632
	sqrt2inv_sin6 = 753182269664427492
)

// rotate is a rotation and scaling by three multiplications.
func rotate(x0, x1, kcos, ksin int32) (y0, y1 int32) {
	sum := kcos * (x0 + x1)
	return sum + (ksin-kcos)*x1, sum - (kcos+ksin)*x0
}

// idct8 is the inverse transform of Loeffler, Ligtenberg and Moschytz (ICASSP
// 1989) with the fixed-point steps of image/jpeg, and so its bits: rows, then
// columns.
func idct8(b *block, rows uint, dst []uint8, stride int) {
	if rows == 1 && b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7] == 0 {
		v := clip((b[0]<<17 + 1<<19) >> 2 >> 18)
		w := uint64(v) * 0x0101010101010101
		for y := range 8 {
			binary.LittleEndian.PutUint64(dst[y*stride:], w)
		}
		return
	}
	for i := range 8 {
		if rows>>i&1 == 0 {
			continue // zeros stay zeros
		}
		x := b[8*i : 8*i+8 : 8*i+8]
		x0, x7, x2, x5, x1, x6, x3, x4 := x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]

		x0 <<= 17
		x1 <<= 17
		x0, x1 = x0+x1, x0-x1
		x2, x3 = rotate(x2, x3, fix(sqrt2inv_cos6, 18), -fix(sqrt2inv_sin6, 18))
		x1, x2 = x1+x2, x1-x2
		x0, x3 = x0+x3, x0-x3

		x4 <<= 7
		x7 <<= 7
		x7, x4 = x7+x4, x7-x4
		x6 *= fix(sqrt2inv, 8)
		x5 *= fix(sqrt2inv, 8)
		x7, x5 = x7+x5, x7-x5
		x4, x6 = x4+x6, x4-x6
		x4, x7 = rotate(x4>>2, x7>>2, fix(cos3, 12), -fix(sin3, 12))
		x5, x6 = rotate(x5>>2, x6>>2, fix(cos1, 12), -fix(sin1, 12))

		x[0], x[7] = x0+x7, x0-x7
		x[1], x[6] = x1+x6, x1-x6
		x[2], x[5] = x2+x5, x2-x5
		x[3], x[4] = x3+x4, x3-x4
	}
	for i := range 8 {
		x0, x7, x2, x5, x1, x6, x3, x4 := b[i], b[8+i], b[16+i], b[24+i], b[32+i], b[40+i], b[48+i], b[56+i]

		x0 += 1 << 19 // rounds what is shifted away at the end
		x0, x1 = (x0+x1)>>2, (x0-x1)>>2
		x2, x3 = rotate(x2>>13, x3>>13, fix(sqrt2inv_cos6, 12), -fix(sqrt2inv_sin6, 12))
		x1, x2 = x1+x2, x1-x2
		x0, x3 = x0+x3, x0-x3

		x7, x4 = x7+x4, x7-x4
		x5 = x5 >> 13 * fix(sqrt2inv, 14)
		x6 = x6 >> 13 * fix(sqrt2inv, 14)
		x7, x5 = x7+x5, x7-x5
		x4, x6 = x4+x6, x4-x6
		x4, x7 = rotate(x4>>14, x7>>14, fix(cos3, 12), -fix(sin3, 12))
		x5, x6 = rotate(x5>>14, x6>>14, fix(cos1, 12), -fix(sin1, 12))

		b[i], b[56+i] = (x0+x7)>>18, (x0-x7)>>18
		b[8+i], b[48+i] = (x1+x6)>>18, (x1-x6)>>18
		b[16+i], b[40+i] = (x2+x5)>>18, (x2-x5)>>18
		b[24+i], b[32+i] = (x3+x4)>>18, (x3-x4)>>18
	}
	for y := range 8 {
		x := b[8*y : 8*y+8 : 8*y+8]
		w := uint64(clip(x[0])) | uint64(clip(x[1]))<<8 | uint64(clip(x[2]))<<16 | uint64(clip(x[3]))<<24 |
			uint64(clip(x[4]))<<32 | uint64(clip(x[5]))<<40 | uint64(clip(x[6]))<<48 | uint64(clip(x[7]))<<56
		binary.LittleEndian.PutUint64(dst[y*stride:], w)
	}
}

// The constants of the smaller transforms: sums of cosines, in 13 bits.
const (
	fix0211 = 1730  // 0.211164243
	fix0509 = 4176  // 0.509795579
	fix0601 = 4926  // 0.601344887
	fix0720 = 5906  // 0.720959822
	fix0765 = 6270  // 0.765366865
	fix0850 = 6967  // 0.850430095
	fix0899 = 7373  // 0.899976223
	fix1061 = 8697  // 1.061594337
	fix1272 = 10426 // 1.272758580
	fix1451 = 11893 // 1.451774981
	fix1847 = 15137 // 1.847759065
	fix2172 = 17799 // 2.172734803
	fix2562 = 20995 // 2.562915447
	fix3624 = 29692 // 3.624509785

	constBits = 13
	passBits  = 2
)

// descale is v / 2^bits, rounded.
func descale(v int32, bits uint) int32 { return (v + 1<<(bits-1)) >> bits }

// idct4 gives the block in 4x4 pixels: columns, then rows, of all but the
// coefficients of number 4, which do not matter.
func idct4(b *block, dst []uint8, stride int) {
	var ws [4][8]int32
	for x := range 8 {
		if x == 4 {
			continue
		}
		ws[0][x], ws[1][x], ws[2][x], ws[3][x] = four(b[x], b[8+x], b[16+x], b[24+x], b[40+x], b[48+x], b[56+x], constBits-passBits+1)
	}
	for y := range ws {
		w, o := &ws[y], dst[y*stride:y*stride+4:y*stride+4]
		p0, p1, p2, p3 := four(w[0], w[1], w[2], w[3], w[5], w[6], w[7], constBits+passBits+3+1)
		o[0], o[1], o[2], o[3] = clip(p0), clip(p1), clip(p2), clip(p3)
	}
}

// four is one dimension of idct4.
func four(x0, x1, x2, x3, x5, x6, x7 int32, bits uint) (y0, y1, y2, y3 int32) {
	even := x0 << (constBits + 1)
	even2 := x2*fix1847 - x6*fix0765
	e0, e1 := even+even2, even-even2
	o1 := -x7*fix0211 + x5*fix1451 - x3*fix2172 + x1*fix1061
	o0 := -x7*fix0509 - x5*fix0601 + x3*fix0899 + x1*fix2562
	return descale(e0+o0, bits), descale(e1+o1, bits), descale(e1-o1, bits), descale(e0-o0, bits)
}

// idct2 gives the block in 2x2 pixels, of the first and the odd coefficients.
func idct2(b *block, dst []uint8, stride int) {
	var ws [2][8]int32
	for _, x := range [5]int{0, 1, 3, 5, 7} {
		ws[0][x], ws[1][x] = two(b[x], b[8+x], b[24+x], b[40+x], b[56+x], constBits-passBits+2)
	}
	for y := range ws {
		w := &ws[y]
		p0, p1 := two(w[0], w[1], w[3], w[5], w[7], constBits+passBits+3+2)
		dst[y*stride], dst[y*stride+1] = clip(p0), clip(p1)
	}
}

// two is one dimension of idct2.
func two(x0, x1, x3, x5, x7 int32, bits uint) (y0, y1 int32) {
	even := x0 << (constBits + 2)
	odd := -x7*fix0720 + x5*fix0850 - x3*fix1272 + x1*fix3624
	return descale(even+odd, bits), descale(even-odd, bits)
}
