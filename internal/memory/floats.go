// Package memory allocates the large arrays of a plan: packed weights, the
// arena, and what is read while it is compiled.
//
// A network's weights are read from end to end in each run, some 25,000 pages
// of 4 KB for ResNet-50. Each page costs a walk through the page tables, two of
// them on a virtual machine, and the processor's own prefetching stops at its
// end. So large arrays ask the system for pages of 2 MB.
//
// Where the system has memory maps, large arrays are outside Go's heap. The
// garbage collector allows the heap to grow to twice what is alive: weights on the
// heap would allow the same amount of garbage. Memory outside the heap also goes
// back to the system as soon as it is freed.
package memory

import "unsafe"

const (
	hugePage   = 2 << 20 // bytes
	slabFloats = 4 << 20 // of a new slab of Slabs: 16 MB
	lineFloats = 16      // a cache line, to which arrays are aligned
)

// Floats returns n zeros that begin at a cache line, on huge pages where the
// system gives them and n fills one. They may be used as long as something
// refers to the block.
func Floats(n int) ([]float32, *Block) {
	if n*4 < hugePage {
		// Go aligns what is larger than a page; the others are moved.
		f := make([]float32, n+lineFloats-1)
		at := offset(f, lineFloats*4)
		return f[at : at+n : at+n], &Block{}
	}
	f, b := large(n + hugePage/4 - 1)
	at := offset(f, hugePage)
	f = f[at : at+n : at+n]
	adviseHuge(unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), n*4/hugePage*hugePage))
	return f, b
}

// Bytes is [Floats] for bytes at any address.
func Bytes(n int) ([]byte, *Block) {
	f, b := Floats((n + 3) / 4)
	if n == 0 {
		return nil, b
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), n), b
}

// offset returns how many floats of f come before the first address that is a
// multiple of align bytes.
func offset(f []float32, align uintptr) int {
	if len(f) == 0 {
		return 0
	}
	return int(-uintptr(unsafe.Pointer(&f[0])) % align / 4)
}

// Slabs allocates small arrays next to each other, so that many share a huge page.
// The memory of a slab is freed when none of its arrays is in use. The zero value
// is ready. It is not safe for concurrent use.
type Slabs struct {
	rest  []float32
	block *Block
}

// Floats is [Floats] out of a slab.
func (s *Slabs) Floats(n int) ([]float32, *Block) {
	if n > len(s.rest) {
		if n >= slabFloats/2 {
			return Floats(n)
		}
		s.rest, s.block = Floats(slabFloats)
	}
	f := s.rest[:n:n]
	s.rest = s.rest[min(len(s.rest), (n+lineFloats-1)/lineFloats*lineFloats):]
	return f, s.block
}
