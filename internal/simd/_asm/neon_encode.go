package main

import (
	"fmt"
	"strings"
)

// The encodings are those of the Arm Architecture Reference Manual for
// A-profile, C7.2 (SIMD and floating-point instructions).

// threeSame are instructions of two sources and a destination, by their names
// in Arm's syntax, with the arrangement of the registers.
var threeSame = map[string]struct {
	code uint32
	arr  string
}{
	"fadd": {0x4e20d400, "4s"}, "fsub": {0x4ea0d400, "4s"}, "fmul": {0x6e20dc00, "4s"}, "fdiv": {0x6e20fc00, "4s"},
	"fmax": {0x4e20f400, "4s"}, "fmin": {0x4ea0f400, "4s"}, "fmla": {0x4e20cc00, "4s"}, "fmls": {0x4ea0cc00, "4s"},
	"fcmgt": {0x6ea0e400, "4s"}, "fcmge": {0x6e20e400, "4s"}, "fcmeq": {0x4e20e400, "4s"},
	"and": {0x4e201c00, "16b"}, "bic": {0x4e601c00, "16b"}, "orn": {0x4ee01c00, "16b"}, "orr": {0x4ea01c00, "16b"}, "eor": {0x6e201c00, "16b"},
	"add": {0x4ea08400, "4s"}, "sub": {0x6ea08400, "4s"}, "cmeq": {0x6ea08c00, "4s"}, "cmhs": {0x6ea03c00, "4s"},
	"zip1": {0x4e803800, "4s"}, "zip2": {0x4e807800, "4s"}, "uzp1": {0x4e801800, "4s"}, "uzp2": {0x4e805800, "4s"},
	"zip1d": {0x4ec03800, "2d"}, "zip2d": {0x4ec07800, "2d"}, "fmlad": {0x4e60cc00, "2d"},
	"bsl": {0x6e601c00, "16b"}, "bit": {0x6ea01c00, "16b"}, "bif": {0x6ee01c00, "16b"},
}

// three writes d = n op m; fmla, fmls, bsl, bit and bif read d too.
func (a *asm) three(name string, d, n, m v) {
	i, ok := threeSame[name]
	if !ok {
		panic("no instruction " + name)
	}
	text := strings.TrimSuffix(name, "d") // the mark of 64-bit lanes
	if i.arr != "2d" {
		text = name
	}
	a.word(i.code|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s %v.%s, %v.%s, %v.%s", text, d, i.arr, n, i.arr, m, i.arr)
}

// multiplyLong multiplies the low (or, with high, the high) two lanes of n and m
// to 64 bits each.
func (a *asm) multiplyLong(d, n, m v, high bool) {
	if high {
		a.word(0x6ea0c000|uint32(m)<<16|uint32(n)<<5|uint32(d), "umull2 %v.2d, %v.4s, %v.4s", d, n, m)
	} else {
		a.word(0x2ea0c000|uint32(m)<<16|uint32(n)<<5|uint32(d), "umull %v.2d, %v.2s, %v.2s", d, n, m)
	}
}

// fmlaLane adds n times one lane of m to d.
func (a *asm) fmlaLane(d, n, m v, lane int) {
	a.word(0x4f801000|uint32(lane&1)<<21|uint32(m)<<16|uint32(lane>>1)<<11|uint32(n)<<5|uint32(d),
		"fmla %v.4s, %v.4s, %v.s[%d]", d, n, m, lane)
}

// move copies n to d.
func (a *asm) move(d, n v) {
	a.word(threeSame["orr"].code|uint32(n)<<16|uint32(n)<<5|uint32(d), "mov %v.16b, %v.16b", d, n)
}

// zero clears d.
func (a *asm) zero(d v) { a.word(0x6f00e400|uint32(d), "movi %v.2d, #0", d) }

// width is a register's part that is loaded or stored.
type width struct {
	name  string
	bytes int
	code  uint32 // of a load with an unsigned offset
	post  uint32 // of a load that moves the pointer on
}

var (
	whole  = width{"q", 16, 0x3dc00000, 0x3cc00400}
	half   = width{"d", 8, 0xfd400000, 0xfc400400}
	single = width{"s", 4, 0xbd400000, 0xbc400400}
)

// store turns the code of a load into that of the store: in bit 22.
const store = 1 << 22

func (a *asm) address(code uint32, name string, w width, r v, p x, off int) {
	if off < 0 || off%w.bytes != 0 || off/w.bytes > 4095 {
		panic(fmt.Sprintf("offset %d of %s", off, w.name))
	}
	text := fmt.Sprintf("%s %s%d, [x%d", name, w.name, int(r), int(p))
	if off > 0 {
		text += fmt.Sprintf(", #%d", off)
	}
	a.word(code|uint32(off/w.bytes)<<10|uint32(p)<<5|uint32(r), "%s]", text)
}

// load reads part of r at p+off and clears the rest of r.
func (a *asm) load(w width, r v, p x, off int) { a.address(w.code, "ldr", w, r, p, off) }

// save writes part of r to p+off.
func (a *asm) save(w width, r v, p x, off int) { a.address(w.code&^store, "str", w, r, p, off) }

// loadNext reads part of r at p and moves p on by step bytes.
func (a *asm) loadNext(w width, r v, p x, step int) {
	a.word(w.post|uint32(step&0x1ff)<<12|uint32(p)<<5|uint32(r), "ldr %s%d, [x%d], #%d", w.name, int(r), int(p), step)
}

// saveNext writes part of r to p and moves p on by step bytes.
func (a *asm) saveNext(w width, r v, p x, step int) {
	a.word(w.post&^store|uint32(step&0x1ff)<<12|uint32(p)<<5|uint32(r), "str %s%d, [x%d], #%d", w.name, int(r), int(p), step)
}

func (a *asm) pair(code uint32, name string, r, s v, p x, off int) {
	text := fmt.Sprintf("%s q%d, q%d, [x%d", name, int(r), int(s), int(p))
	if off != 0 {
		text += fmt.Sprintf(", #%d", off)
	}
	a.word(code|uint32(off/16&0x7f)<<15|uint32(s)<<10|uint32(p)<<5|uint32(r), "%s]", text)
}

// loadPair reads r and s at p+off.
func (a *asm) loadPair(r, s v, p x, off int) { a.pair(0xad400000, "ldp", r, s, p, off) }

// savePair writes r and s to p+off.
func (a *asm) savePair(r, s v, p x, off int) { a.pair(0xad000000, "stp", r, s, p, off) }

// broadcast reads one float at p into all lanes of r.
func (a *asm) broadcast(r v, p x) {
	a.word(0x4d40c800|uint32(p)<<5|uint32(r), "ld1r {%v.4s}, [x%d]", r, int(p))
}

// twoOperand are instructions of one source. The names with a 0 compare with
// zero.
var twoOperand = map[string]struct {
	code           uint32
	text, to, from string
}{
	"fcmle0": {0x6ea0d800, "fcmle", "4s", "4s"}, "fcmgt0": {0x4ea0c800, "fcmgt", "4s", "4s"}, "fcmlt0": {0x4ea0e800, "fcmlt", "4s", "4s"},
	"fabs": {0x4ea0f800, "fabs", "4s", "4s"}, "fneg": {0x6ea0f800, "fneg", "4s", "4s"}, "fsqrt": {0x6ea1f800, "fsqrt", "4s", "4s"},
	"frintn": {0x4e218800, "frintn", "4s", "4s"}, "fcvtns": {0x4e21a800, "fcvtns", "4s", "4s"}, "ucvtf": {0x6e21d800, "ucvtf", "4s", "4s"},
	"fcvtl": {0x0e617800, "fcvtl", "2d", "2s"}, "fcvtl2": {0x4e617800, "fcvtl2", "2d", "4s"},
	"xtn": {0x0e612800, "xtn", "4h", "4s"}, "uxtl": {0x2f10a400, "uxtl", "4s", "4h"}, "uxtl2": {0x6f10a400, "uxtl2", "4s", "8h"},
	"uxtlb": {0x2f08a400, "uxtl", "8h", "8b"},
}

// two writes d = op n.
func (a *asm) two(name string, d, n v) {
	i, ok := twoOperand[name]
	if !ok {
		panic("no instruction " + name)
	}
	zero := ""
	if name[len(name)-1] == '0' {
		zero = ", #0"
	}
	a.word(i.code|uint32(n)<<5|uint32(d), "%s %v.%s, %v.%s%s", i.text, d, i.to, n, i.from, zero)
}

// shiftBy shifts each lane of n by a constant.
func (a *asm) shiftBy(name string, d, n v, by int) {
	code := map[string]uint32{
		"shl": 0x4f005400 | uint32(32+by)<<16, "sshr": 0x4f000400 | uint32(64-by)<<16, "ushr": 0x6f000400 | uint32(64-by)<<16,
	}[name]
	a.word(code|uint32(n)<<5|uint32(d), "%s %v.4s, %v.4s, #%d", name, d, n, by)
}

// dup copies a lane of n to all lanes of d.
func (a *asm) dup(d, n v, lane int) {
	a.word(0x4e040400|uint32(lane)<<19|uint32(n)<<5|uint32(d), "dup %v.4s, %v.s[%d]", d, n, lane)
}

// insert copies the low half of a general register to a lane of d.
func (a *asm) insert(d v, r x, lane int) {
	a.word(0x4e041c00|uint32(lane)<<19|uint32(r)<<5|uint32(d), "mov %v.s[%d], w%d", d, lane, int(r))
}

// dupGeneral copies the low half of a general register to all lanes of d.
func (a *asm) dupGeneral(d v, r x) {
	a.word(0x4e040c00|uint32(r)<<5|uint32(d), "dup %v.4s, w%d", d, int(r))
}

func (a *asm) indexed(code uint32, name string, w width, r v, p, index x) {
	a.word(code|uint32(index)<<16|uint32(p)<<5|uint32(r), "%s %s%d, [x%d, x%d]", name, w.name, int(r), int(p), int(index))
}

var indexedLoad = map[string]uint32{"q": 0x3ce06800, "d": 0xfc606800, "s": 0xbc606800}

// loadIndexed reads part of r at p+index.
func (a *asm) loadIndexed(w width, r v, p, index x) {
	a.indexed(indexedLoad[w.name], "ldr", w, r, p, index)
}

// saveIndexed writes part of r to p+index.
func (a *asm) saveIndexed(w width, r v, p, index x) {
	a.indexed(indexedLoad[w.name]&^store, "str", w, r, p, index)
}
