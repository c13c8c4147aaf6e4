package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// int8Fields are the fields of kernel.int8Args, eight bytes each, in order.
var int8Fields = []string{"a", "aoff", "batch", "k", "as", "b", "bs", "c"}

// storeFields are the fields of kernel.int8Store and where they are.
var storeFields = map[string]int{
	"t": 0, "rows": 8, "ts": 16, "corr": 24, "scale": 32, "res": 40, "ldr": 48, "out": 56, "ldo": 64, "bits": 72,
	"resZero": 80, "resScale": 84, "lo": 88, "hi": 92, "zero": 96, "float": 100,
}

func int8Arg(g reg.Register, name string) operand.Mem {
	for i, f := range int8Fields {
		if f == name {
			return operand.Mem{Base: g, Disp: 8 * i}
		}
	}
	panic("no field " + name)
}

// int8Rows is the largest number of rows of a tile by number of panels: with
// VNNI the accumulators, a vector of B for each panel and two of A fill the 32
// registers; with AVX2 a row of one panel takes four accumulators.
var int8Rows = map[*isa]map[int]int{
	avx512: {1: 28, 2: 14, 3: 9, 4: 6},
	avx2:   {1: 2},
}

func int8Name(i *isa, m, nz int) string {
	if i == avx512 {
		return fmt.Sprintf("int8Tile%dx%dVNNI", m, nz)
	}
	return fmt.Sprintf("int8Tile%dx%dAVX2", m, nz)
}

// int8Shapes calls f for each shape of tile.
func int8Shapes(i *isa, f func(m, nz int)) {
	for nz := 1; nz <= 4; nz++ {
		for m := 1; m <= int8Rows[i][nz]; m++ {
			f(m, nz)
		}
	}
}

// int8Kernel writes the micro-kernel of a tile of m rows by nz panels, which
// stores the sums as int32.
func int8Kernel(c *build.Context, i *isa, m, nz int) {
	c.Function(int8Name(i, m, nz))
	c.Attributes(attr.NOSPLIT)
	c.Doc(fmt.Sprintf("%s sums a tile of %d rows and %d panels.", int8Name(i, m, nz), m, nz))
	c.SignatureExpr("func(args *byte)")
	g, aoff, batch, k := reg.RSI, reg.RDI, reg.RCX, reg.RDX
	as, as3, b, bs, bs3 := reg.RBX, reg.R8, reg.RAX, reg.R9, reg.R10
	bases := []reg.GPPhysical{reg.R11, reg.R12, reg.R13, reg.R14}
	if nz == 1 {
		bases = append(bases, reg.R9, reg.R10)
	}
	row := func(r, u int) operand.Mem {
		mem := operand.Mem{Base: bases[r/5], Disp: 4 * u}
		switch r % 5 {
		case 1:
			mem.Index, mem.Scale = as, 1
		case 2:
			mem.Index, mem.Scale = as, 2
		case 3:
			mem.Index, mem.Scale = as3, 1
		case 4:
			mem.Index, mem.Scale = as, 4
		}
		return mem
	}
	panel := func(z, disp int) operand.Mem {
		mem := operand.Mem{Base: b, Disp: disp}
		switch z {
		case 1:
			mem.Index, mem.Scale = bs, 1
		case 2:
			mem.Index, mem.Scale = bs, 2
		case 3:
			mem.Index, mem.Scale = bs3, 1
		}
		return mem
	}
	nacc := m * nz
	if i == avx2 {
		nacc = 4 * m
	}
	acc, free := i.regs[:nacc], i.regs[nacc:]
	step := func(u int) {
		if i == avx512 {
			for z := range nz {
				c.VMOVDQU32(panel(z, 64*u), free[z])
			}
			for r := range m {
				a := free[nz+r%2]
				c.VPBROADCASTD(row(r, u), a)
				for z := range nz {
					c.VPDPBUSD(free[z], a, acc[r*nz+z])
				}
			}
			return
		}
		// Widened to 16 bits, so that the sums of pairs cannot saturate.
		for r := range m {
			c.VPBROADCASTD(row(r, u), free[r].(reg.Vec).AsX())
			c.VPMOVZXBW(free[r].(reg.Vec).AsX(), free[r])
		}
		w, t := free[m], free[m+1]
		for q := range 4 {
			c.VPMOVSXBW(panel(0, 64*u+16*q), w)
			for r := range m {
				c.VPMADDWD(w, free[r], t)
				c.VPADDD(t, acc[4*r+q], acc[4*r+q])
			}
		}
	}
	advance := func(n int) {
		for j := range (m + 4) / 5 {
			c.ADDQ(operand.I32(4*n), bases[j])
		}
		c.ADDQ(operand.I32(64*n), b)
	}

	c.Load(c.Param("args"), g)
	c.MOVQ(int8Arg(g, "aoff"), aoff)
	c.MOVQ(int8Arg(g, "batch"), batch)
	c.MOVQ(int8Arg(g, "as"), as)
	c.LEAQ(operand.Mem{Base: as, Index: as, Scale: 2}, as3)
	c.MOVQ(int8Arg(g, "b"), b)
	if nz > 1 {
		c.MOVQ(int8Arg(g, "bs"), bs)
		c.LEAQ(operand.Mem{Base: bs, Index: bs, Scale: 2}, bs3)
	}
	for _, v := range acc {
		if i == avx512 {
			c.VPXORD(v, v, v)
		} else {
			c.VPXOR(v, v, v)
		}
	}
	c.Label("batch")
	c.MOVQ(int8Arg(g, "a"), bases[0])
	c.ADDQ(operand.Mem{Base: aoff}, bases[0])
	for j := 1; j < (m+4)/5; j++ {
		c.LEAQ(operand.Mem{Base: bases[j-1], Index: as, Scale: 4}, bases[j])
		c.ADDQ(as, bases[j])
	}
	c.MOVQ(int8Arg(g, "k"), k)
	c.SUBQ(operand.U8(2), k)
	c.JLT(operand.LabelRef("tail"))
	c.Label("loop")
	step(0)
	step(1)
	advance(2)
	c.SUBQ(operand.U8(2), k)
	c.JGE(operand.LabelRef("loop"))
	c.Label("tail")
	c.ADDQ(operand.U8(2), k)
	c.JEQ(operand.LabelRef("next"))
	step(0)
	advance(1)
	c.Label("next")
	c.ADDQ(operand.U8(8), aoff)
	c.DECQ(batch)
	c.JNE(operand.LabelRef("batch"))
	c.MOVQ(int8Arg(g, "c"), k)
	if i == avx512 {
		for j, v := range acc {
			c.VMOVDQU32(v, operand.Mem{Base: k, Disp: 64 * j})
		}
	} else {
		for r := range m {
			for h := range 2 {
				// Columns 0 1 4 5 | 2 3 6 7, then in order.
				v := acc[4*r+2*h]
				c.VPHADDD(acc[4*r+2*h+1], v, v)
				c.VPERMQ(operand.U8(0xD8), v, v)
				c.VMOVDQU(v, operand.Mem{Base: k, Disp: 64*r + 32*h})
			}
		}
	}
	c.VZEROUPPER()
	c.RET()
}

// int8StoreKernel writes the epilogue: see kernel.int8Store. The AVX2 variant
// stores whole panels only.
func int8StoreKernel(c *build.Context, i *isa) {
	c.Function("int8Store" + i.name)
	c.Attributes(attr.NOSPLIT)
	c.Doc("int8Store" + i.name + " scales and stores the rows of a panel.")
	c.SignatureExpr("func(args *byte)")
	g, t, rows, ts, res, ldr, out, ldo, tmp := reg.RSI, reg.RDI, reg.RCX, reg.RBX, reg.R8, reg.R9, reg.R10, reg.R11, reg.RAX
	at := func(f string) operand.Mem { return operand.Mem{Base: g, Disp: storeFields[f]} }
	nv := i.perPanel
	v, corr, scale := i.regs[:nv], i.regs[2:2+nv], i.regs[4:4+nv]
	tv := i.regs[6]
	resZero, resScale, lo, hi, zero := i.regs[8], i.regs[9], i.regs[10], i.regs[11], i.regs[12]
	c.Load(c.Param("args"), g)
	for _, f := range []struct {
		name string
		r    reg.GPPhysical
	}{{"t", t}, {"rows", rows}, {"ts", ts}, {"res", res}, {"ldr", ldr}, {"out", out}, {"ldo", ldo}} {
		c.MOVQ(at(f.name), f.r)
	}
	if i == avx512 {
		c.MOVQ(at("bits"), tmp)
		c.KMOVW(tmp.As32(), reg.K1)
	}
	for _, f := range []struct {
		name string
		v    []reg.VecPhysical
	}{{"corr", corr}, {"scale", scale}} {
		c.MOVQ(at(f.name), tmp)
		for j, r := range f.v {
			c.VMOVUPS(operand.Mem{Base: tmp, Disp: j * i.bytes}, r)
		}
	}
	c.VBROADCASTSS(at("resZero"), resZero)
	c.VBROADCASTSS(at("resScale"), resScale)
	c.VBROADCASTSS(at("lo"), lo)
	c.VBROADCASTSS(at("hi"), hi)
	c.VPBROADCASTD(at("zero"), zero)
	c.Label("row")
	for j, r := range v {
		mem := operand.Mem{Base: t, Disp: j * i.bytes}
		c.VPADDD(mem, corr[j], r)
		c.VCVTDQ2PS(r, r)
		c.VMULPS(scale[j], r, r)
	}
	c.TESTQ(res, res)
	c.JEQ(operand.LabelRef("bound"))
	for j, r := range v {
		mem := operand.Mem{Base: res, Disp: 8 * j}
		if i == avx512 {
			c.VPMOVZXBD_Z(mem, reg.K1, tv)
		} else {
			c.VPMOVZXBD(mem, tv)
		}
		c.VCVTDQ2PS(tv, tv)
		c.VSUBPS(resZero, tv, tv)
		c.VMULPS(resScale, tv, tv)
		c.VADDPS(tv, r, r)
	}
	c.ADDQ(ldr, res)
	c.Label("bound")
	for _, r := range v {
		c.VMAXPS(lo, r, r)
		c.VMINPS(hi, r, r)
	}
	c.CMPL(at("float"), operand.U8(0))
	c.JNE(operand.LabelRef("float"))
	for _, r := range v {
		c.VCVTPS2DQ(r, r) // to nearest even
		c.VPADDD(zero, r, r)
	}
	if i == avx512 {
		c.VPMOVUSDB(v[0], reg.K1, operand.Mem{Base: out})
	} else {
		x := v[0].(reg.Vec).AsX()
		c.VPACKSSDW(v[1], v[0], v[0])
		c.VPERMQ(operand.U8(0xD8), v[0], v[0])
		c.VEXTRACTI128(operand.U8(1), v[0], tv.(reg.Vec).AsX())
		c.VPACKUSWB(tv.(reg.Vec).AsX(), x, x)
		c.VMOVDQU(x, operand.Mem{Base: out})
	}
	c.JMP(operand.LabelRef("next"))
	c.Label("float")
	for j, r := range v {
		mem := operand.Mem{Base: out, Disp: j * i.bytes}
		if i == avx512 {
			c.VMOVUPS(r, reg.K1, mem)
		} else {
			c.VMOVUPS(r, mem)
		}
	}
	c.Label("next")
	c.ADDQ(ts, t)
	c.ADDQ(ldo, out)
	c.DECQ(rows)
	c.JNE(operand.LabelRef("row"))
	c.VZEROUPPER()
	c.RET()
}

// int8Stubs returns the Go file that declares and dispatches the kernels.
func int8Stubs() []byte {
	s := fmt.Sprintf("// Code generated by %s. DO NOT EDIT.\n\n//go:build !purego\n\npackage kernel\n\nimport \"unsafe\"\n\nvar (\n", warning)
	for j, f := range int8Fields {
		s += fmt.Sprintf("_ = [1]struct{}{}[unsafe.Offsetof(int8Args{}.%s)-%d]\n", f, 8*j)
	}
	for _, f := range []string{"t", "rows", "ts", "corr", "scale", "res", "ldr", "out", "ldo", "bits", "resZero", "resScale", "lo", "hi", "zero", "float"} {
		s += fmt.Sprintf("_ = [1]struct{}{}[unsafe.Offsetof(int8Store{}.%s)-%d]\n", f, storeFields[f])
	}
	s += ")\n\n"
	decls := ""
	for _, i := range []*isa{avx512, avx2} {
		name := "int8TileVNNI"
		if i == avx2 {
			name = "int8TileAVX2"
		}
		s += fmt.Sprintf("func %s(m, nz int, g *int8Args) {\nswitch nz<<5 | m {\n", name)
		int8Shapes(i, func(m, nz int) {
			s += fmt.Sprintf("case %d<<5 | %d:\n%s(g)\n", nz, m, int8Name(i, m, nz))
			decls += fmt.Sprintf("//go:noescape\nfunc %s(args *int8Args)\n\n", int8Name(i, m, nz))
		})
		s += "default:\npanic(\"kernel: no micro-kernel of this shape\")\n}\n}\n\n"
		decls += fmt.Sprintf("//go:noescape\nfunc int8Store%s(args *int8Store)\n\n", i.name)
	}
	return []byte(s + decls)
}
