package kernel

import (
	"math"
	"unsafe"
)

// int8TileGeneric is the micro-kernel in Go.
func int8TileGeneric(m, nz int, g *int8Args) {
	c := unsafe.Slice(g.c, m*nz*panelWidth)
	for i := range m {
		copy(c[i*nz*panelWidth:], unsafe.Slice(g.corr, nz*panelWidth))
	}
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
	scale := unsafe.Slice(g.scale, g.cols)
	for i := range g.rows {
		t := unsafe.Slice((*int32)(unsafe.Add(unsafe.Pointer(g.t), i*g.ts)), g.cols)
		var res []uint8
		if g.res != nil {
			res = unsafe.Slice((*uint8)(unsafe.Add(unsafe.Pointer(g.res), i*g.ldr)), g.cols)
		}
		out := unsafe.Add(unsafe.Pointer(g.out), i*g.ldo)
		for j, s := range t {
			var v float32
			if g.mode == int8Add {
				v = min(max(float32(float32(s)*scale[j])+g.magic, g.midLo), g.midHi) - g.magic
				v = fma32(v, g.byY, fma32(float32(res[j]), g.byRes, g.plus))
			} else {
				v = float32(float32(s) * scale[j])
				if res != nil {
					v += float32(float32(float32(res[j])-g.resZero) * g.resScale)
				}
			}
			v = min(max(v, g.lo), g.hi)
			if g.mode == int8Sums {
				*(*float32)(unsafe.Add(out, 4*j)) = v
				continue
			}
			*(*uint8)(unsafe.Add(out, j)) = uint8(int32(math.RoundToEven(float64(v))) + g.zero)
		}
	}
}

// fma32 returns x*y + z rounded once, as the instruction does.
func fma32(x, y, z float32) float32 {
	p := float64(x) * float64(y) // exact
	s := p + float64(z)
	// What the sum in float64 has lost decides where it lies between two float32:
	// with the last bit set whenever something is lost, the second rounding is
	// the only one (Boldo and Melquiond, "Emulation of FMA and correctly rounded
	// sums: proved algorithms using rounding to odd", IEEE TC 2008).
	b := s - p
	if lost := (p - (s - b)) + (float64(z) - b); lost != 0 {
		bits := math.Float64bits(s)
		if bits&1 == 0 {
			if (lost > 0) == (s > 0) {
				bits++
			} else {
				bits--
			}
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}
