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

// vec is a vector: a value of the current block, which is given a register when
// the block ends, or one that is pinned to a register for the function.
type vec = *value

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

type memOf = func(name string) mem

// emit writes one file of functions of vectors. While it writes the tail of a
// loop, single is set and loads and stores are of one element; the other lanes
// of what is loaded are 0.
type emit struct {
	*asm
	single bool
	decls  bytes.Buffer
	table  []uint32 // the constants of the file
	stem   string

	// of the current function
	args   map[string]int
	ptr    map[string]x
	scalar map[string]vec
	nextX  x
	nextV  v // pinned are those from here on
	consts x

	// of the current block
	code []func()
	uses [][]vec // by instruction
	defs []vec
}

func newEmit(stem string) *emit { return &emit{asm: &asm{}, stem: stem} }

func (e *emit) begin(name, signature, doc string) {
	list := params(signature)
	at, size := offsets(list)
	e.args, e.ptr, e.scalar = at, map[string]x{}, map[string]vec{}
	e.nextX, e.nextV, e.consts = 0, 32, -1
	e.function(name+"NEON", doc, size)
	fmt.Fprintf(&e.decls, "// %sNEON %s\n//\n//go:noescape\nfunc %sNEON(%s)\n\n", name, doc, name, signature)
}

func (e *emit) end() { e.op("RET") }

// gp returns a general register that no one has.
func (e *emit) gp() x {
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
func (e *emit) loadInt(name string) x {
	r := e.gp()
	e.argument(name, r)
	e.ptr[name] = r
	return r
}

func (e *emit) argument(name string, r x) { e.op("MOVD %s+%d(FP), %v", name, e.args[name], r) }

// pin returns a vector that keeps its register to the end of the function.
func (e *emit) pin() vec {
	e.nextV--
	return &value{reg: e.nextV, pinned: true}
}

// loadScalar reads a float32 argument into all lanes.
func (e *emit) loadScalar(name string) vec {
	d := e.pin()
	e.op("FMOVS %s+%d(FP), F%d", name, e.args[name], int(d.reg))
	e.asm.dup(d.reg, d.reg, 0)
	e.scalar[name] = d
	return d
}

// loadWord reads a 32-bit argument into all lanes.
func (e *emit) loadWord(name string) vec {
	d, t := e.pin(), e.gp()
	e.op("MOVWU %s+%d(FP), %v", name, e.args[name], t)
	e.asm.dupGeneral(d.reg, t)
	return d
}

// field reads the 32-bit word number i at the pointer into all lanes.
func (e *emit) field(base x, i int) vec {
	d, t := e.pin(), e.nextX
	if t == 18 {
		t++
	}
	e.op("ADD $%d, %v, %v", 4*i, base, t)
	e.broadcast(d.reg, t)
	return d
}

// pinZero returns a pinned vector of zeros.
func (e *emit) pinZero() vec { d := e.pin(); e.zero(d.reg); return d }

// Blocks. The instructions of a block are kept until it ends; then each value
// gets a register from its definition to its last use. Values do not live across
// the jump back of a loop inside of a block.

// do adds an instruction that defines d, if it is not nil, and uses others. An
// instruction that changes d in place uses it, too.
func (e *emit) do(code func(), d vec, uses ...vec) {
	n := len(e.code)
	e.code, e.uses, e.defs = append(e.code, code), append(e.uses, uses), append(e.defs, d)
	for _, u := range append(uses, d) {
		if u != nil {
			u.last = n
		}
	}
}

// plain adds an instruction of Go's assembler to the block.
func (e *emit) plain(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	e.do(func() { e.op("%s", text) }, nil)
}

// place adds a label to the block.
func (e *emit) place(label string) { e.do(func() { e.at(label) }, nil) }

// block writes what body has added.
func (e *emit) block(body func()) {
	body()
	var free []v
	for r := e.nextV - 1; r >= 0; r-- {
		free = append(free, r)
	}
	given := map[vec]bool{}
	release := func(n int, u vec) {
		if u != nil && !u.pinned && given[u] && u.last == n {
			free = append(free, u.reg)
			delete(given, u)
		}
	}
	take := func(d vec) {
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

func (e *emit) v() vec { return &value{} }

// constant returns a 32-bit word in every lane.
func (e *emit) word32(bits uint32) vec {
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
func (e *emit) useConstants() {
	e.consts = e.gp()
	e.op("MOVD $neon_%s<>(SB), %v", e.stem, e.consts)
}

func (e *emit) constant(f float64) vec { return e.word32(math.Float32bits(float32(f))) }

// text returns the file.
func (e *emit) text() []byte {
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

func (e *emit) width() width {
	if e.single {
		return single
	}
	return whole
}

func (e *emit) ld(m mem) vec {
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

func (e *emit) st(s vec, m mem) {
	w := e.width()
	e.do(func() {
		if m.index != 0 {
			e.saveIndexed(w, s.reg, m.base, m.index)
		} else {
			e.save(w, s.reg, m.base, m.off)
		}
	}, nil, s)
}

func (e *emit) op3(name string, a, b vec) vec {
	d := e.v()
	e.do(func() { e.three(name, d.reg, a.reg, b.reg) }, d, a, b)
	return d
}

// change is an instruction that reads d as well as writing it.
func (e *emit) change(name string, d, a, b vec) vec {
	e.do(func() { e.three(name, d.reg, a.reg, b.reg) }, nil, d, a, b)
	return d
}

func (e *emit) op2(name string, a vec) vec {
	d := e.v()
	e.do(func() { e.two(name, d.reg, a.reg) }, d, a)
	return d
}

func (e *emit) shift(name string, a vec, n int) vec {
	d := e.v()
	e.do(func() { e.shiftBy(name, d.reg, a.reg, n) }, d, a)
	return d
}

func (e *emit) add(a, b vec) vec { return e.op3("fadd", a, b) }
func (e *emit) sub(a, b vec) vec { return e.op3("fsub", a, b) }
func (e *emit) mul(a, b vec) vec { return e.op3("fmul", a, b) }
func (e *emit) div(a, b vec) vec { return e.op3("fdiv", a, b) }

// max and min return NaN if either is.
func (e *emit) max(a, b vec) vec { return e.op3("fmax", a, b) }
func (e *emit) min(a, b vec) vec { return e.op3("fmin", a, b) }

// fma adds a*b to acc in place and returns it.
func (e *emit) fma(a, b, acc vec) vec { return e.change("fmla", acc, a, b) }

// fnma subtracts a*b from acc in place and returns it.
func (e *emit) fnma(a, b, acc vec) vec { return e.change("fmls", acc, a, b) }

func (e *emit) copyOf(a vec) vec {
	d := e.v()
	e.do(func() { e.move(d.reg, a.reg) }, d, a)
	return d
}

// poly evaluates a polynomial of x, the highest coefficient first.
func (e *emit) poly(x vec, coefs ...float64) vec {
	p := e.constant(coefs[0])
	for _, c := range coefs[1:] {
		p = e.fma(p, x, e.constant(c))
	}
	return p
}

// unless returns s, but 0 where y <= 0.
func (e *emit) unless(s, y vec) vec { return e.op3("bic", s, e.op2("fcmle0", y)) }

// choose returns yes where the mask is set, else no. It overwrites the mask.
func (e *emit) choose(mask, yes, no vec) vec { return e.change("bsl", mask, yes, no) }

// tree adds the vectors in pairs.
func (e *emit) tree(list []vec) vec {
	if len(list) == 1 {
		return list[0]
	}
	return e.add(e.tree(list[:len(list)/2]), e.tree(list[len(list)/2:]))
}

// sumProducts adds the products a[i]*b[i] to acc, over two chains.
func (e *emit) sumProducts(a, b []vec, acc vec) vec {
	e.fma(a[0], b[0], acc)
	if len(a) == 1 {
		return acc
	}
	odd := e.mul(a[1], b[1])
	for i := 2; i < len(a); i++ {
		if i&1 == 0 {
			e.fma(a[i], b[i], acc)
		} else {
			e.fma(a[i], b[i], odd)
		}
	}
	return e.add(acc, odd)
}
