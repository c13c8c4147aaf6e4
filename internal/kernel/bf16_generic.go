package kernel

import (
	"math"
	"unsafe"
)

// bf16Tile is a micro-kernel on words of two bfloat16 numbers in Go, for any m
// and nz: tn says which of the two. Its sums begin with the bias, as those of
// the assembly do, which makes the bits the same.
func bf16Tile(tn bool, m, nz int, g *gemmArgs) {
	for ; g.tiles > 0; g.nextTile() {
		offs := unsafe.Slice(g.aoff, g.batch)
		for p := range nz {
			cols := panelWidth
			if p == nz-1 {
				cols = g.cols
			}
			for i := range m {
				a, at := g.a, i*g.ldc+p*panelWidth*4
				switch {
				case tn:
				case g.a2 == nil || i < m/2:
					a = floatAt(g.a, i*g.as)
				default:
					a = floatAt(g.a2, (i-m/2)*g.as)
					at += g.cjump - g.ldc
				}
				var acc [panelWidth]float32
				if g.bias != nil {
					copy(acc[:], unsafe.Slice(floatAt(g.bias, p*panelWidth*4), cols))
				}
				for n, off := range offs {
					for k := range g.k {
						var av, b *float32
						if tn {
							av, b = floatAt(g.a, off+k*g.as+i*4), floatAt(g.b, (n*g.k+k)*g.bs+p*panelWidth*4)
						} else {
							av, b = floatAt(a, off+k*4), floatAt(g.b, p*g.bs+(n*g.k+k)*panelWidth*4)
						}
						word := math.Float32bits(*av)
						bv := (*[panelWidth]float32)(unsafe.Pointer(b))
						for j := range acc {
							acc[j] = bf16Dot(acc[j], word, math.Float32bits(bv[j]))
						}
					}
				}
				rest := *g
				rest.bias = nil
				rest.store(at, p, cols, &acc)
			}
		}
	}
}

// bf16NarrowGeneric is [Products.narrow] in Go.
func bf16NarrowGeneric(g *bf16Args) {
	at := func(i, j int) uint32 { return bf16Bits(*floatAt(g.src, i*g.step+j*4)) }
	for i := range g.rows {
		dst := (*uint32)(unsafe.Pointer(floatAt(g.dst, i*g.dstep)))
		for j := range g.blocks * 16 {
			*(*uint32)(unsafe.Add(unsafe.Pointer(dst), j*4)) = at(i, 2*j) | at(i, 2*j+1)<<16
		}
		for j := 0; g.words>>j&1 != 0; j += 2 {
			from, valid := g.blocks*32+j, (g.low|g.high<<16)>>j
			word := at(i, from)
			if valid&2 != 0 {
				word |= at(i, from+1) << 16
			}
			*(*uint32)(unsafe.Add(unsafe.Pointer(dst), from*2)) = word
		}
	}
}

// bf16PairsGeneric is one block of columns of [Products.pairs] in Go.
func bf16PairsGeneric(g *bf16Args) {
	for i := range g.rows {
		for j := 0; g.words>>j&1 != 0; j++ {
			var word uint32
			if g.low>>j&1 != 0 {
				word = bf16Bits(*floatAt(g.src, i*g.step+j*4))
			}
			if g.high>>j&1 != 0 {
				word |= bf16Bits(*floatAt(g.src, i*g.step+g.hi+j*4)) << 16
			}
			*(*uint32)(unsafe.Pointer(floatAt(g.dst, i*g.dstep+j*4))) = word
		}
	}
}
