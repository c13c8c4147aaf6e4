package memory

import (
	"runtime"
	"testing"
	"time"
	"unsafe"
)

func checkArray(t *testing.T, f []float32, n int) {
	t.Helper()
	if len(f) != n || cap(f) != n {
		t.Fatalf("%d floats of capacity %d, want %d", len(f), cap(f), n)
	}
	if n > 0 && uintptr(unsafe.Pointer(&f[0]))%64 != 0 {
		t.Errorf("%d floats do not begin at a cache line", n)
	}
	for i, v := range f {
		if v != 0 {
			t.Fatalf("element %d of %d is %g", i, n, v)
		}
		f[i] = float32(i%251) + 1
	}
}

func TestFloats(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 1000, hugePage/4 - 1, hugePage / 4, hugePage/4 + 1, 3*hugePage/4 + 5} {
		f, b := Floats(n)
		checkArray(t, f, n)
		b.Free()
		b.Free() // does nothing more
	}
	f, b := Floats(hugePage)
	defer b.Free()
	if uintptr(unsafe.Pointer(&f[0]))%hugePage != 0 {
		t.Error("a large array does not begin at a huge page")
	}
}

func TestBytes(t *testing.T) {
	for _, n := range []int{0, 1, 5, 4096, hugePage + 3} {
		x, b := Bytes(n)
		if len(x) != n || cap(x) != n {
			t.Errorf("%d bytes of capacity %d, want %d", len(x), cap(x), n)
		}
		for i := range x {
			x[i] = 1
		}
		b.Free()
	}
}

// Arrays of one Slabs do not overlap: each keeps what was written to it, also
// when the garbage collector has run.
func TestSlabs(t *testing.T) {
	var s Slabs
	var all [][]float32
	var blocks []*Block
	for _, n := range []int{1, 0, 17, 100_000, slabFloats / 2, slabFloats/2 - 1, 2_000_000, 2_000_000, 3, slabFloats + 1, 5} {
		f, b := s.Floats(n)
		checkArray(t, f, n)
		all, blocks = append(all, f), append(blocks, b)
	}
	runtime.GC()
	for i, f := range all {
		for j, v := range f {
			if v != float32(j%251)+1 {
				t.Fatalf("array %d: element %d was written over", i, j)
			}
		}
	}
	runtime.KeepAlive(blocks)
}

// What nothing refers to goes back to the system without being freed, even if
// nothing else makes the garbage collector run.
func TestForgottenBlocks(t *testing.T) {
	if large, b := large(hugePage); b.bytes == nil {
		t.Skip("this system has its large arrays on Go's heap")
	} else {
		large[0] = 1
		b.Free()
	}
	before := inUse.Load()
	const size = 64 << 20
	for range 40 {
		Floats(size / 4) // not touched, so it takes address space only
		if got := inUse.Load() - before; got > minCollect+8*size {
			t.Fatalf("%d MB are in use", got>>20)
		}
		time.Sleep(time.Millisecond) // cleanups run beside us
	}
	for end := time.Now().Add(10 * time.Second); inUse.Load() > before; time.Sleep(time.Millisecond) {
		runtime.GC()
		if time.Now().After(end) {
			t.Fatalf("%d MB were never given back", (inUse.Load()-before)>>20)
		}
	}
}
