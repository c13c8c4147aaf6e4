package gemm8

import (
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// MaxSumRows returns the largest number of rows of [Args.Sum], 0 where there is no
// micro-kernel for it.
func MaxSumRows() int {
	switch machine := isa.Planned(); {
	case machine.AVX512 && machine.VNNI:
		return 14
	case machine.AVX2:
		return 6
	}
	return 0
}

// Sum multiplies m rows of signed numbers of 16 bits, at most [MaxSumRows], by a single
// panel of such numbers, and leaves the sums in C:
//
//	c[i][j] = corr[j] + Σ_k Σ_q a[i*AStride/2 + 2*k + q] * b[(k*16 + j)*2 + q],   q in 0..1
//
// modulo 2³².
func (g *Args) Sum(m int) {
	if sum(m, g) {
		return
	}
	b, c := unsafe.Slice((*int16)(unsafe.Pointer(g.B)), g.K*2*isa.PanelWidth), unsafe.Slice(g.C, m*isa.PanelWidth)
	for i := range m {
		row := c[i*isa.PanelWidth:][:isa.PanelWidth]
		copy(row, unsafe.Slice(g.Corr, isa.PanelWidth))
		for k, v := range unsafe.Slice((*int16)(unsafe.Add(unsafe.Pointer(g.A), i*g.AStride)), 2*g.K) {
			w := b[k/2*2*isa.PanelWidth+k%2:]
			for j := range row {
				row[j] += int32(v) * int32(w[2*j])
			}
		}
	}
}
