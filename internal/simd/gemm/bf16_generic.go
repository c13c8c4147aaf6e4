package gemm

import (
	"math"
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// bf16Tile is the TN (if tn) or NN micro-kernel on words of two bfloat16 numbers in
// Go, for any m and nz. Its sums start with the bias, as in the assembly, so that the
// bits are the same.
func bf16Tile(tn bool, m, nz int, g *Args) {
	for ; g.Tiles > 0; g.nextTile() {
		offs := unsafe.Slice(g.AOff, g.Batch)
		for p := range nz {
			cols := isa.PanelWidth
			if p == nz-1 {
				cols = g.cols
			}
			for i := range m {
				a, at := g.A, i*g.LDC+p*isa.PanelWidth*4
				switch {
				case tn:
				case g.A2 == nil || i < m/2:
					a = isa.FloatAt(g.A, i*g.AStride)
				default:
					a = isa.FloatAt(g.A2, (i-m/2)*g.AStride)
					at += g.CJump - g.LDC
				}
				var acc [isa.PanelWidth]float32
				if g.Bias != nil {
					copy(acc[:], unsafe.Slice(isa.FloatAt(g.Bias, p*isa.PanelWidth*4), cols))
				}
				for n, off := range offs {
					for k := range g.K {
						var av, b *float32
						if tn {
							av, b = isa.FloatAt(g.A, off+k*g.AStride+i*4), isa.FloatAt(g.B, (n*g.K+k)*g.BStride+p*isa.PanelWidth*4)
						} else {
							av, b = isa.FloatAt(a, off+k*4), isa.FloatAt(g.B, p*g.BStride+(n*g.K+k)*isa.PanelWidth*4)
						}
						word := math.Float32bits(*av)
						bv := (*[isa.PanelWidth]float32)(unsafe.Pointer(b))
						bf16DotRow(&acc, word, bv)
					}
				}
				rest := *g
				rest.Bias = nil
				rest.store(at, p, cols, &acc)
			}
		}
	}
}

// bf16DotRow is [bf16Dot] of a with each word of b. Nearly all of its fused
// multiply-adds are rounded by a float64 sum, which is several times faster: the
// product is exact there, and rounding twice goes wrong only where the float64 sum
// lies halfway between two float32 numbers. Those, and what may be denormal,
// infinite or NaN, are left to bf16Dot.
func bf16DotRow(acc *[isa.PanelWidth]float32, a uint32, b *[isa.PanelWidth]float32) {
	hi, lo := float64(flush(math.Float32frombits(a&0xffff0000))), float64(flush(math.Float32frombits(a<<16)))
	for j, c := range acc {
		word := math.Float32bits(b[j])
		if math.Float32bits(c)<<1-1 >= 0x00ffffff { // not denormal
			s := hi*float64(flush(math.Float32frombits(word&0xffff0000))) + float64(c)
			if roundsOnce(s) {
				s = lo*float64(flush(math.Float32frombits(word<<16))) + float64(float32(s))
				if roundsOnce(s) {
					acc[j] = float32(s)
					continue
				}
			}
		}
		acc[j] = bf16Dot(c, a, word)
	}
}

// roundsOnce reports whether s, a float64 sum, is a normal float32 number after
// rounding, and is not halfway between two of them.
func roundsOnce(s float64) bool {
	const normal = 250 // exponents, away from both ends
	bits := math.Float64bits(s)
	return bits&(1<<29-1) != 1<<28 && bits>>52&0x7ff-(1023-125) < normal
}

// bf16NarrowGeneric is [Precision.Narrow] in Go.
func bf16NarrowGeneric(g *bf16Args) {
	at := func(i, j int) uint32 { return bf16Bits(*isa.FloatAt(g.src, i*g.step+j*4)) }
	for i := range g.rows {
		dst := (*uint32)(unsafe.Pointer(isa.FloatAt(g.dst, i*g.dstep)))
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

// bf16PairsGeneric is one block of columns of [Precision.Pairs] in Go.
func bf16PairsGeneric(g *bf16Args) {
	for i := range g.rows {
		for j := 0; g.words>>j&1 != 0; j++ {
			var word uint32
			if g.low>>j&1 != 0 {
				word = bf16Bits(*isa.FloatAt(g.src, i*g.step+j*4))
			}
			if g.high>>j&1 != 0 {
				word |= bf16Bits(*isa.FloatAt(g.src, i*g.step+g.hi+j*4)) << 16
			}
			*(*uint32)(unsafe.Pointer(isa.FloatAt(g.dst, i*g.dstep+j*4))) = word
		}
	}
}
