//go:build !purego

package cpu

func cpuid(leaf, sub uint32) (a, b, c, d uint32)

// detectCore reads the caches of CPUID's leaf 4, or of AMD's leaf 0x8000001D, which
// has the same form (AMD64 Architecture Programmer's Manual 3, appendix E.4.16).
func detectCore() (core Core) {
	last, b, c, d := cpuid(0, 0)
	amd := b == 'A'|'u'<<8|'t'<<16|'h'<<24 && d == 'e'|'n'<<8|'t'<<16|'i'<<24 && c == 'c'|'A'<<8|'M'<<16|'D'<<24
	leaf := uint32(4)
	if amd {
		last, _, _, _ = cpuid(0x80000000, 0)
		leaf = 0x8000001D
	}
	if last < leaf {
		return core
	}
	for sub := range uint32(8) {
		a, b, c, _ := cpuid(leaf, sub)
		kind, level := a&31, a>>5&7
		if kind == 0 {
			break
		}
		ways, partitions, line, sets := int(b>>22)+1, int(b>>12&1023)+1, int(b&4095)+1, int(c)+1
		if kind == 1 && level == 1 { // of data
			core.L1Bytes, core.L1Ways = ways*partitions*line*sets, ways
		}
	}
	// Of family 25, those with AVX-512 are Zen 4, which has vector units of 256 bits.
	signature, _, _, _ := cpuid(1, 0)
	family := signature >> 8 & 15
	if family == 15 {
		family += signature >> 20 & 255
	}
	core.HalfWidth = amd && family == 25 && AVX512
	return core
}
