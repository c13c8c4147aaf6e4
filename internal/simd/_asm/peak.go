package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peakAcc is the number of independent accumulators of a peak loop: more than
// the four cycles of latency on each of two ports need.
const peakAcc = 12

// peakKernels writes the loops that measure the FMA peak: peakAcc independent
// FMAs on registers, n times.
func peakKernels(c *build.Context) {
	for _, i := range []*isa{avx512, avx2} {
		c.Function("fmaPeak" + i.name)
		c.Attributes(attr.NOSPLIT)
		c.Doc("fmaPeak" + i.name + " does n times 12 independent FMAs on registers.")
		c.SignatureExpr("func(n int)")
		c.Load(c.Param("n"), reg.RCX)
		for _, r := range i.regs[:peakAcc+2] {
			if i.bytes == 64 {
				c.VPXORD(r, r, r)
			} else {
				c.VXORPS(r, r, r)
			}
		}
		c.Label("loop")
		for _, r := range i.regs[:peakAcc] {
			c.VFMADD231PS(i.regs[peakAcc], i.regs[peakAcc+1], r)
		}
		c.DECQ(reg.RCX)
		c.JNE(operand.LabelRef("loop"))
		c.VZEROUPPER()
		c.RET()
	}
}
