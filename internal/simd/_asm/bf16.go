package main

import (
	"encoding/binary"
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/resnet-go/resnet/internal/simd/_asm/layout"
)

// bf16 is AVX-512 with dot products of pairs of bfloat16 numbers, VDPBF16PS,
// instead of the FMA.
var bf16 = withDot(avx512)

func withDot(i *isa) *isa {
	w := *i
	w.dot, w.name, w.suffix = true, "BF16Native", "bf16"
	return &w
}

// dotTemporaries is the number of vector registers that the dot-product kernels
// leave unused.
const dotTemporaries = 2

// dotLoop is the loop over the pairs of a batch element and over these. A step
// is as long as that of an FMA kernel with half the overhead, so it is not
// unrolled.
func (k *microKernel) dotLoop() {
	k.Label("loop")
	k.step(0, true)
	k.advance(1)
	k.DECQ(k.k)
	k.JNE(operand.LabelRef("loop"))
	k.ADDQ(operand.U8(8), k.aoff)
	k.DECQ(k.batch)
	k.JNE(operand.LabelRef("batch"))
}

// dotProduct writes acc += dot(a, b); a is a register, 64 bytes of memory, or, with
// bcst, 4 bytes of memory.
func dotProduct(c *build.Context, a operand.Op, bcst bool, b, acc reg.VecPhysical) {
	raw(c, evex{name: "vdpbf16ps", pp: ppF3, opcode: 0x52, bcst: bcst}, acc, b, a)
}

// evex is an instruction of map 0F38 on 512-bit vectors that avo and Go's
// assembler lack, EVEX.NDS.512.pp.0F38.W0 (Intel, "Intel 64 and IA-32
// Architectures Software Developer's Manual", volume 2, section 2.7).
type evex struct {
	name   string
	pp     byte
	opcode byte
	bcst   bool
}

const (
	ppF3 = 2
	ppF2 = 3
)

// raw writes an instruction as bytes, below a comment that GNU as understands:
// a test of package gemm compares the two.
func raw(c *build.Context, e evex, dst, src1 reg.VecPhysical, src2 operand.Op) {
	code, text := e.encode(dst, src1, src2)
	c.Comment(text)
	emit := func(opcode string, op operand.Op) {
		c.Instruction(&ir.Instruction{Opcode: opcode, Operands: []operand.Op{op}})
	}
	for len(code) >= 4 {
		emit("LONG", operand.U32(binary.LittleEndian.Uint32(code)))
		code = code[4:]
	}
	if len(code) >= 2 {
		emit("WORD", operand.U16(binary.LittleEndian.Uint16(code)))
		code = code[2:]
	}
	if len(code) == 1 {
		emit("BYTE", operand.U8(code[0]))
	}
}

// encode returns the bytes of dst, src1, src2 in Intel's order of operands.
func (e evex) encode(dst, src1 reg.VecPhysical, src2 operand.Op) (code []byte, text string) {
	bit := func(n reg.Index, i int) byte { return byte(n>>i) & 1 }
	d, v := dst.PhysicalIndex(), src1.PhysicalIndex()
	var x, b byte // extensions of the index and of the base, or of src2
	var rest []byte
	switch s := src2.(type) {
	case reg.VecPhysical:
		n := s.PhysicalIndex()
		x, b = bit(n, 4), bit(n, 3)
		rest = []byte{0xC0 | byte(d&7)<<3 | byte(n&7)}
		text = fmt.Sprintf("zmm%d", n)
	case operand.Mem:
		size := 64
		if e.bcst {
			size = 4
		}
		rest, text = memory(s, byte(d&7), size)
		b = bit(index(s.Base), 3)
		if s.Index != nil {
			x = bit(index(s.Index), 3)
		}
		if e.bcst {
			text = "dword ptr " + text + "{1to16}"
		} else {
			text = "zmmword ptr " + text
		}
	default:
		panic(fmt.Sprintf("operand %v", src2))
	}
	code = []byte{
		0x62,
		(1-bit(d, 3))<<7 | (1-x)<<6 | (1-b)<<5 | (1-bit(d, 4))<<4 | 0x02,
		byte(^v&15)<<3 | 0x04 | e.pp,
		0x40 | (1-bit(v, 4))<<3,
		e.opcode,
	}
	if e.bcst {
		code[3] |= 0x10
	}
	return append(code, rest...), fmt.Sprintf("%s zmm%d, zmm%d, %s", e.name, d, v, text)
}

func index(r reg.Register) reg.Index { return r.(reg.GPPhysical).PhysicalIndex() }

// gpNames are the 64-bit registers by their number.
var gpNames = [16]string{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"}

// memory returns ModRM, SIB and displacement of an operand of size bytes, which
// is the unit of displacements of one byte.
func memory(m operand.Mem, r byte, size int) (code []byte, text string) {
	base := index(m.Base)
	mod, disp := byte(2), binary.LittleEndian.AppendUint32(nil, uint32(int32(m.Disp)))
	switch q := m.Disp / size; {
	case m.Disp == 0 && base&7 != 5: // rbp and r13 want a displacement
		mod, disp = 0, nil
	case m.Disp%size == 0 && q >= -128 && q < 128:
		mod, disp = 1, []byte{byte(q)}
	}
	text = "[" + gpNames[base]
	if m.Index == nil && base&7 != 4 {
		code = []byte{mod<<6 | r<<3 | byte(base&7)}
	} else {
		sib := byte(4)<<3 | byte(base&7) // no index
		if m.Index != nil {
			scale := map[uint8]byte{1: 0, 2: 1, 4: 2, 8: 3}
			sib = scale[m.Scale]<<6 | byte(index(m.Index)&7)<<3 | byte(base&7)
			text += fmt.Sprintf("+%s*%d", gpNames[index(m.Index)], m.Scale)
		}
		code = []byte{mod<<6 | r<<3 | 4, sib}
	}
	if m.Disp != 0 {
		text += fmt.Sprintf("%+d", m.Disp)
	}
	return append(code, disp...), text + "]"
}

var packArgs = layout.Of("gemm", "bf16Args")

func packArg(g reg.Register, name string) operand.Mem {
	return operand.Mem{Base: g, Disp: packArgs.Offset(name)}
}

// convert sets dst to low, as 16 bfloat16 numbers, and high above them.
func convert(c *build.Context, low, high, dst reg.VecPhysical) {
	raw(c, evex{name: "vcvtne2ps2bf16", pp: ppF2, opcode: 0x72}, dst, high, low)
}

// packKernels writes the kernels that round float32 to bfloat16; see
// gemm.bf16Args.
func packKernels(c *build.Context) {
	for _, pairs := range []bool{false, true} {
		name, doc := "bf16NarrowNative", "rounds rows of neighboring floats."
		if pairs {
			name, doc = "bf16PairsNative", "rounds pairs of rows of 16 floats."
		}
		c.Function(name)
		c.Attributes(attr.NOSPLIT)
		c.Doc(name + " " + doc)
		c.SignatureExpr("func(args *byte)")
		g, dst, src, rows, step, dstep, t := reg.RSI, reg.RDI, reg.RBX, reg.RCX, reg.R8, reg.R9, reg.RAX
		c.Load(c.Param("args"), g)
		for _, f := range []struct {
			name string
			r    reg.GPPhysical
		}{{"dst", dst}, {"src", src}, {"rows", rows}, {"step", step}, {"dstep", dstep}} {
			c.MOVQ(packArg(g, f.name), f.r)
		}
		for _, f := range []struct {
			name string
			k    reg.OpmaskPhysical
		}{{"low", reg.K1}, {"high", reg.K2}, {"words", reg.K3}} {
			c.MOVQ(packArg(g, f.name), t)
			c.KMOVD(t.As32(), f.k)
		}
		low, high, out, order := reg.Z0, reg.Z1, reg.Z2, reg.Z3
		if pairs {
			hi := reg.R10
			c.MOVQ(packArg(g, "hi"), hi)
			c.MOVQ(packArg(g, "order"), t)
			c.VMOVDQU16(operand.Mem{Base: t}, order)
			c.Label("row")
			c.VMOVUPS_Z(operand.Mem{Base: src}, reg.K1, low)
			c.VMOVUPS_Z(operand.Mem{Base: src, Index: hi, Scale: 1}, reg.K2, high)
			convert(c, low, high, out)
			c.VPERMW(out, order, out)
			c.VMOVDQU32(out, reg.K3, operand.Mem{Base: dst})
			c.ADDQ(step, src)
			c.ADDQ(dstep, dst)
			c.DECQ(rows)
			c.JNE(operand.LabelRef("row"))
		} else {
			blocks, n, s, d := reg.R10, reg.R11, reg.R12, reg.R13
			c.MOVQ(packArg(g, "blocks"), blocks)
			c.Label("row")
			c.MOVQ(src, s)
			c.MOVQ(dst, d)
			c.MOVQ(blocks, n)
			c.TESTQ(n, n)
			c.JEQ(operand.LabelRef("tail"))
			c.Label("block")
			c.VMOVUPS(operand.Mem{Base: s}, low)
			c.VMOVUPS(operand.Mem{Base: s, Disp: 64}, high)
			convert(c, low, high, out)
			c.VMOVDQU16(out, operand.Mem{Base: d})
			c.ADDQ(operand.U32(128), s)
			c.ADDQ(operand.U8(64), d)
			c.DECQ(n)
			c.JNE(operand.LabelRef("block"))
			c.Label("tail")
			c.CMPQ(packArg(g, "words"), operand.U8(0))
			c.JEQ(operand.LabelRef("next"))
			c.VMOVUPS_Z(operand.Mem{Base: s}, reg.K1, low)
			c.VMOVUPS_Z(operand.Mem{Base: s, Disp: 64}, reg.K2, high)
			convert(c, low, high, out)
			c.VMOVDQU16(out, reg.K3, operand.Mem{Base: d})
			c.Label("next")
			c.ADDQ(step, src)
			c.ADDQ(dstep, dst)
			c.DECQ(rows)
			c.JNE(operand.LabelRef("row"))
		}
		c.VZEROUPPER()
		c.RET()
	}
}

// bf16PeakKernel writes the loop that measures the peak of the dot products.
func bf16PeakKernel(c *build.Context) {
	c.Function("bf16Peak")
	c.Attributes(attr.NOSPLIT)
	c.Doc("bf16Peak does n times 12 independent dot products on registers.")
	c.SignatureExpr("func(n int)")
	c.Load(c.Param("n"), reg.RCX)
	r := avx512.regs
	for _, v := range r[:peakAcc+2] {
		c.VPXORD(v, v, v)
	}
	c.Label("loop")
	for _, v := range r[:peakAcc] {
		dotProduct(c, r[peakAcc], false, r[peakAcc+1], v)
	}
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}

// packStubs declares the kernels of packKernels.
const packStubs = `
//go:noescape
func bf16NarrowNative(args *bf16Args)

//go:noescape
func bf16PairsNative(args *bf16Args)
`
