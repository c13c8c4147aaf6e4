package main

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/resnet-go/resnet/internal/simd/_asm/layout"
)

// gemmArgs is the struct that the micro-kernels read their arguments from.
var gemmArgs = layout.Of("gemm", "Args")

// arg is the memory operand of a field of the gemm.Args that g points to.
func arg(g reg.Register, name string) operand.Mem {
	return operand.Mem{Base: g, Disp: gemmArgs.Offset(name)}
}

type op string

const (
	nn op = "nn"
	tn op = "tn"
)

// isa is an instruction set as the kernels see it.
type isa struct {
	name, suffix string
	bytes        int // of a vector
	perPanel     int // vectors that make a panel of 16 columns
	regs         []reg.VecPhysical
	maxRows      map[int]int // by number of panels
	dot          bool        // dot products of bfloat16 pairs instead of FMAs
}

var avx512 = &isa{
	name: "AVX512", suffix: "avx512", bytes: 64, perPanel: 1,
	regs: []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	},
	maxRows: map[int]int{1: 28, 2: 14, 3: 9, 4: 7},
}

var avx2 = &isa{
	name: "AVX2", suffix: "avx2", bytes: 32, perPanel: 2,
	regs: []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	},
	maxRows: map[int]int{1: 6},
}

// shape is one micro-kernel: m rows by nz panels. A split NN kernel reads the
// second half of its rows from gemm.Args.A2 on and stores it CJump bytes after
// the last row of the first half.
type shape struct {
	op    op
	m, nz int
	split bool
}

func (s shape) name(i *isa) string {
	n := fmt.Sprintf("gemm%s%dx%d%s", strings.ToUpper(string(s.op)), s.m, s.nz, i.name)
	if s.split {
		n += "Split"
	}
	return n
}

// maxTNPanels is gemm.MaxTNPanels.
const maxTNPanels = 2

func (i *isa) shapes(o op) (list []shape) {
	panels := 4
	if o == tn {
		panels = maxTNPanels
	}
	for nz := 1; nz <= panels; nz++ {
		for m := 1; m <= i.maxRows[nz]; m++ {
			list = append(list, shape{o, m, nz, false})
		}
	}
	for nz := 1; nz <= 3 && o == nn; nz++ {
		for m := 2; m <= i.maxRows[nz]; m += 2 {
			list = append(list, shape{o, m, nz, true})
		}
	}
	return list
}

// microKernel generates one micro-kernel.
type microKernel struct {
	*build.Context
	*isa
	shape
	nv      int // vectors of a row of the tile
	acc     [][]reg.VecPhysical
	bv      []reg.VecPhysical // one for each vector of B that is held
	av      reg.VecPhysical   // a broadcast element of A
	memA    bool              // A is broadcast from memory by the FMA itself
	g       reg.GPPhysical
	aoff    reg.GPPhysical
	batch   reg.GPPhysical
	k       reg.GPPhysical
	as, as3 reg.GPPhysical
	b       reg.GPPhysical
	bs, bs3 reg.GPPhysical
	ahead   reg.GPPhysical // what to prefetch
	aheadK  reg.GPPhysical // TN: bytes between what to prefetch at two steps
	slow    reg.GPPhysical // NN: bytes less than 64 a step between these in the unrolled loop, or nil
	unroll  int
	bases   []reg.GPPhysical
	rows    []rowAddr
}

// rowAddr is the address of a row of A: base + mult*as.
type rowAddr struct{ base, mult int }

// gemmKernel writes one function.
//
// Registers: SI gemm.Args, DI batch offsets, CX batch count, DX k count, BX and
// R8 the stride of A and three times it, AX B, R9 and R10 the stride of B and
// three times it, R11-R14 and more the bases of A, R15 what to prefetch. TN
// needs one base only and has the stride of R15 in R12. NN has what R15 moves
// less in R10, or in a base with four panels.
func gemmKernel(c *build.Context, i *isa, s shape) {
	k := &microKernel{Context: c, isa: i, shape: s}
	k.nv = s.nz * i.perPanel
	n := 0
	take := func() reg.VecPhysical { n++; return i.regs[n-1] }
	for range s.m {
		var row []reg.VecPhysical
		for range k.nv {
			row = append(row, take())
		}
		k.acc = append(k.acc, row)
	}
	if i.dot {
		n += dotTemporaries
	}
	// Vectors of B that no register is left for are operands in memory.
	k.memA = k.nv == 1
	held := k.nv
	if !k.memA {
		held = min(held, len(i.regs)-n-1)
	}
	for range held {
		k.bv = append(k.bv, take())
	}
	if !k.memA {
		k.av = take()
	}
	k.g, k.aoff, k.batch, k.k = reg.RSI, reg.RDI, reg.RCX, reg.RDX
	k.as, k.as3, k.b, k.bs, k.bs3 = reg.RBX, reg.R8, reg.RAX, reg.R9, reg.R10
	k.ahead = reg.R15
	k.aheadK = reg.R12
	k.bases = []reg.GPPhysical{reg.R11, reg.R12, reg.R13, reg.R14}
	if s.op == nn && s.nz == 1 {
		// One panel needs no stride of B.
		k.bases = append(k.bases, reg.R9, reg.R10)
	}

	c.Function(s.name(i))
	c.Attributes(attr.NOSPLIT)
	c.Doc(fmt.Sprintf("%s is the %s micro-kernel for %d rows and %d panels.", s.name(i), strings.ToUpper(string(s.op)), s.m, s.nz))
	c.SignatureExpr("func(args *byte)")
	k.unroll = 4
	if k.m*k.nv >= 16 {
		k.unroll = 2
	}
	if i.dot {
		k.unroll = 1
	}
	k.emit()
}

func (k *microKernel) emit() {
	k.Load(k.Param("args"), k.g)
	if k.bytes == 64 {
		k.MOVQ(arg(k.g, "bits"), k.k)
		k.KMOVW(k.k.As32(), reg.K1)
	}
	k.Label("tile")
	k.MOVQ(arg(k.g, "AOff"), k.aoff)
	k.MOVQ(arg(k.g, "Batch"), k.batch)
	k.MOVQ(arg(k.g, "AStride"), k.as)
	k.MOVQ(arg(k.g, "B"), k.b)
	k.MOVQ(arg(k.g, "Prefetch"), k.ahead)
	if k.op == tn {
		k.MOVQ(arg(k.g, "PrefetchK"), k.aheadK)
	}
	if k.op == tn || k.nz > 1 {
		k.MOVQ(arg(k.g, "BStride"), k.bs)
	}
	if k.op == tn || k.nz > 3 {
		k.LEAQ(operand.Mem{Base: k.bs, Index: k.bs, Scale: 2}, k.bs3)
	}
	k.LEAQ(operand.Mem{Base: k.as, Index: k.as, Scale: 2}, k.as3)
	k.planRows()
	if k.slow != nil {
		k.MOVQ(arg(k.g, "PrefetchSlow"), k.slow)
		k.SHLQ(operand.U8(uint8(bits.TrailingZeros(uint(k.unroll)))), k.slow)
	}
	k.start()
	k.Label("batch")
	k.setBases()
	k.MOVQ(arg(k.g, "K"), k.k)
	if k.dot {
		k.dotLoop()
		k.finishTile()
		return
	}
	unroll := k.unroll
	k.SUBQ(operand.U8(uint8(unroll)), k.k)
	k.JLT(operand.LabelRef("tail"))
	k.Label("loop")
	for u := range unroll {
		k.step(u, u%2 == 0)
	}
	k.advance(unroll)
	k.SUBQ(operand.U8(uint8(unroll)), k.k)
	k.JGE(operand.LabelRef("loop"))
	k.Label("tail")
	k.ADDQ(operand.U8(uint8(unroll)), k.k)
	k.JEQ(operand.LabelRef("next"))
	k.Label("single")
	k.step(0, false)
	k.advance(1)
	k.DECQ(k.k)
	k.JNE(operand.LabelRef("single"))
	k.Label("next")
	k.ADDQ(operand.U8(8), k.aoff)
	k.DECQ(k.batch)
	k.JNE(operand.LabelRef("batch"))
	k.finishTile()
}

// finishTile writes what follows the sums of a tile.
func (k *microKernel) finishTile() {
	k.epilogue()

	// On to the next tile of the row. After the last one the pointers stay: Go
	// must not see one that points past its array.
	t := k.k
	k.Label("done")
	k.DECQ(arg(k.g, "Tiles"))
	k.JEQ(operand.LabelRef("return"))
	k.MOVQ(arg(k.g, "AStep"), t)
	k.ADDQ(t, arg(k.g, "A"))
	if k.split {
		k.ADDQ(t, arg(k.g, "A2"))
	}
	k.MOVQ(arg(k.g, "PrefetchStep"), t)
	k.ADDQ(t, arg(k.g, "Prefetch"))
	k.MOVQ(arg(k.g, "CStep"), t)
	k.ADDQ(t, arg(k.g, "C"))
	k.CMPQ(arg(k.g, "Res"), operand.U8(0))
	k.JEQ(operand.LabelRef("tile"))
	k.ADDQ(t, arg(k.g, "Res"))
	k.JMP(operand.LabelRef("tile"))
	k.Label("return")
	k.VZEROUPPER()
	k.RET()
}

// start sets the accumulators to the bias, or to zero.
func (k *microKernel) start() {
	t := k.k
	k.MOVQ(arg(k.g, "Bias"), t)
	k.TESTQ(t, t)
	k.JEQ(operand.LabelRef("zero"))
	if k.bytes == 32 {
		k.CMPQ(arg(k.g, "cols"), operand.U8(16))
		k.JEQ(operand.LabelRef("bias"))
		k.loadBias(t, true)
		k.JMP(operand.LabelRef("batch"))
		k.Label("bias")
		k.loadBias(t, false)
	} else {
		k.loadBias(t, true)
	}
	k.JMP(operand.LabelRef("batch"))
	k.Label("zero")
	for _, row := range k.acc {
		for _, v := range row {
			k.zero(v)
		}
	}
}

// loadBias sets each row of the accumulators to the bias that t points to.
func (k *microKernel) loadBias(t reg.GPPhysical, masked bool) {
	if masked && k.bytes == 32 {
		k.loadMasks(k.b) // B is loaded again below
	}
	for v := range k.nv {
		at := operand.Mem{Base: t, Disp: v * k.bytes}
		switch {
		case !masked || v < k.nv-k.perPanel:
			k.VMOVUPS(at, k.acc[0][v])
		case k.bytes == 64:
			k.VMOVUPS_Z(at, reg.K1, k.acc[0][v])
		default:
			k.VMASKMOVPS(at, k.bv[v%k.perPanel], k.acc[0][v])
		}
		for i := 1; i < k.m; i++ {
			k.VMOVAPS(k.acc[0][v], k.acc[i][v])
		}
	}
	if masked && k.bytes == 32 {
		k.MOVQ(arg(k.g, "B"), k.b)
	}
}

// loadMasks loads the masks of the last panel where B is held, which is free
// before and after the sums; t is overwritten. AVX2 only.
func (k *microKernel) loadMasks(t reg.GPPhysical) {
	k.MOVQ(arg(k.g, "mask"), t)
	k.VMOVUPS(operand.Mem{Base: t}, k.bv[0])
	k.VMOVUPS(operand.Mem{Base: t, Disp: 32}, k.bv[1])
}

func (k *microKernel) zero(v reg.VecPhysical) {
	if k.bytes == 64 {
		k.VPXORD(v, v, v)
	} else {
		k.VXORPS(v, v, v)
	}
}

// planRows decides how rows of A are addressed. From a base b, an index of the
// stride or three times it, scaled, reaches rows 0, 1, 2, 3 and 4.
func (k *microKernel) planRows() {
	if k.op == tn {
		k.bases = k.bases[:1]
		return
	}
	used := 0
	for i := range k.m {
		j := i
		if k.split {
			j = i % (k.m / 2)
		}
		if j%5 == 0 {
			used++
		}
		k.rows = append(k.rows, rowAddr{used - 1, j % 5})
	}
	free := append(slices.Clone(k.bases[used:]), k.bs3)
	k.bases = k.bases[:used]
	switch {
	case k.nz == 4: // needs three times the stride of B
		k.slow = free[0]
	case !slices.Contains(k.bases, k.bs3):
		k.slow = k.bs3
	}
}

// setBases points the bases at the next batch element.
func (k *microKernel) setBases() {
	t := k.k // free until the count is loaded
	k.MOVQ(operand.Mem{Base: k.aoff}, t)
	from := -1
	for i := range k.bases {
		row := -1
		for r, a := range k.rows {
			if a.base == i && a.mult == 0 {
				row = r
			}
		}
		switch {
		case i == 0:
			k.MOVQ(arg(k.g, "A"), k.bases[i])
			k.ADDQ(t, k.bases[i])
		case k.split && row == k.m/2:
			k.MOVQ(arg(k.g, "A2"), k.bases[i])
			k.ADDQ(t, k.bases[i])
		default:
			k.LEAQ(operand.Mem{Base: k.bases[from], Index: k.as, Scale: 4}, k.bases[i])
			k.ADDQ(k.as, k.bases[i])
		}
		from = i
	}
}

// rowMem is element u of row i of A.
func (k *microKernel) rowMem(i, u int) operand.Mem {
	if k.op == tn {
		m := operand.Mem{Base: k.bases[0], Disp: 4 * i}
		return scaled(m, u, k.as, k.as3)
	}
	r := k.rows[i]
	return scaled(operand.Mem{Base: k.bases[r.base], Disp: 4 * u}, r.mult, k.as, k.as3)
}

// scaled adds n times a stride to m.
func scaled(m operand.Mem, n int, stride, stride3 reg.GPPhysical) operand.Mem {
	switch n {
	case 0:
	case 1, 2, 4:
		m.Index, m.Scale = stride, uint8(n)
	case 3:
		m.Index, m.Scale = stride3, 1
	default:
		panic("no such multiple")
	}
	return m
}

// colMem is vector v of B at step u.
func (k *microKernel) colMem(v, u int) operand.Mem {
	if k.op == tn {
		return scaled(operand.Mem{Base: k.b, Disp: v * k.bytes}, u, k.bs, k.bs3)
	}
	m := operand.Mem{Base: k.b, Disp: u*64 + v%k.perPanel*k.bytes}
	return scaled(m, v/k.perPanel, k.bs, k.bs3)
}

// step is one step of k. TN prefetches in every other one.
func (k *microKernel) step(u int, even bool) {
	if k.op == nn {
		k.PREFETCHT1(operand.Mem{Base: k.ahead, Disp: 64 * u})
	} else if even {
		k.PREFETCHT1(operand.Mem{Base: k.ahead})
		k.ADDQ(k.aheadK, k.ahead)
	}
	for v, b := range k.bv {
		k.VMOVUPS(k.colMem(v, u), b)
	}
	for i := range k.m {
		if k.memA {
			k.fma(k.rowMem(i, u), k.bv[0], k.acc[i][0])
			continue
		}
		k.VBROADCASTSS(k.rowMem(i, u), k.av)
		for v := range k.nv {
			if v < len(k.bv) {
				k.fma(k.bv[v], k.av, k.acc[i][v])
			} else {
				k.fma(k.colMem(v, u), k.av, k.acc[i][v])
			}
		}
	}
}

// fma adds a times b to acc; with memA, a is an element to broadcast.
func (k *microKernel) fma(a operand.Op, b, acc reg.VecPhysical) {
	switch {
	case k.dot:
		dotProduct(k.Context, a, k.memA, b, acc)
	case k.memA:
		k.VFMADD231PS_BCST(a, b, acc)
	default:
		k.VFMADD231PS(a, b, acc)
	}
}

// advance moves the pointers on by n steps of k.
func (k *microKernel) advance(n int) {
	if k.op == tn {
		if n > 1 {
			k.LEAQ(operand.Mem{Base: k.bases[0], Index: k.as, Scale: uint8(n)}, k.bases[0])
			k.LEAQ(operand.Mem{Base: k.b, Index: k.bs, Scale: uint8(n)}, k.b)
		} else {
			k.ADDQ(k.as, k.bases[0])
			k.ADDQ(k.bs, k.b)
		}
		return
	}
	for _, b := range k.bases {
		k.ADDQ(operand.U8(4*n), b)
	}
	k.ADDQ(operand.I32(64*n), k.b)
	k.ADDQ(operand.I32(64*n), k.ahead)
	if n == k.unroll && k.slow != nil {
		k.SUBQ(k.slow, k.ahead)
		return
	}
	for range n {
		k.SUBQ(arg(k.g, "PrefetchSlow"), k.ahead)
	}
}

// epilogue adds res, clamps and stores.
func (k *microKernel) epilogue() {
	if k.bytes == 64 {
		k.finish("", true)
		return
	}
	k.CMPQ(arg(k.g, "cols"), operand.U8(16))
	k.JNE(operand.LabelRef("masked"))
	k.finish("", false)
	k.JMP(operand.LabelRef("done"))
	k.Label("masked")
	k.finish("masked_", true)
}

// finish writes one epilogue; masked is set if the last panel may be partial.
func (k *microKernel) finish(prefix string, masked bool) {
	c, ldc, res := k.b, k.as, k.as3
	last := func(v int) bool { return masked && v >= k.nv-k.perPanel }
	tmp := k.bv[0]
	if k.bytes == 32 && masked {
		tmp = k.av
		k.loadMasks(k.aoff)
	}
	mask := func(v int) reg.VecPhysical { return k.bv[v%k.perPanel] }

	k.MOVQ(arg(k.g, "LDC"), ldc)
	k.MOVQ(arg(k.g, "Res"), res)
	k.TESTQ(res, res)
	k.JEQ(operand.LabelRef(prefix + "nores"))
	for i := range k.m {
		for v := range k.nv {
			at := operand.Mem{Base: res, Disp: v * k.bytes}
			acc := k.acc[i][v]
			switch {
			case !last(v):
				k.VADDPS(at, acc, acc)
			case k.bytes == 64:
				k.VADDPS(at, acc, reg.K1, acc)
			default:
				k.VMASKMOVPS(at, mask(v), tmp)
				k.VADDPS(tmp, acc, acc)
			}
		}
		k.nextRow(i, ldc, res)
	}
	k.Label(prefix + "nores")

	k.CMPQ(arg(k.g, "clamp"), operand.U8(0))
	k.JEQ(operand.LabelRef(prefix + "noclamp"))
	// MAXPS and MINPS return their second source if one is NaN: the value.
	for _, bound := range []string{"lo", "hi"} {
		if bound == "hi" {
			k.CMPQ(arg(k.g, "clamp"), operand.U8(1))
			k.JEQ(operand.LabelRef(prefix + "noclamp"))
		}
		k.VBROADCASTSS(arg(k.g, bound), tmp)
		for i := range k.m {
			for v := range k.nv {
				if bound == "lo" {
					k.VMAXPS(k.acc[i][v], tmp, k.acc[i][v])
				} else {
					k.VMINPS(k.acc[i][v], tmp, k.acc[i][v])
				}
			}
		}
	}
	k.Label(prefix + "noclamp")

	k.MOVQ(arg(k.g, "C"), c)
	for i := range k.m {
		for v := range k.nv {
			at := operand.Mem{Base: c, Disp: v * k.bytes}
			switch {
			case !last(v):
				k.VMOVUPS(k.acc[i][v], at)
			case k.bytes == 64:
				k.VMOVUPS(k.acc[i][v], reg.K1, at)
			default:
				k.VMASKMOVPS(k.acc[i][v], mask(v), at)
			}
		}
		k.nextRow(i, ldc, c)
	}
}

// nextRow moves p from row i of the tile to the next, if there is one.
func (k *microKernel) nextRow(i int, ldc, p reg.GPPhysical) {
	switch {
	case i == k.m-1:
	case k.split && i == k.m/2-1:
		k.ADDQ(arg(k.g, "CJump"), p)
	default:
		k.ADDQ(ldc, p)
	}
}
