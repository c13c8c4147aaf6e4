package main

import (
	"bytes"
	"fmt"
)

// x is a general register, R0 to R26 without R18 (the system's).
type x int

// v is a vector register of four float32.
type v int

func (r x) String() string { return fmt.Sprintf("R%d", int(r)) }
func (r v) String() string { return fmt.Sprintf("v%d", int(r)) }

// asm collects the text of one file.
type asm struct {
	body   bytes.Buffer
	labels int
}

func (a *asm) file() []byte {
	var b bytes.Buffer
	header(&b)
	b.WriteString("#include \"textflag.h\"\n")
	b.Write(a.body.Bytes())
	return b.Bytes()
}

// function begins a function without a frame. args is the bytes of arguments.
func (a *asm) function(name, doc string, args int) {
	fmt.Fprintf(&a.body, "\n// %s %s\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", name, doc, name, args)
}

// op writes an instruction of Go's assembler.
func (a *asm) op(format string, args ...any) {
	fmt.Fprintf(&a.body, "\t"+format+"\n", args...)
}

// label returns a new label.
func (a *asm) label(stem string) string {
	a.labels++
	return fmt.Sprintf("%s%d", stem, a.labels)
}

func (a *asm) at(label string) { fmt.Fprintf(&a.body, "\n%s:\n", label) }

// word writes an encoded instruction; text is what it is called in Arm's syntax.
func (a *asm) word(code uint32, format string, args ...any) {
	fmt.Fprintf(&a.body, "\tWORD $0x%08x // %s\n", code, fmt.Sprintf(format, args...))
}
