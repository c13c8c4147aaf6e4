package main

import "fmt"

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
	"and": {0x4e201c00, "16b"}, "bic": {0x4e601c00, "16b"}, "orr": {0x4ea01c00, "16b"}, "eor": {0x6e201c00, "16b"},
	"bsl": {0x6e601c00, "16b"}, "bit": {0x6ea01c00, "16b"}, "bif": {0x6ee01c00, "16b"},
}

// three writes d = n op m; fmla, fmls, bsl, bit and bif read d too.
func (a *asm) three(name string, d, n, m v) {
	i, ok := threeSame[name]
	if !ok {
		panic("no instruction " + name)
	}
	a.word(i.code|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s %v.%s, %v.%s, %v.%s", name, d, i.arr, n, i.arr, m, i.arr)
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
