package gemm

import (
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// gemmNNGeneric is the NN micro-kernel in Go for any m and nz.
func gemmNNGeneric(m, nz int, g *Args) {
	for ; g.Tiles > 0; g.nextTile() {
		gemmNNTile(m, nz, g)
	}
}

func gemmNNTile(m, nz int, g *Args) {
	offs := unsafe.Slice(g.AOff, g.Batch)
	for p := range nz {
		cols := isa.PanelWidth
		if p == nz-1 {
			cols = g.cols
		}
		b := unsafe.Slice(isa.FloatAt(g.B, p*g.BStride), g.Batch*g.K*isa.PanelWidth)
		for i := range m {
			var acc [isa.PanelWidth]float32
			a := isa.FloatAt(g.A, i*g.AStride)
			at := i*g.LDC + p*isa.PanelWidth*4
			if g.A2 != nil && i >= m/2 {
				a = isa.FloatAt(g.A2, (i-m/2)*g.AStride)
				at += g.CJump - g.LDC
			}
			for n, off := range offs {
				row := unsafe.Slice(isa.FloatAt(a, off), g.K)
				panel := b[n*g.K*isa.PanelWidth:]
				for k, av := range row {
					bv := (*[isa.PanelWidth]float32)(panel[k*isa.PanelWidth:])
					for j := range acc {
						acc[j] += float32(av * bv[j])
					}
				}
			}
			g.store(at, p, cols, &acc)
		}
	}
}

// gemmTNGeneric is the TN micro-kernel in Go for any m and nz.
func gemmTNGeneric(m, nz int, g *Args) {
	for ; g.Tiles > 0; g.nextTile() {
		gemmTNTile(m, nz, g)
	}
}

// nextTile moves the pointers on, unless the last tile is done: they might
// point outside then.
func (g *Args) nextTile() {
	if g.Tiles--; g.Tiles == 0 {
		return
	}
	g.A = isa.FloatAt(g.A, g.AStep)
	if g.A2 != nil {
		g.A2 = isa.FloatAt(g.A2, g.AStep)
	}
	g.C = isa.FloatAt(g.C, g.CStep)
	if g.Res != nil {
		g.Res = isa.FloatAt(g.Res, g.CStep)
	}
}

func gemmTNTile(m, nz int, g *Args) {
	offs := unsafe.Slice(g.AOff, g.Batch)
	for p := range nz {
		cols := isa.PanelWidth
		if p == nz-1 {
			cols = g.cols
		}
		for i := range m {
			var acc [isa.PanelWidth]float32
			for n, off := range offs {
				for k := range g.K {
					av := *isa.FloatAt(g.A, off+k*g.AStride+i*4)
					bv := (*[isa.PanelWidth]float32)(unsafe.Pointer(isa.FloatAt(g.B, (n*g.K+k)*g.BStride+p*isa.PanelWidth*4)))
					for j := range acc {
						acc[j] += float32(av * bv[j])
					}
				}
			}
			g.store(i*g.LDC+p*isa.PanelWidth*4, p, cols, &acc)
		}
	}
}

// store is the epilogue for one row of panel p, at bytes into c.
func (g *Args) store(at, p, cols int, acc *[isa.PanelWidth]float32) {
	c := unsafe.Slice(isa.FloatAt(g.C, at), cols)
	if g.Bias != nil {
		for j, v := range unsafe.Slice(isa.FloatAt(g.Bias, p*isa.PanelWidth*4), cols) {
			acc[j] += v
		}
	}
	if g.Res != nil {
		for j, v := range unsafe.Slice(isa.FloatAt(g.Res, at), cols) {
			acc[j] += v
		}
	}
	for j := range c {
		v := acc[j]
		if g.clamp != 0 {
			// The comparisons are false for NaN, which passes through.
			if v < g.lo {
				v = g.lo
			}
			if g.clamp > 1 && v > g.hi {
				v = g.hi
			}
		}
		c[j] = v
	}
}
