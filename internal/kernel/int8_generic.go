package kernel

import (
	"math"
	"unsafe"
)

// int8TileGeneric is the micro-kernel in Go.
func int8TileGeneric(m, nz int, g *int8Args) {
	c := unsafe.Slice(g.c, m*nz*panelWidth)
	clear(c)
	aoff := unsafe.Slice(g.aoff, g.batch)
	panelLen := g.batch * g.k * 4 * panelWidth
	for z := range nz {
		b := unsafe.Slice((*int8)(unsafe.Add(unsafe.Pointer(g.b), z*g.bs)), panelLen)
		for i := range m {
			sum := (*[panelWidth]int32)(c[(i*nz+z)*panelWidth:])
			for e, off := range aoff {
				a := unsafe.Slice((*uint8)(unsafe.Add(unsafe.Pointer(g.a), off+i*g.as)), 4*g.k)
				w := b[e*g.k*4*panelWidth:]
				for len(a) >= 4 {
					a0, a1, a2, a3 := int32(a[0]), int32(a[1]), int32(a[2]), int32(a[3])
					row := (*[4 * panelWidth]int8)(w)
					for j := range sum {
						sum[j] += a0*int32(row[4*j]) + a1*int32(row[4*j+1]) + a2*int32(row[4*j+2]) + a3*int32(row[4*j+3])
					}
					a, w = a[4:], w[4*panelWidth:]
				}
			}
		}
	}
}

// int8StoreGeneric is the epilogue in Go. The conversions keep compilers from
// fusing a multiplication with an addition.
func int8StoreGeneric(g *int8Store) {
	corr, scale := unsafe.Slice(g.corr, g.cols), unsafe.Slice(g.scale, g.cols)
	for i := range g.rows {
		t := unsafe.Slice((*int32)(unsafe.Add(unsafe.Pointer(g.t), i*g.ts)), g.cols)
		var res []uint8
		if g.res != nil {
			res = unsafe.Slice((*uint8)(unsafe.Add(unsafe.Pointer(g.res), i*g.ldr)), g.cols)
		}
		out := unsafe.Add(unsafe.Pointer(g.out), i*g.ldo)
		for j, s := range t {
			v := float32(float32(s+corr[j]) * scale[j])
			if res != nil {
				v += float32(float32(float32(res[j])-g.resZero) * g.resScale)
			}
			v = min(max(v, g.lo), g.hi)
			if g.float != 0 {
				*(*float32)(unsafe.Add(out, 4*j)) = v
				continue
			}
			*(*uint8)(unsafe.Add(out, j)) = uint8(int32(math.RoundToEven(float64(v))) + g.zero)
		}
	}
}
