package main

import "fmt"

// zipArrangements are the arrangements of registers that zip takes.
var zipArrangements = map[string]uint32{"16b": 0, "8h": 1 << 22, "4s": 2 << 22}

// zip writes the lanes of the lower or upper halves of n and m by turns.
func (a *asm) zip(arr string, d, n, m v, upper bool) {
	size, ok := zipArrangements[arr]
	if !ok {
		panic("no arrangement " + arr)
	}
	code, name := uint32(0x4e003800), "zip1"
	if upper {
		code, name = 0x4e007800, "zip2"
	}
	a.word(code|size|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s %v.%s, %v.%s, %v.%s", name, d, arr, n, arr, m, arr)
}

// halves are instructions whose source or destination is the lower half of a register
// or, with a 2 behind the name, the upper one.
func (a *asm) halves(code uint32, upper bool, format string, args ...any) {
	two := ""
	if upper {
		code |= 1 << 30
		two = "2"
	}
	a.word(code, "%s", fmt.Sprintf(format, append([]any{two}, args...)...))
}

func arrangement(upper bool, wide, narrow string) string {
	if upper {
		return wide
	}
	return narrow
}

// multiplyLane writes d = n*m[lane] in 32 bits for four words of n, or adds it to d.
func (a *asm) multiplyLane(d, n, m v, lane int, upper, add bool) {
	if m > 15 {
		panic("the lane of a high register")
	}
	code, name := uint32(0x0f40a000), "smull"
	if add {
		code, name = 0x0f402000, "smlal"
	}
	l := uint32(lane)
	code |= l>>1&1<<21 | l&1<<20 | l>>2<<11 | uint32(m)<<16 | uint32(n)<<5 | uint32(d)
	a.halves(code, upper, name+"%s %v.4s, %v.%s, %v.h[%d]", d, n, arrangement(upper, "8h", "4h"), m, lane)
}

// widenShift writes four words of n, shifted to the left, as 32 bits.
func (a *asm) widenShift(d, n v, by int, upper bool) {
	a.halves(0x0f00a400|uint32(16+by)<<16|uint32(n)<<5|uint32(d), upper, "sshll%s %v.4s, %v.%s, #%d", d, n, arrangement(upper, "8h", "4h"), by)
}

// narrow writes n, shifted to the right, in half of the bits, from 32 or 16: "shrn"
// cuts off, "sqshrn" saturates, "rshrn" rounds.
func (a *asm) narrow(name string, d, n v, by, from int, upper bool) {
	code := map[string]uint32{"shrn": 0x0f008400, "rshrn": 0x0f008c00, "sqshrn": 0x0f009400}[name]
	to := from / 2
	wide := map[int]string{32: "4s", 16: "8h"}[from]
	half := map[int]string{16: arrangement(upper, "8h", "4h"), 8: arrangement(upper, "16b", "8b")}[to]
	a.halves(code|uint32(from-by)<<16|uint32(n)<<5|uint32(d), upper, name+"%s %v.%s, %v.%s, #%d", d, half, n, wide, by)
}

// words16 are instructions of three vectors of 16-bit lanes; those of bytes have 8 in
// one or two of the sources.
var words16 = map[string]struct {
	code    uint32
	d, n, m string
}{
	"add": {0x4e608400, "8h", "8h", "8h"}, "sub": {0x6e608400, "8h", "8h", "8h"}, "mul": {0x4e609c00, "8h", "8h", "8h"},
	"umull": {0x2e20c000, "8h", "8b", "8b"}, "umlal": {0x2e208000, "8h", "8b", "8b"}, "uaddw": {0x2e201000, "8h", "8h", "8b"},
}

func (a *asm) three16(name string, d, n, m v) {
	i, ok := words16[name]
	if !ok {
		panic("no instruction " + name)
	}
	a.word(i.code|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s %v.%s, %v.%s, %v.%s", name, d, i.d, n, i.n, m, i.m)
}

// saturateBytes writes words of n, limited to 0 to 255, to half of d.
func (a *asm) saturateBytes(d, n v, upper bool) {
	a.halves(0x2e212800|uint32(n)<<5|uint32(d), upper, "sqxtun%s %v.%s, %v.8h", d, arrangement(upper, "16b", "8b"), n)
}

// unsignedWords writes the bytes of a half of n as words.
func (a *asm) unsignedWords(d, n v, upper bool) {
	a.halves(0x2f08a400|uint32(n)<<5|uint32(d), upper, "uxtl%s %v.8h, %v.%s", d, n, arrangement(upper, "16b", "8b"))
}

// moveLane copies 64 bits of n to a general register.
func (a *asm) moveLane(r x, n v, lane int) {
	a.word(0x4e083c00|uint32(lane)<<20|uint32(n)<<5|uint32(r), "mov x%d, %v.d[%d]", int(r), n, lane)
}

// saveLane writes 64 bits of r at p and moves p on by the bytes in step.
func (a *asm) saveLane(r v, lane int, p, step x) {
	a.word(0x0d808400|uint32(lane)<<30|uint32(step)<<16|uint32(p)<<5|uint32(r), "st1 {%v.d}[%d], [x%d], x%d", r, lane, int(p), int(step))
}

// saveTurns writes the bytes of n registers by turns at p and moves p on.
func (a *asm) saveTurns(r v, n int, p x) {
	code := map[int]uint32{2: 0x4c9f8000, 3: 0x4c9f4000}[n]
	list := fmt.Sprintf("%v.16b, %v.16b", r, r+1)
	if n == 3 {
		list += fmt.Sprintf(", %v.16b", r+2)
	}
	a.word(code|uint32(p)<<5|uint32(r), "st%d {%s}, [x%d], #%d", n, list, int(p), 16*n)
}

// loadByte8 reads 8 bytes at p+off, of any sign.
func (a *asm) loadByte8(r v, p x, off int) {
	a.word(0xfc400000|uint32(off&0x1ff)<<12|uint32(p)<<5|uint32(r), "ldur d%d, [x%d, #%d]", int(r), int(p), off)
}

// immediate sets all bytes, or the low bytes of all words, of d.
func (a *asm) immediate(d v, value int, arr string) {
	code := map[string]uint32{"16b": 0x4f00e400, "8h": 0x4f008400}[arr]
	b := uint32(value)
	a.word(code|b>>5<<16|b&31<<5|uint32(d), "movi %v.%s, #0x%x", d, arr, value)
}

// The words of idctTable, by their lanes in v14 and v15; those of colors are in v14.
const idctTable = "jpeg_idct"

var idctWords = [16]int{
	fix0541 + fix0765, fix0541, fix0541 - fix1847, fix1175 - fix1961, fix1175, fix1175 - fix0390, fix0298 - fix0899, -fix0899,
	fix2053 - fix2562, -fix2562, fix3072 - fix2562, fix1501 - fix0899,
}

const colorTable = "jpeg_color"

var colorWords = [16]int{26345, -14942, -22554, 18734}

// jpegNEON returns the file of the kernels that make pixels of a JPEG's coefficients.
func jpegNEON() []byte {
	a := &asm{}
	a.idct8()
	a.ycbcrToRGB()
	a.upsamples()
	text := string(a.file())
	for _, t := range []struct {
		name  string
		words [16]int
	}{{idctTable, idctWords}, {colorTable, colorWords}} {
		text += "\n"
		for i, w := range t.words {
			text += fmt.Sprintf("DATA %s<>+%d(SB)/2, $0x%04x\n", t.name, 2*i, uint16(w))
		}
		text += fmt.Sprintf("GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", t.name, 2*len(t.words))
	}
	return []byte(text)
}

// arguments loads pointers and integers into registers from R0 on.
func (a *asm) arguments(names ...string) (list []x) {
	for i, n := range names {
		a.op("MOVD %s+%d(FP), R%d", n, 8*i, i)
		list = append(list, x(i))
	}
	return list
}

func (a *asm) idct8() {
	a.function("idct8NEON", "writes the 8x8 samples of a block, whose coefficients it clears.", 32)
	r := a.arguments("dst", "stride", "b", "q")
	dst, stride, b, q := r[0], r[1], r[2], r[3]
	const table, t = x(4), x(5)
	a.op("MOVD $%s<>(SB), %v", idctTable, table)
	a.loadPair(14, 15, table, 0)
	for i := range v(4) {
		a.loadPair(2*i, 2*i+1, b, 32*int(i))
		a.loadPair(16+2*i, 17+2*i, q, 32*int(i))
	}
	a.three("orr", 24, 1, 2)
	for i := v(3); i < 8; i++ {
		a.three("orr", 24, 24, i)
	}
	a.zero(31)
	for i := range 4 {
		a.savePair(31, 31, b, 32*i)
	}
	for i := range v(8) {
		a.three16("mul", i, i, 16+i)
	}
	a.moveLane(t, 24, 0)
	a.moveLane(6, 24, 1)
	a.op("ORR R6, %v", t)
	a.op("CBNZ %v, columns", t)
	// All columns have but their first coefficient, which is doubled twice.
	a.three16("add", 0, 0, 0)
	a.three16("add", 0, 0, 0)
	for i := v(1); i < 8; i++ {
		a.move(i, 0)
	}
	a.op("B rows")
	a.at("columns")
	a.op("MOVD $%d, %v", 1<<10, t)
	a.idctPass(t, func(d, n v, upper bool) { a.narrow("sqshrn", d, n, 11, 32, upper) })
	a.at("rows")
	// Transposed: v16 to v23 and back.
	a.zips("8h", 16, 0)
	a.zips("8h", 0, 16)
	a.zips("8h", 16, 0)
	for i := range v(8) {
		a.move(i, 16+i)
	}
	a.op("MOVD $%d, %v", 1<<17, t)
	a.idctPass(t, func(d, n v, upper bool) { a.narrow("shrn", d, n, 16, 32, upper) })
	// To bytes, columns 0 and 2, 1 and 3, 4 and 6, 5 and 7 in a register.
	for i, c := range []v{0, 1, 4, 5} {
		a.narrow("sqshrn", 16+v(i), c, 2, 16, false)
		a.narrow("sqshrn", 16+v(i), c+2, 2, 16, true)
	}
	for i, p := range [][2]v{{16, 17}, {18, 19}} {
		a.zip("16b", 20+2*v(i), p[0], p[1], false)
		a.zip("16b", 21+2*v(i), p[0], p[1], true)
	}
	for i, p := range [][2]v{{20, 21}, {22, 23}} {
		a.zip("8h", 24+2*v(i), p[0], p[1], false)
		a.zip("8h", 25+2*v(i), p[0], p[1], true)
	}
	a.immediate(31, 0x80, "16b")
	for i, p := range [][2]v{{24, 26}, {25, 27}} { // rows 0 to 3, 4 to 7
		for _, upper := range []bool{false, true} {
			d := 16 + 2*v(i)
			if upper {
				d++
			}
			a.zip("4s", d, p[0], p[1], upper)
			a.three("eor", d, d, 31)
			a.saveLane(d, 0, dst, stride)
			a.saveLane(d, 1, dst, stride)
		}
	}
	a.op("RET")
}

// zips writes a third of the transposition of the eight registers from the one on: three
// times that is all.
func (a *asm) zips(arr string, to, from v) {
	for i := range v(4) {
		a.zip(arr, to+2*i, from+i, from+4+i, false)
		a.zip(arr, to+2*i+1, from+i, from+4+i, true)
	}
}

// idctPass writes one dimension of the transform of v0 to v7, as function eight of
// package jpeg computes it, in place, rounded by the general register half and shifted
// by narrow.
func (a *asm) idctPass(half x, narrow func(d, n v, upper bool)) {
	const s, u, sum, diff = 8, 9, 10, 11
	a.dupGeneral(12, half)
	a.three16("add", s, 3, 7)
	a.three16("add", u, 1, 5)
	a.three16("add", sum, 0, 4)
	a.three16("sub", diff, 0, 4)
	// The results of the lower half of all rows stay in v24 to v31 until the sources
	// are not needed any more.
	for _, upper := range []bool{false, true} {
		product := func(d, n1 v, k1 int, n2 v, k2 int) {
			a.multiplyLane(d, n1, 14+v(k1/8), k1%8, upper, false)
			a.multiplyLane(d, n2, 14+v(k2/8), k2%8, upper, true)
		}
		const e0, e1, e3, e2 = 16, 17, 18, 19
		a.widenShift(e0, sum, 13, upper)
		a.widenShift(e1, diff, 13, upper)
		a.three("add", e0, e0, 12)
		a.three("add", e1, e1, 12)
		product(e3, 2, 0, 6, 1)
		product(e2, 2, 1, 6, 2)
		const o0, o1, o2, o3 = 20, 21, 22, 23
		for _, o := range []struct {
			d, a, b v
			ka, kb  int
			ks, ku  int // of s and u, for z3 or z4
		}{{o0, 7, 1, 6, 7, 3, 4}, {o1, 5, 3, 8, 9, 4, 5}, {o2, 3, 5, 10, 9, 3, 4}, {o3, 1, 7, 11, 7, 4, 5}} {
			product(o.d, o.a, o.ka, o.b, o.kb)
			a.multiplyLane(o.d, s, 14+v(o.ks/8), o.ks%8, upper, true)
			a.multiplyLane(o.d, u, 14+v(o.ku/8), o.ku%8, upper, true)
		}
		// t0 to t3 in place: e0 + e3, e1 + e2, e1 - e2, e0 - e3.
		a.three("sub", 13, e0, e3)
		a.three("add", e0, e0, e3)
		a.three("sub", e3, e1, e2)
		a.three("add", e1, e1, e2)
		for i, p := range [][2]v{{e0, o3}, {e1, o2}, {e3, o1}, {13, o0}} {
			a.three("add", e2, p[0], p[1])
			narrow(24+v(i), e2, upper)
			a.three("sub", e2, p[0], p[1])
			narrow(31-v(i), e2, upper)
		}
	}
	for i := range v(8) {
		a.move(i, 24+i)
	}
}

func (a *asm) ycbcrToRGB() {
	a.function("ycbcrToRGBNEON", "converts n pixels, a multiple of 16.", 40)
	r := a.arguments("out", "y", "cb", "cr", "n")
	out, y, cb, cr, n := r[0], r[1], r[2], r[3], r[4]
	const table = x(5)
	a.op("MOVD $%s<>(SB), %v", colorTable, table)
	a.load(whole, 14, table, 0)
	a.immediate(13, 128, "8h")
	loop := a.label("loop")
	a.at(loop)
	a.loadNext(whole, 0, y, 16)
	a.loadNext(whole, 1, cb, 16)
	a.loadNext(whole, 2, cr, 16)
	for _, upper := range []bool{false, true} {
		for i := range v(3) {
			a.unsignedWords(3+i, i, upper)
		}
		a.three16("sub", 4, 4, 13)
		a.three16("sub", 5, 5, 13)
		// v16 to v18 are the rounded products.
		for _, high := range []bool{false, true} {
			a.multiplyLane(20, 5, 14, 0, high, false)
			a.narrow("rshrn", 16, 20, 16, 32, high)
			a.multiplyLane(20, 4, 14, 2, high, false)
			a.multiplyLane(20, 5, 14, 3, high, true)
			a.narrow("rshrn", 17, 20, 16, 32, high)
			a.multiplyLane(20, 4, 14, 1, high, false)
			a.narrow("rshrn", 18, 20, 16, 32, high)
		}
		a.three16("add", 16, 16, 5)
		a.three16("sub", 17, 17, 5)
		a.three16("add", 18, 18, 4)
		a.three16("add", 18, 18, 4)
		for i := range v(3) {
			a.three16("add", 16+i, 16+i, 3)
			a.saturateBytes(24+i, 16+i, upper)
		}
	}
	a.saveTurns(24, 3, out)
	a.op("SUBS $16, %v", n)
	a.op("BNE %s", loop)
	a.op("RET")
}

// upsamples writes the triangle filters.
func (a *asm) upsamples() {
	// loop writes a loop over n values, 16 at a time, of which body does 8 from off on.
	loop := func(name, doc string, rows []string, setup func(), body func(p []x, off int, upper bool), save func(out x)) {
		a.function(name+"NEON", doc, 8*(len(rows)+1))
		r := a.arguments(append(rows, "n")...)
		n := r[len(rows)]
		setup()
		l := a.label("loop")
		a.at(l)
		body(r, 0, false)
		body(r, 8, true)
		save(r[0])
		for _, p := range r[1:len(rows)] {
			a.op("ADD $16, %v", p)
		}
		a.op("SUBS $16, %v", n)
		a.op("BNE %s", l)
		a.op("RET")
	}
	three := func() { a.immediate(31, 3, "16b") }
	loop("upsample2x1", "writes two values for each of n, a multiple of 16; it reads one before and one behind.", []string{"out", "in"}, func() {
		three()
		a.immediate(29, 1, "8h")
		a.immediate(30, 2, "8h")
	}, func(p []x, off int, upper bool) {
		a.loadByte8(0, p[1], off)
		for i, at := range []int{off - 1, off + 1} {
			a.loadByte8(1, p[1], at)
			a.move(2, 29+v(i))
			a.three16("umlal", 2, 0, 31)
			a.three16("uaddw", 2, 2, 1)
			a.narrow("shrn", 16+v(i), 2, 2, 16, upper)
		}
	}, func(out x) { a.saveTurns(16, 2, out) })
	loop("upsample2x2", "writes two values for each of n, a multiple of 16; it reads one before and one behind.", []string{"out", "near", "far"}, func() {
		three()
		a.immediate(29, 8, "8h")
		a.immediate(30, 7, "8h")
	}, func(p []x, off int, upper bool) {
		sum := func(d v, at int) {
			a.loadByte8(0, p[1], at)
			a.loadByte8(1, p[2], at)
			a.three16("umull", d, 0, 31)
			a.three16("uaddw", d, d, 1)
		}
		sum(2, off)
		a.three16("add", 3, 2, 2)
		a.three16("add", 2, 3, 2)
		for i, at := range []int{off - 1, off + 1} {
			sum(4, at)
			a.three16("add", 4, 4, 2)
			a.three16("add", 4, 4, 29+v(i))
			a.narrow("shrn", 16+v(i), 4, 4, 16, upper)
		}
	}, func(out x) { a.saveTurns(16, 2, out) })
	for bias := 1; bias <= 2; bias++ {
		name := [3]string{1: "upsample1x2Upper", 2: "upsample1x2Lower"}[bias]
		loop(name, "writes n values, a multiple of 16, of the two rows.", []string{"out", "near", "far"}, func() {
			three()
			a.immediate(29, bias, "8h")
		}, func(p []x, off int, upper bool) {
			a.loadByte8(0, p[1], off)
			a.loadByte8(1, p[2], off)
			a.move(2, 29)
			a.three16("umlal", 2, 0, 31)
			a.three16("uaddw", 2, 2, 1)
			a.narrow("shrn", 16, 2, 2, 16, upper)
		}, func(out x) { a.saveNext(whole, 16, out, 16) })
	}
}
