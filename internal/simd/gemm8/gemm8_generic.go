package gemm8

import (
	"math"
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// int8TileGeneric is the micro-kernel in Go.
func tileGeneric(m, nz int, g *Args) {
	c := unsafe.Slice(g.C, m*nz*isa.PanelWidth)
	for i := range m {
		copy(c[i*nz*isa.PanelWidth:], unsafe.Slice(g.Corr, nz*isa.PanelWidth))
	}
	aoff := unsafe.Slice(g.AOff, g.Batch)
	panelLen := g.Batch * g.K * 4 * isa.PanelWidth
	for z := range nz {
		b := unsafe.Slice((*int8)(unsafe.Add(unsafe.Pointer(g.B), z*g.BStride)), panelLen)
		for i := range m {
			sum := (*[isa.PanelWidth]int32)(c[(i*nz+z)*isa.PanelWidth:])
			for e, off := range aoff {
				a := unsafe.Slice((*uint8)(unsafe.Add(unsafe.Pointer(g.A), off+i*g.AStride)), 4*g.K)
				w := b[e*g.K*4*isa.PanelWidth:]
				for len(a) >= 4 {
					a0, a1, a2, a3 := int32(a[0]), int32(a[1]), int32(a[2]), int32(a[3])
					row := (*[4 * isa.PanelWidth]int8)(w)
					for j := range sum {
						sum[j] += a0*int32(row[4*j]) + a1*int32(row[4*j+1]) + a2*int32(row[4*j+2]) + a3*int32(row[4*j+3])
					}
					a, w = a[4:], w[4*isa.PanelWidth:]
				}
			}
		}
	}
}

// int8StoreGeneric is the epilogue in Go. The conversions keep compilers from
// fusing a multiplication with an addition.
func epilogueGeneric(g *Epilogue) {
	scale := unsafe.Slice(g.Scale, g.Cols)
	for i := range g.Rows {
		t := unsafe.Slice((*int32)(unsafe.Add(unsafe.Pointer(g.T), i*g.TStride)), g.Cols)
		var res []uint8
		if g.Res != nil {
			res = unsafe.Slice((*uint8)(unsafe.Add(unsafe.Pointer(g.Res), i*g.Ldr)), g.Cols)
		}
		out := unsafe.Add(unsafe.Pointer(g.Out), i*g.Ldo)
		for j, s := range t {
			var v float32
			if g.Mode == ModeAdd {
				v = min(max(float32(float32(s)*scale[j])+g.Magic, g.MidLo), g.MidHi) - g.Magic
				v = isa.FMA(v, g.ByY, isa.FMA(float32(res[j]), g.ByRes, g.Plus))
			} else {
				v = float32(float32(s) * scale[j])
				if res != nil {
					v += float32(float32(float32(res[j])-g.ResZero) * g.ResScale)
				}
			}
			v = min(max(v, g.Lo), g.Hi)
			if g.Mode == ModeSums {
				*(*float32)(unsafe.Add(out, 4*j)) = v
				continue
			}
			*(*uint8)(unsafe.Add(out, j)) = uint8(int32(math.RoundToEven(float64(v))) + g.Zero)
		}
	}
}
