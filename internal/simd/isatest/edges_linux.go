package isatest

import (
	"syscall"
	"testing"
	"unsafe"
)

// edges hands out arrays that end right before a page that cannot be touched,
// or, every other one, begin right after one: reading or writing one float
// outside is a fault.
type edges struct {
	t    *testing.T
	free []*edge
	used []*edge
	N    int
}

type edge struct{ mem []byte }

func NewEdges(t *testing.T) *edges {
	e := &edges{t: t}
	t.Cleanup(func() {
		for _, m := range append(e.used, e.free...) {
			if err := syscall.Munmap(m.mem); err != nil {
				t.Error(err)
			}
		}
	})
	return e
}

func (e *edges) Floats(n int) []float32 {
	page := syscall.Getpagesize()
	size := (n*4 + page - 1) / page * page
	var m *edge
	for i, f := range e.free {
		if len(f.mem) == size+2*page {
			m = f
			e.free = append(e.free[:i], e.free[i+1:]...)
			break
		}
	}
	if m == nil {
		mem, err := syscall.Mmap(-1, 0, size+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			e.t.Fatalf("mmap: %v", err)
		}
		for _, guard := range [][]byte{mem[:page], mem[len(mem)-page:]} {
			if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
				e.t.Fatalf("mprotect: %v", err)
			}
		}
		m = &edge{mem}
	}
	e.used = append(e.used, m)
	e.N++
	inner := m.mem[page : page+size]
	if e.N%2 == 0 {
		inner = inner[size-n*4:]
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(inner))), n)
}

func (e *edges) Reset() {
	e.free = append(e.free, e.used...)
	e.used = nil
}
