package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/resnet-go/resnet/internal/simd/_asm/layout"
)

// gemm8Args and gemm8Epilogue are the argument structs of the tiles and of the
// epilogue of one panel.
var (
	gemm8Args     = layout.Of("gemm8", "Args")
	gemm8Epilogue = layout.Of("gemm8", "Epilogue")
)

// gemm8Arg is the memory operand of a field of the gemm8.Args that g points to.
func gemm8Arg(g reg.Register, name string) operand.Mem {
	return operand.Mem{Base: g, Disp: gemm8Args.Offset(name)}
}

// gemm8Rows is the largest number of rows of a tile by number of panels: with
// VNNI the accumulators, a vector of B for each panel and two of A fill the 32
// registers, but for one panel, where half of them hide the latency as well;
// with AVX2 twelve of 16 registers are accumulators of one panel.
var gemm8Rows = map[*isa]map[int]int{
	avx512: {1: 14, 2: 14, 3: 9, 4: 6},
	avx2:   {1: 6},
}

// gemm8SumRows is the largest number of rows of a tile of gemm8Sum.
var gemm8SumRows = map[*isa]int{avx512: 14, avx2: 6}

// gemm8ISA is the suffix of the names of the tiles' kernels.
func gemm8ISA(i *isa) string {
	if i == avx512 {
		return "VNNI"
	}
	return i.name
}

func gemm8Name(i *isa, m, nz int) string {
	return fmt.Sprintf("tile%dx%d%s", m, nz, gemm8ISA(i))
}

// gemm8Shapes calls f for each shape of tile.
func gemm8Shapes(i *isa, f func(m, nz int)) {
	for nz := 1; nz <= 4; nz++ {
		for m := 1; m <= gemm8Rows[i][nz]; m++ {
			f(m, nz)
		}
	}
}

// gemm8Kernel writes the micro-kernel of a tile of m rows by nz panels, which
// stores the sums as int32 or, with VNNI, what the epilogue makes of them.
func gemm8Kernel(c *build.Context, i *isa, m, nz int) {
	c.Function(gemm8Name(i, m, nz))
	c.Attributes(attr.NOSPLIT)
	c.Doc(fmt.Sprintf("%s sums a tile of %d rows and %d panels.", gemm8Name(i, m, nz), m, nz))
	c.SignatureExpr("func(args *byte)")
	g, aoff, batch, k := reg.RSI, reg.RDI, reg.RCX, reg.RDX
	as, as3, b, bs, bs3 := reg.RBX, reg.R8, reg.RAX, reg.R9, reg.R10
	bases, next := []reg.GPPhysical{reg.R11, reg.R12, reg.R13}, reg.R14
	nextA := reg.R15
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
		nacc = 2 * m
	}
	acc, free := i.regs[:nacc], i.regs[nacc:]
	step := func(u int) {
		if i == avx512 {
			// To the second-level cache: the first has no room for it.
			if u == 1 {
				c.PREFETCHT1(operand.Mem{Base: next})
			}
			c.PREFETCHT0(operand.Mem{Base: nextA, Disp: 64 * u})
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
		// Of 16 bits, so that the sums of pairs cannot saturate.
		a, t := free[2], free[3]
		for h := range 2 {
			c.VMOVDQU(panel(0, 64*u+32*h), free[h])
		}
		for r := range m {
			c.VPBROADCASTD(row(r, u), a)
			gemm8Pairs(c, free[:2], a, t, acc[2*r:])
		}
	}
	advance := func(n int) {
		for j := range (m + 4) / 5 {
			c.ADDQ(operand.I32(4*n), bases[j])
		}
		c.ADDQ(operand.I32(64*n), b)
		if i == avx512 {
			if n == 2 {
				c.ADDQ(operand.I32(64), next)
			}
			c.ADDQ(operand.I32(64*n), nextA)
		}
	}

	c.Load(c.Param("args"), g)
	c.MOVQ(gemm8Arg(g, "AOff"), aoff)
	c.MOVQ(gemm8Arg(g, "Batch"), batch)
	c.MOVQ(gemm8Arg(g, "AStride"), as)
	c.LEAQ(operand.Mem{Base: as, Index: as, Scale: 2}, as3)
	c.MOVQ(gemm8Arg(g, "B"), b)
	if nz > 1 {
		c.MOVQ(gemm8Arg(g, "BStride"), bs)
		c.LEAQ(operand.Mem{Base: bs, Index: bs, Scale: 2}, bs3)
	}
	if i == avx512 {
		c.MOVQ(gemm8Arg(g, "PrefetchB"), next)
		c.MOVQ(gemm8Arg(g, "PrefetchA"), nextA)
		c.MOVQ(gemm8Arg(g, "Corr"), k)
		for z := range nz {
			c.VMOVDQU32(operand.Mem{Base: k, Disp: 64 * z}, acc[z])
			for r := 1; r < m; r++ {
				c.VMOVDQA64(acc[z], acc[r*nz+z])
			}
		}
	} else {
		gemm8Start(c, i, g, k, acc)
	}
	c.Label("batch")
	c.MOVQ(gemm8Arg(g, "A"), bases[0])
	c.ADDQ(operand.Mem{Base: aoff}, bases[0])
	for j := 1; j < (m+4)/5; j++ {
		c.LEAQ(operand.Mem{Base: bases[j-1], Index: as, Scale: 4}, bases[j])
		c.ADDQ(as, bases[j])
	}
	gemm8Words(c, g, k, step, advance, "next")
	advance(1)
	c.Label("next")
	c.ADDQ(operand.U8(8), aoff)
	c.DECQ(batch)
	c.JNE(operand.LabelRef("batch"))
	if i == avx512 {
		gemm8Finish(c, g, acc, free, m, nz)
		return
	}
	gemm8Sums(c, i, g, k, acc)
}

// gemm8Start begins the sums of a tile of one panel.
func gemm8Start(c *build.Context, i *isa, g, t reg.Register, acc []reg.VecPhysical) {
	c.MOVQ(gemm8Arg(g, "Corr"), t)
	for j, v := range acc {
		if at := (operand.Mem{Base: t, Disp: i.bytes * (j % i.perPanel)}); i == avx512 {
			c.VMOVDQU32(at, v)
		} else {
			c.VMOVDQU(at, v)
		}
	}
}

// gemm8Sums stores them.
func gemm8Sums(c *build.Context, i *isa, g, t reg.Register, acc []reg.VecPhysical) {
	c.MOVQ(gemm8Arg(g, "C"), t)
	for j, v := range acc {
		if at := (operand.Mem{Base: t, Disp: i.bytes * j}); i == avx512 {
			c.VMOVDQU32(v, at)
		} else {
			c.VMOVDQU(v, at)
		}
	}
	c.VZEROUPPER()
	c.RET()
}

// gemm8Sum writes the sums of products of numbers of 16 bits, see gemm8.Args.Sum: a tile
// of m rows and one panel.
func gemm8Sum(c *build.Context, i *isa, m int) {
	name := fmt.Sprintf("sum%d%s", m, gemm8ISA(i))
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.Doc(fmt.Sprintf("%s sums products of numbers of 16 bits of %d rows.", name, m))
	c.SignatureExpr("func(args *byte)")
	g, k, as, as3, b := reg.RSI, reg.RDX, reg.RBX, reg.R8, reg.RAX
	bases := []reg.GPPhysical{reg.R11, reg.R12, reg.R13}[:(m+4)/5] // of five rows each
	nacc := m * i.perPanel
	acc, free := i.regs[:nacc], i.regs[nacc:]
	c.Load(c.Param("args"), g)
	c.MOVQ(gemm8Arg(g, "AStride"), as)
	c.LEAQ(operand.Mem{Base: as, Index: as, Scale: 2}, as3)
	gemm8Start(c, i, g, k, acc)
	c.MOVQ(gemm8Arg(g, "B"), b)
	c.MOVQ(gemm8Arg(g, "A"), bases[0])
	for j := 1; j < len(bases); j++ {
		c.LEAQ(operand.Mem{Base: bases[j-1], Index: as, Scale: 4}, bases[j])
		c.ADDQ(as, bases[j])
	}
	step := func(u int) {
		for h := range i.perPanel {
			if at := (operand.Mem{Base: b, Disp: 64*u + i.bytes*h}); i == avx512 {
				c.VMOVDQU32(at, free[h])
			} else {
				c.VMOVDQU(at, free[h])
			}
		}
		for r := range m {
			at := operand.Mem{Base: bases[r/5], Disp: 4 * u}
			if r%5 > 0 {
				at.Index, at.Scale = as, uint8(r%5)
			}
			if r%5 == 3 {
				at.Index, at.Scale = as3, 1
			}
			if i == avx512 {
				a := free[1+r%2]
				c.VPBROADCASTD(at, a)
				c.VPDPWSSD(free[0], a, acc[r])
				continue
			}
			a, t := free[2], free[3]
			c.VPBROADCASTD(at, a)
			gemm8Pairs(c, free[:2], a, t, acc[2*r:])
		}
	}
	advance := func(n int) {
		for _, base := range bases {
			c.ADDQ(operand.I32(4*n), base)
		}
		c.ADDQ(operand.I32(64*n), b)
	}
	gemm8Words(c, g, k, step, advance, "done")
	c.Label("done")
	gemm8Sums(c, i, g, k, acc)
}

// gemm8Words writes the loop over the words of a batch element, two at a time, and jumps to
// done unless one is left, whose step it writes last.
func gemm8Words(c *build.Context, g, k reg.Register, step, advance func(n int), done string) {
	c.MOVQ(gemm8Arg(g, "K"), k)
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
	c.JEQ(operand.LabelRef(done))
	step(0)
}

// gemm8Pairs adds the products of a, two numbers of 16 bits in each lane, with the two
// halves of a row of weights. Both products come first: Zen 3 spreads them over its pipes
// more evenly.
func gemm8Pairs(c *build.Context, b []reg.VecPhysical, a, t reg.VecPhysical, acc []reg.VecPhysical) {
	c.VPMADDWD(b[0], a, t)
	c.VPMADDWD(b[1], a, a)
	c.VPADDD(t, acc[0], acc[0])
	c.VPADDD(a, acc[1], acc[1])
}

// gemm8Widen writes the conversion of bytes to 16 bits, n of them, a multiple of 16.
func gemm8Widen(c *build.Context) {
	c.Function("widenAVX2")
	c.Attributes(attr.NOSPLIT)
	c.Doc("widenAVX2 stores n bytes as 16 bits each; n is a positive multiple of 16.")
	c.SignatureExpr("func(dst, src *byte, n int)")
	dst, src, n, v := reg.RDI, reg.RSI, reg.RCX, reg.Y0
	c.Load(c.Param("dst"), dst)
	c.Load(c.Param("src"), src)
	c.Load(c.Param("n"), n)
	c.Label("loop")
	c.VPMOVZXBW(operand.Mem{Base: src}, v)
	c.VMOVDQU(v, operand.Mem{Base: dst})
	c.ADDQ(operand.U8(16), src)
	c.ADDQ(operand.U8(32), dst)
	c.SUBQ(operand.U8(16), n)
	c.JNE(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}

// gemm8Finish writes what follows the sums of a tile: they are stored, or scaled,
// rounded and packed to bytes, or before the packing something is added.
func gemm8Finish(c *build.Context, g reg.Register, acc, free []reg.VecPhysical, m, nz int) {
	scale, out, ldo, res, ldr, sums := reg.RAX, reg.R11, reg.RBX, reg.R12, reg.R8, reg.RDX
	order, plus, magic, t := free[0], free[1], free[2], free[3]
	c.CMPQ(gemm8Arg(g, "finish"), operand.U8(1))
	c.JEQ(operand.LabelRef("bytes"))
	c.JGT(operand.LabelRef("add"))
	c.MOVQ(gemm8Arg(g, "C"), sums)
	for j, v := range acc {
		c.VMOVDQU32(v, operand.Mem{Base: sums, Disp: 64 * j})
	}
	c.VZEROUPPER()
	c.RET()
	rows := max(1, 4/nz) // that fill a register with bytes
	for _, label := range []string{"bytes", "add"} {
		c.Label(label)
		c.MOVQ(gemm8Arg(g, "Scale"), scale)
		c.MOVQ(gemm8Arg(g, "Out"), out)
		c.MOVQ(gemm8Arg(g, "OutStride"), ldo)
		c.VMOVDQU32(gemm8Arg(g, "order"), order)
		if label == "add" {
			c.MOVQ(gemm8Arg(g, "Res"), res)
			c.MOVQ(gemm8Arg(g, "ResStride"), ldr)
			c.VBROADCASTSS(gemm8Arg(g, "Plus"), plus)
			c.VBROADCASTSS(gemm8Arg(g, "Magic"), magic)
		}
		for r0 := 0; r0 < m; r0 += rows {
			r1 := min(m, r0+rows)
			for r := r0; r < r1; r++ {
				for z := range nz {
					v := acc[r*nz+z]
					c.VCVTDQ2PS(v, v)
					by := operand.Mem{Base: scale, Disp: 64 * z}
					c.VMULPS(by, v, v)
					if label == "add" {
						c.VADDPS(magic, v, v)
						c.VMAXPS_BCST(gemm8Arg(g, "ClampMidLo"), v, v)
						c.VMINPS_BCST(gemm8Arg(g, "ClampMidHi"), v, v)
						c.VSUBPS(magic, v, v)
						c.VPMOVZXBD(operand.Mem{Base: res, Disp: 16 * z}, t)
						c.VCVTDQ2PS(t, t)
						c.VFMADD132PS_BCST(gemm8Arg(g, "MulRes"), plus, t)
						c.VFMADD132PS_BCST(gemm8Arg(g, "MulY"), t, v)
					}
					c.VCVTPS2DQ(v, v)
				}
				if label == "add" && r < m-1 {
					c.ADDQ(ldr, res)
				}
			}
			gemm8Pack(c, g, acc[r0*nz:r1*nz], order, label == "bytes")
			v := acc[r0*nz]
			at := operand.Mem{Base: out}
			for r := r0; r < r1; r++ {
				switch {
				case nz == 4:
					c.VMOVDQU32(v, at)
				case nz == 3:
					c.VMOVDQU32(v.(reg.Vec).AsY(), at)
					c.VEXTRACTI32X4(operand.U8(2), v, operand.Mem{Base: out, Disp: 32})
				case nz == 2 && r == r0:
					c.VMOVDQU32(v.(reg.Vec).AsY(), at)
				case nz == 2:
					c.VEXTRACTI64X4(operand.U8(1), v, at)
				case r == r0:
					c.VMOVDQU32(v.(reg.Vec).AsX(), at)
				default:
					c.VEXTRACTI32X4(operand.U8(r-r0), v, at)
				}
				if r < m-1 {
					c.ADDQ(ldo, out)
				}
			}
		}
		c.VZEROUPPER()
		c.RET()
	}
}

// gemm8Pack packs one to four vectors of integers to bytes, in order, in the
// first of them, if told so with the zero point added.
func gemm8Pack(c *build.Context, g reg.Register, v []reg.VecPhysical, order reg.VecPhysical, zero bool) {
	words := []reg.VecPhysical{v[0]}
	c.VPACKSSDW(v[min(1, len(v)-1)], v[0], v[0])
	if len(v) > 2 {
		c.VPACKSSDW(v[len(v)-1], v[2], v[2])
		words = append(words, v[2])
	}
	if zero {
		for _, w := range words {
			c.VPADDSW(gemm8Arg(g, "zeros"), w, w)
		}
	}
	c.VPACKUSWB(words[len(words)-1], v[0], v[0])
	c.VPMAXUB(gemm8Arg(g, "mins"), v[0], v[0])
	// Each 128 bits hold four columns of each vector.
	c.VPERMD(v[0], order, v[0])
}

// gemm8Store writes the epilogue: see gemm8.Epilogue. The AVX2 variant
// stores whole panels only.
func gemm8Store(c *build.Context, i *isa) {
	c.Function("store" + i.name)
	c.Attributes(attr.NOSPLIT)
	c.Doc("store" + i.name + " scales and stores the rows of a panel.")
	c.SignatureExpr("func(args *byte)")
	g, t, rows, ts, res, ldr, out, ldo, tmp := reg.RSI, reg.RDI, reg.RCX, reg.RBX, reg.R8, reg.R9, reg.R10, reg.R11, reg.RAX
	at := func(f string) operand.Mem { return operand.Mem{Base: g, Disp: gemm8Epilogue.Offset(f)} }
	nv := i.perPanel
	v, scale := i.regs[:nv], i.regs[2:2+nv]
	tv, midLo, midHi, plus, byRes, byY, magic := i.regs[4], i.regs[5], i.regs[6], i.regs[7], i.regs[8], i.regs[9], i.regs[15]
	resZero, resScale, lo, hi, zero := i.regs[10], i.regs[11], i.regs[12], i.regs[13], i.regs[14]
	c.Load(c.Param("args"), g)
	for _, f := range []struct {
		name string
		r    reg.GPPhysical
	}{{"t", t}, {"rows", rows}, {"tStride", ts}, {"Res", res}, {"ResStride", ldr}, {"Out", out}, {"OutStride", ldo}} {
		c.MOVQ(at(f.name), f.r)
	}
	if i == avx512 {
		c.MOVQ(at("bits"), tmp)
		c.KMOVW(tmp.As32(), reg.K1)
	}
	c.MOVQ(at("Scale"), tmp)
	for j, r := range scale {
		c.VMOVUPS(operand.Mem{Base: tmp, Disp: j * i.bytes}, r)
	}
	for _, f := range []struct {
		name string
		v    reg.VecPhysical
	}{
		{"ResZero", resZero}, {"ResScale", resScale}, {"ClampOutLo", lo}, {"ClampOutHi", hi},
		{"ClampMidLo", midLo}, {"ClampMidHi", midHi}, {"Plus", plus}, {"MulRes", byRes}, {"MulY", byY}, {"Magic", magic},
	} {
		c.VBROADCASTSS(at(f.name), f.v)
	}
	c.VPBROADCASTD(at("Zero"), zero)
	residual := func(j int) {
		mem := operand.Mem{Base: res, Disp: 8 * j}
		if i == avx512 {
			c.VPMOVZXBD_Z(mem, reg.K1, tv)
		} else {
			c.VPMOVZXBD(mem, tv)
		}
		c.VCVTDQ2PS(tv, tv)
	}
	c.Label("row")
	for j, r := range v {
		c.VCVTDQ2PS(operand.Mem{Base: t, Disp: j * i.bytes}, r)
	}
	c.CMPL(at("Mode"), operand.U8(2))
	c.JEQ(operand.LabelRef("add"))
	for j, r := range v {
		c.VMULPS(scale[j], r, r)
	}
	c.TESTQ(res, res)
	c.JEQ(operand.LabelRef("bound"))
	for j, r := range v {
		residual(j)
		c.VSUBPS(resZero, tv, tv)
		c.VMULPS(resScale, tv, tv)
		c.VADDPS(tv, r, r)
	}
	c.ADDQ(ldr, res)
	c.JMP(operand.LabelRef("bound"))
	c.Label("add")
	for j, r := range v {
		c.VMULPS(scale[j], r, r)
		c.VADDPS(magic, r, r)
		c.VMAXPS(midLo, r, r)
		c.VMINPS(midHi, r, r)
		c.VSUBPS(magic, r, r)
		residual(j)
		c.VFMADD132PS(byRes, plus, tv)
		c.VFMADD132PS(byY, tv, r)
	}
	c.ADDQ(ldr, res)
	c.Label("bound")
	for _, r := range v {
		c.VMAXPS(lo, r, r)
		c.VMINPS(hi, r, r)
	}
	c.CMPL(at("Mode"), operand.U8(0))
	c.JEQ(operand.LabelRef("float"))
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

// gemm8Stubs returns the Go file that declares and dispatches the kernels.
func gemm8Stubs() []byte {
	s := fmt.Sprintf("// Code generated by %s. DO NOT EDIT.\n\n//go:build !purego\n\npackage gemm8\n\nimport \"unsafe\"\n\n", generator)
	s += "const noKernel = \"gemm8: no micro-kernel of this shape\"\n\n"
	s += gemm8Args.Checks() + gemm8Epilogue.Checks()
	decls := ""
	for _, i := range []*isa{avx512, avx2} {
		s += fmt.Sprintf("func tile%s(m, nz int, g *Args) {\nswitch nz<<5 | m {\n", gemm8ISA(i))
		gemm8Shapes(i, func(m, nz int) {
			s += fmt.Sprintf("case %d<<5 | %d:\n%s(g)\n", nz, m, gemm8Name(i, m, nz))
			decls += fmt.Sprintf("//go:noescape\nfunc %s(args *Args)\n\n", gemm8Name(i, m, nz))
		})
		s += fmt.Sprintf("default:\npanic(noKernel)\n}\n}\n\nfunc sum%s(m int, g *Args) {\nswitch m {\n", gemm8ISA(i))
		for m := 1; m <= gemm8SumRows[i]; m++ {
			s += fmt.Sprintf("case %d:\nsum%d%s(g)\n", m, m, gemm8ISA(i))
			decls += fmt.Sprintf("//go:noescape\nfunc sum%d%s(args *Args)\n\n", m, gemm8ISA(i))
		}
		s += "default:\npanic(noKernel)\n}\n}\n\n"
		decls += fmt.Sprintf("//go:noescape\nfunc store%s(args *Epilogue)\n\n", i.name)
	}
	decls += "//go:noescape\nfunc widenAVX2(dst, src *uint8, n int)\n\n"
	return []byte(s + decls)
}
