package gemm8

import (
	"math"
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// tileGeneric is the micro-kernel in Go.
func tileGeneric(m, nz int, g *Args) {
	if Wide() {
		tileWide(m, nz, g)
		return
	}
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

// tileWide is tileGeneric of 16 bits. Only tests call it: AVX2 has a micro-kernel.
func tileWide(m, nz int, g *Args) {
	c := unsafe.Slice(g.C, m*nz*isa.PanelWidth)
	for i := range m {
		copy(c[i*nz*isa.PanelWidth:], unsafe.Slice(g.Corr, nz*isa.PanelWidth))
	}
	for z := range nz {
		b := unsafe.Slice((*int16)(unsafe.Add(unsafe.Pointer(g.B), z*g.BStride)), g.Batch*g.K*2*isa.PanelWidth)
		for i := range m {
			sum := c[(i*nz+z)*isa.PanelWidth:][:isa.PanelWidth]
			for e, off := range unsafe.Slice(g.AOff, g.Batch) {
				for k, v := range unsafe.Slice((*uint16)(unsafe.Add(unsafe.Pointer(g.A), off+i*g.AStride)), 2*g.K) {
					row := b[(e*g.K+k/2)*2*isa.PanelWidth+k%2:]
					for j := range sum {
						sum[j] += int32(v) * int32(row[2*j])
					}
				}
			}
		}
	}
}

// epilogueGeneric is the definition of the epilogue, for one panel. The
// conversions keep compilers from fusing a multiplication with an addition.
func epilogueGeneric(e *Epilogue) {
	scale := unsafe.Slice(e.Scale, e.cols)
	for i := range e.rows {
		t := unsafe.Slice((*int32)(unsafe.Add(unsafe.Pointer(e.t), i*e.tStride)), e.cols)
		var res []uint8
		if e.Res != nil {
			res = unsafe.Slice((*uint8)(unsafe.Add(unsafe.Pointer(e.Res), i*e.ResStride)), e.cols)
		}
		out := unsafe.Add(e.Out, i*e.OutStride)
		for j, sum := range t {
			v := float32(float32(sum) * scale[j])
			if e.Mode == ModeAdd {
				v = min(max(float32(v+e.Magic), e.ClampMidLo), e.ClampMidHi) - e.Magic
				v = isa.FMA(v, e.MulY, isa.FMA(float32(res[j]), e.MulRes, e.Plus))
			} else if res != nil {
				v += float32(float32(float32(res[j])-e.ResZero) * e.ResScale)
			}
			v = min(max(v, e.ClampOutLo), e.ClampOutHi)
			if e.Mode == ModeFloats {
				*(*float32)(unsafe.Add(out, 4*j)) = v
				continue
			}
			*(*uint8)(unsafe.Add(out, j)) = uint8(int32(math.RoundToEven(float64(v))) + e.Zero)
		}
	}
}
