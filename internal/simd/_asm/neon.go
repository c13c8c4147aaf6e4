package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// param is an argument of a function.
type param struct{ name, kind string }

// params reads "y, x *float32, n int".
func params(signature string) (list []param) {
	for _, group := range strings.Split(signature, ", ") {
		name, kind, _ := strings.Cut(group, " ")
		list = append(list, param{name, kind})
	}
	for i := len(list) - 2; i >= 0; i-- {
		if list[i].kind == "" {
			list[i].kind = list[i+1].kind
		}
	}
	return list
}

// offsets returns where the arguments lie and how many bytes they take.
func offsets(list []param) (at map[string]int, size int) {
	at = map[string]int{}
	for _, p := range list {
		n := 8
		if p.kind == "float32" || p.kind == "uint32" {
			n = 4
		}
		size = (size + n - 1) &^ (n - 1)
		at[p.name] = size
		size += n
	}
	return at, size
}

// value is a vector: a value of the current block, which is given a register when
// the block ends, or one that is pinned to a register for the function.
type value struct {
	reg    v
	pinned bool
	last   int // the instruction of the block that uses it last
}

// mem is an address: base plus an index register, if there is one, or plus an
// offset.
type mem struct {
	base  x
	index x // 0: none
	off   int
}

// neon writes one file of functions of vectors. While it writes the tail of a
// loop, single is set and loads and stores are of one element; the other lanes
// of what is loaded are 0.
type neon struct {
	*asm
	single bool
	decls  bytes.Buffer
	table  []uint32 // the constants of the file
	stem   string

	// of the current function
	args    map[string]int
	ptr     map[string]x
	scalars map[string]*value
	nextX   x
	nextV   v // pinned are those from here on
	consts  x

	// of the current block
	code []func()
	uses [][]*value // by instruction
	defs []*value
}

func newNEON(stem string) *neon { return &neon{asm: &asm{}, stem: stem} }

func (e *neon) begin(name, signature, doc string) {
	list := params(signature)
	at, size := offsets(list)
	e.args, e.ptr, e.scalars = at, map[string]x{}, map[string]*value{}
	e.nextX, e.nextV, e.consts = 0, 32, -1
	e.function(name+"NEON", doc, size)
	fmt.Fprintf(&e.decls, "// %sNEON %s\n//\n//go:noescape\nfunc %sNEON(%s)\n\n", name, doc, name, signature)
}

func (e *neon) end() { e.op("RET") }

// gp returns a general register that no one has.
func (e *neon) gp() x {
	if e.nextX == 18 {
		e.nextX++ // the system's
	}
	if e.nextX > 26 {
		panic("no general register left")
	}
	e.nextX++
	return e.nextX - 1
}

// loadInt reads an integer or pointer argument.
func (e *neon) loadInt(name string) x {
	r := e.gp()
	e.loadArg(name, r)
	e.ptr[name] = r
	return r
}

func (e *neon) loadArg(name string, r x) { e.op("MOVD %s+%d(FP), %v", name, e.args[name], r) }

// pin returns a vector that keeps its register to the end of the function.
func (e *neon) pin() *value {
	e.nextV--
	return &value{reg: e.nextV, pinned: true}
}

// loadScalar reads a float32 argument into all lanes.
func (e *neon) loadScalar(name string) *value {
	d := e.pin()
	e.op("FMOVS %s+%d(FP), F%d", name, e.args[name], int(d.reg))
	e.asm.dup(d.reg, d.reg, 0)
	e.scalars[name] = d
	return d
}

// loadWord reads a 32-bit argument into all lanes.
func (e *neon) loadWord(name string) *value {
	d, t := e.pin(), e.gp()
	e.op("MOVWU %s+%d(FP), %v", name, e.args[name], t)
	e.asm.dupGeneral(d.reg, t)
	return d
}

// field reads the 32-bit word number i at the pointer into all lanes.
func (e *neon) field(base x, i int) *value {
	d, t := e.pin(), e.nextX
	if t == 18 {
		t++
	}
	e.op("ADD $%d, %v, %v", 4*i, base, t)
	e.broadcast(d.reg, t)
	return d
}

// pinZero returns a pinned vector of zeros.
func (e *neon) pinZero() *value { d := e.pin(); e.zero(d.reg); return d }

// Blocks. The instructions of a block are kept until it ends; then each value
// gets a register from its definition to its last use. Values do not live across
// the jump back of a loop inside of a block.

// do adds an instruction that defines d, if it is not nil, and uses others. An
// instruction that changes d in place uses it, too.
func (e *neon) do(code func(), d *value, uses ...*value) {
	n := len(e.code)
	e.code, e.uses, e.defs = append(e.code, code), append(e.uses, uses), append(e.defs, d)
	for _, u := range append(uses, d) {
		if u != nil {
			u.last = n
		}
	}
}

// plain adds an instruction of Go's assembler to the block.
func (e *neon) plain(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	e.do(func() { e.op("%s", text) }, nil)
}

// place adds a label to the block.
func (e *neon) place(label string) { e.do(func() { e.at(label) }, nil) }

// block writes what body has added.
func (e *neon) block(body func()) {
	body()
	var free []v
	for r := e.nextV - 1; r >= 0; r-- {
		free = append(free, r)
	}
	given := map[*value]bool{}
	release := func(n int, u *value) {
		if u != nil && !u.pinned && given[u] && u.last == n {
			free = append(free, u.reg)
			delete(given, u)
		}
	}
	take := func(d *value) {
		if d == nil || d.pinned || given[d] {
			return
		}
		if len(free) == 0 {
			panic("no vector register left in " + e.stem)
		}
		// The one that has been free for longest.
		d.reg, free = free[0], free[1:]
		given[d] = true
	}
	for n, code := range e.code {
		for _, u := range e.uses[n] {
			if u != nil && !u.pinned && !given[u] {
				panic("a value is used before it is defined in " + e.stem)
			}
		}
		take(e.defs[n])
		code()
		for _, u := range e.uses[n] {
			release(n, u)
		}
		release(n, e.defs[n])
	}
	e.code, e.uses, e.defs = nil, nil, nil
}

func (e *neon) v() *value { return &value{} }

// constant returns a 32-bit word in every lane.
func (e *neon) word32(bits uint32) *value {
	if e.consts < 0 {
		panic("no table of constants in this function of " + e.stem)
	}
	at := -1
	for i, w := range e.table {
		if w == bits {
			at = i
		}
	}
	if at < 0 {
		at = len(e.table)
		e.table = append(e.table, bits)
	}
	d, base := e.v(), e.consts
	e.do(func() { e.load(whole, d.reg, base, 16*at) }, d)
	return d
}

// useConstants makes word32 and constant work in this function.
func (e *neon) useConstants() {
	e.consts = e.gp()
	e.op("MOVD $neon_%s<>(SB), %v", e.stem, e.consts)
}

func (e *neon) constant(f float64) *value { return e.word32(math.Float32bits(float32(f))) }

// text returns the file.
func (e *neon) text() []byte {
	b := e.file()
	if len(e.table) == 0 {
		return b
	}
	var t bytes.Buffer
	t.Write(b)
	t.WriteString("\n")
	for i, w := range e.table {
		for lane := range 4 {
			fmt.Fprintf(&t, "DATA neon_%s<>+%d(SB)/4, $0x%08x\n", e.stem, 16*i+4*lane, w)
		}
	}
	fmt.Fprintf(&t, "GLOBL neon_%s<>(SB), RODATA|NOPTR, $%d\n", e.stem, 16*len(e.table))
	return t.Bytes()
}

func (e *neon) width() width {
	if e.single {
		return single
	}
	return whole
}

func (e *neon) ld(m mem) *value {
	d, w := e.v(), e.width()
	e.do(func() {
		if m.index != 0 {
			e.loadIndexed(w, d.reg, m.base, m.index)
		} else {
			e.load(w, d.reg, m.base, m.off)
		}
	}, d)
	return d
}

func (e *neon) st(s *value, m mem) {
	w := e.width()
	e.do(func() {
		if m.index != 0 {
			e.saveIndexed(w, s.reg, m.base, m.index)
		} else {
			e.save(w, s.reg, m.base, m.off)
		}
	}, nil, s)
}

func (e *neon) op3(name string, a, b *value) *value {
	d := e.v()
	e.do(func() { e.three(name, d.reg, a.reg, b.reg) }, d, a, b)
	return d
}

// change is an instruction that reads d as well as writing it.
func (e *neon) change(name string, d, a, b *value) *value {
	e.do(func() { e.three(name, d.reg, a.reg, b.reg) }, nil, d, a, b)
	return d
}

func (e *neon) op2(name string, a *value) *value {
	d := e.v()
	e.do(func() { e.two(name, d.reg, a.reg) }, d, a)
	return d
}

func (e *neon) shift(name string, a *value, n int) *value {
	d := e.v()
	e.do(func() { e.shiftBy(name, d.reg, a.reg, n) }, d, a)
	return d
}

func (e *neon) add(a, b *value) *value { return e.op3("fadd", a, b) }
func (e *neon) sub(a, b *value) *value { return e.op3("fsub", a, b) }
func (e *neon) mul(a, b *value) *value { return e.op3("fmul", a, b) }
func (e *neon) div(a, b *value) *value { return e.op3("fdiv", a, b) }

// max and min return NaN if either is.
func (e *neon) max(a, b *value) *value { return e.op3("fmax", a, b) }
func (e *neon) min(a, b *value) *value { return e.op3("fmin", a, b) }

// fma adds a*b to acc in place and returns it.
func (e *neon) fma(a, b, acc *value) *value { return e.change("fmla", acc, a, b) }

// fnma subtracts a*b from acc in place and returns it.
func (e *neon) fnma(a, b, acc *value) *value { return e.change("fmls", acc, a, b) }

func (e *neon) copyOf(a *value) *value {
	d := e.v()
	e.do(func() { e.move(d.reg, a.reg) }, d, a)
	return d
}

// unless returns s, but 0 where y <= 0.
func (e *neon) unless(s, y *value) *value { return e.op3("bic", s, e.op2("fcmle0", y)) }

// choose returns yes where the mask is set, else no. It overwrites the mask.
func (e *neon) choose(mask any, yes, no *value) *value {
	return e.change("bsl", mask.(*value), yes, no)
}

// zeros returns a vector of zeros.
func (e *neon) zeros() *value {
	d := e.v()
	e.do(func() { e.zero(d.reg) }, d)
	return d
}

func (e *neon) maxNaN(a, b *value) *value { return e.max(a, b) }
func (e *neon) minNaN(a, b *value) *value { return e.min(a, b) }
func (e *neon) sqrt(a *value) *value      { return e.op2("fsqrt", a) }
func (e *neon) neg(a *value) *value       { return e.op2("fneg", a) }
func (e *neon) abs(a *value) *value       { return e.op2("fabs", a) }
func (e *neon) round(a *value) *value     { return e.op2("frintn", a) }

func (e *neon) withSign(a, x *value) *value {
	return e.op3("orr", a, e.op3("and", x, e.word32(0x80000000)))
}

// scaleBy2 multiplies by 2^n in two factors, since n may be beyond the exponents
// of float32.
func (e *neon) scaleBy2(p, n *value) *value {
	i := e.op2("fcvtns", n)
	first := e.shift("sshr", i, 1)
	for _, h := range []*value{first, e.op3("sub", i, first)} {
		p = e.mul(p, e.shift("shl", e.op3("add", h, e.word32(127)), 23))
	}
	return p
}

// mulSub makes p*k - c of c, in place.
func (e *neon) mulSub(p, k, c *value) *value { return e.fma(p, k, e.neg(c)) }

// horner makes p*x + c of c, in place.
func (e *neon) horner(p, x, c *value) *value { return e.fma(p, x, c) }

func (e *neon) addend(a *value) *value { return e.copyOf(a) }

func (e *neon) mulAdds(list ...[3]mem) (sums []*value) {
	for _, m := range list {
		sums = append(sums, e.fma(e.ld(m[0]), e.ld(m[1]), e.ld(m[2])))
	}
	return sums
}

func (e *neon) mulAddTo(a func() *value, b, c mem) *value {
	return e.fma(a(), e.ld(b), e.ld(c))
}

func (e *neon) addTo(acc, x *value) { e.change("fadd", acc, acc, x) }

func (e *neon) addLanes(acc, x *value, stored mem) {
	if e.single {
		x = e.ld(stored) // which clears the other lanes
	}
	e.addTo(acc, x)
}

func (e *neon) maxLanes(acc *value, m mem) {
	x := e.ld(m)
	if e.single {
		// The lanes beyond the element must not count as 0.
		all := e.v()
		e.do(func() { e.dup(all.reg, x.reg, 0) }, all, x)
		e.change("fmax", acc, acc, all)
		return
	}
	e.change("fmax", acc, acc, x)
}

func (e *neon) negative(x *value) any { return e.op2("fcmlt0", x) }
func (e *neon) positive(x *value) any { return e.op2("fcmgt0", x) }
func (e *neon) less(a, b *value) any  { return e.op3("fcmgt", b, a) }

// What a kernel sets up before its loop and leaves after it.

func (e *neon) argument(name string) *value { return e.scalars[name] }
func (e *neon) float(f float64) *value      { return e.constant(f) }

func (e *neon) coefs(name string, n int) (list []*value) {
	base := e.loadInt(name)
	for i := range n {
		list = append(list, e.field(base, i))
	}
	return list
}

func (e *neon) accumulators(n int, start float64) (list []*value) {
	if start == 0 {
		for range n {
			list = append(list, e.pinZero())
		}
		return list
	}
	e.block(func() {
		from := e.constant(start)
		for range n {
			r := e.pin()
			e.do(func() { e.move(r.reg, from.reg) }, nil, r, from)
			list = append(list, r)
		}
	})
	return list
}

func (e *neon) result(name string, v func() *value) {
	to := e.loadInt(name)
	e.block(func() { e.st(v(), mem{base: to}) })
}
