package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// statsPanels is the largest number of panels of a statistics kernel, by
// instruction set: three vectors of state for each vector of columns.
var statsPanels = map[*isa]int{avx512: 4, avx2: 2}

// statsKernels writes the kernels that sum the columns of rows, and their
// squares, both less a shift for each column.
func statsKernels(c *build.Context) {
	for _, i := range []*isa{avx512, avx2} {
		for nz := 1; nz <= statsPanels[i]; nz++ {
			nv := nz * i.perPanel
			name := fmt.Sprintf("columnSums%d%s", nz, i.name)
			c.Function(name)
			c.Pragma("noescape")
			c.Attributes(attr.NOSPLIT)
			c.Doc(fmt.Sprintf("%s adds rows of %d floats, less a shift, to sums of them and of their squares.", name, nz*16))
			c.SignatureExpr("func(s *float32, x *float32, rows int, pitch int)")
			s, x, rows, pitch := reg.RDI, reg.RSI, reg.RCX, reg.RBX
			c.Load(c.Param("s"), s)
			c.Load(c.Param("x"), x)
			c.Load(c.Param("rows"), rows)
			c.Load(c.Param("pitch"), pitch)
			shift, sum, sq, t := i.regs[:nv], i.regs[nv:2*nv], i.regs[2*nv:3*nv], i.regs[3*nv:]
			if len(t) > nv {
				t = t[:nv]
			}
			at := func(field string, v int) operand.Mem {
				return operand.Mem{Base: s, Disp: columnSums.Offset(field) + v*i.bytes}
			}
			for v := range nv {
				c.VMOVUPS(at("shift", v), shift[v])
				c.VMOVUPS(at("sum", v), sum[v])
				c.VMOVUPS(at("sq", v), sq[v])
			}
			c.Label("loop")
			for v := range nv {
				d := t[v%len(t)]
				c.VMOVUPS(operand.Mem{Base: x, Disp: v * i.bytes}, d)
				c.VSUBPS(shift[v], d, d)
				c.VADDPS(d, sum[v], sum[v])
				c.VFMADD231PS(d, d, sq[v])
			}
			c.ADDQ(pitch, x)
			c.DECQ(rows)
			c.JNE(operand.LabelRef("loop"))
			for v := range nv {
				c.VMOVUPS(sum[v], at("sum", v))
				c.VMOVUPS(sq[v], at("sq", v))
			}
			c.VZEROUPPER()
			c.RET()
		}
	}
}
